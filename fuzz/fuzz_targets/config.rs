//! A configuration file, or a class set.
#![no_main]

use infoseg::config::RunConfig;
use infoseg::task::class_set::ClassFile;
use infoseg_fuzz::with_files;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    with_files(&[("config.toml", bytes)], |folder| {
        drop(RunConfig::load_file(&folder.join("config.toml")));
        drop(ClassFile::read(&folder.join("config.toml")));
    });
});
