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
fn palettes_alpha_and_cmyk_are_what_pytorch_makes_of_them() {
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

/// The block of EXIF that a JPEG, PNG or WebP holds, with this orientation.
fn exif(orientation: u8) -> Vec<u8> {
    [b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(), &[orientation, 0, 0, 0, 0, 0, 0, 0]].concat()
}

/// A PNG of six gray levels in two rows.
fn write_png_with(path: &Path, orientation: u8) {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 3, 2);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    writer.write_chunk(png::chunk::ChunkType(*b"eXIf"), &exif(orientation)).unwrap();
    writer.write_image_data(&[1, 2, 3, 4, 5, 6]).unwrap();
    writer.finish().unwrap();
    fs::write(path, bytes).unwrap();
}

fn write_jpeg_with(path: &Path, image: &RgbImage, orientation: u8) {
    image.save(path).unwrap();
    let plain = fs::read(path).unwrap();
    let content = [b"Exif\0\0".as_slice(), &exif(orientation)].concat();
    let length = (content.len() as u16 + 2).to_be_bytes();
    fs::write(path, [&plain[..2], b"\xFF\xE1", &length, &content, &plain[2..]].concat()).unwrap();
}

#[test]
fn pictures_are_turned_as_their_orientation_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    // What cv2.imread makes of them.
    for (orientation, height, expected) in [
        (0, 2, [1, 2, 3, 4, 5, 6]),
        (1, 2, [1, 2, 3, 4, 5, 6]),
        (2, 2, [3, 2, 1, 6, 5, 4]),
        (3, 2, [6, 5, 4, 3, 2, 1]),
        (4, 2, [4, 5, 6, 1, 2, 3]),
        (5, 3, [1, 4, 2, 5, 3, 6]),
        (6, 3, [4, 1, 5, 2, 6, 3]),
        (7, 3, [6, 3, 5, 2, 4, 1]),
        (8, 3, [3, 6, 2, 5, 1, 4]),
        (9, 2, [1, 2, 3, 4, 5, 6]),
    ] {
        write_png_with(&path, orientation);
        let image = load_image(&path).unwrap();
        assert_eq!(size_of(&image), (height, 6 / height), "orientation {orientation}");
        assert_eq!(image.iter().copied().step_by(3).collect::<Vec<_>>(), expected, "orientation {orientation}");
    }
    let jpeg = folder.path().join("picture.jpg");
    let red_left = RgbImage::from_fn(64, 32, |x, _| Rgb(if x < 32 { [250, 0, 0] } else { [0, 0, 250] }));
    write_jpeg_with(&jpeg, &red_left, 6);
    let image = load_image(&jpeg).unwrap();
    assert_eq!(image.dim(), (64, 32, 3));
    assert!(image[[5, 16, 0]] > 240 && image[[60, 16, 2]] > 240, "the left is above now");
}

#[test]
fn a_label_of_the_stored_size_is_told_of_the_orientation() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("picture.jpg");
    write_jpeg_with(&picture, &RgbImage::new(64, 32), 8);
    let message = |size| {
        let label = (Path::new("label.png"), size);
        same_size(label, "picture", (&picture, (64, 32))).unwrap_err().to_string()
    };
    let says = ["label.png: is 32x64 (height x width)", "picture.jpg is 64x32 as its EXIF orientation 8 turns it"];
    assert_says(&message((32, 64)), &says);
    assert_says(&message((32, 63)), &["picture.jpg is 64x32; make them the same"]);
    RgbImage::new(32, 64).save(&picture).unwrap();
    assert_says(&message((32, 64)), &["picture.jpg is 64x32; make them the same"]);
}

#[test]
fn what_torchvision_reads_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let image = RgbImage::from_fn(5, 3, |x, y| Rgb([(40 * x) as u8, (80 * y) as u8, 7]));
    for suffix in SUFFIXES {
        let path = folder.path().join(format!("x.{suffix}"));
        match suffix {
            "pgm" => DynamicImage::ImageRgb8(image.clone()).into_luma8().save(&path).unwrap(),
            _ => image.save(&path).unwrap(),
        }
        let read = load_image(&path).unwrap();
        assert_eq!(read.dim(), (3, 5, 3), "{suffix}");
        let is_exact = read.iter().copied().eq(image.as_raw().iter().copied());
        assert_eq!(is_exact, !["jpg", "jpeg", "pgm"].contains(&suffix), "{suffix}");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() * 2 / 3]).unwrap();
        let name = format!("x.{suffix}: cannot be decoded (");
        assert_says(&load_image(&path).unwrap_err().to_string(), &[&name, "expected a whole PNG or JPEG"]);
    }
}

#[test]
fn names_are_known_in_any_case() {
    assert!(["a.PNG", "a.b.JpEg", "x/a.Tif"].into_iter().all(is_picture));
    assert!(["a.gif", "png", "a.json", "a.pngx"].into_iter().all(|name| !is_picture(name)));
    assert!(looks_like_picture("a.GIF") && !looks_like_picture("a.json"));
}
