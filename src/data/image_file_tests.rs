use super::*;
use image::{GrayImage, Luma, Rgb};

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn a_jpeg_that_is_cut_off_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.jpg");
    RgbImage::from_fn(64, 64, |x, y| Rgb([(x * y % 251) as u8, x as u8, y as u8])).save(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    assert_eq!(load_image(&path).unwrap().dim(), (64, 64, 3));
    fs::write(&path, &whole[..whole.len() * 3 / 4]).unwrap();
    assert_says(&load_image(&path).unwrap_err().to_string(), &["picture.jpg", "ends too early"]);
}

#[test]
fn gray_and_16_bit_pictures_become_rgb() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    GrayImage::from_pixel(2, 1, Luma([9])).save(&path).unwrap();
    assert_eq!(load_image(&path).unwrap().as_slice().unwrap(), [9; 6]);
    image::ImageBuffer::from_pixel(1, 1, image::Rgba([0x1212_u16, 0x3434, 0x5656, 0])).save(&path).unwrap();
    assert_eq!(load_image(&path).unwrap().as_slice().unwrap(), [0x12, 0x34, 0x56]);
}

#[test]
fn palettes_alpha_cmyk_and_rotation_are_what_pytorch_makes_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(vec![1, 2, 3, 200, 100, 50]);
    encoder.write_header().unwrap().write_image_data(&[1, 0]).unwrap();
    fs::write(&path, bytes).unwrap();
    assert_eq!(load_image(&path).unwrap().as_slice().unwrap(), [200, 100, 50, 1, 2, 3]);
    // Transparency is left out, not blended with anything: Pillow's `convert("RGB")`.
    image::RgbaImage::from_pixel(1, 1, image::Rgba([5, 6, 7, 0])).save(&path).unwrap();
    assert_eq!(load_image(&path).unwrap().as_slice().unwrap(), [5, 6, 7]);

    // Pillow makes (51, 207, 180) of it.
    fs::write(&path, include_bytes!("fixtures/cmyk.jpg")).unwrap();
    let cmyk = load_image(&path).unwrap();
    assert_eq!(cmyk.dim(), (32, 64, 3));
    let pixel = [cmyk[[5, 5, 0]], cmyk[[5, 5, 1]], cmyk[[5, 5, 2]]].map(i32::from);
    assert!(pixel.iter().zip([51, 207, 180]).all(|(a, b)| (a - b).abs() <= 3), "{pixel:?}");

    // A picture that a camera has taken upright, with the word that it is: lying down, as its pixels are.
    let jpeg = folder.path().join("picture.jpg");
    RgbImage::from_pixel(64, 32, Rgb([9, 9, 9])).save(&jpeg).unwrap();
    let plain = fs::read(&jpeg).unwrap();
    let orientation_6 = b"\xFF\xE1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    fs::write(&jpeg, [&plain[..2], orientation_6, &plain[2..]].concat()).unwrap();
    assert_eq!(load_image(&jpeg).unwrap().dim(), (32, 64, 3));
}

#[test]
fn pictures_that_are_one_colour_are_small_files_and_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    let side = 1500;
    for color in [png::ColorType::Indexed, png::ColorType::Grayscale, png::ColorType::Rgba] {
        for depth in [png::BitDepth::One, png::BitDepth::Eight] {
            if color == png::ColorType::Rgba && depth == png::BitDepth::One {
                continue;
            }
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, side, side);
            encoder.set_color(color);
            encoder.set_depth(depth);
            encoder.set_compression(png::Compression::High);
            if color == png::ColorType::Indexed {
                encoder.set_palette(vec![10, 20, 30, 40, 50, 60]);
                encoder.set_trns(vec![7]);
            }
            let samples = if color == png::ColorType::Rgba { 4 * side } else { side };
            let row = if depth == png::BitDepth::One { samples.div_ceil(8) } else { samples };
            encoder.write_header().unwrap().write_image_data(&vec![0; (row * side) as usize]).unwrap();
            fs::write(&path, &bytes).unwrap();
            let image = load_image(&path).unwrap();
            assert_eq!(image.dim(), (1500, 1500, 3), "{color:?} of {depth:?} bits, {} bytes", bytes.len());
        }
    }
}

/// Found by fuzzing: zune-jpeg 0.5.15 panics at it.
#[test]
fn a_jpeg_that_its_decoder_panics_at_is_damaged() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/damaged.jpg");
    let error = load_image(&path).unwrap_err().to_string();
    assert_says(&error, &["damaged.jpg", "cannot be decoded", "expected a whole PNG or JPEG"]);
}
