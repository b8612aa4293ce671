//! The list of blocks.

use super::classifier::ClassHead;
use super::config::ModelConfig;
use super::densenet::{self, DenseLayer, DenseStem, Transition};
use super::heads::{AsppHead, FcnHead};
use super::layers::{Init, Pass};
use super::resnet::{self, Residual, Stem};
use super::{FeatureShape, Footprint};
use burn::module::Module;
use burn::tensor::Tensor;

/// One step of a network: what a cut can stand behind.
#[derive(Module, Debug)]
pub enum Block {
    /// Image to features of stride 4, for CIFAR 1.
    Stem(Stem),
    /// Features to features.
    Residual(Residual),
    /// Image to features of stride 1: DenseNet's.
    DenseStem(DenseStem),
    /// Features to features and a few more.
    Dense(DenseLayer),
    /// Features to half as many, of half the size.
    Transition(Transition),
    /// Features to class scores of each pixel.
    Head(AsppHead),
    /// Features to class scores of the image.
    Class(ClassHead),
}

impl Block {
    /// `[batch, channels, height, width]` to the block's output.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        match self {
            Self::Stem(block) => block.forward(x, pass),
            Self::Residual(block) => block.forward(x, pass),
            Self::DenseStem(block) => block.conv.forward(x),
            Self::Dense(block) => block.forward(x, pass),
            Self::Transition(block) => block.forward(x, pass),
            Self::Head(block) => block.forward(x, pass),
            Self::Class(block) => block.forward(x, pass),
        }
    }

    /// What the block costs for each image whose features come in as `x`.
    pub fn footprint(&self, x: FeatureShape) -> Footprint {
        match self {
            Self::Stem(block) => block.footprint(x),
            Self::Residual(block) => block.footprint(x),
            Self::DenseStem(block) => block.conv.footprint(x),
            Self::Dense(block) => block.footprint(x),
            Self::Transition(block) => block.footprint(x),
            Self::Head(block) => block.footprint(x),
            Self::Class(block) => block.footprint(x),
        }
    }
}

/// A block and its name, such as `layer3.12`.
pub struct NamedBlock {
    /// `stem`, `layer<stage>.<index>` or DenseNet's `dense<stage>.<index>` (stages from 1, blocks from 0), `transition<stage>`,
    /// `head`.
    pub name: String,
    /// The block.
    pub block: Block,
}

/// A network before it is cut: its blocks in order, and the auxiliary head that trains beside them.
///
/// ```
/// use burn::tensor::Device;
/// use infoseg::config::{DatasetKind, defaults_for};
/// use infoseg::net::{Init, deeplab};
///
/// let model = defaults_for(DatasetKind::Synthetic).model;
/// let network = deeplab(&mut Init::new(1, &Device::flex()), &model, 19);
/// assert_eq!(network.blocks[0].name, "stem");
/// assert_eq!(network.blocks.last().unwrap().name, "head");
/// ```
pub struct Network {
    /// Stem, residual or dense blocks, head.
    pub blocks: Vec<NamedBlock>,
    /// FCN head, and the name of the block whose output it reads.
    pub aux_head: Option<(FcnHead, String)>,
}

/// A backbone, global average, linear layer.
pub fn classification_network(init: &mut Init, config: &ModelConfig, num_classes: usize) -> Network {
    let Some(layout) = resnet::layout(config.backbone) else {
        return Network { blocks: densenet::blocks(init, config.width, num_classes), aux_head: None };
    };
    let (mut blocks, outputs) = resnet::blocks(init, config, layout, None);
    let channels = outputs[outputs.len() - 1];
    let head = Block::Class(ClassHead::new(init, [channels, num_classes], false));
    blocks.push(NamedBlock { name: "head".into(), block: head });
    Network { blocks, aux_head: None }
}

/// DeepLabV3 on a dilated ResNet.
///
/// # Panics
/// On a backbone made for CIFAR's images.
pub fn deeplab(init: &mut Init, config: &ModelConfig, num_classes: usize) -> Network {
    let layout = resnet::layout(config.backbone).expect("the configuration was checked");
    let (mut blocks, outputs) = resnet::blocks(init, config, layout, Some(config.output_stride));
    let [layer3, layer4] = [outputs[2], outputs[3]];
    let channels = [layer4, config.aspp_channels, num_classes];
    let head = AsppHead::new(init, channels, &config.atrous_rates, config.decode_head, config.dropout);
    let aux_head = (config.aux_weight > 0.0).then(|| {
        let head = FcnHead::new(init, [layer3, config.aux_channels, num_classes], config.dropout);
        (head, format!("layer3.{}", layout.counts[2] - 1))
    });
    blocks.push(NamedBlock { name: "head".into(), block: Block::Head(head) });
    Network { blocks, aux_head }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults_for;
    use crate::data::config::DatasetKind;
    use crate::net::config::Backbone;
    use crate::net::layers::trainable;
    use burn::tensor::Device;

    fn build(dataset: DatasetKind, backbone: Backbone, num_classes: usize) -> Network {
        let mut config = defaults_for(dataset);
        (config.model.backbone, config.model.width) = (backbone, 1.0);
        dataset.task().task().network(&mut Init::new(1, &Device::flex()), &config.model, num_classes)
    }

    fn parameters(network: &Network) -> usize {
        network.blocks.iter().map(|named| trainable(&named.block)).sum()
    }

    /// torchvision's own counts; DenseNet's is the paper's 0.8 M, as counted from its published code.
    #[test]
    fn parameters_are_as_many_as_published() {
        for (backbone, dataset, classes, count) in [
            (Backbone::Resnet18, DatasetKind::Imagenet, 1000, 11_689_512),
            (Backbone::Resnet50, DatasetKind::Imagenet, 1000, 25_557_032),
            (Backbone::Resnext50, DatasetKind::Imagenet, 1000, 25_028_904),
            (Backbone::DensenetBc100, DatasetKind::Cifar10, 10, 769_162),
        ] {
            assert_eq!(parameters(&build(dataset, backbone, classes)), count, "{backbone:?}");
        }
        // 1×1 convolutions on the two shortcuts that change shape: 0.27 M and 1.7 M of He et al., and 2 752.
        assert_eq!(parameters(&build(DatasetKind::Cifar10, Backbone::Resnet20, 10)), 272_474);
        assert_eq!(parameters(&build(DatasetKind::Cifar10, Backbone::Resnet110, 10)), 1_730_714);
    }

    #[test]
    fn footprints_know_the_shapes() {
        let device = Device::flex();
        for (backbone, dataset, side) in [
            (Backbone::Resnet20, DatasetKind::Cifar10, 32),
            (Backbone::Resnet164, DatasetKind::Cifar10, 20),
            (Backbone::DensenetBc100, DatasetKind::Cifar10, 32),
            (Backbone::Resnext50, DatasetKind::Imagenet, 64),
            (Backbone::Resnext50, DatasetKind::Synthetic, 64),
        ] {
            let network = build(dataset, backbone, 7);
            let mut shape = FeatureShape { channels: 3, height: side, width: side };
            let mut x = Tensor::<4>::zeros([1, 3, side, side], &device);
            for named in &network.blocks {
                shape = named.block.footprint(shape).output;
                x = named.block.forward(x, &Pass::evaluation());
                assert_eq!(x.dims(), [1, shape.channels, shape.height, shape.width], "{backbone:?} {}", named.name);
            }
            assert_eq!(shape.channels, 7);
        }
    }
}
