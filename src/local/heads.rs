//! The small networks beside a local module: the decoder that reconstructs the image (the paper's `w`), and the task
//! head. They train with the module and are gone at inference.

use super::config::{DecoderKind, LocalConfig, TaskLoss};
use super::method::HeadKind;
use super::pooled::{self, Features, PooledHead};
use crate::net::{Conv2d, ConvBnAct, FcnHead, FeatureShape, Footprint, Init, Pass};
use burn::module::Module;
use burn::tensor::Tensor;

/// Reconstructs the image from features; the sigmoid is part of the loss. BatchNorm and ReLU follow every convolution but
/// the last.
///
/// Stepwise: 1×1 convolution, then (bilinear upsampling, 3×3 convolution) once per entry of `decoder_channels`. Direct:
/// bilinear upsampling to the image's size, then a 3×3 convolution per entry and one to the colors.
#[derive(Module, Debug)]
pub struct ReconDecoder {
    /// 1×1; stepwise alone.
    pub squeeze: Option<ConvBnAct>,
    /// 3×3, each behind an upsampling where it goes stepwise.
    pub convs: Vec<ConvBnAct>,
    /// 3×3 to the three colors.
    pub last: Conv2d,
}

impl ReconDecoder {
    /// For features of `channels_in` channels.
    pub fn new(init: &mut Init, channels_in: usize, config: &LocalConfig) -> Self {
        let channels = decoder_channels(config);
        match config.decoder {
            DecoderKind::Stepwise => {
                let squeeze = Some(ConvBnAct::same(init, [channels_in, channels[0]], 1, 1, 1));
                let convs = in_a_row(init, &channels);
                Self { squeeze, convs, last: Conv2d::last(init, [channels[channels.len() - 1], 3], 3) }
            }
            DecoderKind::Direct => {
                let convs = in_a_row(init, &[&[channels_in], channels.as_slice()].concat());
                Self { squeeze: None, convs, last: Conv2d::biased(init, [channels[channels.len() - 1], 3]) }
            }
        }
    }

    /// `[batch, channels, h, w]` to logits `[batch, 3, height, width]` of the image whose size is `picture`.
    pub fn forward(&self, x: Tensor<4>, picture: [usize; 2], pass: &Pass) -> Tensor<4> {
        let Some(squeeze) = &self.squeeze else {
            let Some((first, others)) = self.convs.split_first() else {
                return self.last.forward_resized(x, picture);
            };
            let x = first.forward_resized(x, picture, pass);
            return self.last.forward(others.iter().fold(x, |x, conv| conv.forward(x, pass)));
        };
        let sizes = upsampled_sizes(picture, self.convs.len() + 1);
        let x = squeeze.forward(x, pass);
        let units = self.convs.iter().zip(&sizes);
        let x = units.fold(x, |x, (conv, &size)| conv.forward_resized(x, size, pass));
        self.last.forward_resized(x, picture)
    }
}

/// Sizes of the decoder's `n` upsamplings: the image's last, half of what follows before. From stride 2ⁿ each is the
/// paper's ×2; from any other stride the first makes up for the difference.
fn upsampled_sizes([height, width]: [usize; 2], n: usize) -> Vec<[usize; 2]> {
    (0..n).rev().map(|halvings| [height.div_ceil(1 << halvings), width.div_ceil(1 << halvings)]).collect()
}

/// 3×3 units from each of these channel counts to the next.
fn in_a_row(init: &mut Init, channels: &[usize]) -> Vec<ConvBnAct> {
    channels.windows(2).map(|pair| ConvBnAct::same(init, [pair[0], pair[1]], 3, 1, 1)).collect()
}

fn decoder_channels(config: &LocalConfig) -> Vec<usize> {
    let widen = match config.decoder {
        DecoderKind::Stepwise => 1.0,
        DecoderKind::Direct => config.widen,
    };
    config.decoder_channels.iter().map(|&channels| ((channels as f64 * widen) as usize).max(1)).collect()
}

/// A local module's task head: features to class scores, or to embeddings.
#[derive(Module, Debug)]
pub enum LocalHead {
    /// 3×3 convolution, BatchNorm, ReLU, spatial dropout, 1×1 convolution.
    Conv(FcnHead),
    /// 1×1 convolution: greedy supervised learning.
    Linear(Conv2d),
    /// One vector an image: classification.
    Pooled(PooledHead),
}

impl LocalHead {
    /// The head that `config` asks for.
    pub fn new(init: &mut Init, features: Features, config: &LocalConfig, num_classes: usize, dropout: f64) -> Self {
        let channels = features.shape.channels;
        let outputs = outputs(config, num_classes);
        match config.head_kind() {
            HeadKind::Linear => Self::Linear(Conv2d::last(init, [channels, outputs], 1)),
            HeadKind::Conv => Self::Conv(FcnHead::new(init, [channels, config.head_channels, outputs], dropout)),
            HeadKind::Pooled(kind) => Self::Pooled(PooledHead::new(init, kind, config, features, outputs)),
        }
    }

    /// `[batch, channels, h, w]` to `[batch, classes or dimensions, h, w]`, of classification `[batch, …, 1, 1]`.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        match self {
            Self::Conv(head) => head.forward(x, pass),
            Self::Linear(head) => head.forward(x),
            Self::Pooled(head) => head.forward(x, pass),
        }
    }
}

const fn outputs(config: &LocalConfig, num_classes: usize) -> usize {
    match config.task_loss {
        TaskLoss::Softmax => num_classes,
        TaskLoss::Contrast => config.feature_dim,
    }
}

/// What a task head behind these features costs.
pub fn head_footprint(config: &LocalConfig, features: Features, num_classes: usize) -> Footprint {
    let x = features.shape;
    let outputs = outputs(config, num_classes);
    let last = |x: FeatureShape| Footprint::conv(x, x.with_channels(outputs), x.channels * outputs);
    match config.head_kind() {
        HeadKind::Linear => last(x),
        HeadKind::Conv => {
            let hidden = Footprint::unit(x, config.head_channels, 3, 1);
            hidden.then(last(hidden.output)) // dropout's output is kept in place of its input
        }
        HeadKind::Pooled(kind) => pooled::footprint(kind, config, features, outputs),
    }
}

/// What the decoder behind these features costs.
pub fn decoder_footprint(config: &LocalConfig, x: FeatureShape, picture: FeatureShape) -> Footprint {
    let channels = decoder_channels(config);
    let whole = [picture.height, picture.width];
    // A convolution keeps its input before it is resized, which is the output that the unit before it keeps anyway.
    let resized = |before: Footprint, [height, width]: [usize; 2]| FeatureShape { height, width, ..before.output };
    let unit = |before: Footprint, size: [usize; 2], to: usize| {
        let unit = Footprint::unit(resized(before, size), to, 3, 1);
        before.then(Footprint { working: unit.output.len() + before.output.len(), ..unit })
    };
    let same = |before: Footprint, to: usize| unit(before, [before.output.height, before.output.width], to);
    let before_last = match config.decoder {
        DecoderKind::Direct => {
            let first = unit(Footprint::nothing(x), whole, channels[0]);
            channels[1..].iter().fold(first, |before, &to| same(before, to))
        }
        DecoderKind::Stepwise => {
            let sizes = upsampled_sizes(whole, channels.len());
            let squeezed = Footprint::unit(x, channels[0], 1, 1);
            channels[1..].iter().zip(&sizes).fold(squeezed, |before, (&to, &size)| unit(before, size, to))
        }
    };
    let full = resized(before_last, whole);
    let last = Footprint::conv(full, full.with_channels(3), 27 * full.channels);
    before_last.then(Footprint { working: last.output.len() + before_last.output.len(), ..last })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults_for;
    use crate::data::config::DatasetKind;

    #[test]
    fn the_decoder_reaches_any_picture_size_from_any_stride() {
        assert_eq!(upsampled_sizes([64, 128], 3), [[16, 32], [32, 64], [64, 128]]);
        assert_eq!(upsampled_sizes([65, 33], 3), [[17, 9], [33, 17], [65, 33]]);
        let device = burn::tensor::Device::flex();
        let mut config = defaults_for(DatasetKind::Synthetic).local;
        config.decoder_channels = vec![8, 6, 5];
        let decoder = ReconDecoder::new(&mut Init::new(1, &device), 4, &config);
        config.decoder = DecoderKind::Direct;
        let direct = ReconDecoder::new(&mut Init::new(1, &device), 4, &config);
        for size in [[3, 5], [9, 17], [33, 65]] {
            let x = Tensor::zeros([2, 4, size[0], size[1]], &device);
            assert_eq!(decoder.forward(x.clone(), [65, 130], &Pass::evaluation()).dims(), [2, 3, 65, 130]);
            assert_eq!(direct.forward(x, [65, 130], &Pass::evaluation()).dims(), [2, 3, 65, 130]);
        }
    }
}
