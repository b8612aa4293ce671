//! Data that training must take as it comes.

use super::support::{Outcome, folder, losses, scene, segdata, segtrain, synth, tiny_with, wait_for};
use image::{GrayImage, Luma, Rgb, RgbImage};
use std::fs;
use std::path::Path;

/// A tiny run on `folder/data`.
fn run(folder: &Path, batch: &str, args: &[&str]) -> super::support::Program {
    tiny_with(folder, &[("--batch-size", batch)])
        .args(&["--dataset", "cityscapes", "--data-root", "data", "--out", "run"])
        .args(args)
}

fn with_scenes() -> tempfile::TempDir {
    let folder = folder();
    synth(folder.path(), "train", 4, "32x64");
    synth(folder.path(), "val", 2, "32x64");
    folder
}

#[test]
fn pictures_without_a_labelled_pixel_train_nothing_and_break_nothing() {
    let folder = with_scenes();
    for index in 0..4 {
        // Label id 0 is none of the classes.
        GrayImage::from_pixel(64, 32, Luma([0])).save(&scene(folder.path(), "train", index)[1]).unwrap();
    }
    run(folder.path(), "2", &["--set", "local.recon_weight=[0.0, 0.0]"]).succeeds();
    assert!(
        losses(&folder.path().join("run")).iter().all(|loss| *loss == 0.0),
        "{:?}",
        losses(&folder.path().join("run"))
    );
}

#[test]
fn a_split_with_one_class_alone_is_scored_by_it() {
    let folder = with_scenes();
    for split in ["train", "val"] {
        for index in 0..2 {
            // Road, everywhere.
            GrayImage::from_pixel(64, 32, Luma([7])).save(&scene(folder.path(), split, index)[1]).unwrap();
        }
    }
    let table = run(folder.path(), "2", &[]).succeeds().stdout;
    assert!(table.contains("mIoU (present)"), "{table}");
    assert_eq!(losses(&folder.path().join("run")).len(), 6);
}

#[test]
fn a_batch_of_one_and_constant_pictures_train() {
    let folder = with_scenes();
    for index in 0..4 {
        RgbImage::from_pixel(64, 32, Rgb([90, 90, 90])).save(&scene(folder.path(), "train", index)[0]).unwrap();
    }
    run(folder.path(), "1", &[]).succeeds();
    assert_eq!(losses(&folder.path().join("run")).len(), 6);
    let contrast = tiny_with(folder.path(), &[("--batch-size", "1")]).args(&[
        "--dataset",
        "cityscapes",
        "--data-root",
        "data",
        "--task-loss",
        "contrast",
        "--out",
        "contrast",
    ]);
    contrast.succeeds();
    assert_eq!(losses(&folder.path().join("contrast")).len(), 6);
}

#[test]
fn a_picture_that_is_lost_in_mid_run_stops_it_saved() {
    let folder = with_scenes();
    let long = ["--steps", "100000", "--set", "train.save_every_steps=1000000"];
    let child = tiny_with(folder.path(), &[("--steps", long[1])])
        .args(&["--dataset", "cityscapes", "--data-root", "data", "--out", "run"])
        .args(&long[2..])
        .command()
        .spawn()
        .expect("it starts");
    let log_file = folder.path().join("run/metrics.jsonl");
    wait_for("the first step", || log_file.metadata().is_ok_and(|log| log.len() > 0));
    let [picture, _] = scene(folder.path(), "train", 2);
    let away = folder.path().join("away.png");
    fs::rename(&picture, &away).unwrap();
    let outcome = Outcome::of(child.wait_with_output().expect("it ends"));
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    let words = outcome.stderr.lines().last().unwrap_or_default().to_string();
    for part in ["synthetic_000002_000019_leftImg8bit.png", "is intact", "segtrain --resume run"] {
        assert!(words.contains(part), "{words}");
    }
    fs::rename(&away, &picture).unwrap();
    let step = super::support::names(folder.path().join("run/checkpoints")).pop().expect("a checkpoint");
    let more = (step.trim_start_matches("step-").parse::<usize>().unwrap() + 2).to_string();
    segtrain(folder.path()).args(&["--resume", "run", "--steps", &more]).succeeds();
}

#[test]
fn the_check_says_what_training_will_see() {
    let folder = with_scenes();
    RgbImage::from_pixel(64, 32, Rgb([10, 20, 30])).save(&scene(folder.path(), "val", 0)[0]).unwrap();
    RgbImage::from_pixel(64, 32, Rgb([12, 20, 40])).save(&scene(folder.path(), "val", 1)[0]).unwrap();
    let report = segdata(folder.path()).args(&["check", "--data-root", "data", "--split", "val"]).succeeds().stdout;
    let line = "red, green, blue: mean 11.00, 20.00, 35.00; standard deviation 1.00, 0.00, 5.00";
    assert!(report.contains(line) && !report.contains("nothing is learned"), "{report}");
    // Ids 0 to 3 are of no class: so are the indices of most palettes.
    let label = &scene(folder.path(), "val", 1)[1];
    GrayImage::from_pixel(64, 32, Luma([3])).save(label).unwrap();
    let report = segdata(folder.path()).args(&["check", "--data-root", "data", "--split", "val"]).succeeds().stdout;
    let line = "1 label without a pixel of any class, from which nothing is learned: data/gtFine/val/synthetic/";
    assert!(report.contains(line), "{report}");
}
