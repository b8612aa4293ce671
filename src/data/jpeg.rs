//! JPEGs that the `image` crate's decoder (zune-jpeg) reads as other colors, without a word, or not at all. Their
//! headers tell, and jpeg-decoder reads them. What counts are the colors that libjpeg makes of a file.

use crate::files::unless_it_panics;
use image::RgbImage;
use image::metadata::Orientation;
use jpeg_decoder::{ColorTransform, Decoder, PixelFormat};

/// What a JPEG's headers say of its components.
#[derive(Debug, Default)]
pub(super) struct Headers {
    pub height: u16,
    pub width: u16,
    is_progressive: bool,
    components: Vec<Component>,
    /// Number of components in the first scan.
    in_first_scan: usize,
    is_jfif: bool,
    /// The color transform that Adobe's marker names.
    adobe: Option<u8>,
}

/// Identifier and sampling factors.
#[derive(Debug)]
struct Component {
    id: u8,
    horizontal: u8,
    vertical: u8,
}

impl Headers {
    /// Reads them; `None` where they are cut off, or where the file is neither baseline nor progressive.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut headers = Self::default();
        let mut rest = bytes.strip_prefix(&[0xFF, 0xD8])?;
        while let Some((marker, segment, behind)) = next_segment(rest) {
            rest = behind;
            match marker {
                0xC0..=0xC2 if headers.components.is_empty() => headers.read_frame(marker, segment)?,
                0xC4 | 0xC8 | 0xCC => {} // tables, and one that is reserved
                0xC0..=0xCF => return None,
                0xE0 => headers.is_jfif |= segment.starts_with(b"JFIF\0") && segment.len() >= 12,
                0xEE if segment.starts_with(b"Adobe") => headers.adobe = segment.get(11).copied().or(headers.adobe),
                0xDA => {
                    headers.in_first_scan = (*segment.first()?).into();
                    return (!headers.components.is_empty()).then_some(headers);
                }
                _ => {}
            }
        }
        None
    }

    fn read_frame(&mut self, marker: u8, segment: &[u8]) -> Option<()> {
        let (frame, components) = segment.split_at_checked(6)?;
        self.is_progressive = marker == 0xC2;
        self.height = u16::from_be_bytes([frame[1], frame[2]]);
        self.width = u16::from_be_bytes([frame[3], frame[4]]);
        let component = |bytes: &[u8]| Component { id: bytes[0], horizontal: bytes[1] >> 4, vertical: bytes[1] & 15 };
        self.components = components.chunks_exact(3).take(frame[5].into()).map(component).collect();
        Some(())
    }

    /// Whether the `image` crate makes of it what libjpeg does, or refuses it.
    pub fn suit_image(&self) -> bool {
        !self.is_in_several_scans() && self.sampling_suits_image() && self.colours_suit_image()
    }

    /// Baseline images may be in several scans, too. The `image` crate takes one component for another there, or loses
    /// the last blocks of a scan.
    fn is_in_several_scans(&self) -> bool {
        !self.is_progressive && self.in_first_scan != self.components.len()
    }

    /// It takes the first component for one in full size, and knows powers of two only.
    fn sampling_suits_image(&self) -> bool {
        let [luma, chroma @ ..] = self.components.as_slice() else { return true };
        self.components.iter().all(|component| component.horizontal != 3)
            && chroma.iter().all(|other| other.horizontal <= luma.horizontal && other.vertical <= luma.vertical)
    }

    /// It goes by Adobe's marker and by components called R, G, B where libjpeg goes by JFIF's first.
    fn colours_suit_image(&self) -> bool {
        let guess = match (self.components.len(), self.adobe) {
            (3, Some(0)) => ColorTransform::RGB,
            (3, _) if self.are_called_rgb() => ColorTransform::RGB,
            (3, _) => ColorTransform::YCbCr,
            (4, Some(2)) => ColorTransform::YCCK,
            (4, None | Some(0)) => ColorTransform::CMYK,
            (4, Some(_)) => ColorTransform::YCbCr,
            _ => self.colours(),
        };
        guess == self.colours()
    }

    /// The colors that it holds, by libjpeg's rules (`default_decompress_parms` in jdapimin.c).
    fn colours(&self) -> ColorTransform {
        match (self.components.len(), self.adobe) {
            (1, _) => ColorTransform::Grayscale,
            (3, _) if self.is_jfif => ColorTransform::YCbCr,
            (3, Some(0)) => ColorTransform::RGB,
            (3, None) if self.are_called_rgb() => ColorTransform::RGB,
            (3, _) => ColorTransform::YCbCr,
            (4, None | Some(0)) => ColorTransform::CMYK,
            (4, Some(_)) => ColorTransform::YCCK,
            _ => ColorTransform::Unknown,
        }
    }

    fn are_called_rgb(&self) -> bool {
        self.components.iter().map(|component| component.id).eq(*b"RGB")
    }

    /// Decodes the whole file, as it is stored, and says how EXIF wants it turned.
    ///
    /// # Errors
    /// The decoder's words.
    pub fn decode(&self, bytes: &[u8]) -> Result<(RgbImage, Orientation), String> {
        let most = |factor: fn(&Component) -> u8| self.components.iter().map(factor).max().unwrap_or(1);
        let (most_horizontal, most_vertical) = (most(|c| c.horizontal), most(|c| c.vertical));
        let is_between = |factor: u8, most: u8| factor != 1 && factor != most;
        // jpeg-decoder miscounts the blocks of such a component where it has a scan of its own.
        if self.is_in_several_scans()
            && self.components.iter().any(|component| {
                is_between(component.horizontal, most_horizontal) || is_between(component.vertical, most_vertical)
            })
        {
            return Err("sampling factors of three sizes in several scans are not supported".into());
        }
        let mut decoder = Decoder::new(bytes);
        decoder.set_color_transform(self.colours());
        let decoded = unless_it_panics(|| decoder.decode()).ok_or("it is damaged")?;
        let pixels = decoded.map_err(|cause| cause.to_string())?;
        let rgb = match decoder.info().map(|info| info.pixel_format) {
            Some(PixelFormat::RGB24) => pixels,
            Some(PixelFormat::L8) => pixels.into_iter().flat_map(|gray| [gray; 3]).collect(),
            Some(PixelFormat::CMYK32) => pixels.chunks_exact(4).flat_map(rgb_of_cmyk).collect(),
            _ => return Err("it holds no 8-bit colours".into()),
        };
        let orientation = decoder.exif_data().and_then(Orientation::from_exif_chunk);
        let image = RgbImage::from_raw(self.width.into(), self.height.into(), rgb).ok_or("it is damaged")?;
        Ok((image, orientation.unwrap_or(Orientation::NoTransforms)))
    }
}

/// Marker, content and what follows of the next segment that has content.
fn next_segment(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    // Fill bytes may stand before any marker.
    let is_marker = |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0x01 | 0xD0..=0xD8 | 0xFF);
    let at = bytes.windows(2).position(is_marker)?;
    let marker = bytes[at + 1];
    if marker == 0xD9 {
        return None;
    }
    let (length, rest) = bytes[at + 2..].split_first_chunk()?;
    let (segment, behind) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)).checked_sub(2)?)?;
    Some((marker, segment, behind))
}

/// Red, green and blue of four inks, as Pillow mixes them.
fn rgb_of_cmyk(inks: &[u8]) -> [u8; 3] {
    let light = 255 - u32::from(inks[3]);
    [0, 1, 2].map(|i| {
        let product = u32::from(inks[i]) * light + 128;
        (light - ((product + (product >> 8)) >> 8)) as u8
    })
}

#[cfg(test)]
#[path = "jpeg_tests.rs"]
mod tests;
