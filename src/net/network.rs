//! The list of blocks.

use super::FeatureShape;
use super::heads::{AsppHead, FcnHead};
use super::layers::{Init, Pass};
use super::resnet::{self, Residual, Stem};
use crate::config::ModelConfig;
use burn::module::Module;
use burn::tensor::Tensor;

/// One step of a network: what a cut can stand behind.
#[derive(Module, Debug)]
pub enum Block {
    /// Picture to features of stride 4.
    Stem(Stem),
    /// Features to features.
    Residual(Residual),
    /// Features to class scores.
    Head(AsppHead),
}

impl Block {
    /// `[batch, channels, height, width]` to the block's output.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        match self {
            Self::Stem(block) => block.forward(x, pass),
            Self::Residual(block) => block.forward(x, pass),
            Self::Head(block) => block.forward(x, pass),
        }
    }

    /// Shape of the output, and the number of float32 values that a training pass keeps for each picture until the
    /// block's backward, its input not counted.
    pub fn footprint(&self, x: FeatureShape) -> (FeatureShape, usize) {
        match self {
            Self::Stem(block) => block.footprint(x),
            Self::Residual(block) => block.footprint(x),
            Self::Head(block) => block.footprint(x),
        }
    }
}

/// A block and its name, such as `layer3.12`.
pub struct NamedBlock {
    /// `stem`, `layer<stage>.<index>` (stages from 1, blocks from 0) or `head`.
    pub name: String,
    /// The block.
    pub block: Block,
}

/// A network before it is cut: its blocks in order, and the auxiliary head that trains beside them.
pub struct Network {
    /// Stem, residual blocks, head.
    pub blocks: Vec<NamedBlock>,
    /// FCN head, and the name of the block whose output it reads.
    pub aux_head: Option<(FcnHead, String)>,
}

/// DeepLabV3 on a dilated ResNet, for `num_classes` classes.
pub fn segmentation_network(init: &mut Init, config: &ModelConfig, num_classes: usize) -> Network {
    let (mut blocks, [layer3, layer4]) = resnet::blocks(init, config);
    let channels = [layer4, config.aspp_channels, num_classes];
    let head = AsppHead::new(init, channels, &config.atrous_rates, config.decode_head, config.dropout);
    let aux_head = (config.aux_weight > 0.0).then(|| {
        let head = FcnHead::new(init, [layer3, config.aux_channels, num_classes], config.dropout);
        let last_of_layer3 = resnet::stages(config.backbone).0[2] - 1;
        (head, format!("layer3.{last_of_layer3}"))
    });
    blocks.push(NamedBlock { name: "head".into(), block: Block::Head(head) });
    Network { blocks, aux_head }
}
