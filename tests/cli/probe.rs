//! segprobe: what each block of trained networks knows.

use super::classify::cifar;
use super::support::{folder, json, names, segprobe, segtrain, tiny, tiny_with};
use serde_json::Value;

fn blocks(report: &Value, run: usize) -> Vec<Value> {
    report["runs"][run]["blocks"].as_array().expect("blocks").clone()
}

fn number(of: &Value, key: &str) -> f64 {
    of[key].as_f64().unwrap_or_else(|| panic!("{key} in {of}"))
}

#[test]
fn runs_are_probed_side_by_side_and_again_the_same() {
    let folder = folder();
    for (run, k) in [("two", "2"), ("one", "1")] {
        tiny_with(folder.path(), &[("--local-k", k)]).args(&["--out", run]).succeeds();
    }
    let probe = |out: &str| {
        let flags = ["--steps", "30", "--lr", "0.01", "--blocks", "4", "--out", out];
        segprobe(folder.path()).args(&["two", "one"]).args(&flags).succeeds()
    };
    let outcome = probe("probe");
    for part in
        ["InfoPro, K = 2 (two)", "end-to-end (one)", "without features", "stem", "layer4.1", "pixels right", "mIoU"]
    {
        assert!(outcome.stdout.contains(part), "{part} in {}", outcome.stdout);
    }
    assert_eq!(names(folder.path().join("probe")), ["drawn.png", "probe.json", "probe.png", "probe.svg"]);
    let report = json(folder.path().join("probe/probe.json"));
    let of_two = blocks(&report, 0);
    assert_eq!(of_two.len(), 4);
    let without = &report["runs"][0]["without_features"];
    for block in &of_two {
        // Thirty steps are few; a decoder that has not learned anything draws grey, worse than the mean color.
        assert!(number(block, "reconstruction_error") < 128.0, "{block}");
        assert!((0.0..=1.0).contains(&number(block, "miou")), "{block}");
    }
    let first = &of_two[0];
    assert!(number(first, "reconstruction_error") < number(without, "reconstruction_error"), "{first} {without}");
    assert!(number(first, "accuracy") > number(without, "accuracy") - 0.05, "{first} {without}");
    for file in ["drawn.png", "probe.png"] {
        let picture = image::open(folder.path().join("probe").join(file)).expect("a picture").to_rgb8();
        assert!(picture.pixels().filter(|pixel| pixel.0 != [255; 3]).count() > 5_000, "{file}: something is drawn");
    }
    probe("again");
    assert_eq!(json(folder.path().join("again/probe.json")), report);
}

#[test]
fn a_classifier_is_probed_by_accuracy() {
    let folder = folder();
    cifar(folder.path()); // the brighter an image, the higher its class
    let run = ["--dataset", "cifar10", "--data-root", "cifar", "--device", "cpu", "--steps", "4", "--batch-size", "8"];
    let small = ["--set", "model.width=0.25", "--set", "train.eval_every_steps=0", "--local-k", "2", "--out", "run"];
    segtrain(folder.path()).args(&run).args(&small).succeeds();
    let probe = ["run", "--steps", "80", "--lr", "0.01", "--batch-size", "20", "--blocks", "2"];
    let outcome = segprobe(folder.path()).args(&probe).succeeds();
    assert!(!outcome.stdout.contains("mIoU") && outcome.stdout.contains("pictures right"), "{}", outcome.stdout);
    let report = json(folder.path().join("run/probe/probe.json"));
    let (first, without) = (&blocks(&report, 0)[0], &report["runs"][0]["without_features"]);
    // The stem is all but random, and so hardly in the way.
    assert!(number(first, "accuracy") > 2.0 * number(without, "accuracy"), "{first} {without}");
    assert_eq!((first.get("miou"), without["miou"].is_null()), (None, true));
}

#[test]
fn what_cannot_be_probed_is_told() {
    let folder = folder();
    tiny(folder.path()).args(&["--out", "run"]).succeeds();
    tiny_with(folder.path(), &[("--resolution", "64x64")]).args(&["--out", "other"]).succeeds();
    for (arguments, words) in [
        (&["run", "other"][..], "probe them one by one"),
        (&["none"], "none: is not a run folder"),
        (&["run", "--steps", "0"], "--steps 0"),
        (&["run", "--lr", "-1"], "--lr -1"),
    ] {
        segprobe(folder.path()).args(arguments).fails(if words.contains("run folder") { 1 } else { 2 }, &[words]);
    }
    assert!(!names(folder.path().join("run")).contains(&"probe".to_string()), "nothing is left of a refused one");
}
