//! `segdata`: scenes written and checked, damage listed file by file.

use super::support::{Outcome, segdata as program};
use std::fs;
use std::path::Path;

fn segdata(args: &[&str]) -> (i32, String, String) {
    let Outcome { code, stdout, stderr } = program(&std::env::temp_dir()).args(args).run();
    (code, stdout, stderr)
}

fn synth(out: &Path) -> (i32, String, String) {
    let out = out.display().to_string();
    segdata(&["synth", "--out", &out, "--split", "val", "--count", "4", "--resolution", "48x96", "--seed", "5"])
}

#[test]
fn written_scenes_pass_the_check_and_damage_is_listed_file_by_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().display().to_string();
    let (code, stdout, stderr) = synth(folder.path());
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains("4 scenes of 48x96"), "{stdout}");

    let (code, stdout, stderr) = segdata(&["check", "--dataset", "cityscapes", "--data-root", &root]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    for part in ["val: 4 pictures with labels, 0 problems", "48x96       4 pictures", "road ", "bicycle "] {
        assert!(stdout.contains(part), "{part:?} is not in:\n{stdout}");
    }

    let image =
        |i: usize| folder.path().join(format!("leftImg8bit/val/synthetic/synthetic_{i:06}_000019_leftImg8bit.png"));
    let label =
        |i: usize| folder.path().join(format!("gtFine/val/synthetic/synthetic_{i:06}_000019_gtFine_labelIds.png"));
    assert!(folder.path().join("gtFine/val/synthetic/synthetic_000000_000019_gtFine_color.png").is_file());
    fs::remove_file(label(0)).expect("the label is there");
    let bytes = fs::read(image(1)).expect("the picture is there");
    fs::write(image(1), &bytes[..bytes.len() / 2]).expect("writable");
    let mut ids = image::open(label(2)).expect("a label").into_luma8();
    ids.put_pixel(3, 1, image::Luma([40]));
    ids.save(label(2)).expect("writable");

    let instances = label(3).with_file_name("synthetic_000003_000019_gtFine_instanceIds.png");
    assert!(instances.with_file_name("synthetic_000003_000019_gtFine_polygons.json").is_file());
    image::GrayImage::new(9, 9).save(&instances).expect("writable");

    let (code, stdout, stderr) = segdata(&["check", "--data-root", &root, "--split", "val"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stdout.contains("val: 3 pictures with labels, 4 problems"), "{stdout}");
    assert!(stdout.contains("unlisted id 40: 1 pixel in 1 picture"), "{stdout}");
    for (file, words) in [
        (image(0), "has no label"),
        (image(1), "cannot be decoded"),
        (instances, "is 9x9 (height x width), but its label"),
        (label(2), "id 40 is not in the class set cityscapes (first at row 1, column 3; 1 pixels"),
    ] {
        let line = stderr.lines().find(|line| line.starts_with(&format!("segdata: {}", file.display())));
        assert!(line.is_some_and(|line| line.contains(words)), "{} {words:?} is not in:\n{stderr}", file.display());
    }
    assert!(stderr.ends_with("segdata: 4 problems found\n"), "{stderr}");
}

#[test]
fn existing_files_are_never_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(synth(folder.path()).0, 0);
    let (code, _, stderr) = synth(folder.path());
    assert_eq!(code, 1);
    assert!(stderr.starts_with("segdata: ") && stderr.contains("never overwritten"), "{stderr}");
}

#[test]
fn misuse_is_told_apart_from_failure() {
    for (args, code, words) in [
        (&["check"][..], 2, "--data-root"),
        (&["check", "--data-root", "/nowhere"][..], 1, "/nowhere: no such folder"),
        (&["check", "--data-root", "/nowhere", "--dataset", "synthetic"][..], 2, "no files to check"),
        (&["synth", "--out", "x", "--count", "0", "--resolution", "8x8"][..], 2, "--count 0"),
        (&["synth", "--out", "x", "--count", "1", "--resolution", "8"][..], 2, "--resolution"),
        (&["synth", "--out", "x", "--count", "1", "--resolution", "8x8", "--split", "a/b"][..], 2, "--split \"a/b\""),
    ] {
        let (got, _, stderr) = segdata(args);
        assert_eq!(got, code, "{args:?}: {stderr}");
        assert!(stderr.starts_with("segdata: ") && stderr.contains(words), "{args:?}: {stderr}");
    }
}
