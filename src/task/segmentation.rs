//! A class for each pixel.

use super::Task;
use crate::net::config::ModelConfig;
use crate::net::{Init, Network, deeplab};

/// DeepLabV3 on a dilated backbone; cross-entropy of each labelled pixel.
#[derive(Debug)]
pub struct Segmentation;

impl Task for Segmentation {
    fn unit(&self) -> &'static str {
        "pixel"
    }

    fn network(&self, init: &mut Init, model: &ModelConfig, num_classes: usize) -> Network {
        deeplab(init, model, num_classes)
    }

    fn label_size(&self, image: [usize; 2]) -> [usize; 2] {
        image
    }

    fn contrasted(&self, _: usize, samples: usize) -> usize {
        samples
    }
}
