use super::*;
use crate::files::write_png;
use image::ExtendedColorType;
use std::fs;
use tempfile::TempDir;

/// A folder with these images, each of 2×2 pixels, and a mask of class 1 for each.
fn folder(pairs: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (image, mask) in pairs {
        write(folder.path(), image, &[9; 12], ExtendedColorType::Rgb8);
        if !mask.is_empty() {
            write(folder.path(), mask, &[1; 4], ExtendedColorType::L8);
        }
    }
    folder
}

fn write(root: &Path, name: &str, bytes: &[u8], kind: ExtendedColorType) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_png(&path, bytes, (2, 2), kind).unwrap();
}

fn two() -> Arc<ClassSet> {
    Arc::new(ClassSet::numbered("two", &["a".to_string(), "b".to_string()]))
}

fn open(root: &Path, split: &str) -> Result<Folder> {
    Folder::open(root, split, two(), &LayoutKeys::default())
}

fn names(folder: &Folder) -> Vec<String> {
    (0..folder.len()).map(|i| folder.name(i)).collect()
}

#[track_caller]
fn assert_says(result: Result<Folder>, tokens: &[&str]) {
    let message = result.unwrap_err().to_string();
    for token in tokens {
        assert!(message.contains(token), "{message:?} should contain {token:?}");
    }
}

#[test]
fn folders_of_splits_are_found_under_their_usual_names() {
    for (images, masks) in [("images", "masks"), ("img_dir", "ann_dir"), ("imgs", "gts")] {
        let data = folder(&[
            (&format!("{images}/train/a.png"), &format!("{masks}/train/a.png")),
            (&format!("{images}/val/x/b.png"), &format!("{masks}/val/x/b.png")),
        ]);
        assert_eq!(names(&open(data.path(), "train").unwrap()), ["a"]);
        let val = open(data.path(), "val").unwrap();
        assert_eq!(names(&val), ["x/b"]);
        assert_eq!(val.example(0).unwrap().label.as_slice().unwrap(), [1; 4]);
    }
}

#[test]
fn lists_name_the_images_of_a_split() {
    let pairs = [("JPEGImages/a.png", "SegmentationClass/a.png"), ("JPEGImages/b.png", "SegmentationClass/b.png")];
    let data = folder(&pairs);
    let lists = data.path().join("ImageSets/Segmentation");
    fs::create_dir_all(&lists).unwrap();
    fs::write(lists.join("train.txt"), "b\n\n# a\n").unwrap();
    fs::write(lists.join("val.txt"), "JPEGImages/a.png SegmentationClass/a.png\n").unwrap();
    assert_eq!(names(&open(data.path(), "train").unwrap()), ["b"]);
    assert_eq!(names(&open(data.path(), "val").unwrap()), ["JPEGImages/a"]);
    assert_says(open(data.path(), "test"), &["test.txt", "\"test\"", "train, val"]);
    fs::write(lists.join("train.txt"), "a\nb\na\n").unwrap();
    assert_says(open(data.path(), "train"), &["train.txt", "line 3", "`a`", "line 1"]);
    fs::write(lists.join("train.txt"), "a\nc\n").unwrap();
    assert_says(open(data.path(), "train"), &["train.txt", "line 2", "`c`", "JPEGImages/c.png"]);
}

#[test]
fn any_pair_of_patterns_can_be_given() {
    let data = folder(&[("imgs/1_img.png", "gts/1_gt.png"), ("imgs/2_img.png", "gts/2_gt.png")]);
    let keys = |splits: Option<&str>| LayoutKeys {
        images: Some("imgs/{name}_img.png".into()),
        masks: Some("gts/{name}_gt.png".into()),
        splits: splits.map(String::from),
        ..LayoutKeys::default()
    };
    let open = |keys: &LayoutKeys, split: &str| Folder::open(data.path(), split, two(), keys);
    assert_eq!(names(&open(&keys(None), "train").unwrap()), ["1", "2"], "without splits all images are one");
    fs::create_dir_all(data.path().join("my")).unwrap();
    fs::write(data.path().join("my/val.lst"), "2\n").unwrap();
    assert_eq!(names(&open(&keys(Some("my/{split}.lst")), "val").unwrap()), ["2"]);
    assert_says(open(&keys(Some("val.lst")), "val"), &["splits = \"val.lst\"", "{split}"]);
    assert_says(open(&LayoutKeys { masks: None, ..keys(None) }, "val"), &["`images`", "`masks`"]);
}

#[test]
fn ends_that_all_images_and_all_masks_have_are_no_part_of_a_name() {
    let data = folder(&[("imgs/1_img.png", "gts/1_gt.png"), ("imgs/2_img.png", "gts/2_gt.png")]);
    assert_eq!(names(&open(data.path(), "train").unwrap()), ["1", "2"]);
    let data = folder(&[("img/val/a-rgb.png", "mask/val/a-labels.png")]);
    assert_eq!(names(&open(data.path(), "val").unwrap()), ["a"]);
}

#[test]
fn other_text_files_and_folders_of_cities_are_no_splits() {
    let data = folder(&[("images/bonn/a.png", "masks/bonn/a.png"), ("images/ulm/b.png", "masks/ulm/b.png")]);
    fs::write(data.path().join("README.txt"), "Read me.\n").unwrap();
    assert_says(open(data.path(), "train"), &["\"train\"", "bonn, ulm"]);
    fs::write(data.path().join("train.txt"), "\u{feff}ulm/b\n").unwrap();
    assert_eq!(names(&open(data.path(), "train").unwrap()), ["ulm/b"]);
    let layout = Layout::find(data.path(), &LayoutKeys::default()).unwrap();
    assert_eq!(layout.splits(data.path()), ["train"]);
    fs::write(data.path().join("train.txt"), "ulm/b\nulm/b.png\n").unwrap();
    assert_says(open(data.path(), "train"), &["train.txt", "line 2", "twice", "line 1"]);
    fs::write(data.path().join("train.txt"), "\n").unwrap();
    assert_says(open(data.path(), "train"), &["train.txt", "no name"]);
}

#[test]
fn ends_with_a_dot_and_ends_of_masks_alone_are_found() {
    let data = folder(&[("images/train/1.rgb.png", "masks/train/1.label.png")]);
    assert_eq!(names(&open(data.path(), "train").unwrap()), ["1"]);
    let data = folder(&[("images/train/f_1.png", "masks/train/f_1_mask.png")]);
    assert_eq!(names(&open(data.path(), "train").unwrap()), ["f_1"]);
}

#[test]
fn what_is_missing_is_named() {
    let data = folder(&[("images/train/a.png", "masks/train/a.png"), ("images/train/b.png", "")]);
    assert_says(open(data.path(), "train"), &["images/train/b.png", "no mask", "masks/train/b.png"]);
    assert_says(open(data.path(), "val"), &["images/val", "\"val\"", "train"]);
    assert_says(open(&data.path().join("none"), "train"), &["none"]);
    assert_says(open(Path::new(""), "train"), &["data.root", "--data-root"]);
    let other = folder(&[("pictures/a.png", "truth/a.png")]);
    assert_says(open(other.path(), "train"), &["images", "masks", "classes.toml", "{name}"]);
    fs::copy(data.path().join("images/train/a.png"), data.path().join("images/train/a.jpg")).unwrap();
    assert_says(open(data.path(), "train"), &["images/train/a.", "keep one of the two"]);
}

#[test]
fn a_mask_of_another_size_names_both() {
    let data = folder(&[("images/train/a.png", "masks/train/a.png")]);
    write_png(data.path().join("masks/train/a.png"), &[1; 6], (2, 3), ExtendedColorType::L8).unwrap();
    let message = open(data.path(), "train").unwrap().example(0).unwrap_err().to_string();
    for token in ["masks/train/a.png", "2x3", "images/train/a.png", "2x2"] {
        assert!(message.contains(token), "{message}");
    }
}

#[test]
fn masks_without_images_are_for_the_check() {
    let data = folder(&[("images/train/a.png", "masks/train/a.png")]);
    write(data.path(), "masks/train/z.png", &[1; 4], ExtendedColorType::L8);
    let layout = Layout::find(data.path(), &LayoutKeys::default()).unwrap();
    let problems = masks_without_image(data.path(), "train", &layout).unwrap();
    assert!(problems[0].to_string().contains("masks/train/z.png: has no image"), "{}", problems[0]);
    assert_eq!(open(data.path(), "train").unwrap().len(), 1);
}
