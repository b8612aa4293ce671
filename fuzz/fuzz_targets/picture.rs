//! A picture: PNG or JPEG.
#![no_main]

use infoseg::data::cityscapes::load_image;
use infoseg_fuzz::with_files;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    with_files(&[("picture.png", bytes)], |folder| {
        if let Ok(image) = load_image(&folder.join("picture.png")) {
            assert_eq!(image.dim().2, 3);
        }
    });
});
