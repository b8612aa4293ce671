//! A picture: PNG or JPEG.
#![no_main]

use infoseg::data::cityscapes::load_image;
use infoseg_fuzz::{only_what_escapes, with_files};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    only_what_escapes(); // the decoder of JPEGs
    with_files(&[("picture.png", bytes)], |folder| {
        if let Ok(image) = load_image(&folder.join("picture.png")) {
            assert_eq!(image.dim().2, 3);
        }
    });
});
