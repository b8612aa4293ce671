//! The section `[model]`: which network.

use crate::keys::{Checked, MAX_CHANNELS, between, channels, ensure, not_negative, positive};
use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Network that computes the features. Those from resnet20 on are for small images with one class each.
    pub backbone: Backbone,
    /// Multiplies every channel count of the backbone; 1.0 is the published network.
    pub width: f64,
    /// First layers of the backbone.
    pub stem: Stem,
    /// Image size / feature size, where each pixel has a class: 8 or 16.
    pub output_stride: usize,
    /// DeepLabV3's head, as one of two libraries builds it.
    #[serde(default)]
    pub decode_head: DecodeHead,
    /// Dilations of the ASPP branches; 1 stands for the 1×1 branch.
    pub atrous_rates: Vec<usize>,
    /// Channels of each ASPP branch and of the decode head (paper: 512; torchvision: 256).
    pub aspp_channels: usize,
    /// Channels of the FCN auxiliary head (paper: 256).
    pub aux_channels: usize,
    /// Weight of the FCN auxiliary head on layer3 in the last module's loss; 0 leaves it out.
    pub aux_weight: f64,
    /// Spatial dropout before each classifier (torchvision's decode head: behind its 1×1 convolution).
    pub dropout: f64,
}

/// The paper's DeepLabV3-ResNet101 for Cityscapes.
impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            backbone: Backbone::Resnet101,
            width: 1.0,
            stem: Stem::V1c,
            output_stride: 8,
            decode_head: DecodeHead::Mmsegmentation,
            atrous_rates: vec![1, 12, 24, 36],
            aspp_channels: 512,
            aux_channels: 256,
            aux_weight: 0.4,
            dropout: 0.1,
        }
    }
}

impl ModelConfig {
    /// Checks the values of these keys.
    pub(crate) fn check(&self) -> Checked {
        positive("model.width", self.width)?;
        let stride = self.output_stride;
        ensure(matches!(stride, 8 | 16), "model.output_stride", stride, "must be 8 or 16")?;
        channels("model.atrous_rates", &self.atrous_rates)?;
        ensure(self.width <= 16.0, "model.width", self.width, "must be at most 16")?;
        between(1, MAX_CHANNELS, "model.aspp_channels", self.aspp_channels)?;
        between(1, MAX_CHANNELS, "model.aux_channels", self.aux_channels)?;
        not_negative("model.aux_weight", self.aux_weight)?;
        let dropout = self.dropout;
        ensure((0.0..1.0).contains(&dropout), "model.dropout", dropout, "must be at least 0 and below 1")
    }
}

/// Network that computes the features: ImageNet's residual networks, which segmentation takes too, and those of CIFAR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Backbone {
    #[value(name = "resnet18")]
    Resnet18,
    #[value(name = "resnet34")]
    Resnet34,
    #[value(name = "resnet50")]
    Resnet50,
    #[value(name = "resnet101")]
    Resnet101,
    #[value(name = "resnet152")]
    Resnet152,
    #[value(name = "resnext50-32x4d")]
    #[serde(rename = "resnext50-32x4d")]
    Resnext50,
    #[value(name = "resnext101-32x8d")]
    #[serde(rename = "resnext101-32x8d")]
    Resnext101,
    #[value(name = "resnet20")]
    Resnet20,
    #[value(name = "resnet32")]
    Resnet32,
    #[value(name = "resnet44")]
    Resnet44,
    #[value(name = "resnet56")]
    Resnet56,
    #[value(name = "resnet110")]
    Resnet110,
    #[value(name = "resnet164")]
    Resnet164,
    #[value(name = "resnet1202")]
    Resnet1202,
    #[value(name = "densenet-bc-100-12")]
    #[serde(rename = "densenet-bc-100-12")]
    DensenetBc100,
}

impl Backbone {
    /// Whether it is made for small images, 32 to 96 pixels a side: three stages, no pooling in front.
    pub const fn is_cifar(self) -> bool {
        use Backbone as B;
        match self {
            B::Resnet18 | B::Resnet34 | B::Resnet50 | B::Resnet101 | B::Resnet152 => false,
            B::Resnext50 | B::Resnext101 => false,
            B::Resnet20 | B::Resnet32 | B::Resnet44 | B::Resnet56 | B::Resnet110 | B::Resnet164 => true,
            B::Resnet1202 | B::DensenetBc100 => true,
        }
    }

    /// As it is said in files and flags, such as `resnet110`.
    pub fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map_or_else(String::new, |value| value.get_name().to_string())
    }
}

/// First layers of a ResNet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    /// One 7×7 convolution, as torchvision.
    Torchvision,
    /// Three 3×3 convolutions (ResNet-v1c), as the paper.
    V1c,
}

/// DeepLabV3's head, as one of two libraries builds it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DecodeHead {
    /// The branches are joined by a 3×3 convolution, as the paper.
    #[default]
    Mmsegmentation,
    /// The branches are joined by a 1×1 convolution, and a 3×3 one follows.
    Torchvision,
}
