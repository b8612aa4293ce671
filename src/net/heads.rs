//! DeepLabV3's decode head (ASPP) and the FCN auxiliary head.

use super::config::DecodeHead;
use super::layers::{Conv2d, ConvBnAct, Init, Pass};
use super::{FeatureShape, Footprint, resnet};
use crate::ops::global_average;
use burn::module::Module;
use burn::tensor::Tensor;

/// Atrous spatial pyramid pooling and the classifier behind it: image-pooling, 1×1 and dilated 3×3 branches, joined by a
/// 3×3 convolution, spatial dropout and a 1×1 classifier (mmsegmentation's `ASPPHead`).
///
/// torchvision's `DeepLabHead` has a 1×1 convolution more, which joins the branches (the image pooling last) before
/// dropout and the 3×3 convolution.
#[derive(Module, Debug)]
pub struct AsppHead {
    /// Global average, 1×1 convolution, spread over all pixels.
    pub image_pool: ConvBnAct,
    /// One branch a rate; rate 1 is a 1×1 convolution.
    pub branches: Vec<ConvBnAct>,
    /// 1×1, torchvision's alone: joins the branches.
    pub project: Option<ConvBnAct>,
    /// 3×3: joins the branches, or follows `project`.
    pub bottleneck: ConvBnAct,
    /// To class scores.
    pub classifier: Conv2d,
    dropout: f64,
}

impl AsppHead {
    /// `channels`: those of the features, of every branch, and the number of classes.
    pub fn new(init: &mut Init, channels: [usize; 3], rates: &[usize], kind: DecodeHead, dropout: f64) -> Self {
        let [cin, hidden, classes] = channels;
        let joined = hidden * (rates.len() + 1);
        let branches = rates
            .iter()
            .map(|&rate| ConvBnAct::same(init, [cin, hidden], if rate == 1 { 1 } else { 3 }, 1, rate))
            .collect();
        let image_pool = ConvBnAct::same(init, [cin, hidden], 1, 1, 1);
        let project = (kind == DecodeHead::Torchvision).then(|| ConvBnAct::same(init, [joined, hidden], 1, 1, 1));
        let before = if project.is_some() { hidden } else { joined };
        Self {
            image_pool,
            branches,
            project,
            bottleneck: ConvBnAct::same(init, [before, hidden], 3, 1, 1),
            classifier: Conv2d::last(init, [hidden, classes], 1),
            dropout,
        }
    }

    /// `[batch, channels, h, w]` to scores `[batch, classes, h, w]`.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        let pooled = self.image_pool.forward(global_average(x.clone()), pass); // [batch, hidden, 1, 1]
        let pooled = pooled.repeat(&[1, 1, height, width]);
        let branches = self.branches.iter().map(|branch| branch.forward(x.clone(), pass));
        match &self.project {
            None => {
                let joined = Tensor::cat(std::iter::once(pooled).chain(branches).collect(), 1);
                let x = self.bottleneck.forward(joined, pass);
                self.classifier.forward(pass.dropout2d(x, self.dropout))
            }
            Some(project) => {
                let joined = Tensor::cat(branches.chain([pooled]).collect(), 1);
                let x = pass.dropout2d(project.forward(joined, pass), self.dropout);
                self.classifier.forward(self.bottleneck.forward(x, pass))
            }
        }
    }

    /// See [`super::Block::footprint`].
    pub fn footprint(&self, x: FeatureShape) -> Footprint {
        let pooled = self.image_pool.footprint(FeatureShape { height: 1, width: 1, ..x });
        // What a branch writes joins the others' and is kept there; what its convolution wrote is kept beside.
        let of_branch = |unit: &ConvBnAct| {
            let unit = unit.footprint(x);
            Footprint { kept: unit.output.len(), ..unit }
        };
        let branches = self.branches.iter().map(of_branch).fold(pooled, |sum, unit| sum.beside(unit, x));
        let joining = self.project.as_ref().unwrap_or(&self.bottleneck);
        let joined = x.with_channels(joining.conv.weight.dims()[1]);
        // What was joined is gone by then; its gradient is cut into the branches', each of which adds to the input's.
        let working = joined.len().max(2 * x.len());
        let branches =
            Footprint { output: joined, working, ..branches.keeping(joined.len()).with_tensor(joined.len()) };
        let hidden = resnet::in_a_row(self.project.iter().chain([&self.bottleneck]), joined);
        branches.then(hidden).then(self.classifier.footprint(hidden.output)) // dropout's output in place of its input
    }
}

/// 3×3 convolution, spatial dropout, 1×1 classifier: the auxiliary head on layer3.
#[derive(Module, Debug)]
pub struct FcnHead {
    /// 3×3.
    pub conv: ConvBnAct,
    /// To class scores.
    pub classifier: Conv2d,
    dropout: f64,
}

impl FcnHead {
    /// `channels`: those of the features, the hidden ones, and the outputs.
    pub fn new(init: &mut Init, channels: [usize; 3], dropout: f64) -> Self {
        let [cin, hidden, cout] = channels;
        Self {
            conv: ConvBnAct::same(init, [cin, hidden], 3, 1, 1),
            classifier: Conv2d::last(init, [hidden, cout], 1),
            dropout,
        }
    }

    /// `[batch, channels, h, w]` to scores `[batch, classes, h, w]`.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.classifier.forward(pass.dropout2d(self.conv.forward(x, pass), self.dropout))
    }

    /// See [`super::Block::footprint`].
    pub fn footprint(&self, x: FeatureShape) -> Footprint {
        let hidden = self.conv.footprint(x);
        hidden.then(self.classifier.footprint(hidden.output)) // dropout's output is kept in place of its input
    }
}
