//! Residual networks for dense prediction: torchvision's ResNet with stride exchanged for dilation.
//!
//! Names follow torchvision (`layer3.12` is the 13th block of the third stage). Stride 2 sits on the 3×3 convolution
//! ("ResNet v1.5", as torchvision and mmsegmentation). A dilated stage's first block uses half the stage's dilation
//! (mmsegmentation's `contract_dilation`, torchvision's `replace_stride_with_dilation`).

use super::layers::{ConvBnAct, Init, Pass};
use super::{Block, FeatureShape, NamedBlock};
use crate::config::{Backbone, ModelConfig, Stem as StemKind};
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;

/// Stride 4: one 7×7 convolution (torchvision) or three 3×3 ones (ResNet-v1c), then a 3×3 max-pool.
#[derive(Module, Debug)]
pub struct Stem {
    /// One unit, or three.
    pub convs: Vec<ConvBnAct>,
}

impl Stem {
    fn new(init: &mut Init, kind: StemKind, channels: usize) -> Self {
        let convs = match kind {
            StemKind::Torchvision => vec![ConvBnAct::same(init, [3, channels], 7, 2, 1)],
            StemKind::V1c => {
                let half = channels.div_ceil(2);
                vec![
                    ConvBnAct::same(init, [3, half], 3, 2, 1),
                    ConvBnAct::same(init, [half, half], 3, 1, 1),
                    ConvBnAct::same(init, [half, channels], 3, 1, 1),
                ]
            }
        };
        Self { convs }
    }

    /// `[batch, 3, height, width]` to `[batch, channels, height/4, width/4]`.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let x = self.convs.iter().fold(x, |x, conv| conv.forward(x, pass));
        max_pool2d(x, MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]))
    }

    /// See [`Block::footprint`]. The pool keeps an index for each value that it lets through.
    pub fn footprint(&self, x: FeatureShape) -> (FeatureShape, usize) {
        let (x, kept) = sum_footprints(&self.convs, x);
        let pooled = FeatureShape { height: x.height.div_ceil(2), width: x.width.div_ceil(2), ..x };
        (pooled, kept + 2 * pooled.len())
    }
}

/// Footprint of units in a row.
pub(super) fn sum_footprints<'a>(
    units: impl IntoIterator<Item = &'a ConvBnAct>,
    x: FeatureShape,
) -> (FeatureShape, usize) {
    units.into_iter().fold((x, 0), |(x, kept), unit| {
        let (x, more) = unit.footprint(x);
        (x, kept + more)
    })
}

/// A residual block: two 3×3 convolutions (ResNet-18/34), or 1×1, 3×3, 1×1 (deeper ones), around a shortcut.
#[derive(Module, Debug)]
pub struct Residual {
    /// The units before the last.
    pub body: Vec<ConvBnAct>,
    /// The unit that the shortcut is added to.
    pub last: ConvBnAct,
    /// 1×1 projection, where the shape changes.
    pub shortcut: Option<ConvBnAct>,
}

impl Residual {
    fn shortcut(init: &mut Init, channels: [usize; 2], stride: usize) -> Option<ConvBnAct> {
        (stride != 1 || channels[0] != channels[1]).then(|| ConvBnAct::same(init, channels, 1, stride, 1))
    }

    fn basic(init: &mut Init, [cin, planes]: [usize; 2], stride: usize, dilation: usize) -> Self {
        let body = vec![ConvBnAct::same(init, [cin, planes], 3, stride, dilation)];
        let last = ConvBnAct::same(init, [planes, planes], 3, 1, 1);
        Self { body, last, shortcut: Self::shortcut(init, [cin, planes], stride) }
    }

    fn bottleneck(init: &mut Init, [cin, planes]: [usize; 2], stride: usize, dilation: usize) -> Self {
        let cout = planes * BOTTLENECK_EXPANSION;
        let body = vec![
            ConvBnAct::same(init, [cin, planes], 1, 1, 1),
            ConvBnAct::same(init, [planes, planes], 3, stride, dilation),
        ];
        let last = ConvBnAct::same(init, [planes, cout], 1, 1, 1);
        Self { body, last, shortcut: Self::shortcut(init, [cin, cout], stride) }
    }

    /// `relu(f(x) + shortcut(x))`
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let shortcut = match &self.shortcut {
            Some(projection) => projection.forward_linear(x.clone(), pass),
            None => x.clone(),
        };
        let x = self.body.iter().fold(x, |x, unit| unit.forward(x, pass));
        self.last.forward_residual(x, shortcut, pass)
    }

    /// See [`Block::footprint`]. The projection keeps its convolution's output; its own output is not kept.
    pub fn footprint(&self, x: FeatureShape) -> (FeatureShape, usize) {
        let projected = self.shortcut.as_ref().map_or(0, |unit| unit.conv.output_shape(x).len());
        let (x, kept) = sum_footprints(self.body.iter().chain([&self.last]), x);
        (x, kept + projected)
    }
}

const BOTTLENECK_EXPANSION: usize = 4;

/// Blocks in each of the four stages, and whether they are bottlenecks.
pub const fn stages(backbone: Backbone) -> ([usize; 4], bool) {
    match backbone {
        Backbone::Resnet18 => ([2, 2, 2, 2], false),
        Backbone::Resnet34 => ([3, 4, 6, 3], false),
        Backbone::Resnet50 => ([3, 4, 6, 3], true),
        Backbone::Resnet101 => ([3, 4, 23, 3], true),
        Backbone::Resnet152 => ([3, 8, 36, 3], true),
    }
}

/// The backbone's blocks, and the channels of layer3's and layer4's output.
pub fn blocks(init: &mut Init, config: &ModelConfig) -> (Vec<NamedBlock>, [usize; 2]) {
    let (counts, bottleneck) = stages(config.backbone);
    // A multiple of 4 suits the kernels; no stage is left without channels.
    let scaled = |channels: usize| ((channels as f64 * config.width / 4.0).round() as usize).max(1) * 4;
    let (strides, dilations) = match config.output_stride {
        16 => ([1, 2, 2, 1], [1, 1, 1, 2]),
        _ => ([1, 2, 1, 1], [1, 1, 2, 4]),
    };
    let stem_channels = scaled(64);
    let stem = Block::Stem(Stem::new(init, config.stem, stem_channels));
    let mut blocks = vec![NamedBlock { name: "stem".into(), block: stem }];
    let mut channels = stem_channels;
    let mut outputs = [0; 4];
    for stage in 0..4 {
        let planes = scaled(64 << stage);
        for index in 0..counts[stage] {
            let stride = if index == 0 { strides[stage] } else { 1 };
            // Contracted: the block that gives up its stride starts with the dilation of the stage before it.
            let dilation = if index == 0 && dilations[stage] > 1 { dilations[stage] / 2 } else { dilations[stage] };
            let (block, cout) = if bottleneck {
                let block = Residual::bottleneck(init, [channels, planes], stride, dilation);
                (block, planes * BOTTLENECK_EXPANSION)
            } else {
                (Residual::basic(init, [channels, planes], stride, dilation), planes)
            };
            blocks.push(NamedBlock { name: format!("layer{}.{index}", stage + 1), block: Block::Residual(block) });
            channels = cout;
        }
        outputs[stage] = channels;
    }
    (blocks, [outputs[2], outputs[3]])
}
