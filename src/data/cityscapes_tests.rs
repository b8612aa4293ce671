use super::*;
use crate::data::image_file::MAX_SIDE;
use image::{GrayImage, Luma, Rgb, RgbImage};
use tempfile::TempDir;

/// Ignored pixels.
const I: u16 = crate::task::IGNORE_INDEX;
const TRAIN_IDS_SUFFIX: &str = LABEL_SUFFIXES[2].0;

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

/// What `segdata check` finds in the split `train`.
fn checked(root: &Path) -> crate::data::check::SplitReport {
    let mut config = crate::config::defaults_for(crate::data::config::DatasetKind::Cityscapes).data;
    config.root = root.to_path_buf();
    crate::data::check::Masks::open(&config).unwrap().check("train").unwrap()
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
fn suffixes_are_known_in_any_case_and_other_formats_too() {
    let fake = Fake::new(LABEL_IDS_SUFFIX, [7; 6]);
    let (image, label) =
        (fake.image.with_file_name("b_LeftImg8bit.WebP"), fake.label.with_file_name("b_gtFine_LABELIDS.PNG"));
    RgbImage::from_pixel(3, 2, Rgb([1, 2, 3])).save_with_format(&image, image::ImageFormat::WebP).unwrap();
    GrayImage::from_pixel(3, 2, Luma([8])).save_with_format(&label, image::ImageFormat::Png).unwrap();
    let instances = label.with_file_name("b_gtFine_instanceIds.PNG");
    GrayImage::from_pixel(3, 2, Luma([24])).save_with_format(&instances, image::ImageFormat::Png).unwrap();
    let listing = list(fake.root(), "train").unwrap();
    assert!(listing.problems.is_empty() && listing.passed_over.is_empty(), "{listing:?}");
    assert_eq!(listing.pairs.iter().map(|pair| pair.name.as_str()).collect::<Vec<_>>(), ["aachen_000000_000019", "b"]);
    let (sample, ids) = open(fake.root(), "train").unwrap().annotated(1).unwrap();
    assert_eq!((sample.label.as_slice().unwrap(), ids.unwrap()[[0, 0]]), ([1; 6].as_slice(), 24));
    assert_eq!(truths(fake.root(), "train").unwrap().len(), 2);
    let train_ids = label.with_file_name("b_gtFine_labelTrainIds.PNG");
    fs::rename(&label, &train_ids).unwrap();
    GrayImage::from_pixel(3, 2, Luma([18])).save_with_format(&train_ids, image::ImageFormat::Png).unwrap();
    let sample = open(fake.root(), "train").unwrap().example(1).unwrap();
    assert_eq!(sample.label.as_slice().unwrap(), [18; 6]);
    fs::copy(&image, image.with_extension("PNG")).unwrap();
    assert_says(&fake.complaint(), &["b_LeftImg8bit.WebP: ", "b_LeftImg8bit.PNG is the same picture"]);
}

#[test]
fn pictures_that_are_passed_over_are_named() {
    let fake = Fake::new(LABEL_IDS_SUFFIX, [7; 6]);
    let city = fake.image.parent().unwrap();
    fs::create_dir(city.join("more")).unwrap();
    for other in ["b.PNG", "c_leftImg8bit.gif", "more/d_leftImg8bit.png", "../e_leftImg8bit.jpg", "f_leftImg8bit.json"]
    {
        fs::write(city.join(other), "").unwrap();
    }
    let listing = list(fake.root(), "train").unwrap();
    let passed_over =
        ["aachen/b.PNG", "aachen/c_leftImg8bit.gif", "aachen/more/d_leftImg8bit.png", "e_leftImg8bit.jpg"];
    assert_eq!(listing.passed_over, passed_over.map(PathBuf::from));
    assert_eq!(open(fake.root(), "train").unwrap().len(), 1, "a run goes on without them");
    let report = checked(fake.root());
    let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!((report.pairs, problems.len()), (1, 4), "{problems:?}");
    let says = ["aachen/b.PNG: looks like a picture and is passed over", "expected <city>/<name>_leftImg8bit.png"];
    assert_says(&problems[0], &says);
    assert_says(&problems[1], &["c_leftImg8bit.gif: looks like a picture and is passed over; save it as PNG or JPEG"]);
    fs::remove_file(&fake.image).unwrap();
    assert_says(&fake.complaint(), &["holds no picture, and passes over aachen/b.PNG", "_leftImg8bit.png (or .jpg)"]);
}

#[test]
fn names_of_foggy_cityscapes_and_acdc_are_known() {
    let fake = Fake::new(LABEL_IDS_SUFFIX, [7; 6]);
    for beta in ["0.01", "0.02"] {
        let name = format!("aachen_000000_000019_leftImg8bit_foggy_beta_{beta}.png");
        fs::copy(&fake.image, fake.image.with_file_name(name)).unwrap();
    }
    fs::copy(&fake.image, fake.image.with_file_name("GOPR0475_frame_000041_rgb_anon.png")).unwrap();
    fs::copy(&fake.label, fake.label.with_file_name("GOPR0475_frame_000041_gt_labelIds.png")).unwrap();
    let train_ids = fake.label.with_file_name("GOPR0475_frame_000041_gt_labelTrainIds.png");
    GrayImage::from_pixel(3, 2, Luma([0])).save(&train_ids).unwrap();
    let names = || -> Vec<(String, PathBuf)> {
        list(fake.root(), "train").unwrap().pairs.into_iter().map(|pair| (pair.name, pair.label)).collect()
    };
    let acdc =
        ("GOPR0475_frame_000041".to_string(), fake.label.with_file_name("GOPR0475_frame_000041_gt_labelIds.png"));
    let cityscapes = ["", "_foggy_beta_0.01", "_foggy_beta_0.02"];
    let mut expected = vec![acdc.clone()];
    expected.extend(cityscapes.map(|variant| (format!("aachen_000000_000019{variant}"), fake.label.clone())));
    assert_eq!(names(), expected);
    fs::remove_file(&acdc.1).unwrap();
    assert_eq!(names()[0], (acdc.0, train_ids));
    assert_eq!(open(fake.root(), "train").unwrap().example(0).unwrap().label.as_slice().unwrap(), [0; 6]);
    assert_eq!(image_name("x_leftImg8bit_overlay.png"), None, "predictions beside pictures are none");
}
