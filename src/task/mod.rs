//! What a network learns: class sets.

pub mod class_set;

pub use class_set::{Class, ClassSet, IGNORE_INDEX};
