//! A configuration file.
#![no_main]

use infoseg::config::RunConfig;
use infoseg_fuzz::with_files;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    with_files(&[("config.toml", bytes)], |folder| drop(RunConfig::load_file(&folder.join("config.toml"))));
});
