//! PNGs whose grey levels, or palette indices, are ids of up to 16 bits.

use super::image_file::MAX_SIDE;
use crate::files::{most_unpacked, plain_cause};
use crate::{Error, Result};
use ndarray::Array2;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// Gray levels or palette indices as they are stored, rows of `line` bytes.
struct Stored {
    height: usize,
    width: usize,
    depth: usize,
    line: usize,
    packed: Vec<u8>,
}

/// Reads the values of a PNG of ids as they are stored: grey levels, or palette indices. Shape: `[height, width]`.
///
/// # Errors
/// A file that is missing, damaged, neither grey nor palette, or over
/// [`Resolution::MAX_SIDE`](crate::size::Resolution::MAX_SIDE) pixels a side.
pub fn load_ids(path: &Path) -> Result<Array2<u16>> {
    let stored = load(path)?;
    let (height, width) = (stored.height, stored.width);
    let ids: Vec<u16> = match stored.depth {
        16 => stored.packed.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect(),
        _ => stored.unpacked().into_iter().map(u16::from).collect(),
    };
    Ok(Array2::from_shape_vec((height, width), ids).expect("one value a pixel"))
}

fn load(path: &Path) -> Result<Stored> {
    if path.is_dir() {
        return Err(Error::file(path, "is a folder; expected a PNG file"));
    }
    let file =
        File::open(path).map_err(|cause| Error::file(path, format!("cannot be read: {}", plain_cause(&cause))))?;
    let bad = |cause: &dyn std::fmt::Display| {
        Error::file(path, format!("cannot be decoded ({cause}); expected a whole gray PNG of ids"))
    };
    let most = most_unpacked(&file);
    let mut decoder = png::Decoder::new_with_limits(BufReader::new(file), png::Limits { bytes: 1 << 30 });
    // The palette's colors say nothing; its indices are the ids.
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|cause| bad(&cause))?;
    let info = reader.info();
    let (width, height, color, depth) = (info.width, info.height, info.color_type, info.bit_depth as u8);
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(bad(&format!("{height}x{width} is over {MAX_SIDE} pixels a side")));
    }
    if !matches!(color, png::ColorType::Grayscale | png::ColorType::Indexed) {
        return Err(Error::file(
            path,
            format!(
                "is {color:?} of {depth} bits; expected a gray or palette PNG of ids. For masks of colors set masks_are = \
                 \"colors\" in classes.toml"
            ),
        ));
    }
    let size = reader.output_buffer_size().ok_or_else(|| bad(&"too large"))?;
    if size as u64 > most {
        return Err(bad(&"the file ends too early"));
    }
    let mut packed = vec![0; size];
    let frame = reader.next_frame(&mut packed).map_err(|cause| bad(&cause))?;
    packed.truncate(frame.line_size * height as usize);
    let (height, width) = (height as usize, width as usize);
    Ok(Stored { height, width, depth: depth.into(), line: frame.line_size, packed })
}

impl Stored {
    /// One byte a pixel from 1, 2, 4 or 8 bits a pixel, first pixel in the highest bits.
    fn unpacked(self) -> Vec<u8> {
        let Self { width, depth, .. } = self;
        if depth == 8 {
            return self.packed;
        }
        let per_byte = 8 / depth;
        let mask = (0xFF_u16 >> (8 - depth)) as u8;
        let values = self
            .packed
            .chunks_exact(self.line.max(1))
            .flat_map(|row| (0..width).map(move |x| (row[x / per_byte] >> (8 - depth * (x % per_byte + 1))) & mask));
        values.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, color: png::ColorType, depth: png::BitDepth, packed: &[u8]) {
        let mut encoder = png::Encoder::new(File::create(path).unwrap(), 3, 2);
        encoder.set_color(color);
        encoder.set_depth(depth);
        encoder.set_palette([200; 3 * 12].as_slice());
        encoder.write_header().unwrap().write_image_data(packed).unwrap();
    }

    #[test]
    fn a_palette_label_is_read_as_indices() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.png");
        for (depth, packed) in
            [(png::BitDepth::Eight, vec![7, 8, 11, 1, 0, 7]), (png::BitDepth::Four, vec![0x78, 0xB0, 0x10, 0x70])]
        {
            write(&path, png::ColorType::Indexed, depth, &packed);
            assert_eq!(load_ids(&path).unwrap().as_slice().unwrap(), [7, 8, 11, 1, 0, 7]);
        }
    }

    #[test]
    fn ids_are_read_with_1_2_8_and_16_bits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.png");
        let bytes: Vec<u8> = [7, 24_000, 24_001, 33_999, 0, 1].iter().flat_map(|id: &u16| id.to_be_bytes()).collect();
        write(&path, png::ColorType::Grayscale, png::BitDepth::Sixteen, &bytes);
        assert_eq!(load_ids(&path).unwrap().as_slice().unwrap(), [7, 24_000, 24_001, 33_999, 0, 1]);
        for (depth, packed, ids) in [
            (png::BitDepth::One, vec![0b1010_0000, 0b0100_0000], [1, 0, 1, 0, 1, 0]),
            (png::BitDepth::Two, vec![0b1101_0000, 0b0010_0100], [3, 1, 0, 0, 2, 1]),
            (png::BitDepth::Eight, vec![1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]),
        ] {
            write(&path, png::ColorType::Grayscale, depth, &packed);
            assert_eq!(load_ids(&path).unwrap().as_slice().unwrap(), ids);
        }
    }

    #[test]
    fn colors_are_refused_with_the_key_to_set() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.png");
        write(&path, png::ColorType::Rgb, png::BitDepth::Eight, &[9; 18]);
        let message = load_ids(&path).unwrap_err().to_string();
        assert!(message.contains("x.png: is Rgb of 8 bits") && message.contains("masks_are"), "{message}");
    }

    #[test]
    fn a_folder_and_a_missing_file_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let message = load_ids(folder.path()).unwrap_err().to_string();
        assert!(message.ends_with("is a folder; expected a PNG file"), "{message}");
        let message = load_ids(&folder.path().join("none.png")).unwrap_err().to_string();
        assert!(message.ends_with("none.png: cannot be read: no such file or folder"), "{message}");
    }
}
