//! The networks that are trained afresh on frozen features.

use crate::config::LocalConfig;
use crate::local::{ReconDecoder, Targets};
use crate::net::{Conv2d, ConvBnAct, FeatureShape, Init, Pass, Residual};
use crate::ops::{self, global_average};
use crate::task::TaskKind;
use burn::module::Module;
use burn::tensor::Tensor;

/// Channels within a classifier.
const WIDTH: usize = 64;

/// A decoder and a classifier behind one block.
#[derive(Module, Debug)]
pub struct Probe {
    decoder: ReconDecoder,
    classifier: Classifier,
}

/// A 3×3 unit and two residual blocks of 64 channels, then a linear layer: on each pixel, or on the mean of all.
///
/// Enough to make use of what is not yet linearly separable, as features of early blocks are. Each of the three halves the
/// size while it is above what the task needs (8 pixels a side, of segmentation an eighth of the image), so that probes
/// behind early and late blocks see about as much.
#[derive(Module, Debug)]
struct Classifier {
    first: ConvBnAct,
    body: Vec<Residual>,
    last: Conv2d,
    pooled: bool,
}

impl Classifier {
    fn new(init: &mut Init, task: TaskKind, features: FeatureShape, picture: FeatureShape, num_classes: usize) -> Self {
        let pooled = !task.is_dense();
        let enough = if pooled { 8 } else { picture.height.div_ceil(8) };
        let mut height = features.height;
        let mut stride = || {
            let stride = if height > enough { 2 } else { 1 };
            height = height.div_ceil(stride);
            stride
        };
        let first = ConvBnAct::same(init, [features.channels, WIDTH], 3, stride(), 1);
        let body = (0..2).map(|_| Residual::basic(init, [WIDTH, WIDTH], stride(), 1)).collect();
        let last = if pooled {
            Conv2d::linear(init, [WIDTH, num_classes])
        } else {
            Conv2d::last(init, [WIDTH, num_classes], 1)
        };
        Self { first, body, last, pooled }
    }

    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let x = self.first.forward(x, pass);
        let x = self.body.iter().fold(x, |x, block| block.forward(x, pass));
        self.last.forward(if self.pooled { global_average(x) } else { x })
    }
}

impl Probe {
    /// For `features` of images of the size `picture`. Only the kind and the channels of `decoder` are used.
    pub fn new(
        init: &mut Init,
        task: TaskKind,
        features: FeatureShape,
        picture: FeatureShape,
        decoder: &LocalConfig,
        num_classes: usize,
    ) -> Self {
        Self {
            decoder: ReconDecoder::new(init, features.channels, decoder),
            classifier: Classifier::new(init, task, features, picture, num_classes),
        }
    }

    /// Binary cross-entropy of the image plus cross-entropy of the label: `[1]`. Neither network feels the other's, as
    /// nothing flows into the features.
    pub fn loss(&self, features: Tensor<4>, targets: &Targets, pass: &Pass) -> Tensor<1> {
        let drawn = self.decoder.forward(features.clone(), targets.size, pass);
        let scores = self.classifier.forward(features, pass);
        ops::bce_with_logits(drawn, targets.image.clone())
            + ops::upsample_cross_entropy(scores, targets.label.clone(), false)
    }

    /// For features `[batch, channels, h, w]` outside autodiff: logits of the image `[batch, 3, height, width]` and of the
    /// label `[batch, classes, …]`.
    pub fn outputs(&self, features: Tensor<4>, picture: [usize; 2]) -> (Tensor<4>, Tensor<4>) {
        let (net, pass) = (self.valid(), Pass::evaluation());
        (net.decoder.forward(features.clone(), picture, &pass), net.classifier.forward(features, &pass))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DatasetKind, defaults_for};
    use crate::net::layers::trainable;
    use burn::tensor::Device;

    #[test]
    fn probes_of_all_blocks_are_about_as_large_and_see_as_much() {
        let device = Device::flex();
        let decoder = defaults_for(DatasetKind::Cifar10).local;
        let picture = FeatureShape { channels: 3, height: 32, width: 32 };
        let probe = |channels: usize, side: usize| {
            let features = FeatureShape { channels, height: side, width: side };
            let probe =
                Probe::new(&mut Init::new(1, &device), TaskKind::Classification, features, picture, &decoder, 10);
            let x = Tensor::zeros([2, channels, side, side], &device);
            let map = probe.classifier.first.forward(x.clone(), &Pass::evaluation());
            let map = probe.classifier.body.iter().fold(map, |x, block| block.forward(x, &Pass::evaluation()));
            assert_eq!(map.dims(), [2, WIDTH, 8, 8]);
            let (drawn, scores) = probe.outputs(x, [32, 32]);
            assert_eq!((drawn.dims(), scores.dims()), ([2, 3, 32, 32], [2, 10, 1, 1]));
            trainable(&probe.classifier)
        };
        let (early, late) = (probe(16, 32), probe(64, 8));
        assert!(early < late && late < early + 9 * 64 * 64, "{early} and {late}");
    }
}
