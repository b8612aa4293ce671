//! DenseNet-BC for CIFAR (Huang et al. 2017): every layer reads all that its dense block has made so far.

use super::classifier::ClassHead;
use super::layers::{BatchNorm, Conv2d, Init, Pass};
use super::resnet::scaled;
use super::{Block, FeatureShape, Footprint, NamedBlock};
use crate::ops::Act;
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;

/// Channels that a layer adds (k).
const GROWTH: usize = 12;
/// Layers of each of the three dense blocks: (100 − 4) / 6.
const LAYERS: usize = 16;
/// The 1×1 convolution makes this many times the growth (B).
const BOTTLENECK: usize = 4;

/// BatchNorm, ReLU, convolution.
#[derive(Module, Debug)]
pub struct NormActConv {
    /// Its normalization.
    pub norm: BatchNorm,
    /// Without bias.
    pub conv: Conv2d,
}

impl NormActConv {
    fn new(init: &mut Init, channels: [usize; 2], kernel: usize) -> Self {
        let norm = BatchNorm::new(init, channels[0]);
        Self { norm, conv: Conv2d::same(init, channels, kernel, 1, 1) }
    }

    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.conv.forward(self.norm.forward(x, None, Act::Relu, pass))
    }

    /// Kept are the convolution's input, and what it wrote.
    fn footprint(&self, x: FeatureShape) -> Footprint {
        let conv = self.conv.footprint(x);
        Footprint { parameters: conv.parameters + 2 * x.channels, ..conv.keeping(x.len()) }
    }
}

/// One layer: 1×1 and 3×3 convolution, whose output joins the input.
#[derive(Module, Debug)]
pub struct DenseLayer {
    /// 1×1.
    pub squeeze: NormActConv,
    /// 3×3.
    pub grow: NormActConv,
}

impl DenseLayer {
    /// `[batch, channels, h, w]` to `[batch, channels + growth, h, w]`.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let new = self.grow.forward(self.squeeze.forward(x.clone(), pass), pass);
        Tensor::cat(vec![x, new], 1)
    }

    /// See [`Block::footprint`]. The joined output is the next block's input, and kept as that.
    pub fn footprint(&self, x: FeatureShape) -> Footprint {
        let squeezed = self.squeeze.footprint(x);
        let both = squeezed.then(self.grow.footprint(squeezed.output));
        let output = x.with_channels(x.channels + both.output.channels);
        // The joined gradient is there until both parts are cut out of it.
        Footprint { output, working: (2 * output.len()).max(both.working + x.len()), ..both }
            .keeping(output.len())
            .with_tensor(output.len())
    }
}

/// Between two dense blocks: half the channels (C, compression 0.5), half the size.
#[derive(Module, Debug)]
pub struct Transition {
    /// 1×1.
    pub squeeze: NormActConv,
}

impl Transition {
    /// `[batch, channels, h, w]` to `[batch, channels/2, h/2, w/2]`.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        avg_pool2d(self.squeeze.forward(x, pass), AvgPoolOptions::new([2, 2]).with_stride([2, 2]))
    }

    /// See [`Block::footprint`].
    pub fn footprint(&self, x: FeatureShape) -> Footprint {
        let squeeze = self.squeeze.footprint(x);
        let full = squeeze.output;
        let pooled = FeatureShape { height: full.height / 2, width: full.width / 2, ..full };
        squeeze.then(Footprint { kept: pooled.len(), working: pooled.len() + full.len(), ..Footprint::nothing(pooled) })
    }
}

/// The first convolution: 3×3 to 2·growth channels.
#[derive(Module, Debug)]
pub struct DenseStem {
    /// Without BatchNorm: that of the first layer follows.
    pub conv: Conv2d,
}

/// All blocks of DenseNet-BC-100-12: `stem`, `dense1.0` …, `transition1`, …, `head`. `width` multiplies the growth.
pub fn blocks(init: &mut Init, width: f64, num_classes: usize) -> Vec<NamedBlock> {
    let growth = scaled(GROWTH, width);
    let mut channels = 2 * growth;
    let stem = DenseStem { conv: Conv2d::same(init, [3, channels], 3, 1, 1) };
    let mut blocks = vec![NamedBlock { name: "stem".into(), block: Block::DenseStem(stem) }];
    for stage in 1..=3 {
        for index in 0..LAYERS {
            let squeeze = NormActConv::new(init, [channels, BOTTLENECK * growth], 1);
            let grow = NormActConv::new(init, [BOTTLENECK * growth, growth], 3);
            let block = Block::Dense(DenseLayer { squeeze, grow });
            blocks.push(NamedBlock { name: format!("dense{stage}.{index}"), block });
            channels += growth;
        }
        if stage < 3 {
            let squeeze = NormActConv::new(init, [channels, channels / 2], 1);
            let block = Block::Transition(Transition { squeeze });
            blocks.push(NamedBlock { name: format!("transition{stage}"), block });
            channels /= 2;
        }
    }
    let head = Block::Class(ClassHead::new(init, [channels, num_classes], true));
    blocks.push(NamedBlock { name: "head".into(), block: head });
    blocks
}
