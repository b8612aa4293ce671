//! `segpredict`: images of any size, every format, and one bad image among good ones.

use super::support::{folder, names, segpredict, trained};
use image::{ColorType, ImageReader, Rgb, RgbImage};
use infoseg::task::ClassSet;
use std::fs;
use std::path::Path;

/// An image with something to see in it.
fn picture(height: u32, width: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 7) as u8, (y * 5) as u8, (x * y) as u8]))
}

/// What is in a file, and how it is stored.
fn open(path: &Path) -> (image::DynamicImage, ColorType) {
    let picture = ImageReader::open(path).expect("a file").decode().expect("a picture");
    let color = picture.color();
    (picture, color)
}

#[test]
fn every_format_has_the_size_of_the_picture() {
    let folder = trained();
    let sizes = [("odd.png", 37, 53), ("photo.jpg", 50, 31), ("tall.png", 129, 17), ("dot.png", 1, 1)];
    for (name, height, width) in sizes {
        picture(height, width).save(folder.path().join(name)).expect("writable");
    }
    let inputs = sizes.map(|(name, _, _)| name);
    let formats = ["--out", "pred", "--format", "overlay,color,label-ids,train-ids"];
    let outcome = segpredict(folder.path()).args(&["run"]).args(&inputs).args(&formats).succeeds();
    assert_eq!(outcome.stdout.lines().count(), 16, "a line for every file written:\n{}", outcome.stdout);
    for (name, height, width) in sizes {
        let stem = name.split_once('.').expect("an extension").0;
        for (suffix, stored) in [
            ("overlay", ColorType::Rgb8),
            ("color", ColorType::Rgb8),
            ("labelIds", ColorType::L8),
            ("labelTrainIds", ColorType::L8),
        ] {
            let file = format!("pred/{stem}_{suffix}.png");
            assert!(outcome.stdout.contains(&format!("{file}\n")), "{}", outcome.stdout);
            let (written, color) = open(&folder.path().join(&file));
            assert_eq!((written.height(), written.width(), color), (height, width, stored), "{file}");
        }
    }
}

#[test]
fn ids_and_colours_are_those_of_cityscapes_and_agree() {
    let folder = trained();
    picture(37, 53).save(folder.path().join("a.png")).expect("writable");
    let line = ["run", "a.png", "--out", "pred", "--format", "color,label-ids,train-ids"];
    segpredict(folder.path()).args(&line).succeeds();
    let read = |suffix: &str| open(&folder.path().join(format!("pred/a_{suffix}.png"))).0;
    let (train_ids, label_ids) = (read("labelTrainIds").into_luma8(), read("labelIds").into_luma8());
    let colors = read("color").into_rgb8();
    for (x, y, id) in train_ids.enumerate_pixels() {
        let set = ClassSet::cityscapes();
        let class = set.classes.get(id.0[0] as usize).expect("one of the 19 classes");
        assert_eq!(u16::from(label_ids.get_pixel(x, y).0[0]), class.ids[0]);
        assert_eq!(colors.get_pixel(x, y).0, class.color);
    }
}

#[test]
fn a_folder_is_searched_and_its_subfolders_are_kept() {
    let folder = trained();
    for name in ["in/b/frame_leftImg8bit.png", "in/a.JPEG", "in/notes.txt"] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        match name {
            "in/notes.txt" => fs::write(path, "not a picture").expect("writable"),
            _ => picture(20, 30).save(path).expect("writable"),
        }
    }
    segpredict(folder.path()).args(&["run", "in", "--out", "pred"]).succeeds();
    assert_eq!(names(folder.path().join("pred")), ["a_overlay.png", "b"], "overlay is the default");
    assert_eq!(names(folder.path().join("pred/b")), ["frame_overlay.png"]);
}

#[test]
fn predictions_beside_their_pictures_are_not_predicted_again() {
    let folder = trained();
    fs::create_dir_all(folder.path().join("in/sub")).expect("a folder");
    for name in ["a.png", "sub/b_leftImg8bit.JPG"] {
        picture(20, 30).save(folder.path().join("in").join(name)).expect("writable");
    }
    fs::write(folder.path().join("in/c.gif"), "").expect("writable");
    let line = ["run", "in", "--out", "./in", "--format", "overlay,color,label-ids,train-ids"];
    let outcome = segpredict(folder.path()).args(&line).succeeds();
    assert_eq!(
        outcome.stderr,
        "in: 1 file that looks like a picture is passed over, first in/c.gif; save such files as PNG or JPEG\n"
    );
    let first = names(folder.path().join("in"));
    assert_eq!(first.len(), 7, "{first:?}");
    let outcome = segpredict(folder.path()).args(&["run", "in", "--out", "in"]).succeeds();
    assert_eq!(outcome.stdout, "in/a_overlay.png\nin/sub/b_overlay.png\n");
    assert!(outcome.stderr.contains("8 predictions "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("in/a_color.png"), "{}", outcome.stderr);
    assert_eq!(names(folder.path().join("in")), first);
}

#[cfg(unix)]
#[test]
fn a_link_to_the_folder_above_is_not_followed() {
    let folder = trained();
    fs::create_dir_all(folder.path().join("in/sub")).expect("a folder");
    picture(20, 30).save(folder.path().join("in/sub/a.png")).expect("writable");
    for (target, link) in [(".", "in/again"), ("..", "in/sub/up"), ("../..", "in/sub/above")] {
        std::os::unix::fs::symlink(target, folder.path().join(link)).expect("a link");
    }
    let outcome = segpredict(folder.path()).args(&["run", "in", "--out", "pred"]).succeeds();
    assert_eq!(outcome.stdout, "pred/sub/a_overlay.png\n");
}

#[test]
fn one_bad_picture_does_not_stop_the_others() {
    let folder = trained();
    picture(20, 30).save(folder.path().join("good.png")).expect("writable");
    let bytes = fs::read(folder.path().join("good.png")).expect("a picture");
    fs::write(folder.path().join("bad.png"), &bytes[..bytes.len() / 2]).expect("writable");
    let outcome = segpredict(folder.path()).args(&["run", "bad.png", "good.png", "--out", "pred"]).run();
    assert_eq!(outcome.code, 1);
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert!(
        lines[0].starts_with("segpredict: bad.png: cannot be decoded (") && lines[0].contains("expected a whole PNG")
    );
    assert_eq!(lines[1..], ["segpredict: 1 of 2 pictures failed"]);
    assert_eq!(names(folder.path().join("pred")), ["good_overlay.png"]);
}

#[test]
fn nothing_to_predict_is_told_before_anything_is_written() {
    let folder = trained();
    fs::create_dir(folder.path().join("empty")).expect("a folder");
    let predict = |more: &[&str]| segpredict(folder.path()).args(more);
    predict(&["run", "--out", "pred"]).fails(2, &["no picture", "run folder"]);
    predict(&["--out", "pred"]).fails(2, &["run folder", "--pretrained FILE"]);
    predict(&["--pretrained", "w.pth", "--out", "pred"]).fails(2, &["no picture to segment"]);
    predict(&["--pretrained", "w.pth", "run", "x.png", "--out", "pred"]).fails(2, &["run: is a run folder"]);
    predict(&["run", "x.png"]).fails(2, &["--out <DIR>"]);
    predict(&["run", "x.png", "--out", "pred"]).fails(1, &["x.png: there is no such picture or folder"]);
    predict(&["run", "empty", "--out", "pred"]).fails(1, &["empty: there is no .png, .jpg or .jpeg picture"]);
    let words = ["--format", "label-ids"];
    predict(&["run", "x.png", "--out", "pred", "--format", "label_ids"]).fails(2, &words);
    assert!(!folder.path().join("pred").exists());
}

#[test]
fn a_folder_that_cannot_be_written_to_is_told_once() {
    let folder = trained();
    for name in ["a.png", "b.png"] {
        picture(20, 30).save(folder.path().join(name)).expect("writable");
    }
    let line = ["run", "a.png", "b.png", "--out", "a.png/pred"];
    let sentence = segpredict(folder.path()).args(&line).fails(1, &["a.png/pred: the folder cannot be made"]);
    assert_eq!(sentence.lines().count(), 1, "{sentence}");
}

#[test]
fn a_folder_that_is_no_run_is_named() {
    let folder = folder();
    picture(20, 30).save(folder.path().join("a.png")).expect("writable");
    segpredict(folder.path()).args(&["nowhere", "a.png", "--out", "pred"]).fails(1, &["nowhere: is not a run folder"]);
}
