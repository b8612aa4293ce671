//! `segeval`: the report, counted again by hand; where it is written; runs that cannot be scored.

use super::support::{folder, json, names, plots, scene, segeval, semantic, synth, tiny, trained};
use infoseg::task::ClassSet;
use infoseg::task::class_set::{IdTable, Meaning};
use serde_json::Value;
use std::fs;

/// Rows of the report's confusion matrix.
fn confusion(report: &Value) -> Vec<Vec<u64>> {
    serde_json::from_value(report["confusion"].clone()).expect("rows of counts")
}

#[test]
fn the_confusion_matrix_counts_every_labelled_pixel_and_the_scores_follow_from_it() {
    let folder = trained();
    synth(folder.path(), "val", 3, "48x96");
    let line = ["run", "--dataset", "cityscapes", "--data-root", "data", "--split", "val", "--out", "scores"];
    let outcome = segeval(folder.path()).args(&line).args(&["--overlays", "2"]).succeeds();

    assert!(outcome.stderr.contains("classes: cityscapes (19 classes"), "{}", outcome.stderr);
    let scores = folder.path().join("scores");
    let report = json(scores.join("report.json"));
    let keys: Vec<_> = report.as_object().expect("an object").keys().collect();
    assert_eq!(keys[..6], ["miou", "miou_present", "pixel_accuracy", "classes", "confusion", "images"]);
    let of_groups = ["miou_categories", "categories", "miiou_classes", "miiou_categories", "iiou_classes"];
    assert_eq!(keys[6..], [&of_groups[..], &["iiou_categories", "scored"]].concat());
    let scored = &report["scored"];
    assert_eq!(
        (&scored["split"], &scored["scales"], &scored["flip"]),
        (&"val".into(), &serde_json::json!([1.0]), &false.into())
    );
    assert!(scored["data_root"].as_str().expect("a path").ends_with("data"), "{scored}");
    assert_eq!((&scored["class_set"]["name"], &scored["checkpoint"]), (&"cityscapes".into(), &"step-000003".into()));
    assert_eq!(report["images"], 3);

    let set = ClassSet::cityscapes();
    let table = IdTable::of(&set);
    let mut labelled = vec![0_u64; set.len()];
    for index in 0..3 {
        let label = image::open(&scene(folder.path(), "val", index)[1]).expect("a label").into_luma8();
        for id in label.iter() {
            if let Meaning::Class(class) = table.meaning((*id).into()) {
                labelled[usize::from(class)] += 1;
            }
        }
    }
    let rows = confusion(&report);
    assert!(rows.len() == set.len() && rows.iter().all(|row| row.len() == set.len()));
    let truth: Vec<u64> = rows.iter().map(|row| row.iter().sum()).collect();
    assert_eq!(truth, labelled, "rows are truth");

    let (mut ious, mut present) = (Vec::new(), Vec::new());
    for (class, info) in set.classes.iter().enumerate() {
        let predicted: u64 = rows.iter().map(|row| row[class]).sum();
        let union = truth[class] + predicted - rows[class][class];
        let iou = rows[class][class] as f64 / union as f64;
        let reported = &report["classes"][&info.name];
        match union {
            0 => assert!(reported.is_null(), "{} occurs nowhere", info.name),
            _ => {
                assert_eq!(reported.as_f64(), Some(iou), "{}", info.name);
                ious.push(iou);
            }
        }
        if truth[class] > 0 {
            present.push(iou);
        }
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let hits: u64 = (0..set.len()).map(|class| rows[class][class]).sum();
    let accuracy = hits as f64 / truth.iter().sum::<u64>() as f64;
    for (key, expected) in [("miou", mean(&ious)), ("miou_present", mean(&present)), ("pixel_accuracy", accuracy)] {
        assert!((report[key].as_f64().expect("a number") - expected).abs() < 1e-12, "{key} is not {expected}");
    }

    assert_eq!(names(&scores), ["overlays", "plots", "report.json"]);
    assert_eq!(names(scores.join("overlays")).len(), 2, "as asked");
    assert_eq!(plots(scores.join("plots")), ["class_iou", "confusion"]);
    for part in [
        "class ",
        "road ",
        "bicycle ",
        "category ",
        "vehicle ",
        "3 pictures",
        "overlays  scores/overlays",
        "report    scores/report.json",
    ] {
        assert!(outcome.stdout.contains(part), "{part:?} is not in:\n{}", outcome.stdout);
    }
    assert_eq!(outcome.stderr.lines().skip(1).collect::<Vec<_>>(), ["segeval: 3 pictures"]);
}

#[test]
fn a_run_scores_as_it_did_at_its_end_whether_scenes_are_built_in_or_on_disk() {
    let folder = trained();
    let at_its_end = semantic(folder.path().join("run/report.json"));
    segeval(folder.path()).args(&["run", "--overlays", "0"]).succeeds();
    assert_eq!(names(folder.path().join("run/eval-val")), ["plots", "report.json"], "no overlays were asked for");
    assert_eq!(semantic(folder.path().join("run/eval-val/report.json")), at_its_end);

    synth(folder.path(), "val", 2, "32x64");
    let line = ["run", "--dataset", "cityscapes", "--data-root", "data", "--out", "disk"];
    segeval(folder.path()).args(&line).succeeds();
    assert_eq!(semantic(folder.path().join("disk/report.json")), at_its_end);
}

#[test]
fn a_folder_that_is_no_run_is_named() {
    let folder = folder();
    fs::create_dir(folder.path().join("empty")).expect("a folder");
    for run in ["empty", "nowhere"] {
        let sentence = segeval(folder.path()).args(&[run]).fails(1, &["is not a run folder", "no config.toml"]);
        assert!(sentence.starts_with(&format!("segeval: {run}: ")), "{sentence}");
    }
}

#[test]
fn with_nothing_to_score_both_ways_are_named() {
    let words = ["nothing to score: name a run folder (segeval RUN)", "--predictions DIR"];
    segeval(folder().path()).fails(2, &words);
}

#[test]
fn an_evaluation_replaces_the_overlays_of_the_one_before_and_never_the_run_s_own() {
    let folder = trained();
    segeval(folder.path()).args(&["run", "--out", "e", "--overlays", "2"]).succeeds();
    assert_eq!(names(folder.path().join("e/overlays")).len(), 2);
    segeval(folder.path()).args(&["run", "--out", "e", "--overlays", "1"]).succeeds();
    assert_eq!(names(folder.path().join("e/overlays")).len(), 1);
    segeval(folder.path()).args(&["run", "--out", "./run"]).fails(2, &["is the run's own folder"]);
}

#[test]
fn a_run_without_a_checkpoint_says_so() {
    let folder = trained();
    fs::remove_dir_all(folder.path().join("run/checkpoints")).expect("there were some");
    segeval(folder.path()).args(&["run"]).fails(1, &["run/checkpoints: there is no checkpoint", "train it again"]);
}

#[test]
fn a_damaged_checkpoint_names_the_file() {
    let folder = trained();
    let checkpoint = "run/checkpoints/step-000003";
    let weights = folder.path().join(checkpoint).join("module2.bpk");
    let bytes = fs::read(&weights).expect("weights");
    for damaged in [&bytes[..bytes.len() / 2], &bytes[..20], b"", b"something else altogether"] {
        fs::write(&weights, damaged).expect("writable");
        segeval(folder.path())
            .args(&["run"])
            .fails(1, &[&format!("{checkpoint}/module2.bpk: is damaged"), "no other checkpoint"]);
    }
    // A checkpoint of an earlier version has no checksums.
    fs::remove_file(weights.with_file_name("manifest.txt")).expect("there is one");
    fs::copy(weights.with_file_name("module1.bpk"), &weights).expect("writable");
    let sentence = segeval(folder.path()).args(&["run"]).fails(1, &["module2.bpk: does not fit this network (Missing"]);
    assert!(sentence.len() < 400, "not every tensor: {sentence}");
    fs::write(folder.path().join(checkpoint).join("state.json"), "{").expect("writable");
    segeval(folder.path())
        .args(&["run"])
        .fails(1, &[&format!("{checkpoint}/state.json: is damaged"), "no other checkpoint"]);
}

#[test]
fn data_that_are_not_there_are_named() {
    let folder = trained();
    synth(folder.path(), "val", 1, "32x64");
    let scored = |more: &[&str]| segeval(folder.path()).args(&["run", "--dataset", "cityscapes"]).args(more);
    scored(&[]).fails(2, &["data.root", "--data-root DIR"]);
    scored(&["--data-root", "nowhere"]).fails(1, &["nowhere: no such folder", "--data-root"]);
    let words = ["data/leftImg8bit/test: no split \"test\" here; splits found: val"];
    scored(&["--data-root", "data", "--split", "test"]).fails(1, &words);
    scored(&["--overlays", "-1"]).fails(2, &["'-1' for '--overlays <N>'", "expected a whole number"]);
}

#[test]
fn a_split_without_a_labelled_pixel_is_not_scored() {
    let folder = folder();
    tiny(folder.path()).args(&["--out", "run"]).succeeds();
    synth(folder.path(), "val", 1, "32x64");
    image::GrayImage::new(64, 32).save(&scene(folder.path(), "val", 0)[1]).expect("writable");
    let line = ["run", "--dataset", "cityscapes", "--data-root", "data"];
    segeval(folder.path()).args(&line).fails(1, &["none of 1 picture has a labelled pixel"]);
}

#[test]
fn a_split_that_ends_in_a_broken_picture_leaves_no_overlays() {
    let folder = trained();
    synth(folder.path(), "val", 3, "32x64");
    let broken = &scene(folder.path(), "val", 2)[0];
    let bytes = fs::read(broken).expect("a picture");
    fs::write(broken, &bytes[..bytes.len() / 2]).expect("writable");
    let line = ["run", "--dataset", "cityscapes", "--data-root", "data", "--overlays", "3"];
    segeval(folder.path()).args(&line).fails(1, &["synthetic_000002_000019_leftImg8bit.png"]);
    assert!(names(folder.path().join("run/eval-val")).is_empty(), "two overlays were drawn before it");
}

#[test]
fn the_paper_s_protocol_scores_three_ways_in_one_go() {
    let folder = trained();
    let outcome = segeval(folder.path()).args(&["run", "--protocol", "paper", "--overlays", "0"]).succeeds();
    let protocols = json(folder.path().join("run/eval-val-paper/report.json"))["protocols"].clone();
    let names: Vec<&String> = protocols.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["SS", "MS", "MS+flip"]);
    assert!(outcome.stdout.contains("mIoU MS+flip"), "{}", outcome.stdout);
    // Each is what it is on its own.
    let miou = |flags: &[&str]| {
        let line = ["run", "--overlays", "0", "--out", "one"];
        segeval(folder.path()).args(&line).args(flags).succeeds();
        json(folder.path().join("one/report.json"))["miou"].clone()
    };
    assert_eq!(protocols["SS"], miou(&[]));
    assert_eq!(protocols["MS"], miou(&["--scales", "0.5,0.75,1,1.25,1.5,1.75"]));
    assert_eq!(protocols["MS+flip"], miou(&["--scales", "0.5,0.75,1,1.25,1.5,1.75", "--flip"]));
    // One window as large as the image is the image.
    assert_eq!(protocols["SS"], miou(&["--slide", "32x64"]));
    miou(&["--slide", "32x32", "--stride", "16x16"]);
}

#[test]
fn test_time_flags_that_cannot_be_are_told() {
    let folder = trained();
    let eval = |more: &[&str]| segeval(folder.path()).args(&["run"]).args(more);
    eval(&["--scales", "0"]).fails(2, &["--scales 0: a scale must be between 0.05 and 8"]);
    eval(&["--slide", "16x64"]).fails(2, &["--slide 16x64: a window must be at least 32x32"]);
    eval(&["--slide", "32x32", "--stride", "40x32"]).fails(2, &["--stride 40x32", "pixels are left out"]);
    eval(&["--stride", "40x32"]).fails(2, &["--slide"]);
    eval(&["--protocol", "paper", "--flip"]).fails(2, &["--protocol"]);
}
