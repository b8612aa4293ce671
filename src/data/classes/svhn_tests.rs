use super::super::mat::tests::{DOUBLE_CLASS, UINT8_CLASS, compressed, file, variable};
use super::*;
use crate::data::Dataset;
use crate::data::classes::{Classes, Layout, check::check};
use std::fs;
use tempfile::TempDir;

const UINT8: u32 = 2;
const DOUBLE: u32 = 9;

/// A folder with one file, whose image `i` is all of value `i`.
fn svhn(file_name: &str, labels: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let pictures: Vec<u8> = (0..labels.len()).flat_map(|i| vec![i as u8; 3072]).collect();
    let shape = [32, 32, 3, labels.len() as i32];
    let x = variable("X", UINT8_CLASS, &shape, UINT8, &pictures);
    let y = variable("y", UINT8_CLASS, &[labels.len() as i32, 1], UINT8, labels);
    fs::write(folder.path().join(file_name), file(&[compressed(&x), compressed(&y)])).unwrap();
    folder
}

fn error(x: Vec<u8>, y: Vec<u8>) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("test_32x32.mat"), file(&[x, y])).unwrap();
    let message = Classes::open(Layout::Svhn, folder.path(), "test", 0).unwrap_err().to_string();
    message.split_once("test_32x32.mat: ").unwrap().1.to_string()
}

#[test]
fn pictures_of_a_file_that_scipy_wrote_stand_upright_and_ten_is_zero() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/svhn.mat");
    fs::copy(fixture, folder.path().join("train_32x32.mat")).unwrap();
    let classes = Classes::open(Layout::Svhn, folder.path(), "train", 0).unwrap();
    assert_eq!((classes.len(), classes.class(0), classes.class(1)), (2, 0, 3));
    let picture = classes.example(1).unwrap();
    assert_eq!(
        (picture.name.as_str(), picture.label[[0, 0]], picture.image.dim()),
        ("train_32x32_00001", 3, (32, 32, 3))
    );
    for ((y, x, channel), &value) in picture.image.indexed_iter() {
        assert_eq!(usize::from(value), [y, x, 1][channel], "at ({y}, {x}, {channel})");
    }
}

#[test]
fn train_and_extra_follow_each_other() {
    let folder = svhn("train_32x32.mat", &[1, 10]);
    let error = Classes::open(Layout::Svhn, folder.path(), "train+extra", 0).unwrap_err();
    assert!(error.to_string().ends_with("extra_32x32.mat: is missing; the dataset is shipped with it"), "{error}");

    let extra = svhn("extra_32x32.mat", &[9, 8, 7]);
    fs::copy(extra.path().join("extra_32x32.mat"), folder.path().join("extra_32x32.mat")).unwrap();
    let classes = Classes::open(Layout::Svhn, folder.path(), "train+extra", 0).unwrap();
    assert_eq!((0..classes.len()).map(|i| classes.class(i)).collect::<Vec<_>>(), [1, 0, 9, 8, 7]);
    assert_eq!(classes.name(3), "extra_32x32_00001");
    assert!(classes.example(3).unwrap().image.iter().all(|&value| value == 1));
    assert_eq!(classes.classes().names()[9], "9");
}

#[test]
fn check_tells_what_is_wrong_with_each_of_two_files() {
    let folder = svhn("train_32x32.mat", &[1, 0]);
    fs::write(folder.path().join("extra_32x32.mat"), "no").unwrap();
    let report = check(Layout::Svhn, folder.path(), "train+extra").unwrap();
    let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!((problems.len(), report.pictures, report.classes[1].1), (2, 1, 1));
    assert!(problems[0].contains("train_32x32.mat: record 1 "), "{problems:?}");
    assert!(problems[1].contains("extra_32x32.mat: is no MATLAB 5.0 file"), "{problems:?}");
}

#[test]
fn a_label_that_is_no_digit_is_told_with_its_record() {
    let folder = svhn("test_32x32.mat", &[1, 2, 11]);
    let error = Classes::open(Layout::Svhn, folder.path(), "test", 0).unwrap_err().to_string();
    let expected = "record 2 (counted from 0) has the label 11, which is no class; expected 1 to 10";
    assert!(error.ends_with(&format!("test_32x32.mat: {expected}")), "{error}");
}

#[test]
fn other_arrays_are_told_apart() {
    let x = |shape: &[i32]| {
        let length = shape.iter().product::<i32>() as usize;
        variable("X", UINT8_CLASS, shape, UINT8, &vec![0; length])
    };
    let y = |count: usize| variable("y", UINT8_CLASS, &[count as i32, 1], UINT8, &vec![1; count]);
    let message = error(x(&[3, 32, 32, 2]), y(2));
    assert_eq!(message, "holds X as uint8 of [3, 32, 32, 2]; expected uint8 of [32, 32, 3, pictures]");
    let message = error(x(&[32, 32, 3, 2]), y(3));
    assert_eq!(message, "holds y as uint8 of [3, 1]; expected numbers of [2, 1], one per picture in X");
    let doubles = variable("X", DOUBLE_CLASS, &[1, 1], DOUBLE, &[0; 8]);
    let message = error(doubles, y(1));
    assert_eq!(message, "holds X as double of [1, 1]; expected uint8 of [32, 32, 3, pictures]");
    let message = error(x(&[32, 32, 3]), variable("z", UINT8_CLASS, &[1, 1], UINT8, &[1]));
    assert_eq!(message, "holds no array y; expected X (pictures) and y (labels)");
    let half = variable("y", DOUBLE_CLASS, &[1, 1], DOUBLE, &3.5_f64.to_le_bytes());
    let message = error(x(&[32, 32, 3]), half);
    assert_eq!(message, "record 0 (counted from 0) has the label 3.5, which is no class; expected 1 to 10");
}
