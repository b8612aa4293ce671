//! What a network learns: class sets, and tasks, one file each.
//!
//! A new task is a file here and an arm of [`TaskKind::task`]; beside it, what is done to its images in training
//! ([`TrainingSet`](crate::data::training_set::TrainingSet)) and how it is scored ([`Counted`](crate::eval::Counted)).

pub mod class_set;
mod classification;
mod segmentation;

pub use class_set::{Class, ClassSet, IGNORE_INDEX};
pub use classification::Classification;
pub use segmentation::Segmentation;

use crate::net::config::ModelConfig;
use crate::net::{Init, Network};
use crate::ops;
use burn::tensor::{Int, Tensor};
use std::fmt::Debug;

/// What a network is trained to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// A class for each pixel.
    Segmentation,
    /// A class for each image.
    Classification,
}

impl TaskKind {
    /// What goes with it.
    pub const fn task(self) -> &'static dyn Task {
        match self {
            Self::Segmentation => &Segmentation,
            Self::Classification => &Classification,
        }
    }

    /// Whether each pixel has a class, and not the image as a whole.
    pub fn is_dense(self) -> bool {
        self.task().label_size([2, 2]) == [2, 2]
    }
}

/// Network, label and loss of a task.
pub trait Task: Debug + Send + Sync {
    /// What has a class, as a word for a sentence.
    fn unit(&self) -> &'static str;

    /// Backbone and decode head, for this many classes.
    ///
    /// # Panics
    /// If the backbone is none for this task, which the check of a configuration refuses.
    fn network(&self, init: &mut Init, model: &ModelConfig, num_classes: usize) -> Network;

    /// Size `[height, width]` of the label of an image of this size.
    fn label_size(&self, image: [usize; 2]) -> [usize; 2];

    /// Embeddings that a contrastive loss compares: of a batch of this many images, or of this many samples of it.
    fn contrasted(&self, images: usize, samples: usize) -> usize;

    /// Loss of class scores `[batch, classes, h, w]`, which are resized to the label `[batch, height, width]`: `[1]`, the mean
    /// over what is labelled.
    fn loss(&self, scores: Tensor<4>, label: Tensor<3, Int>, align_corners: bool) -> Tensor<1> {
        ops::upsample_cross_entropy(scores, label, align_corners)
    }
}
