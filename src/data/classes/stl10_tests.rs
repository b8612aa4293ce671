use super::*;
use crate::data::Dataset;
use crate::data::classes::{Classes, Layout, check::check};
use std::path::PathBuf;
use tempfile::TempDir;

const RECORD: usize = 3 * 96 * 96;

/// `stl10_binary` whose image `i` is `y` in red, `x` in green and `i` in blue, and the folder above it.
fn stl10(labels: &[u8]) -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("stl10_binary");
    fs::create_dir(&folder).unwrap();
    let pixels = |i: usize| (0..RECORD).map(move |at| [at % 96, at % 9216 / 96, i][at / 9216] as u8);
    for split in ["train", "test"] {
        let pictures: Vec<u8> = (0..labels.len()).flat_map(pixels).collect();
        fs::write(folder.join(format!("{split}_X.bin")), pictures).unwrap();
        fs::write(folder.join(format!("{split}_y.bin")), labels).unwrap();
    }
    let names = "airplane bird car cat deer dog horse monkey ship truck";
    fs::write(folder.join("class_names.txt"), names.replace(' ', "\n")).unwrap();
    fs::write(folder.join("fold_indices.txt"), "0 1 \n2 0 \n".to_string() + &"1 \n".repeat(8)).unwrap();
    (root, folder)
}

fn error(root: &Path, split: &str) -> String {
    Classes::open(Layout::Stl10, root, split, 0).unwrap_err().to_string()
}

#[test]
fn pictures_stand_upright_and_labels_start_from_one() {
    let (root, folder) = stl10(&[1, 10, 7]);
    for root in [root.path(), &folder] {
        let classes = Classes::open(Layout::Stl10, root, "test", 0).unwrap();
        assert_eq!((0..classes.len()).map(|i| classes.class(i)).collect::<Vec<_>>(), [0, 9, 6]);
        assert_eq!(classes.classes().names()[6], "horse");
        let picture = classes.example(2).unwrap();
        assert_eq!(picture.name, "test_X_00002");
        for ((y, x, channel), &value) in picture.image.indexed_iter() {
            assert_eq!(usize::from(value), [y, x, 2][channel], "at ({y}, {x}, {channel})");
        }
    }
}

#[test]
fn a_fold_holds_its_pictures_in_its_order() {
    let (root, folder) = stl10(&[1, 10, 7]);
    let fold = Classes::open(Layout::Stl10, root.path(), "train1", 0).unwrap();
    assert_eq!([0, 1].map(|i| fold.name(i)), ["train_X_00002", "train_X_00000"]);
    assert_eq!((fold.len(), fold.class(0), fold.example(0).unwrap().image[[0, 0, 2]]), (2, 6, 2));
    let path = folder.join("fold_indices.txt");
    fs::write(&path, "0\n1 3\nx\n\n").unwrap();
    let wrong = |split: &str| error(root.path(), split).split_once("fold_indices.txt: ").unwrap().1.to_string();
    assert_eq!(wrong("train1"), "line 2: there is no picture 3; train has 3");
    assert_eq!(wrong("train2"), "line 3: \"x\" is not the number of a picture");
    assert_eq!(wrong("train3"), "line 4: holds no number of a picture");
    assert_eq!(wrong("train9"), "line 10: is missing; expected ten lines, one a fold");
}

#[test]
fn bad_files_are_told_with_the_record() {
    let (root, folder) = stl10(&[1, 0]);
    let message = error(root.path(), "train");
    let expected = "train_y.bin: record 1 (counted from 0) has the label 0, which is no class; expected 1 to 10";
    assert!(message.ends_with(expected), "{message}");

    let pictures = folder.join("test_X.bin");
    let whole = fs::read(&pictures).unwrap();
    fs::write(&pictures, &whole[..RECORD]).unwrap();
    let message = error(root.path(), "test");
    assert!(message.contains("test_y.bin: holds 2 labels for the 1 pictures of "), "{message}");
    fs::write(&pictures, &whole[..RECORD + 5]).unwrap();
    fs::write(folder.join("test_y.bin"), [1]).unwrap();
    let message = error(root.path(), "test");
    let expected = "test_X.bin: record 1 (counted from 0) is truncated: only 5 of its 27648 bytes are there";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn of_unlabelled_pictures_only_the_size_is_checked() {
    let (root, folder) = stl10(&[1, 2]);
    assert!(check(Layout::Stl10, root.path(), "train").unwrap().problems.is_empty());
    fs::write(folder.join("unlabeled_X.bin"), vec![0; RECORD + 1]).unwrap();
    let report = check(Layout::Stl10, root.path(), "train").unwrap();
    assert_eq!((report.pictures, report.problems.len()), (2, 1));
    assert!(report.problems[0].to_string().contains("unlabeled_X.bin: record 1 "));
}

#[test]
fn check_tells_all_problems_of_a_split_at_once() {
    let (root, folder) = stl10(&[1, 2]);
    fs::write(folder.join("class_names.txt"), "cat\n").unwrap();
    let pictures = fs::read(folder.join("train_X.bin")).unwrap();
    fs::write(folder.join("train_X.bin"), &pictures[..RECORD - 1]).unwrap();
    fs::write(folder.join("unlabeled_X.bin"), "").unwrap();
    let problems = check(Layout::Stl10, root.path(), "train").unwrap().problems;
    let expected = ["names 1 classes", "record 0 (counted from 0) is truncated", "2 labels for the 0", "is empty"];
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.to_string().contains(expected), "{problem}");
    }
    assert_eq!(problems.len(), expected.len());
}
