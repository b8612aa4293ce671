//! What other programs call our tensors.
//!
//! | ours | torchvision | mmsegmentation and the reference |
//! |---|---|---|
//! | `stem.convs.0` | `conv1`, `bn1` | the same, or `stem.0`, `stem.1` (v1c: three pairs, every third index) |
//! | `layer1.0.body.0`, `.last`, `.shortcut` | `layer1.0.conv1`, `bn1`; the last pair; `downsample.0`, `.1` | the same |
//! | `head.image_pool`, `.branches.1` | `classifier.0.convs.4.1`, `.2`; `.convs.1.0`, `.1` | `decode_head.image_pool.1.conv`, `.bn`; `.aspp_modules.1` |
//! | `head.project` | `classifier.0.project.0`, `.1` | |
//! | `head.classifier` of whole images | `fc` | `head.fc` (mmpretrain's) |
//! | `head.bottleneck`, `.classifier` | `classifier.1`, `.2`; `.4` | `decode_head.bottleneck`; `.conv_seg` |
//! | `aux_head.conv`, `.classifier` | `aux_classifier.0`, `.1`; `.4` | `auxiliary_head.convs.0`; `.conv_seg` |
//! | `local1.local_head`, `.recon_decoder` | | `head_inter`, `decoder_inter` (the reference's) |
//!
//! Backbone names carry `backbone.` in front, but for a file that is a backbone alone.

use super::Weights;
use crate::net::config::{Backbone, DecodeHead, ModelConfig, Stem};
use crate::net::resnet;

/// Whose names a file uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// Ours.
    Infoseg,
    /// torchvision's `deeplabv3_resnet*`, or one of its ResNets (`backbone_only`).
    Torchvision {
        /// Without `backbone.` in front, and without heads.
        backbone_only: bool,
    },
    /// mmsegmentation's, or one of its backbones.
    Mmsegmentation {
        /// Without `backbone.` in front, and without heads.
        backbone_only: bool,
    },
}

impl std::fmt::Display for Naming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Infoseg => "infoseg",
            Self::Torchvision { backbone_only: false } => "torchvision DeepLabV3",
            Self::Torchvision { backbone_only: true } => "torchvision ResNet",
            Self::Mmsegmentation { backbone_only: false } => "mmsegmentation",
            Self::Mmsegmentation { backbone_only: true } => "mmsegmentation ResNet-v1c",
        })
    }
}

impl Naming {
    /// The library whose names these are; `None` for unknown names.
    pub fn detect(weights: &Weights) -> Option<Self> {
        let has = |name: &str| weights.tensors.contains_key(name);
        let any = |prefix: &str| weights.tensors.keys().any(|name| name.starts_with(prefix));
        if has("stem.convs.0.conv.weight") {
            return Some(Self::Infoseg);
        }
        if any("decode_head.") || has("backbone.stem.0.weight") {
            return Some(Self::Mmsegmentation { backbone_only: false });
        }
        if has("backbone.conv1.weight") {
            return Some(Self::Torchvision { backbone_only: false });
        }
        if has("stem.0.weight") {
            return Some(Self::Mmsegmentation { backbone_only: true });
        }
        has("conv1.weight").then_some(Self::Torchvision { backbone_only: true })
    }

    /// Their name of one of our tensors; `None` where they have no such thing.
    pub fn foreign(self, name: &str, model: &ModelConfig) -> Option<String> {
        if self == Self::Infoseg {
            return Some(name.to_string());
        }
        let path: Vec<&str> = name.split('.').collect();
        // The leaf: `conv.weight`, `norm.gamma`, …, or a bare convolution's `weight` and `bias`.
        let (unit, leaf) = match path.as_slice() {
            [unit @ .., kind @ ("conv" | "norm"), value] => {
                (unit, Leaf { norm: *kind == "norm", value: parameter(value) })
            }
            [unit @ .., value] => (unit, Leaf { norm: false, value: parameter(value) }),
            [] => return None,
        };
        match unit {
            ["aux_head" | "head" | "local1", ..] => match self {
                Self::Torchvision { backbone_only: false } => torchvision_head(unit, leaf, model),
                Self::Mmsegmentation { backbone_only: false } => mmsegmentation_head(unit, leaf),
                _ => None,
            },
            _ => {
                let prefix = match self {
                    Self::Torchvision { backbone_only: true } | Self::Mmsegmentation { backbone_only: true } => "",
                    _ => "backbone.",
                };
                Some(format!("{prefix}{}", backbone(unit, leaf, model)?))
            }
        }
    }

    /// Their names of a network's tensors, in its order. The reference's decoder has three layers; one of another depth
    /// has no names there. The classifier of whole images is torchvision's `fc`, mmpretrain's `head.fc`.
    pub fn foreign_names<'a>(
        self,
        ours: impl Iterator<Item = &'a String> + Clone,
        model: &ModelConfig,
    ) -> Vec<(&'a String, Option<String>)> {
        let has = |layer: &str| ours.clone().any(|name| name.starts_with(layer));
        let reference = has("local1.recon_decoder.convs.1.") && !has("local1.recon_decoder.convs.2.");
        let other = |name: &str| self != Self::Infoseg && name.starts_with("local1.recon_decoder.") && !reference;
        let classifies = has("head.classifier.") && !has("head.bottleneck.");
        let theirs = |name: &String| match name.strip_prefix("head.classifier.") {
            _ if other(name) => None,
            Some(leaf) if classifies && self != Self::Infoseg => Some(format!("{}{leaf}", self.class_head())),
            _ => self.foreign(name, model),
        };
        ours.clone().map(|name| (name, theirs(name))).collect()
    }

    fn class_head(self) -> &'static str {
        match self {
            Self::Torchvision { backbone_only: false } | Self::Mmsegmentation { backbone_only: false } => "head.fc.",
            _ => "fc.",
        }
    }

    /// The names of PyTorch's batch counters in a network, one for each BatchNorm.
    pub fn counters(self, weights: &Weights) -> Vec<String> {
        let statistics = weights.tensors.keys().filter_map(|name| name.strip_suffix(".running_mean"));
        match self {
            Self::Infoseg => Vec::new(),
            _ => statistics.map(|norm| format!("{norm}.num_batches_tracked")).collect(),
        }
    }
}

/// A tensor of a convolution or of its BatchNorm.
#[derive(Clone, Copy)]
struct Leaf<'a> {
    norm: bool,
    value: &'a str,
}

impl Leaf<'_> {
    /// Under names that the convolution and its BatchNorm have of their own.
    fn of(self, conv: impl std::fmt::Display, norm: impl std::fmt::Display) -> String {
        if self.norm { format!("{norm}.{}", self.value) } else { format!("{conv}.{}", self.value) }
    }

    /// Under indices of a `Sequential`, the BatchNorm's one behind the convolution's.
    fn at(self, sequential: &str, index: usize) -> String {
        format!("{sequential}.{}.{}", index + usize::from(self.norm), self.value)
    }

    /// Under mmcv's `ConvModule`.
    fn in_conv_module(self, unit: &str) -> String {
        format!("{unit}.{}.{}", if self.norm { "bn" } else { "conv" }, self.value)
    }
}

fn parameter(ours: &str) -> &str {
    match ours {
        "gamma" => "weight",
        "beta" => "bias",
        other => other,
    }
}

fn backbone(unit: &[&str], leaf: Leaf, model: &ModelConfig) -> Option<String> {
    match unit {
        ["stem", "convs", index] => {
            let index: usize = index.parse().ok()?;
            Some(match model.stem {
                Stem::Torchvision => leaf.of("conv1", "bn1"),
                Stem::V1c => leaf.at("stem", 3 * index),
            })
        }
        [layer, block, "shortcut"] => Some(leaf.at(&format!("{layer}.{block}.downsample"), 0)),
        [layer, block, "body", index] => {
            let number = index.parse::<usize>().ok()? + 1;
            Some(format!("{layer}.{block}.{}", leaf.of(format!("conv{number}"), format!("bn{number}"))))
        }
        [layer, block, "last"] => {
            let number = if is_bottleneck(model.backbone) { 3 } else { 2 };
            Some(format!("{layer}.{block}.{}", leaf.of(format!("conv{number}"), format!("bn{number}"))))
        }
        _ => None,
    }
}

pub(super) fn is_bottleneck(backbone: Backbone) -> bool {
    resnet::layout(backbone).is_some_and(|layout| layout.bottleneck)
}

fn torchvision_head(unit: &[&str], leaf: Leaf, model: &ModelConfig) -> Option<String> {
    match unit {
        ["aux_head", "conv"] => Some(leaf.at("aux_classifier", 0)),
        ["aux_head", "classifier"] => Some(leaf.at("aux_classifier", 4)),
        _ if model.decode_head != DecodeHead::Torchvision => None, // other layers under like names
        ["head", "image_pool"] => Some(leaf.at(&format!("classifier.0.convs.{}", model.atrous_rates.len()), 1)),
        ["head", "branches", index] => Some(leaf.at(&format!("classifier.0.convs.{index}"), 0)),
        ["head", "project"] => Some(leaf.at("classifier.0.project", 0)),
        ["head", "bottleneck"] => Some(leaf.at("classifier", 1)),
        ["head", "classifier"] => Some(leaf.at("classifier", 4)),
        _ => None,
    }
}

fn mmsegmentation_head(unit: &[&str], leaf: Leaf) -> Option<String> {
    match unit {
        ["head", "image_pool"] => Some(leaf.in_conv_module("decode_head.image_pool.1")),
        ["head", "branches", index] => Some(leaf.in_conv_module(&format!("decode_head.aspp_modules.{index}"))),
        ["head", "bottleneck"] => Some(leaf.in_conv_module("decode_head.bottleneck")),
        ["head", "classifier"] => Some(format!("decode_head.conv_seg.{}", leaf.value)),
        ["aux_head", "conv"] => Some(leaf.in_conv_module("auxiliary_head.convs.0")),
        ["aux_head", "classifier"] => Some(format!("auxiliary_head.conv_seg.{}", leaf.value)),
        ["local1", "local_head", "conv"] => Some(leaf.at("head_inter", 0)),
        ["local1", "local_head", "classifier"] => Some(leaf.at("head_inter", 4)),
        ["local1", "recon_decoder", "squeeze"] => Some(leaf.at("decoder_inter", 0)),
        // Convolution, BatchNorm, ReLU, upsampling: four steps a layer.
        ["local1", "recon_decoder", "convs", index] => {
            Some(leaf.at("decoder_inter", 4 * (index.parse::<usize>().ok()? + 1)))
        }
        ["local1", "recon_decoder", "last"] => Some(leaf.at("decoder_inter", 12)), // the reference's has three layers
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults_for;
    use crate::data::config::DatasetKind;

    #[test]
    fn names_are_theirs() {
        let mut model = defaults_for(DatasetKind::Cityscapes).model;
        let mmseg = Naming::Mmsegmentation { backbone_only: false };
        for (ours, theirs) in [
            ("stem.convs.1.norm.gamma", "backbone.stem.4.weight"),
            ("layer3.12.last.conv.weight", "backbone.layer3.12.conv3.weight"),
            ("layer3.0.shortcut.norm.running_var", "backbone.layer3.0.downsample.1.running_var"),
            ("head.image_pool.norm.beta", "decode_head.image_pool.1.bn.bias"),
            ("head.branches.3.conv.weight", "decode_head.aspp_modules.3.conv.weight"),
            ("head.classifier.bias", "decode_head.conv_seg.bias"),
            ("aux_head.conv.norm.gamma", "auxiliary_head.convs.0.bn.weight"),
            ("local1.local_head.conv.norm.gamma", "head_inter.1.weight"),
            ("local1.local_head.classifier.weight", "head_inter.4.weight"),
            ("local1.recon_decoder.convs.1.conv.weight", "decoder_inter.8.weight"),
            ("local1.recon_decoder.last.bias", "decoder_inter.12.bias"),
        ] {
            assert_eq!(mmseg.foreign(ours, &model).as_deref(), Some(theirs));
        }
        assert_eq!(mmseg.foreign("local2.local_head.classifier.weight", &model), None);

        (model.stem, model.decode_head, model.backbone) =
            (Stem::Torchvision, DecodeHead::Torchvision, Backbone::Resnet18);
        let torchvision = Naming::Torchvision { backbone_only: false };
        for (ours, theirs) in [
            ("stem.convs.0.norm.gamma", "backbone.bn1.weight"),
            ("layer1.1.last.conv.weight", "backbone.layer1.1.conv2.weight"),
            ("layer1.1.body.0.norm.beta", "backbone.layer1.1.bn1.bias"),
            ("head.image_pool.conv.weight", "classifier.0.convs.4.1.weight"),
            ("head.image_pool.norm.running_mean", "classifier.0.convs.4.2.running_mean"),
            ("head.branches.2.norm.gamma", "classifier.0.convs.2.1.weight"),
            ("head.project.conv.weight", "classifier.0.project.0.weight"),
            ("head.bottleneck.norm.gamma", "classifier.2.weight"),
            ("head.classifier.weight", "classifier.4.weight"),
            ("aux_head.classifier.bias", "aux_classifier.4.bias"),
        ] {
            assert_eq!(torchvision.foreign(ours, &model).as_deref(), Some(theirs));
        }
        let backbone = Naming::Torchvision { backbone_only: true };
        assert_eq!(backbone.foreign("stem.convs.0.conv.weight", &model).as_deref(), Some("conv1.weight"));
        assert_eq!(backbone.foreign("head.classifier.weight", &model), None);
    }
}
