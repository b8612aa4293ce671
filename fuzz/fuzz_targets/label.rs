//! A label, or the instances beside it.
#![no_main]

use infoseg::data::id_png::{load_instances, load_label, load_label_ids, train_ids};
use infoseg_fuzz::with_files;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    with_files(&[("a_gtFine_labelIds.png", bytes)], |folder| {
        let path = folder.join("a_gtFine_labelIds.png");
        if let Ok(label) = load_label(&path) {
            let _ = train_ids(&path, label);
        }
        let _ = load_label_ids(&path);
        let _ = load_instances(&path);
    });
});
