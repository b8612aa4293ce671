//! The small networks beside a local module: the decoder that reconstructs the picture (the paper's `w`), and the task
//! head. They train with the module and are gone at inference.

use super::pooled::{self, Features, PooledHead};
use crate::config::{DecoderKind, LocalConfig, LocalHeadKind, Method, TaskLoss};
use crate::net::{Conv2d, ConvBnAct, FcnHead, FeatureShape, Init, Pass};
use crate::ops;
use burn::module::Module;
use burn::tensor::Tensor;

/// Reconstructs the picture from features; the sigmoid is part of the loss. BatchNorm and ReLU follow every convolution but
/// the last.
///
/// Stepwise: 1×1 convolution, then (bilinear upsampling, 3×3 convolution) once per entry of `decoder_channels`. Direct:
/// bilinear upsampling to the picture's size, then a 3×3 convolution per entry and one to the colours.
#[derive(Module, Debug)]
pub struct ReconDecoder {
    /// 1×1; stepwise alone.
    pub squeeze: Option<ConvBnAct>,
    /// 3×3, each behind an upsampling where it goes stepwise.
    pub convs: Vec<ConvBnAct>,
    /// 3×3 to the three colours.
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

    /// `[batch, channels, h, w]` to logits `[batch, 3, height, width]` of the picture whose size is `picture`.
    pub fn forward(&self, x: Tensor<4>, picture: [usize; 2], pass: &Pass) -> Tensor<4> {
        let Some(squeeze) = &self.squeeze else {
            let x = ops::resize_bilinear(x, picture, true);
            return self.last.forward(self.convs.iter().fold(x, |x, conv| conv.forward(x, pass)));
        };
        let sizes = upsampled_sizes(picture, self.convs.len() + 1);
        let x = squeeze.forward(x, pass);
        let x = self
            .convs
            .iter()
            .zip(&sizes)
            .fold(x, |x, (conv, &size)| conv.forward(ops::resize_bilinear(x, size, true), pass));
        self.last.forward(ops::resize_bilinear(x, picture, true))
    }
}

/// Sizes of the decoder's `n` upsamplings: the picture's last, half of what follows before. From stride 2ⁿ each is the
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
    /// One vector a picture: classification.
    Pooled(PooledHead),
}

impl LocalHead {
    /// The head that `config` asks for.
    pub fn new(init: &mut Init, features: Features, config: &LocalConfig, num_classes: usize, dropout: f64) -> Self {
        let channels = features.shape.channels;
        let outputs = match config.task_loss {
            TaskLoss::Softmax => num_classes,
            TaskLoss::Contrast => config.feature_dim,
        };
        match (config.head, config.method) {
            (LocalHeadKind::Fcn, Method::Greedy) => Self::Linear(Conv2d::last(init, [channels, outputs], 1)),
            (LocalHeadKind::Fcn, Method::Infopro | Method::Dgl | Method::E2e) => {
                Self::Conv(FcnHead::new(init, [channels, config.head_channels, outputs], dropout))
            }
            _ => Self::Pooled(PooledHead::new(init, pooled_kind(config), config, features, outputs)),
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

const fn pooled_kind(config: &LocalConfig) -> LocalHeadKind {
    match config.method {
        Method::Greedy => LocalHeadKind::C0F1,
        Method::Infopro | Method::Dgl | Method::E2e => config.head,
    }
}

/// Values that the heads behind these features keep for their backward, for each picture.
pub fn footprint(config: &LocalConfig, features: Features, picture: FeatureShape) -> usize {
    let pixels = features.shape.height * features.shape.width;
    let head = match (config.head, config.method) {
        (LocalHeadKind::Fcn, Method::Greedy) => 0,
        (LocalHeadKind::Fcn, Method::Infopro | Method::Dgl | Method::E2e) => 3 * config.head_channels * pixels,
        _ => pooled::footprint(pooled_kind(config), config, features),
    };
    let reconstructs = config.method == Method::Infopro && config.recon_weight != [0.0, 0.0];
    head + if reconstructs { decoder_footprint(config, features.shape, picture) } else { 0 }
}

/// Those of the decoder alone.
pub fn decoder_footprint(config: &LocalConfig, x: FeatureShape, picture: FeatureShape) -> usize {
    let pixels = x.height * x.width;
    let channels = decoder_channels(config);
    if config.decoder == DecoderKind::Direct {
        let upsampled = if pixels == picture.height * picture.width { 0 } else { x.channels };
        let values = upsampled + 2 * channels.iter().sum::<usize>() + 3;
        return values * picture.height * picture.width;
    }
    let sizes = upsampled_sizes([picture.height, picture.width], channels.len());
    let mut kept = 2 * channels[0] * pixels;
    for (i, [height, width]) in sizes.into_iter().enumerate() {
        let outputs = channels.get(i + 1).map_or(3, |&outputs| 2 * outputs);
        kept += (channels[i] + outputs) * height * width;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Dataset, defaults_for};

    #[test]
    fn the_decoder_reaches_any_picture_size_from_any_stride() {
        assert_eq!(upsampled_sizes([64, 128], 3), [[16, 32], [32, 64], [64, 128]]);
        assert_eq!(upsampled_sizes([65, 33], 3), [[17, 9], [33, 17], [65, 33]]);
        let device = burn::tensor::Device::flex();
        let mut config = defaults_for(Dataset::Synthetic).local;
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
