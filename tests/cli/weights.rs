//! Weights out by `segexport` and in by `--pretrained`, and files that are no weights.

use super::support::{folder, names, segexport, segpredict, tiny, tiny_with, trained};
use infoseg::weights::{Weights, safetensors};
use std::fs;
use std::path::Path;

fn picture(folder: &Path) {
    let pixels = image::RgbImage::from_fn(53, 37, |x, y| image::Rgb([(x * 7) as u8, (y * 5) as u8, (x * y) as u8]));
    pixels.save(folder.join("a.png")).expect("writable");
}

const LOGITS: [&str; 3] = ["a.png", "--format", "logits"];

#[test]
fn exported_weights_predict_as_the_run_does() {
    let folder = trained();
    picture(folder.path());
    segpredict(folder.path()).args(&["run", "--out", "of-run"]).args(&LOGITS).succeeds();
    for format in ["safetensors", "mmseg"] {
        let file = format!("{format}.safetensors");
        let outcome = segexport(folder.path()).args(&["run", "--format", format, "--out", &file]).succeeds();
        assert!(outcome.stdout.contains(&file), "{}", outcome.stdout);
        let predict = segpredict(folder.path()).args(&["--pretrained", &file, "--network", "deeplabv3"]);
        let outcome = predict.args(&["--backbone", "resnet18", "--out", format]).args(&LOGITS).succeeds();
        assert!(outcome.stderr.contains("tensors loaded"), "{}", outcome.stderr);
        let read = |out: &str| fs::read(folder.path().join(out).join("a_logits.safetensors")).expect("scores");
        assert_eq!(read("of-run"), read(format), "{format}");
    }
}

#[test]
fn a_run_starts_from_the_weights_of_another() {
    let folder = trained();
    segexport(folder.path()).args(&["run", "--format", "safetensors", "--out", "w.safetensors"]).succeeds();
    let outcome = tiny(folder.path()).args(&["--out", "again", "--pretrained", "w.safetensors"]).succeeds();
    let line = outcome.stderr.lines().find(|line| line.contains("naming")).expect("the mapping is reported");
    assert!(line.starts_with("w.safetensors (infoseg naming): ") && line.ends_with(" tensors loaded"), "{line}");
    // Another network is refused before a run folder is made.
    let refused = tiny_with(folder.path(), &[("--backbone", "resnet34")]);
    let words = ["w.safetensors: does not fit this network", "the file is of --backbone resnet18"];
    refused.args(&["--out", "other", "--pretrained", "w.safetensors"]).fails(1, &words);
    assert!(!folder.path().join("other").exists());
}

#[test]
fn parts_predict_by_their_index_and_the_weights_taken_are_said() {
    let folder = trained();
    picture(folder.path());
    segpredict(folder.path()).args(&["run", "--out", "of-run"]).args(&LOGITS).succeeds();
    segexport(folder.path()).args(&["run", "--format", "safetensors", "--out", "w.safetensors"]).succeeds();
    let (whole, header) = safetensors::read(&folder.path().join("w.safetensors")).expect("weights");
    let part = |number: usize| format!("w-{number:05}-of-00002.safetensors");
    let mut places = serde_json::Map::new();
    let mut parts = [Weights::default(), Weights::default()];
    for (index, (name, data)) in whole.tensors.into_iter().enumerate() {
        for key in ["model._orig_mod.", "model_ema.module."] {
            places.insert(format!("{key}{name}"), part(index % 2 + 1).into());
            parts[index % 2].tensors.insert(format!("{key}{name}"), data.clone());
        }
    }
    for (index, weights) in parts.iter().enumerate() {
        safetensors::write(&folder.path().join(part(index + 1)), weights, &[], header.clone()).expect("writable");
    }
    let index = "w.safetensors.index.json";
    fs::write(folder.path().join(index), serde_json::json!({ "weight_map": places }).to_string()).expect("writable");

    let predict =
        |file: &str| segpredict(folder.path()).args(&["--pretrained", file, "--out", "of-parts"]).args(&LOGITS);
    let outcome = predict(index).succeeds();
    assert!(outcome.stderr.contains("taken from model; not taken: model_ema (EMA)"), "{}", outcome.stderr);
    let read = |out: &str| fs::read(folder.path().join(out).join("a_logits.safetensors")).expect("scores");
    assert_eq!(read("of-run"), read("of-parts"));
    let words = ["is one of 2 parts of a checkpoint", &part(2), "name their index w.safetensors.index.json"];
    predict(&part(1)).fails(1, &words);
}

#[test]
fn what_cannot_be_exported_is_told_and_nothing_is_written() {
    let folder = trained();
    let export = |more: &[&str]| segexport(folder.path()).args(more);
    let words = [
        "model.decode_head = \"mmsegmentation\"",
        "can be written of this run is --format mmseg or --format safetensors",
    ];
    export(&["run", "--format", "torchvision", "--out", "w.safetensors"]).fails(2, &words);
    export(&["run", "--format", "mmseg", "--out", "w.pth"]).fails(2, &["w.pth", ".safetensors"]);
    export(&["none", "--format", "mmseg", "--out", "w.safetensors"]).fails(1, &["none: is not a run folder"]);
    assert_eq!(names(folder.path()), ["run"]);
    fs::write(folder.path().join("w.safetensors"), "mine").expect("writable");
    export(&["run", "--format", "mmseg", "--out", "w.safetensors"]).fails(1, &["never overwritten"]);
    assert_eq!(fs::read(folder.path().join("w.safetensors")).expect("a file"), b"mine");
    export(&["run", "--format", "mmseg", "--out", "new/w.safetensors"]).succeeds();
}

#[test]
fn files_that_are_no_weights_are_told() {
    let folder = folder();
    picture(folder.path());
    let fixture = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    fs::create_dir(folder.path().join("dir.pth")).expect("a folder");
    fs::write(folder.path().join("empty.pth"), "").expect("writable");
    fs::write(folder.path().join("cut.safetensors"), [9, 0, 0, 0, 0, 0, 0, 0, b'{']).expect("writable");
    fs::copy(fixture("malicious.pth"), folder.path().join("evil.pth")).expect("writable");
    fs::copy(fixture("zip.pth"), folder.path().join("part.pth")).expect("writable");
    for (file, words) in [
        ("none.pth", "none.pth: cannot be read: no such file"),
        ("dir.pth", "dir.pth: is a folder"),
        ("empty.pth", "empty.pth: is no whole PyTorch or safetensors file"),
        ("cut.safetensors", "cut.safetensors: is no whole safetensors file"),
        ("evil.pth", "evil.pth: "),
        ("part.pth", "part.pth: holds no ResNet-18, 34, 50, 101 or 152"),
    ] {
        segpredict(folder.path()).args(&["--pretrained", file, "--out", "pred"]).args(&LOGITS).fails(1, &[words]);
    }
    assert!(!folder.path().join("pred").exists() && !folder.path().join("infoseg-was-here").exists());
}
