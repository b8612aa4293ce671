//! STL-10: pictures, labels, folds.
#![no_main]

use infoseg::data::Dataset;
use infoseg::data::classes::{Classes, Layout};
use infoseg_fuzz::{choice, with_files};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((what, bytes)) = choice(bytes, 3) else { return };
    let (pictures, names) = (vec![7; 2 * 96 * 96 * 3], b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
    let (pictures, labels, folds): (&[u8], &[u8], &[u8]) = match what {
        0 => (bytes, &[1, 2], b"0 1\n"),
        1 => (&pictures, bytes, b"0 1\n"),
        _ => (&pictures, &[1, 2], bytes),
    };
    let files: [(&str, &[u8]); 4] =
        [("train_X.bin", pictures), ("train_y.bin", labels), ("fold_indices.txt", folds), ("class_names.txt", names)];
    with_files(&files, |folder| {
        for split in ["train", "train0"] {
            if let Ok(classes) = Classes::open(Layout::Stl10, folder, split, 0) {
                (0..classes.len().min(8)).for_each(|i| drop(classes.example(i)));
            }
        }
    });
});
