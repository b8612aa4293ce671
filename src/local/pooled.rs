//! Local task heads of classification: features to one vector an image.
//!
//! `<a>c<b>f` is a 3×3 convolutions, global average, b linear layers, as the reference names them. Its convolutions double
//! the channels up to the network's most, and halve the size as long as the network itself still will.

use super::config::{LocalConfig, LocalHeadKind};
use crate::net::{Conv2d, ConvBnAct, FeatureShape, Footprint, Init, Pass};
use crate::ops::global_average;
use burn::module::Module;
use burn::tensor::{Tensor, activation};

/// What a local head is told of the features it reads.
#[derive(Debug, Clone, Copy)]
pub struct Features {
    /// Their shape.
    pub shape: FeatureShape,
    /// Whether a later block makes them smaller.
    pub gets_coarser: bool,
    /// Channels of the widest features of the network.
    pub most_channels: usize,
}

/// Convolutions, global average, linear layers with ReLU between.
#[derive(Module, Debug)]
pub struct PooledHead {
    /// Before the average.
    pub convs: Vec<ConvBnAct>,
    /// Behind it.
    pub linears: Vec<Conv2d>,
}

/// One unit: kernel, stride, channels out.
type Unit = (usize, usize, usize);

/// The units before the average, and the widths of the hidden linear layers behind it.
fn plan(kind: LocalHeadKind, config: &LocalConfig, features: Features) -> (Vec<Unit>, Vec<usize>) {
    let widened = |channels: usize| ((channels as f64 * config.widen) as usize).max(1);
    let doubled = widened((2 * features.shape.channels).min(features.most_channels));
    let first = (3, if features.gets_coarser { 2 } else { 1 }, doubled);
    let hidden = widened(config.feature_dim);
    match kind {
        LocalHeadKind::C0F1 | LocalHeadKind::Fcn => (vec![], vec![]),
        LocalHeadKind::C0F2 => (vec![], vec![hidden]),
        LocalHeadKind::C1F1 => (vec![first], vec![]),
        LocalHeadKind::C1F2 => (vec![first], vec![hidden]),
        LocalHeadKind::C1F3 => (vec![first], vec![hidden, hidden]),
        LocalHeadKind::C2F2 => (vec![first, (3, 1, doubled)], vec![hidden]),
        LocalHeadKind::Imagenet => (vec![(1, 1, 128), (3, 2, 256), (3, 2, 512), (1, 1, 2048)], vec![]),
    }
}

impl PooledHead {
    /// A head of this kind with so many `outputs`: classes, or dimensions of an embedding.
    pub fn new(init: &mut Init, kind: LocalHeadKind, config: &LocalConfig, features: Features, outputs: usize) -> Self {
        let (units, hidden) = plan(kind, config, features);
        let mut channels = features.shape.channels;
        let mut widen_to = |to: usize| [std::mem::replace(&mut channels, to), to];
        let convs = units
            .into_iter()
            .map(|(kernel, stride, to)| ConvBnAct::same(init, widen_to(to), kernel, stride, 1))
            .collect();
        let linears = hidden.into_iter().chain([outputs]).map(|to| Conv2d::linear(init, widen_to(to))).collect();
        Self { convs, linears }
    }

    /// `[batch, channels, h, w]` to `[batch, outputs, 1, 1]`.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let x = self.convs.iter().fold(x, |x, conv| conv.forward(x, pass));
        let x = global_average(x);
        let (last, hidden) = self.linears.split_last().expect("a head has its last layer");
        last.forward(hidden.iter().fold(x, |x, linear| activation::relu(linear.forward(x))))
    }
}

/// What the head costs.
pub fn footprint(kind: LocalHeadKind, config: &LocalConfig, features: Features, outputs: usize) -> Footprint {
    let (units, hidden) = plan(kind, config, features);
    let convs = units.into_iter().fold(Footprint::nothing(features.shape), |before, (kernel, stride, channels)| {
        before.then(Footprint::unit(before.output, channels, kernel, stride))
    });
    let pooled = FeatureShape { height: 1, width: 1, ..convs.output };
    let average = Footprint { kept: pooled.len(), working: convs.output.len(), ..Footprint::nothing(pooled) };
    hidden.into_iter().chain([outputs]).fold(convs.then(average), |before, to| {
        let linear = Footprint::conv(before.output, pooled.with_channels(to), before.output.channels * to);
        before.then(Footprint { parameters: linear.parameters + to, ..linear }.keeping(to)) // behind its ReLU again
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults_for;
    use crate::data::config::DatasetKind;
    use crate::net::layers::trainable;
    use burn::tensor::Device;

    fn parameters(kind: LocalHeadKind, channels: usize, gets_coarser: bool) -> usize {
        let shape = FeatureShape { channels, height: 8, width: 8 };
        let features = Features { shape, gets_coarser, most_channels: 64 };
        let (device, config) = (Device::flex(), defaults_for(DatasetKind::Cifar10).local);
        let head = PooledHead::new(&mut Init::new(1, &device), kind, &config, features, 10);
        let y = head.forward(Tensor::zeros([2, channels, 8, 8], &device), &Pass::evaluation());
        assert_eq!(y.dims(), [2, 10, 1, 1], "{kind:?}");
        trainable(&head)
    }

    /// Sums of the reference's layers for 16, 32 and 64 channels, 128 hidden features, ten classes.
    #[test]
    fn heads_are_the_reference_s() {
        let linear = |cin: usize, cout: usize| cin * cout + cout;
        let conv = |cin: usize, cout: usize| 9 * cin * cout + 2 * cout;
        use LocalHeadKind as H;
        assert_eq!(parameters(H::C0F1, 16, true), linear(16, 10));
        assert_eq!(parameters(H::C0F2, 16, true), linear(16, 128) + linear(128, 10));
        assert_eq!(parameters(H::C1F1, 32, true), conv(32, 64) + linear(64, 10));
        assert_eq!(parameters(H::C1F2, 16, true), conv(16, 32) + linear(32, 128) + linear(128, 10));
        assert_eq!(parameters(H::C1F2, 64, false), conv(64, 64) + linear(64, 128) + linear(128, 10));
        let three = linear(32, 128) + linear(128, 128) + linear(128, 10);
        assert_eq!(parameters(H::C1F3, 16, true), conv(16, 32) + three);
        assert_eq!(parameters(H::C2F2, 32, true), conv(32, 64) + conv(64, 64) + linear(64, 128) + linear(128, 10));
    }
}
