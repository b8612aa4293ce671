use super::*;
use crate::data::Dataset;
use crate::data::classes::{Classes, Layout, check::check};
use image::{GrayImage, ImageFormat, Rgb, RgbImage};
use tempfile::TempDir;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cmyk.jpg")
}

/// Two classes, `n01` with a JPEG and a gray PNG, `n02` with a CMYK JPEG.
fn imagenet() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for split in ["train", "val"] {
        for class in ["n01", "n02"] {
            fs::create_dir_all(root.path().join(split).join(class)).unwrap();
        }
        let folder = root.path().join(split);
        let red = RgbImage::from_pixel(12, 9, Rgb([200, 30, 30]));
        red.save_with_format(folder.join("n01/b.JPEG"), ImageFormat::Jpeg).unwrap();
        // A PNG by content, as one of ImageNet's is.
        let gray = GrayImage::from_pixel(5, 7, image::Luma([99]));
        gray.save_with_format(folder.join("n01/a.JPEG"), ImageFormat::Png).unwrap();
        fs::copy(fixture(), folder.join("n02/c.jpg")).unwrap();
        fs::write(folder.join("n01/.hidden.JPEG"), "").unwrap();
        fs::write(folder.join("n01/readme.txt"), "").unwrap();
    }
    root
}

fn error(root: &Path, split: &str) -> String {
    Classes::open(Layout::Imagenet, root, split, 0).unwrap_err().to_string()
}

#[test]
fn pictures_are_sorted_by_class_and_come_out_as_rgb() {
    let root = imagenet();
    let classes = Classes::open(Layout::Imagenet, root.path(), "val", 0).unwrap();
    assert_eq!(classes.classes().names(), ["n01", "n02"]);
    assert_eq!((0..classes.len()).map(|i| classes.name(i)).collect::<Vec<_>>(), ["n01/a", "n01/b", "n02/c"]);
    assert_eq!((0..classes.len()).map(|i| classes.class(i)).collect::<Vec<_>>(), [0, 0, 1]);
    let gray = classes.example(0).unwrap();
    assert_eq!(gray.image.dim(), (7, 5, 3));
    assert!(gray.image.iter().all(|&value| value == 99));
    let cmyk = classes.example(2).unwrap();
    assert_eq!((cmyk.label[[0, 0]], cmyk.image.dim()), (1, (8, 16, 3)));
    for (x, expected) in [(2, [200, 30, 30]), (13, [20, 60, 220])] {
        for (channel, expected) in expected.into_iter().enumerate() {
            assert!(cmyk.image[[4, x, channel]].abs_diff(expected) < 8, "{:?}", cmyk.image);
        }
    }
}

#[test]
fn classes_of_val_that_differ_from_those_of_train_are_told() {
    let root = imagenet();
    let val = root.path().join("val");
    fs::rename(val.join("n02"), val.join("n03")).unwrap();
    let message = error(root.path(), "val");
    let expected = "val: has n03, which train/ lacks, and lacks n02; both need the same class folders";
    assert!(message.ends_with(expected), "{message}");
    assert!(Classes::open(Layout::Imagenet, root.path(), "train", 0).is_ok());

    fs::rename(val.join("n03"), val.join("n02")).unwrap();
    for class in ["n10", "n11", "n12", "n13", "n14"] {
        fs::create_dir(val.join(class)).unwrap();
    }
    let message = error(root.path(), "val");
    assert!(message.contains("(n10, n11, n12 and 2 more)"), "{message}");
    let report = check(Layout::Imagenet, root.path(), "val").unwrap();
    assert_eq!((report.pictures, report.problems.len()), (3, 1));
}

#[test]
fn an_empty_class_folder_is_told() {
    let root = imagenet();
    fs::remove_file(root.path().join("train/n02/c.jpg")).unwrap();
    let message = error(root.path(), "train");
    let expected = "n02: holds no picture (.JPEG, .jpg or .png); fill or remove this class folder";
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn missing_folders_are_told() {
    let root = tempfile::tempdir().unwrap();
    let message = error(root.path(), "val");
    assert!(message.ends_with("train: no such folder; expected <class>/*.JPEG in it, and --data-root above it"));
    fs::create_dir(root.path().join("train")).unwrap();
    assert!(error(root.path(), "train").ends_with("train: holds no class folder; expected train/<class>/*.JPEG"));
}

#[test]
fn check_tells_every_broken_picture_and_goes_on() {
    let root = imagenet();
    let jpeg = fs::read(root.path().join("train/n01/b.JPEG")).unwrap();
    fs::write(root.path().join("train/n01/b.JPEG"), &jpeg[..jpeg.len() - 20]).unwrap();
    fs::write(root.path().join("train/n02/z.JPEG"), "no picture").unwrap();
    let classes = Classes::open(Layout::Imagenet, root.path(), "train", 0).unwrap();
    let message = classes.example(1).unwrap_err().to_string();
    assert!(message.contains("b.JPEG: "), "{message}");

    let report = check(Layout::Imagenet, root.path(), "train").unwrap();
    let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("n01/b.JPEG: cannot be decoded") && problems[1].contains("n02/z.JPEG: cannot be"));
    assert_eq!((report.pictures, report.sizes.values().sum::<usize>()), (4, 2));
    assert_eq!(report.classes, [("n01".to_string(), 2), ("n02".to_string(), 2)]);
}

#[test]
fn what_torchvision_takes_is_taken_and_the_rest_is_named() {
    let root = imagenet();
    let train = root.path().join("train");
    fs::create_dir_all(train.join("n01/more/deep")).unwrap();
    let picture = RgbImage::from_pixel(4, 3, Rgb([9, 8, 7]));
    for (name, format) in [
        ("n01/d.WEBP", ImageFormat::WebP),
        ("n01/e.bmp", ImageFormat::Bmp),
        ("n01/more/f.tif", ImageFormat::Tiff),
        ("n01/more/deep/g.ppm", ImageFormat::Pnm),
    ] {
        picture.save_with_format(train.join(name), format).unwrap();
    }
    for other in ["n01/h.gif", "n02/more.HEIC", "loose.png"] {
        fs::write(train.join(other), "").unwrap();
    }
    let classes = Classes::open(Layout::Imagenet, root.path(), "train", 0).unwrap();
    let names: Vec<String> = (0..classes.len()).map(|i| classes.name(i)).collect();
    assert_eq!(names, ["n01/a", "n01/b", "n01/d", "n01/e", "n01/more/deep/g", "n01/more/f", "n02/c"]);
    for i in [2, 3, 4, 5] {
        let read = classes.example(i).unwrap();
        assert_eq!((read.label[[0, 0]], read.image.dim(), read.image[[2, 3, 1]]), (0, (3, 4, 3), 8), "{}", read.name);
    }
    let report = check(Layout::Imagenet, root.path(), "train").unwrap();
    let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!((report.pictures, problems.len()), (7, 3), "{problems:?}");
    for (problem, file, help) in [
        (&problems[0], "train/loose.png", "put it into a class folder"),
        (&problems[1], "n01/h.gif", "save it as PNG or JPEG"),
        (&problems[2], "n02/more.HEIC", "save it as PNG or JPEG"),
    ] {
        assert!(problem.ends_with(&format!("{file}: looks like a picture and is passed over; {help}")), "{problem}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_a_folder_above_is_no_class_and_holds_no_picture() {
    use std::os::unix::fs::symlink;
    let root = imagenet();
    let train = root.path().join("train");
    symlink(".", train.join("again")).unwrap();
    symlink("..", train.join("n01/above")).unwrap();
    symlink("../../val/n02", train.join("n02/other")).unwrap();
    let classes = Classes::open(Layout::Imagenet, root.path(), "train", 0).unwrap();
    assert_eq!(classes.classes().names(), ["n01", "n02"]);
    let names: Vec<String> = (0..classes.len()).map(|i| classes.name(i)).collect();
    assert_eq!(names, ["n01/a", "n01/b", "n02/c", "n02/other/c"]);
}
