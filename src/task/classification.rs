//! A class for each image.

use super::Task;
use crate::net::config::ModelConfig;
use crate::net::{Init, Network, classification_network};

/// A backbone, its global average and a linear layer; cross-entropy of each image.
#[derive(Debug)]
pub struct Classification;

impl Task for Classification {
    fn unit(&self) -> &'static str {
        "picture"
    }

    fn network(&self, init: &mut Init, model: &ModelConfig, num_classes: usize) -> Network {
        classification_network(init, model, num_classes)
    }

    fn label_size(&self, _: [usize; 2]) -> [usize; 2] {
        [1, 1]
    }

    fn contrasted(&self, images: usize, _: usize) -> usize {
        images
    }
}
