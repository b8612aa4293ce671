//! `segeval --predictions`: label ids made by anyone, scored against a folder in Cityscapes layout.

use super::support::{Program, folder, json, names, scene, segeval, segpredict, synth, trained};
use image::{GrayImage, Luma, RgbImage};
use std::fs;
use std::path::{Path, PathBuf};

fn scored(folder: &Path, more: &[&str]) -> Program {
    let line = ["--predictions", "pred", "--dataset", "cityscapes", "--data-root", "data", "--out", "scores"];
    segeval(folder).args(&line).args(more)
}

/// The label ids of `count` scenes, copied to `pred/` as predictions of themselves.
fn perfect(folder: &Path, count: usize) -> Vec<PathBuf> {
    synth(folder, "val", count, "48x96");
    fs::create_dir(folder.join("pred")).expect("a folder");
    let copied = (0..count).map(|index| {
        let prediction = folder.join(format!("pred/synthetic_{index:06}_000019_mine.png"));
        fs::copy(&scene(folder, "val", index)[1], &prediction).expect("a label");
        prediction
    });
    copied.collect()
}

#[test]
fn the_truth_scores_one_and_what_is_void_in_it_does_not_count() {
    let folder = folder();
    let predictions = perfect(folder.path(), 3);
    // The bonnet (1) is void: whatever is predicted there.
    let mut ids = image::open(&predictions[0]).expect("a prediction").into_luma8();
    ids.pixels_mut().filter(|id| id.0 == [1]).for_each(|id| *id = Luma([26]));
    ids.save(&predictions[0]).expect("writable");
    let outcome = scored(folder.path(), &[]).succeeds();
    assert_eq!(outcome.stderr, "");
    for line in ["vehicle          100.00    100.00", "mIoU             100.00  over", "report    scores/report.json"] {
        assert!(outcome.stdout.contains(line), "{line:?} is not in:\n{}", outcome.stdout);
    }
    assert_eq!(names(folder.path().join("scores")), ["plots", "report.json"]);
    let report = json(folder.path().join("scores/report.json"));
    for key in ["miou", "miou_present", "miou_categories", "miiou_classes", "miiou_categories", "pixel_accuracy"] {
        assert_eq!(report[key], 1.0, "{key}");
    }
    assert_eq!((&report["images"], &report["iiou_classes"]["car"]), (&3.into(), &1.0.into()));
}

#[test]
fn a_run_scores_the_same_as_the_label_ids_it_writes() {
    let folder = trained();
    synth(folder.path(), "val", 3, "48x96");
    let line = ["run", "data/leftImg8bit/val", "--out", "pred", "--format", "label-ids"];
    segpredict(folder.path()).args(&line).succeeds();
    scored(folder.path(), &[]).succeeds();
    let line = ["run", "--dataset", "cityscapes", "--data-root", "data", "--out", "of-run"];
    segeval(folder.path()).args(&line).succeeds();
    let of_run = json(folder.path().join("of-run/report.json"));
    let same = |key: &str| json(folder.path().join("scores/report.json"))[key] == of_run[key];
    let keys = ["classes", "confusion", "categories", "iiou_classes", "iiou_categories", "miou"];
    assert!(keys.into_iter().all(same), "{of_run}");
    assert!(of_run["iiou_classes"]["car"].is_number() && of_run["categories"]["flat"].is_number());
}

#[test]
fn without_instance_ids_there_is_no_iiou() {
    let folder = folder();
    perfect(folder.path(), 2);
    let instances = |index| {
        folder.path().join(format!("data/gtFine/val/synthetic/synthetic_{index:06}_000019_gtFine_instanceIds.png"))
    };
    fs::remove_file(instances(0)).expect("instance ids");
    let outcome = scored(folder.path(), &[]).succeeds();
    let words = "segeval: no iIoU, as 1 of 2 pictures have no *_gtFine_instanceIds.png\n";
    assert_eq!(outcome.stderr, words);
    assert!(!outcome.stdout.contains("iIoU"), "{}", outcome.stdout);
    fs::remove_file(instances(1)).expect("instance ids");
    // Neither are the images needed.
    fs::remove_dir_all(folder.path().join("data/leftImg8bit")).expect("pictures");
    assert_eq!(scored(folder.path(), &[]).succeeds().stderr, "");
    let report = json(folder.path().join("scores/report.json"));
    assert!(report["iiou_classes"].is_null() && report["iiou_categories"].is_null());
    assert_eq!(report["categories"]["human"], 1.0);
}

#[test]
fn what_is_predicted_void_is_counted_as_missed() {
    let folder = folder();
    let predictions = perfect(folder.path(), 1);
    let mut ids = image::open(&predictions[0]).expect("a prediction").into_luma8();
    let roads = ids.pixels().filter(|id| id.0 == [7]).count();
    ids.pixels_mut().filter(|id| id.0 == [7]).take(10).for_each(|id| *id = Luma([9]));
    ids.save(&predictions[0]).expect("writable");
    scored(folder.path(), &[]).succeeds();
    let report = json(folder.path().join("scores/report.json"));
    let road = report["classes"]["road"].as_f64().expect("a number");
    assert!((road - (roads - 10) as f64 / roads as f64).abs() < 1e-12, "{road}");
    assert_eq!((&report["predicted_void"][0], &report["predicted_void"][1]), (&10.into(), &0.into()));
}

#[test]
fn bad_predictions_are_one_sentence_and_nothing_is_written() {
    type Damage = fn(&Path);
    let cases: [(Damage, &[&str]); 11] = [
        (
            |file| GrayImage::new(90, 48).save(file).expect("writable"),
            &["_000001_000019_mine.png: is 48x90 (height x width), but its truth data/gtFine/val/", "is 48x96"],
        ),
        (
            |file| {
                fs::remove_file(file).expect("a prediction");
                fs::remove_file(file.with_file_name("synthetic_000002_000019_mine.png")).expect("a prediction");
            },
            &["pred: no prediction of 2 of 3 pictures; the first is synthetic_000001_000019"],
        ),
        (
            |file| {
                fs::create_dir(file.with_file_name("more")).expect("a folder");
                fs::copy(file, file.with_file_name("more/synthetic_000001_000019.png")).map(drop).expect("writable");
            },
            &["pred/more/synthetic_000001_000019.png", "_mine.png", "is a prediction of synthetic_000001_000019 too"],
        ),
        (
            |file| {
                fs::remove_file(file).expect("a prediction");
                fs::create_dir(file).expect("a folder");
            },
            &["_000001_000019_mine.png: is a folder; expected a PNG file"],
        ),
        (
            |file| {
                let bytes = fs::read(file).expect("a prediction");
                fs::write(file, &bytes[..bytes.len() * 2 / 3]).expect("writable");
            },
            &["_000001_000019_mine.png: cannot be decoded (", "expected a whole gray PNG"],
        ),
        (|file| fs::write(file, "").expect("writable"), &["_000001_000019_mine.png: cannot be decoded ("]),
        (
            |file| RgbImage::new(96, 48).save(file).expect("writable"),
            &["_000001_000019_mine.png: is Rgb of 8 bits", "gray"],
        ),
        (
            |file| GrayImage::from_pixel(96, 48, Luma([255])).save(file).expect("writable"),
            &["_000001_000019_mine.png: id 255", "cityscapes"],
        ),
        (
            |file| fs::rename(file, file.with_file_name("synthetic_000001_000019_labelTrainIds.png")).expect("a file"),
            &["_labelTrainIds.png: holds train ids by its name; expected label ids"],
        ),
        (
            |file| fs::remove_dir_all(file.parent().expect("pred")).expect("a folder"),
            &["pred: no such folder", "--predictions"],
        ),
        (
            |file| {
                let folder = file.parent().expect("pred");
                fs::remove_dir_all(folder).expect("a folder");
                fs::write(folder, "").expect("writable");
            },
            &["pred: is a file", "--predictions"],
        ),
    ];
    for (damage, words) in cases {
        let folder = folder();
        damage(&perfect(folder.path(), 3)[1]);
        scored(folder.path(), &[]).fails(1, words);
        assert!(!folder.path().join("scores").exists(), "{words:?}");
    }
}

#[test]
fn bad_truth_is_told_too() {
    let folder = folder();
    perfect(folder.path(), 1);
    let instances = scene(folder.path(), "val", 0)[1].with_file_name("synthetic_000000_000019_gtFine_instanceIds.png");
    GrayImage::new(90, 48).save(&instances).expect("writable");
    let words = ["_gtFine_instanceIds.png: is 48x90 (height x width), but its label data/gtFine/", "is 48x96"];
    scored(folder.path(), &[]).fails(1, &words);
    scored(folder.path(), &["--split", "test"]).fails(1, &["data/gtFine/test: no split \"test\" here", "found: val"]);
    GrayImage::new(96, 48).save(&scene(folder.path(), "val", 0)[1]).expect("writable");
    fs::remove_file(instances).expect("instance ids");
    scored(folder.path(), &[]).fails(1, &["none of 1 picture has a labelled pixel"]);
    assert!(!folder.path().join("scores").exists());
}

#[test]
fn what_does_not_go_with_predictions_is_a_usage_error() {
    let folder = folder();
    let line = |args: &[&str]| segeval(folder.path()).args(args);
    line(&["run", "--predictions", "p"]).fails(2, &["'[RUN]' cannot be used with '--predictions <DIR>'"]);
    line(&["--predictions", "p"]).fails(2, &["--data-root DIR"]);
    line(&["--predictions", "p", "--data-root", "d", "--dataset", "synthetic"]).fails(2, &["--dataset synthetic"]);
    line(&["--predictions", "p", "--data-root", "d", "--overlays", "3"]).fails(2, &["--overlays"]);
    line(&["--predictions", "p", "--data-root", "nowhere"]).fails(1, &["nowhere: no such folder"]);
}
