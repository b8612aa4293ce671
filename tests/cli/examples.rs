//! The examples, run as the README says: a library is what others build on.

use super::support::{scene, synth, trained};
use std::path::{Path, PathBuf};
use std::process::Command;

/// `cargo test` builds the examples beside the tests.
fn example(name: &str) -> PathBuf {
    let deps = std::env::current_exe().expect("this test's own path");
    let path = deps.parent().and_then(Path::parent).expect("target/release").join("examples").join(name);
    assert!(path.is_file(), "{} is not built; run `cargo test --release`, which builds examples too", path.display());
    path
}

fn runs(name: &str, arguments: &[&Path]) -> String {
    let output = Command::new(example(name)).args(arguments).output().expect("it starts");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_loop_by_hand_trains_and_scores() {
    let said = runs("custom_loop", &[Path::new("2")]);
    assert!(said.contains("step 2: ") && said.contains("mIoU "), "{said}");
}

#[test]
fn a_dataset_of_ones_own_has_its_own_classes() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let said = runs("own_dataset", &[Path::new("2"), &run]);
    for class in ["ground", "disc", "square", "mIoU"] {
        assert!(said.contains(class), "{class} is not in {said}");
    }
    let read = |name: &str| std::fs::read_to_string(run.join(name)).unwrap();
    assert!(read("classes.toml").contains("disc") && read("report.json").contains("\"square\""));
}

#[test]
fn a_backbone_of_ones_own_is_cut_into_modules() {
    let said = runs("own_backbone", &[]);
    for module in
        ["step 5: stem narrow.0 narrow.1: loss", "step 5: narrow.2 narrow.3: loss", "step 5: narrow.4 head: loss"]
    {
        assert!(said.contains(module), "{module} is not in {said}");
    }
}

#[test]
fn a_run_predicts() {
    let folder = trained();
    synth(folder.path(), "val", 1, "32x64");
    let said = runs("predict", &[&folder.path().join("run"), &scene(folder.path(), "val", 0)[0]]);
    assert!(said.lines().count() > 0 && said.contains(" %"), "{said}");
}
