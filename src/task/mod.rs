//! What is learned: the classes that are told apart.

pub mod class_set;

pub use class_set::{Class, ClassSet, IGNORE_INDEX};
