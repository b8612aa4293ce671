use super::*;
use crate::data::Dataset;
use crate::data::classes::Classes;
use crate::data::classes::check::check;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// Records with these labels; the pixels of record `i` are `y` in red, `x` in green and `i` in blue.
fn records(labels: &[&[u8]]) -> Vec<u8> {
    let pixels = |i: usize| (0..3072_usize).map(move |at| [at % 1024 / 32, at % 32, i][at / 1024] as u8);
    labels.iter().enumerate().flat_map(|(i, labels)| labels.iter().copied().chain(pixels(i))).collect()
}

/// `cifar-10-batches-bin` with these training batches and a test batch, and the folder above it.
fn cifar10(batches: &[usize]) -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("cifar-10-batches-bin");
    fs::create_dir(&folder).unwrap();
    for &number in batches {
        let content = records(&[&[number as u8], &[9]]);
        fs::write(folder.join(format!("data_batch_{number}.bin")), content).unwrap();
    }
    fs::write(folder.join("test_batch.bin"), records(&[&[0], &[1], &[2]])).unwrap();
    let names: Vec<String> = (0..10).map(|class| format!("class {class}")).collect();
    fs::write(folder.join("batches.meta.txt"), names.join("\n") + "\n\n").unwrap();
    (root, folder)
}

fn error(layout: Layout, root: &Path, split: &str) -> String {
    Classes::open(layout, root, split, 0).unwrap_err().to_string()
}

fn archived(folder: &Path) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    archive.append_dir_all("cifar-10-batches-bin", folder).unwrap();
    archive.into_inner().unwrap().finish().unwrap()
}

#[test]
fn batches_follow_each_other_from_the_folder_or_the_one_above() {
    let (root, folder) = cifar10(&[1, 2, 3, 4, 5]);
    for root in [root.path(), &folder] {
        let classes = Classes::open(Layout::Cifar10, root, "train", 0).unwrap();
        assert_eq!((0..classes.len()).map(|i| classes.class(i)).collect::<Vec<_>>(), [1, 9, 2, 9, 3, 9, 4, 9, 5, 9]);
        assert_eq!(classes.classes().names()[9], "class 9");
        let picture = classes.example(3).unwrap();
        assert_eq!((picture.name.as_str(), picture.label[[0, 0]]), ("data_batch_2_00001", 9));
        for ((y, x, channel), &value) in picture.image.indexed_iter() {
            assert_eq!(usize::from(value), [y, x, 1][channel], "at ({y}, {x}, {channel})");
        }
        assert_eq!(Classes::open(Layout::Cifar10, root, "test", 0).unwrap().len(), 3);
    }
}

#[test]
fn a_small_set_has_fewer_batches_but_no_gap() {
    let (root, _) = cifar10(&[1, 2]);
    assert_eq!(Classes::open(Layout::Cifar10, root.path(), "train", 0).unwrap().len(), 4);
    let (root, folder) = cifar10(&[1, 2, 4]);
    let expected = folder.join("data_batch_3.bin").display().to_string()
        + ": is missing, but data_batch_4.bin is there; get the file again";
    assert_eq!(error(Layout::Cifar10, root.path(), "train"), expected);
    let (root, _) = cifar10(&[2]);
    assert!(error(Layout::Cifar10, root.path(), "train").contains("data_batch_1.bin: "));
    let (root, _) = cifar10(&[]);
    assert!(error(Layout::Cifar10, root.path(), "train").contains("data_batch_1.bin: is missing; get the file again"));
}

#[test]
fn the_archive_is_read_as_it_is() {
    let (root, folder) = cifar10(&[1, 2, 3, 4, 5]);
    let (archive, bytes) = (root.path().join("cifar-10-binary.tar.gz"), archived(&folder));
    fs::write(&archive, &bytes).unwrap();
    let from_archive = Classes::open(Layout::Cifar10, &archive, "train", 0).unwrap();
    let from_folder = Classes::open(Layout::Cifar10, &folder, "train", 0).unwrap();
    assert_eq!(from_archive.len(), 10);
    for i in 0..10 {
        assert_eq!(from_archive.example(i).unwrap(), from_folder.example(i).unwrap());
    }
    for length in [1, 10, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&archive, &bytes[..length]).unwrap();
        let error = error(Layout::Cifar10, &archive, "test");
        let expected = "cannot be unpacked as .tar.gz (the file ends too early); get the archive again";
        assert!(error.ends_with(expected), "{length} bytes: {error}");
    }
    fs::write(&archive, "<html>404</html>").unwrap();
    assert!(error(Layout::Cifar10, &archive, "test").contains("cannot be unpacked as .tar.gz ("));
    fs::remove_file(folder.join("test_batch.bin")).unwrap();
    fs::write(&archive, archived(&folder)).unwrap();
    let error = error(Layout::Cifar10, &archive, "test");
    assert!(error.ends_with("cifar-10-binary.tar.gz/test_batch.bin: is missing; get the file again"), "{error}");
}

#[test]
fn a_truncated_batch_is_told_with_file_and_record() {
    let (root, folder) = cifar10(&[1, 2]);
    let path = folder.join("data_batch_2.bin");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..4000]).unwrap();
    let wrong = "record 1 (counted from 0) is truncated: only 927 of its 3073 bytes are there; get the file again";
    assert_eq!(error(Layout::Cifar10, root.path(), "train"), format!("{}: {wrong}", path.display()));
    fs::write(&path, "").unwrap();
    assert!(error(Layout::Cifar10, root.path(), "train").ends_with("data_batch_2.bin: is empty; get the file again"));
}

#[test]
fn labels_out_of_range_are_all_told_by_check() {
    let (root, folder) = cifar10(&[1]);
    fs::write(folder.join("data_batch_1.bin"), records(&[&[3], &[10], &[255]])).unwrap();
    let expected = |record: u8, label: u8| {
        let path = folder.join("data_batch_1.bin").display().to_string();
        format!("{path}: record {record} (counted from 0) has the label {label}, which is no class; expected 0 to 9")
    };
    assert_eq!(error(Layout::Cifar10, root.path(), "train"), expected(1, 10));
    let report = check(Layout::Cifar10, root.path(), "train").unwrap();
    let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, [expected(1, 10), expected(2, 255)]);
    assert_eq!((report.pictures, report.classes[3].1), (1, 1));
}

#[test]
fn check_goes_on_behind_a_missing_file_and_a_truncated_one() {
    let (root, folder) = cifar10(&[1, 2, 4]);
    fs::remove_file(folder.join("batches.meta.txt")).unwrap();
    let batch = fs::read(folder.join("data_batch_1.bin")).unwrap();
    fs::write(folder.join("data_batch_1.bin"), &batch[..3080]).unwrap();
    let report = check(Layout::Cifar10, root.path(), "train").unwrap();
    let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    let expected = ["batches.meta.txt: is missing", "data_batch_3.bin: is missing", "data_batch_1.bin: record 1 "];
    assert!(problems.iter().zip(expected).all(|(problem, part)| problem.contains(part)), "{problems:?}");
    assert_eq!((problems.len(), report.pictures), (3, 1 + 2 + 2));
}

#[test]
fn cifar100_takes_the_fine_label() {
    let root = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..100).map(|class| format!("fine_{class}")).collect();
    fs::write(root.path().join("fine_label_names.txt"), names.join("\n")).unwrap();
    fs::write(root.path().join("train.bin"), records(&[&[19, 99], &[0, 42]])).unwrap();
    fs::write(root.path().join("test.bin"), records(&[&[1, 100]])).unwrap();
    let classes = Classes::open(Layout::Cifar100, root.path(), "train", 0).unwrap();
    assert_eq!((classes.class(0), classes.class(1), classes.classes().names().len()), (99, 42, 100));
    assert_eq!(classes.example(1).unwrap().image[[4, 7, 1]], 7);
    assert!(error(Layout::Cifar100, root.path(), "test").contains("has the label 100, which is no class"));
}

#[test]
fn a_folder_of_something_else_says_what_is_looked_for() {
    let root = tempfile::tempdir().unwrap();
    let message = error(Layout::Cifar10, root.path(), "test");
    let expected =
        "holds none of test_batch.bin, batches.meta.txt, nor a folder cifar-10-batches-bin/ with one of them";
    assert!(message.contains(expected), "{message}");
    fs::create_dir(root.path().join("cifar-10-batches-py")).unwrap();
    let message = error(Layout::Cifar10, root.path(), "test");
    let expected = "cifar-10-batches-py: is CIFAR-10 for Python; get the binary version, cifar-10-batches-bin/";
    assert!(message.ends_with(expected), "{message}");
    let (root, folder) = cifar10(&[1]);
    fs::write(folder.join("batches.meta.txt"), "airplane\n").unwrap();
    let message = error(Layout::Cifar10, root.path(), "test");
    assert!(message.ends_with("batches.meta.txt: names 1 classes; expected 10, one a line"), "{message}");
}

#[test]
fn an_archive_that_says_to_hold_gigabytes_is_refused() {
    let (root, _) = cifar10(&[1]);
    let mut header = tar::Header::new_gnu();
    header.set_path("cifar-10-batches-bin/test_batch.bin").unwrap();
    header.set_size(1 << 40);
    header.set_cksum();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut gzip, header.as_bytes()).unwrap();
    let archive = root.path().join("cifar-10-binary.tar.gz");
    fs::write(&archive, gzip.finish().unwrap()).unwrap();
    let error = error(Layout::Cifar10, &archive, "test");
    assert!(error.contains("1099511627776 bytes"), "{error}");
}
