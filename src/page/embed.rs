//! Images as `data:` addresses, within the page.

use crate::{Error, Result, files};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use ndarray::ArrayView2;

/// Wider images are shown at this width.
pub(super) const WIDEST: u32 = 1024;
/// An image whose PNG is larger is embedded as JPEG, if it is no small one.
const LARGE_PNG: usize = 64 << 10;

/// Size `(width, height)` that an image of `[height, width]` is shown at.
pub(super) fn shown_size((height, width): (usize, usize)) -> (u32, u32) {
    let (width, height) = (width as u32, height as u32);
    if width <= WIDEST {
        return (width, height);
    }
    let scaled = (u64::from(height) * u64::from(WIDEST) + u64::from(width) / 2) / u64::from(width);
    (WIDEST, scaled.max(1) as u32)
}

/// A photograph at the size it is shown at: JPEG where it is wide or its PNG is large, else PNG.
///
/// # Errors
/// It cannot be encoded.
pub(super) fn photograph(picture: &RgbImage) -> Result<String> {
    let (width, height) = shown_size((picture.height() as usize, picture.width() as usize));
    if (width, height) == picture.dimensions() {
        let png = png(picture.as_raw(), (width, height), ExtendedColorType::Rgb8)?;
        if png.len() <= LARGE_PNG {
            return Ok(address("image/png", &png));
        }
        return jpeg(picture);
    }
    jpeg(&resize(picture, width, height, FilterType::Triangle))
}

fn jpeg(picture: &RgbImage) -> Result<String> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 88)
        .write_image(picture.as_raw(), picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .map_err(|cause| unencoded(&cause))?;
    Ok(address("image/jpeg", &bytes))
}

/// Numbers of pixels as the grey of a PNG, at the size that the image is shown at: of each pixel shown, the number of the
/// nearest.
///
/// # Errors
/// It cannot be encoded.
pub(super) fn numbers(numbers: ArrayView2<u8>) -> Result<String> {
    let (grey, size) = nearest(numbers);
    Ok(address("image/png", &png(&grey, size, ExtendedColorType::L8)?))
}

/// Class indices of a label, encoded as [`numbers`] are, ignored pixels as 255. A set of all 256 classes leaves no grey for
/// them: its labels are RGB, the low byte in red and the high byte in green, and ignored pixels are 256.
///
/// # Errors
/// It cannot be encoded.
pub(super) fn label(label: ArrayView2<u16>, num_classes: usize) -> Result<String> {
    if num_classes <= 255 {
        return numbers(label.mapv(|class| class.min(255) as u8).view());
    }
    let (classes, size) = nearest(label);
    let rgb: Vec<u8> =
        classes.iter().flat_map(|&class| if class < 256 { [class as u8, 0, 0] } else { [0, 1, 0] }).collect();
    Ok(address("image/png", &png(&rgb, size, ExtendedColorType::Rgb8)?))
}

/// The number of the nearest pixel for each pixel that is shown, and the size `(width, height)` that they are shown at.
fn nearest<T: Copy>(numbers: ArrayView2<T>) -> (Vec<T>, (u32, u32)) {
    let (height, width) = numbers.dim();
    let (shown_width, shown_height) = shown_size((height, width));
    let nearest = |at: usize, shown: u32, of: usize| ((2 * at + 1) * of / (2 * shown as usize)).min(of - 1);
    let columns: Vec<usize> = (0..shown_width as usize).map(|x| nearest(x, shown_width, width)).collect();
    let mut sampled = Vec::with_capacity(shown_width as usize * shown_height as usize);
    for y in 0..shown_height as usize {
        let row = numbers.row(nearest(y, shown_height, height));
        sampled.extend(columns.iter().map(|&x| row[x]));
    }
    (sampled, (shown_width, shown_height))
}

fn png(pixels: &[u8], (width, height): (u32, u32), color: ExtendedColorType) -> Result<Vec<u8>> {
    files::png(pixels, (height as usize, width as usize), color).map_err(|cause| unencoded(&cause))
}

fn unencoded(cause: &image::ImageError) -> Error {
    Error::run(format!("a picture of the page cannot be encoded: {cause}"))
}

fn address(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    fn decoded(address: &str) -> image::DynamicImage {
        let (_, bytes) = address.split_once(";base64,").unwrap();
        image::load_from_memory(&STANDARD.decode(bytes).unwrap()).unwrap()
    }

    #[test]
    fn numbers_come_back_as_they_went() {
        let ids = array![[0, 18, 255], [7, 1, 2]];
        let back = decoded(&numbers(ids.view()).unwrap()).into_luma8();
        assert_eq!((back.dimensions(), back.into_raw()), ((3, 2), vec![0, 18, 255, 7, 1, 2]));
    }

    #[test]
    fn the_last_of_256_classes_is_told_from_ignored_pixels() {
        let label_of = |num_classes| {
            let address = label(array![[0, 254, 255, crate::task::IGNORE_INDEX]].view(), num_classes).unwrap();
            decoded(&address).into_rgb8().into_raw()
        };
        assert_eq!(label_of(256), [[0, 0, 0], [254, 0, 0], [255, 0, 0], [0, 1, 0]].concat());
        assert_eq!(label_of(255), [[0; 3], [254; 3], [255; 3], [255; 3]].concat());
    }

    #[test]
    fn what_is_wide_is_shown_smaller_with_no_number_between_two() {
        let ids = Array2::from_shape_fn((2, 2048), |(_, x)| if x < 1024 { 3 } else { 200 });
        let back = decoded(&numbers(ids.view()).unwrap()).into_luma8();
        assert_eq!(back.dimensions(), (1024, 1));
        assert!(back.iter().enumerate().all(|(x, id)| *id == if x < 512 { 3 } else { 200 }));
        assert_eq!(shown_size((1, 4000)), (1024, 1), "never without a row");
    }

    #[test]
    fn photographs_are_png_while_small_and_jpeg_where_wide() {
        let small = photograph(&RgbImage::new(20, 10)).unwrap();
        assert!(small.starts_with("data:image/png;base64,"));
        let wide = photograph(&RgbImage::new(1500, 10)).unwrap();
        assert!(wide.starts_with("data:image/jpeg;base64,"));
        assert_eq!(decoded(&wide).width(), 1024);
        let noise =
            |x: u32, y: u32| image::Rgb([(x * 97) ^ (y * 31), (x * 13) ^ (y * y), x * y * 7].map(|value| value as u8));
        let noisy = photograph(&RgbImage::from_fn(300, 300, noise)).unwrap();
        assert!(noisy.starts_with("data:image/jpeg;base64,"));
    }
}
