use super::*;
use image::{GrayImage, Luma, Rgb, RgbImage};
use tempfile::TempDir;

/// Ignored pixels.
const I: u16 = crate::task::IGNORE_INDEX;

/// A dataset of one 3×2 pair in split `train`, city `aachen`.
struct Fake {
    folder: TempDir,
    image: PathBuf,
    label: PathBuf,
}

impl Fake {
    fn new(label_suffix: &str, ids: [u8; 6]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let images = folder.path().join("leftImg8bit/train/aachen");
        let labels = folder.path().join("gtFine/train/aachen");
        fs::create_dir_all(&images).unwrap();
        fs::create_dir_all(&labels).unwrap();
        let image = images.join("aachen_000000_000019_leftImg8bit.png");
        let label = labels.join(format!("aachen_000000_000019{label_suffix}"));
        RgbImage::from_pixel(3, 2, Rgb([10, 20, 30])).save(&image).unwrap();
        GrayImage::from_raw(3, 2, ids.to_vec()).unwrap().save(&label).unwrap();
        Self { folder, image, label }
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn example(&self) -> Result<Example> {
        open(self.root(), "train")?.example(0)
    }

    fn complaint(&self) -> String {
        self.example().unwrap_err().to_string()
    }
}

fn open(root: &Path, split: &str) -> Result<Cityscapes> {
    Cityscapes::open(root, split, ClassSet::cityscapes())
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn label_ids_become_train_ids() {
    let example = Fake::new(LABEL_IDS_SUFFIX, [7, 8, 33, 0, 30, 26]).example().unwrap();
    assert_eq!(example.name, "aachen_000000_000019");
    assert_eq!(example.label.as_slice().unwrap(), [0, 1, 18, I, I, 13]);
    assert_eq!(example.label.dim(), (2, 3));
    assert_eq!(example.image.as_slice().unwrap()[..3], [10, 20, 30]);
}

#[test]
fn train_ids_are_taken_as_they_are_and_only_without_label_ids() {
    let fake = Fake::new(TRAIN_IDS_SUFFIX, [0, 1, 18, 255, 255, 13]);
    assert_eq!(fake.example().unwrap().label.as_slice().unwrap(), [0, 1, 18, I, I, 13]);
    let ids = fake.label.with_file_name("aachen_000000_000019_gtFine_labelIds.png");
    GrayImage::from_pixel(3, 2, Luma([8])).save(ids).unwrap();
    assert_eq!(fake.example().unwrap().label.as_slice().unwrap(), [1; 6]);
}

#[test]
fn ids_that_do_not_exist_are_named() {
    let fake = Fake::new(LABEL_IDS_SUFFIX, [7, 7, 255, 40, 255, 7]);
    let says = ["id 255", "cityscapes", "row 0, column 2", "2 pixels hold it, 3", "_labelIds.png"];
    assert_says(&fake.complaint(), &says);
    let fake = Fake::new(TRAIN_IDS_SUFFIX, [0, 1, 2, 3, 26, 26]);
    assert_says(&fake.complaint(), &["id 26", "train ids", "row 1, column 1"]);
}

#[test]
fn missing_things_are_named() {
    let fake = Fake::new(LABEL_IDS_SUFFIX, [7; 6]);
    let complaint = |root: &Path, split: &str| open(root, split).unwrap_err().to_string();
    assert_says(&complaint(Path::new(""), "train"), &["data.root = \"\": cityscapes needs the folder", "--data-root"]);
    assert_says(&complaint(&fake.root().join("nowhere"), "train"), &["nowhere", "no such folder"]);
    assert_says(&complaint(&fake.root().join("gtFine"), "train"), &["holds no folder leftImg8bit/"]);
    assert_says(&complaint(fake.root(), "val"), &["no split \"val\"", "splits found: train"]);
    fs::remove_file(&fake.label).unwrap();
    let says = ["000019_leftImg8bit.png", "has no label", "000019_gtFine_labelIds.png"];
    assert_says(&complaint(fake.root(), "train"), &says);
    fs::remove_file(&fake.image).unwrap();
    assert_says(&complaint(fake.root(), "train"), &["holds no picture", "_leftImg8bit.png"]);
}

#[test]
fn damaged_files_are_named() {
    let fake = Fake::new(LABEL_IDS_SUFFIX, [7; 6]);
    GrayImage::from_pixel(3, 3, Luma([7])).save(&fake.label).unwrap();
    assert_says(&fake.complaint(), &["is 3x3", "is 2x3", "_labelIds.png", "_leftImg8bit.png"]);
    RgbImage::from_pixel(3, 2, Rgb([7; 3])).save(&fake.label).unwrap();
    assert_says(&fake.complaint(), &["_labelIds.png", "is Rgb of 8 bits", "gray"]);
    GrayImage::from_pixel(3, 2, Luma([7])).save(&fake.label).unwrap();
    for file in [&fake.label, &fake.image] {
        let whole = fs::read(file).unwrap();
        for end in [0, 5, whole.len() / 2] {
            fs::write(file, &whole[..end]).unwrap();
            assert_says(&fake.complaint(), &[&file.display().to_string(), "cannot be decoded"]);
        }
        fs::write(file, whole).unwrap();
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
fn hidden_files_are_no_pictures() {
    let fake = Fake::new(LABEL_IDS_SUFFIX, [7; 6]);
    fs::write(fake.image.with_file_name("._aachen_000000_000019_leftImg8bit.png"), "x").unwrap();
    assert_eq!(open(fake.root(), "train").unwrap().len(), 1);
}

#[test]
fn instances_come_with_a_label_where_they_are() {
    let fake = Fake::new(LABEL_IDS_SUFFIX, [7, 24, 24, 24, 24, 7]);
    let annotated = || open(fake.root(), "train").unwrap().annotated(0);
    assert_eq!(annotated().unwrap().1, None);
    let path = fake.label.with_file_name("aachen_000000_000019_gtFine_instanceIds.png");
    image::ImageBuffer::<Luma<u16>, _>::from_raw(3, 2, vec![7, 24_000, 24_001, 24, 24, 7])
        .unwrap()
        .save(&path)
        .unwrap();
    assert_eq!(annotated().unwrap().1.unwrap().as_slice().unwrap(), [7, 24_000, 24_001, 24, 24, 7]);
    for (id, says) in [(7_001, "7001 at row 1, column 2"), (65_535, "no label id 65")] {
        let ids = image::ImageBuffer::<Luma<u16>, _>::from_raw(3, 2, vec![7, 7, 7, 7, 29_000, id]).unwrap();
        ids.save(&path).unwrap();
        assert_says(&annotated().unwrap_err().to_string(), &["_instanceIds.png", says]);
    }
    GrayImage::from_pixel(3, 3, Luma([7])).save(&path).unwrap();
    assert_says(&annotated().unwrap_err().to_string(), &["_instanceIds.png: is 3x3", "its label", "is 2x3"]);
}

#[test]
fn truths_need_no_pictures_but_label_ids() {
    let fake = Fake::new(LABEL_IDS_SUFFIX, [7; 6]);
    fs::remove_dir_all(fake.root().join("leftImg8bit")).unwrap();
    let found = truths(fake.root(), "train").unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].name.as_str(), &found[0].label), ("aachen_000000_000019", &fake.label));
    let complaint = |root: &Path, split: &str| truths(root, split).unwrap_err().to_string();
    assert_says(&complaint(&fake.root().join("nowhere"), "train"), &["nowhere: no such folder", "--data-root"]);
    assert_says(&complaint(&fake.root().join("gtFine"), "train"), &["holds no folder gtFine/"]);
    assert_says(&complaint(fake.root(), "val"), &["gtFine/val: no split \"val\"", "splits found: train"]);
    fs::remove_file(&fake.label).unwrap();
    assert_says(&complaint(fake.root(), "train"), &["holds no <city>/<name>_gtFine_labelIds.png"]);
    fs::create_dir(&fake.label).unwrap();
    assert_says(&complaint(fake.root(), "train"), &["_gtFine_labelIds.png: is a folder"]);
}

/// The largest PNG that would be read, by its header alone: nothing is reserved for it.
#[test]
fn a_png_that_cannot_hold_its_pixels_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a_gtFine_labelIds.png");
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, MAX_SIDE, MAX_SIDE);
    encoder.set_color(png::ColorType::Grayscale);
    // The beginning of a zlib stream, and no more.
    encoder.write_header().unwrap().write_chunk(png::chunk::IDAT, &[0x78, 0x9C, 0xED]).unwrap();
    fs::write(&path, &bytes).unwrap();
    assert_says(&load_image(&path).unwrap_err().to_string(), &["labelIds.png", "the file ends too early"]);
    assert_says(&load_ids(&path).unwrap_err().to_string(), &["the file ends too early"]);
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
