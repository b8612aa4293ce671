//! CIFAR-10 and CIFAR-100: pictures, names of classes, the archive they come in.
#![no_main]

use infoseg::data::Dataset;
use infoseg::data::classes::{Classes, Layout};
use infoseg_fuzz::{choice, with_files};

const NAMES: &[u8] = b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((what, bytes)) = choice(bytes, 5) else { return };
    let (layout, file, other) = match what {
        0 => (Layout::Cifar10, "test_batch.bin", ("batches.meta.txt", NAMES)),
        1 => (Layout::Cifar10, "batches.meta.txt", ("test_batch.bin", &[3; 3073][..])),
        2 => (Layout::Cifar100, "test.bin", ("fine_label_names.txt", NAMES)),
        3 => (Layout::Cifar100, "fine_label_names.txt", ("test.bin", &[3; 3074][..])),
        _ => (Layout::Cifar10, "cifar.tar.gz", ("batches.meta.txt", NAMES)),
    };
    with_files(&[other, (file, bytes)], |folder| {
        let root = if what == 4 { folder.join(file) } else { folder.to_path_buf() };
        if let Ok(classes) = Classes::open(layout, &root, "test", 0) {
            (0..classes.len().min(8)).for_each(|i| drop(classes.example(i)));
        }
    });
});
