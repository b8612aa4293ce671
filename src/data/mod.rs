//! Pictures and labels: dataset formats, augmentation and the loader.

pub mod labels;
