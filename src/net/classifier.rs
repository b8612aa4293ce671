//! The head of a classification network.

use super::layers::{BatchNorm, Conv2d, Init, Pass};
use super::{FeatureShape, Footprint};
use crate::ops::{Act, global_average};
use burn::module::Module;
use burn::tensor::Tensor;

/// Global average and a linear layer. An image's class is the label of its one pixel: whatever handles a map of scores
/// handles this one.
#[derive(Module, Debug)]
pub struct ClassHead {
    /// BatchNorm and ReLU in front, where the blocks do not end with them (DenseNet).
    pub norm: Option<BatchNorm>,
    /// To class scores.
    pub classifier: Conv2d,
}

impl ClassHead {
    /// `channels`: those of the features, and the number of classes.
    pub fn new(init: &mut Init, channels: [usize; 2], with_norm: bool) -> Self {
        let norm = with_norm.then(|| BatchNorm::new(init, channels[0]));
        Self { norm, classifier: Conv2d::linear(init, channels) }
    }

    /// `[batch, channels, h, w]` to scores `[batch, classes, 1, 1]`.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let x = match &self.norm {
            Some(norm) => norm.forward(x, None, Act::Relu, pass),
            None => x,
        };
        self.classifier.forward(global_average(x))
    }

    /// See [`super::Block::footprint`].
    pub fn footprint(&self, x: FeatureShape) -> Footprint {
        let normalized = if self.norm.is_some() { x.len() } else { 0 };
        let pooled = FeatureShape { height: 1, width: 1, ..x };
        let average = Footprint { kept: normalized + pooled.len(), working: x.len(), ..Footprint::nothing(pooled) };
        let scale_shift = self.norm.as_ref().map_or(0, |norm| 2 * norm.gamma.dims()[0]);
        let average = Footprint { parameters: scale_shift, ..average };
        average.then(self.classifier.footprint(pooled))
    }
}
