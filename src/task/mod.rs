//! What a network learns: class sets.

pub mod class_set;

pub use class_set::{Class, ClassSet, IGNORE_INDEX};

/// What a network is trained to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// A class for each pixel.
    Segmentation,
    /// A class for each picture.
    Classification,
}
