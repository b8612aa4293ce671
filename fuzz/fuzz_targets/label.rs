//! A mask of ids, of class indices, or of colors.
#![no_main]

use infoseg::data::masks::MaskFormat;
use infoseg::task::ClassSet;
use infoseg::task::class_set::{LayoutKeys, MasksAre};
use infoseg_fuzz::with_files;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    with_files(&[("a_gtFine_labelIds.png", bytes)], |folder| {
        let path = folder.join("a_gtFine_labelIds.png");
        let classes = ClassSet::cityscapes();
        let colors = LayoutKeys { masks_are: MasksAre::Colors, ..LayoutKeys::default() };
        let _ = MaskFormat::ids(classes.clone()).inspect(&path);
        let _ = MaskFormat::indices(classes.clone()).read(&path);
        let _ = MaskFormat::of(classes, &colors).read(&path);
    });
});
