//! Residual networks: torchvision's ResNet and ResNeXt, for dense prediction with stride exchanged for dilation, and the
//! three-stage ones of CIFAR.
//!
//! Names follow torchvision (`layer3.12` is the 13th block of the third stage). Stride 2 sits on the 3×3 convolution
//! ("ResNet v1.5", as torchvision and mmsegmentation). A dilated stage's first block uses half the stage's dilation
//! (mmsegmentation's `contract_dilation`, torchvision's `replace_stride_with_dilation`).

use super::config::{Backbone, ModelConfig, Stem as StemKind};
use super::layers::{ConvBnAct, Init, Pass};
use super::{Block, FeatureShape, Footprint, NamedBlock};
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;

/// Stride 4: one 7×7 convolution (torchvision) or three 3×3 ones (ResNet-v1c), then a 3×3 max-pool. For CIFAR stride 1: one
/// 3×3 convolution.
#[derive(Module, Debug)]
pub struct Stem {
    /// One unit, or three.
    pub convs: Vec<ConvBnAct>,
    pooled: bool,
}

impl Stem {
    /// One 7×7 convolution of stride 2, then the max-pool.
    pub fn torchvision(init: &mut Init, channels: usize) -> Self {
        Self::new(init, StemKind::Torchvision, channels)
    }

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
        Self { convs, pooled: true }
    }

    fn cifar(init: &mut Init, channels: usize) -> Self {
        Self { convs: vec![ConvBnAct::same(init, [3, channels], 3, 1, 1)], pooled: false }
    }

    /// `[batch, 3, height, width]` to `[batch, channels, height/4, width/4]`; for CIFAR the size stays.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let x = self.convs.iter().fold(x, |x, conv| conv.forward(x, pass));
        if !self.pooled {
            return x;
        }
        max_pool2d(x, MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]))
    }

    /// See [`Block::footprint`]. The pool keeps an index for each value that it lets through.
    pub fn footprint(&self, x: FeatureShape) -> Footprint {
        let convs = in_a_row(&self.convs, x);
        if !self.pooled {
            return convs;
        }
        let full = convs.output;
        let pooled = FeatureShape { height: full.height.div_ceil(2), width: full.width.div_ceil(2), ..full };
        let pool =
            Footprint { kept: 2 * pooled.len(), working: pooled.len() + full.len(), ..Footprint::nothing(pooled) };
        convs.then(pool)
    }
}

/// Footprint of units in a row.
pub(crate) fn in_a_row<'a>(units: impl IntoIterator<Item = &'a ConvBnAct>, x: FeatureShape) -> Footprint {
    units.into_iter().fold(Footprint::nothing(x), |before, unit| before.then(unit.footprint(before.output)))
}

/// A residual block: two 3×3 convolutions (ResNet-18/34, CIFAR), or 1×1, 3×3, 1×1 (deeper ones; ResNeXt's 3×3 in groups),
/// around a shortcut.
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

    /// Two 3×3 convolutions from `cin` to `planes` channels; stride and dilation are the first's.
    pub fn basic(init: &mut Init, [cin, planes]: [usize; 2], stride: usize, dilation: usize) -> Self {
        let body = vec![ConvBnAct::same(init, [cin, planes], 3, stride, dilation)];
        let last = ConvBnAct::same(init, [planes, planes], 3, 1, 1);
        Self { body, last, shortcut: Self::shortcut(init, [cin, planes], stride) }
    }

    /// `inner`: channels of the 3×3 convolution.
    fn bottleneck(
        init: &mut Init,
        [cin, inner, cout]: [usize; 3],
        stride: usize,
        dilation: usize,
        groups: usize,
    ) -> Self {
        let body = vec![
            ConvBnAct::same(init, [cin, inner], 1, 1, 1),
            ConvBnAct::grouped(init, [inner, inner], stride, dilation, groups),
        ];
        let last = ConvBnAct::same(init, [inner, cout], 1, 1, 1);
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

    /// See [`Block::footprint`]. The projection keeps its convolution's output; its own output is not kept. Backward, the
    /// output's gradient stays for the shortcut while a copy of it goes through the body.
    pub fn footprint(&self, x: FeatureShape) -> Footprint {
        let body = in_a_row(self.body.iter().chain([&self.last]), x);
        let projection = self.shortcut.as_ref().map(|unit| unit.conv.footprint(x));
        let working = body.working.max(2 * body.output.len());
        let whole = Footprint { working, ..body };
        match projection {
            None => whole,
            Some(projection) => {
                let parameters = whole.parameters + projection.parameters + 2 * body.output.channels;
                Footprint { macs: whole.macs + projection.macs, parameters, ..whole.keeping(projection.kept) }
            }
        }
    }
}

/// Channels of a bottleneck's output for each of its stage's planes.
pub const BOTTLENECK_EXPANSION: usize = 4;

/// What tells one residual network from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Blocks of each stage: four, for CIFAR three.
    pub counts: &'static [usize],
    /// Whether they are bottlenecks.
    pub bottleneck: bool,
    /// Groups of a bottleneck's 3×3 convolution.
    pub groups: usize,
    /// Its channels in each group, where the stage has 64 planes.
    pub width_per_group: usize,
}

/// The layout of a residual network; `None` of a dense one.
pub const fn layout(backbone: Backbone) -> Option<Layout> {
    const fn basic(counts: &'static [usize]) -> Option<Layout> {
        Some(Layout { counts, bottleneck: false, groups: 1, width_per_group: 64 })
    }
    const fn deep(counts: &'static [usize], groups: usize, width_per_group: usize) -> Option<Layout> {
        Some(Layout { counts, bottleneck: true, groups, width_per_group })
    }
    match backbone {
        Backbone::Resnet18 => basic(&[2, 2, 2, 2]),
        Backbone::Resnet34 => basic(&[3, 4, 6, 3]),
        Backbone::Resnet50 => deep(&[3, 4, 6, 3], 1, 64),
        Backbone::Resnet101 => deep(&[3, 4, 23, 3], 1, 64),
        Backbone::Resnet152 => deep(&[3, 8, 36, 3], 1, 64),
        Backbone::Resnext50 => deep(&[3, 4, 6, 3], 32, 4),
        Backbone::Resnext101 => deep(&[3, 4, 23, 3], 32, 8),
        // CIFAR: 6n + 2 layers of which n blocks are in each stage, with bottlenecks 9n + 2.
        Backbone::Resnet20 => basic(&[3; 3]),
        Backbone::Resnet32 => basic(&[5; 3]),
        Backbone::Resnet44 => basic(&[7; 3]),
        Backbone::Resnet56 => basic(&[9; 3]),
        Backbone::Resnet110 => basic(&[18; 3]),
        Backbone::Resnet1202 => basic(&[200; 3]),
        Backbone::Resnet164 => deep(&[18; 3], 1, 64),
        Backbone::DensenetBc100 => None,
    }
}

/// `channels · width`. A multiple of 4 suits the kernels; no stage is left without channels.
pub(super) fn scaled(channels: usize, width: f64) -> usize {
    ((channels as f64 * width / 4.0).round() as usize).max(1) * 4
}

/// Channels of the four stages at a width, before a bottleneck's expansion. The stem has the first's.
pub fn planes(width: f64) -> [usize; 4] {
    [0, 1, 2, 3].map(|stage| scaled(64 << stage, width))
}

/// A width at which the stages have these channels, the roundest such number; `None` where no width does.
pub fn width_of(given: [usize; 4]) -> Option<f64> {
    let fits = |width: &f64| *width > 0.0 && planes(*width) == given;
    // The last stage is the finest measure: its channels are those of an interval of 1/128. It and the other stages'
    // begin and end at multiples of 1/256, so three decimals are enough.
    let (middle, half) = (given[3] as f64 / 512.0, 0.5 / 128.0);
    let decimals = [1.0, 10.0, 100.0, 1000.0].into_iter().flat_map(|digits| {
        let [first, last] = [middle - half, middle + half].map(|width| (width * digits) as usize);
        (first..=last).map(move |width| width as f64 / digits)
    });
    [given[0] as f64 / 64.0].into_iter().chain(decimals).find(fits)
}

/// Strides and dilations of the stages, for this output stride (`None`: no stage is dilated).
fn strides(backbone: Backbone, output_stride: Option<usize>) -> ([usize; 4], [usize; 4]) {
    match output_stride {
        _ if backbone.is_cifar() => ([1, 2, 2, 0], [1; 4]),
        None => ([1, 2, 2, 2], [1; 4]),
        Some(16) => ([1, 2, 2, 1], [1, 1, 1, 2]),
        Some(_) => ([1, 2, 1, 1], [1, 1, 2, 4]),
    }
}

/// Stem and residual blocks of this layout, and the channels of each stage's output. With an `output_stride` later stages are
/// dilated instead of strided.
pub fn blocks(
    init: &mut Init,
    config: &ModelConfig,
    layout: Layout,
    output_stride: Option<usize>,
) -> (Vec<NamedBlock>, Vec<usize>) {
    let cifar = config.backbone.is_cifar();
    let (strides, dilations) = strides(config.backbone, output_stride);
    let narrowest = if cifar { 16 } else { 64 };
    let mut channels = scaled(narrowest, config.width);
    let stem = if cifar { Stem::cifar(init, channels) } else { Stem::new(init, config.stem, channels) };
    let mut blocks = vec![NamedBlock { name: "stem".into(), block: Block::Stem(stem) }];
    let mut outputs = Vec::new();
    for (stage, &count) in layout.counts.iter().enumerate() {
        let planes = scaled(narrowest << stage, config.width);
        for index in 0..count {
            let stride = if index == 0 { strides[stage] } else { 1 };
            // Contracted: the block that gives up its stride starts with the dilation of the stage before it.
            let dilation = if index == 0 && dilations[stage] > 1 { dilations[stage] / 2 } else { dilations[stage] };
            let (block, cout) = if layout.bottleneck {
                let (cout, groups) = (planes * BOTTLENECK_EXPANSION, layout.groups);
                let inner = (planes * layout.width_per_group / 64).max(1) * groups;
                (Residual::bottleneck(init, [channels, inner, cout], stride, dilation, groups), cout)
            } else {
                (Residual::basic(init, [channels, planes], stride, dilation), planes)
            };
            blocks.push(NamedBlock { name: format!("layer{}.{index}", stage + 1), block: Block::Residual(block) });
            channels = cout;
        }
        outputs.push(channels);
    }
    (blocks, outputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_is_found_by_its_channels() {
        for width in (1..=16_000).map(|thousandths| f64::from(thousandths) / 1000.0).chain([1.0 / 3.0, 1e-9]) {
            let found = width_of(planes(width)).unwrap_or_else(|| panic!("{width}"));
            assert_eq!(planes(found), planes(width), "{width}");
        }
        let width = |given: f64| width_of(planes(given));
        assert_eq!(
            [0.03, 0.1, 0.25, 0.3, 0.0625, 1.0, 2.0].map(width),
            [0.03, 0.1, 0.25, 0.3, 0.0625, 1.0, 2.0].map(Some)
        );
        for none in [[64, 128, 256, 2048], [8, 8, 8, 8], [0; 4], [usize::MAX; 4], [3, 6, 12, 24]] {
            assert_eq!(width_of(none), None, "{none:?}");
        }
    }
}
