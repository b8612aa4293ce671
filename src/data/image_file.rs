//! Image files: which files are some, and what is in them.

use super::jpeg;
use crate::files::{ZLIB_RATIO, unless_it_panics};
use crate::messages::say;
use crate::size::Resolution;
use crate::{Error, Result};
use image::error::LimitErrorKind;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};
use ndarray::Array3;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// Suffixes of images that are read, those that torchvision's `ImageFolder` reads.
pub(super) const SUFFIXES: [&str; 9] = ["png", "jpg", "jpeg", "bmp", "webp", "tif", "tiff", "ppm", "pgm"];
/// Suffixes of images that are not read.
const OTHER_SUFFIXES: [&str; 14] =
    ["jpe", "jfif", "gif", "heic", "heif", "avif", "jxl", "jp2", "tga", "pbm", "pnm", "exr", "dng", "svg"];

/// [`Resolution::MAX_SIDE`] for the decoders. Guards memory against a damaged header.
pub(super) const MAX_SIDE: u32 = Resolution::MAX_SIDE as u32;

/// Whether a file of this name is read as an image.
pub(crate) fn is_picture(name: &str) -> bool {
    has_suffix(name, &SUFFIXES)
}

/// Whether a file of this name is an image by its name, read or not.
pub(crate) fn looks_like_picture(name: &str) -> bool {
    is_picture(name) || has_suffix(name, &OTHER_SUFFIXES)
}

fn has_suffix(name: &str, suffixes: &[&str]) -> bool {
    name.rsplit_once('.').is_some_and(|(_, suffix)| suffixes.iter().any(|known| known.eq_ignore_ascii_case(suffix)))
}

/// The problem that a file of `folder` looks like an image and is not used: its format is not read, or else `help` says
/// what is missing.
pub(crate) fn passed_over(folder: &Path, below: &Path, help: &str) -> Error {
    let help = if is_picture(&below.to_string_lossy()) { help } else { "save it as PNG or JPEG" };
    Error::file(folder.join(below), format!("looks like a picture and is passed over; {help}"))
}

/// Says in one line that such files of `folder` are passed over, if any are.
pub(crate) fn say_passed_over(folder: &Path, files: &[PathBuf], help: &str) {
    let Some(first) = files.first() else { return };
    let what = match files.len() {
        1 => "1 file that looks like a picture is".to_string(),
        more => format!("{more} files that look like pictures are"),
    };
    say(format_args!("{}: {what} passed over, first {}; {help}", folder.display(), folder.join(first).display()));
}

/// Says so where a file and what it belongs to, its `role`, differ in size `(height, width)`.
pub(crate) fn same_size(
    (path, size): (&Path, (usize, usize)),
    role: &str,
    (other, other_size): (&Path, (usize, usize)),
) -> Result<()> {
    if size == other_size {
        return Ok(());
    }
    // The image is decoded once more only where its stored size would have been right.
    let orientation = if size == (other_size.1, other_size.0) { orientation_of(other) } else { None };
    let (turned, remedy) = match orientation {
        Some(n) => (
            format!(" as its EXIF orientation {n} turns it"),
            "turn this one, too, or save the other as it is shown, without the orientation",
        ),
        None => (String::new(), "make them the same"),
    };
    let message = format!(
        "is {}x{} (height x width), but its {role} {} is {}x{}{turned}; {remedy}",
        size.0,
        size.1,
        other.display(),
        other_size.0,
        other_size.1
    );
    Err(Error::file(path, message))
}

/// Height and width of an image.
pub(super) fn size_of(image: &Array3<u8>) -> (usize, usize) {
    (image.dim().0, image.dim().1)
}

/// Reads an image as 8-bit RGB, whatever it is stored as, turned and mirrored as its EXIF orientation says, as mmcv
/// and OpenCV do. Shape: `[height, width, 3]`.
///
/// # Errors
/// A file that is missing, damaged, of another format or over [`Resolution::MAX_SIDE`] pixels a side.
pub fn load_image(path: &Path) -> Result<Array3<u8>> {
    let (stored, orientation) = load_stored(path)?;
    let mut image = DynamicImage::ImageRgb8(stored);
    image.apply_orientation(orientation);
    let rgb = image.into_rgb8();
    let size = (rgb.height() as usize, rgb.width() as usize, 3);
    Ok(Array3::from_shape_vec(size, rgb.into_raw()).expect("three values a pixel"))
}

/// EXIF orientation of an image, `2..=8`, if it has one that changes something.
fn orientation_of(path: &Path) -> Option<u8> {
    let (_, orientation) = load_stored(path).ok()?;
    (orientation != Orientation::NoTransforms).then(|| orientation.to_exif())
}

/// An image's pixels as they are stored, and how they are to be turned.
fn load_stored(path: &Path) -> Result<(RgbImage, Orientation)> {
    let bytes = fs::read(path).map_err(|cause| Error::file(path, format!("cannot be read: {cause}")))?;
    let bad = |cause: &dyn std::fmt::Display| {
        // Some of the decoders' sentences end with a line break.
        let cause = cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        let expected = "expected a whole PNG or JPEG (or BMP, WebP, TIFF, PPM, PGM)";
        Error::file(path, format!("cannot be decoded ({cause}); {expected}"))
    };
    let too_large = || Error::file(path, format!("is of more than {MAX_SIDE} pixels a side; make it smaller"));
    let mut reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format().map_err(|cause| bad(&cause))?;
    let format = reader.format();
    if format == Some(ImageFormat::Jpeg) {
        if jpeg_is_cut_off(&bytes) {
            return Err(bad(&"the file ends too early"));
        }
        if let Some(headers) = jpeg::Headers::read(&bytes).filter(|headers| !headers.suit_image()) {
            if u32::from(headers.height.max(headers.width)) > MAX_SIDE {
                return Err(too_large());
            }
            return headers.decode(&bytes).map_err(|cause| bad(&cause));
        }
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(4 << 30); // 16384² pixels of 16-bit RGBA are 2 GiB.
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|cause| match cause {
        ImageError::Limits(limit) if limit.kind() == LimitErrorKind::DimensionError => too_large(),
        cause => bad(&cause),
    })?;
    // What is counted are expanded pixels: one bit of a palette with transparency becomes 32.
    if format == Some(ImageFormat::Png) && decoder.total_bytes() > 32 * ZLIB_RATIO * bytes.len() as u64 {
        return Err(bad(&"the file ends too early"));
    }
    // Metadata that cannot be read turn nothing.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let decoded = unless_it_panics(|| DynamicImage::from_decoder(decoder)).ok_or_else(|| bad(&"it is damaged"))?;
    Ok((decoded.map_err(|cause| bad(&cause))?.into_rgb8(), orientation))
}

/// Whether the last scan of a JPEG lacks its end marker: the decoder would fill the rest with gray in silence.
fn jpeg_is_cut_off(bytes: &[u8]) -> bool {
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    match (last([0xFF, 0xDA]), last([0xFF, 0xD9])) {
        (Some(scan), Some(end)) => end < scan,
        (Some(_), None) => true,
        (None, _) => false, // Not even a scan: the decoder says so itself.
    }
}

#[cfg(test)]
#[path = "image_file_tests.rs"]
mod tests;
