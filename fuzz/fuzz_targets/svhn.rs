//! SVHN: a file of MATLAB's, with zlib streams inside.
#![no_main]

use infoseg::data::Dataset;
use infoseg::data::classes::{Classes, Layout};
use infoseg_fuzz::with_files;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    with_files(&[("test_32x32.mat", bytes)], |folder| {
        if let Ok(classes) = Classes::open(Layout::Svhn, folder, "test", 0) {
            (0..classes.len().min(8)).for_each(|i| drop(classes.example(i)));
        }
    });
});
