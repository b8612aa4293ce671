//! The small networks beside a local module: the decoder that reconstructs the picture (the paper's `w`), and the task
//! head. They train with the module and are gone at inference.

use crate::config::{LocalConfig, Method, TaskLoss};
use crate::net::{Conv2d, ConvBnAct, FcnHead, FeatureShape, Init, Pass};
use crate::ops;
use burn::module::Module;
use burn::tensor::Tensor;

/// Dimensions of a contrastive embedding.
pub const EMBEDDING: usize = 128;

/// Reconstructs the picture from features: 1×1 convolution, then (bilinear upsampling, 3×3 convolution) once per entry of
/// `decoder_channels`, with BatchNorm and ReLU between; the sigmoid is part of the loss.
#[derive(Module, Debug)]
pub struct ReconDecoder {
    /// 1×1.
    pub squeeze: ConvBnAct,
    /// 3×3, each behind an upsampling.
    pub convs: Vec<ConvBnAct>,
    /// To the three colours, behind the last upsampling.
    pub last: Conv2d,
}

impl ReconDecoder {
    /// For features of `channels_in` channels.
    pub fn new(init: &mut Init, channels_in: usize, channels: &[usize]) -> Self {
        Self {
            squeeze: ConvBnAct::same(init, [channels_in, channels[0]], 1, 1, 1),
            convs: channels.windows(2).map(|pair| ConvBnAct::same(init, [pair[0], pair[1]], 3, 1, 1)).collect(),
            last: Conv2d::last(init, [channels[channels.len() - 1], 3], 3),
        }
    }

    /// `[batch, channels, h, w]` to logits `[batch, 3, height, width]` of the picture whose size is `picture`.
    pub fn forward(&self, x: Tensor<4>, picture: [usize; 2], pass: &Pass) -> Tensor<4> {
        let sizes = upsampled_sizes(picture, self.convs.len() + 1);
        let x = self.squeeze.forward(x, pass);
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

/// A local module's task head: features to class scores, or to embeddings.
#[derive(Module, Debug)]
pub enum LocalHead {
    /// 3×3 convolution, BatchNorm, ReLU, spatial dropout, 1×1 convolution.
    Conv(FcnHead),
    /// 1×1 convolution: greedy supervised learning.
    Linear(Conv2d),
}

impl LocalHead {
    /// The head that `config` asks for.
    pub fn new(init: &mut Init, channels_in: usize, config: &LocalConfig, num_classes: usize, dropout: f64) -> Self {
        let outputs = match config.task_loss {
            TaskLoss::Softmax => num_classes,
            TaskLoss::Contrast => EMBEDDING,
        };
        match config.method {
            Method::Greedy => Self::Linear(Conv2d::last(init, [channels_in, outputs], 1)),
            Method::Infopro | Method::Dgl | Method::E2e => {
                Self::Conv(FcnHead::new(init, [channels_in, config.head_channels, outputs], dropout))
            }
        }
    }

    /// `[batch, channels, h, w]` to `[batch, classes or EMBEDDING, h, w]`.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        match self {
            Self::Conv(head) => head.forward(x, pass),
            Self::Linear(head) => head.forward(x),
        }
    }
}

/// Values that the heads behind features of shape `x` keep for their backward, for each picture.
pub fn footprint(config: &LocalConfig, x: FeatureShape, picture: FeatureShape) -> usize {
    let pixels = x.height * x.width;
    let head = match config.method {
        Method::Greedy => 0,
        Method::Infopro | Method::Dgl | Method::E2e => 3 * config.head_channels * pixels,
    };
    if config.method != Method::Infopro || config.recon_weight == [0.0, 0.0] {
        return head;
    }
    let channels = &config.decoder_channels;
    let sizes = upsampled_sizes([picture.height, picture.width], channels.len());
    let mut kept = 2 * channels[0] * pixels;
    for (i, [height, width]) in sizes.into_iter().enumerate() {
        let outputs = channels.get(i + 1).map_or(3, |&outputs| 2 * outputs);
        kept += (channels[i] + outputs) * height * width;
    }
    head + kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decoder_reaches_any_picture_size_from_any_stride() {
        assert_eq!(upsampled_sizes([64, 128], 3), [[16, 32], [32, 64], [64, 128]]);
        assert_eq!(upsampled_sizes([65, 33], 3), [[17, 9], [33, 17], [65, 33]]);
        let device = burn::tensor::Device::flex();
        let decoder = ReconDecoder::new(&mut Init::new(1, &device), 4, &[8, 6, 5]);
        for size in [[3, 5], [9, 17], [33, 65]] {
            let x = Tensor::zeros([2, 4, size[0], size[1]], &device);
            assert_eq!(decoder.forward(x, [65, 130], &Pass::evaluation()).dims(), [2, 3, 65, 130]);
        }
    }
}
