//! What can be chosen, by the names that files and flags have for it.

use crate::data::classes::Layout;
use serde::{Deserialize, Serialize};

/// Where pictures and labels come from. The first three have a class for each pixel, the others
/// one for each image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DatasetKind {
    /// Built-in procedural street scenes
    Synthetic,
    /// A folder in Cityscapes layout
    Cityscapes,
    /// A folder of images and masks of your own classes (classes.toml)
    Folder,
    /// CIFAR-10, binary version: the folder cifar-10-batches-bin or the .tar.gz
    Cifar10,
    /// CIFAR-100, binary version: the folder cifar-100-binary or the .tar.gz
    Cifar100,
    /// Street view house numbers: the folder of train_32x32.mat and test_32x32.mat
    Svhn,
    /// STL-10: the folder stl10_binary
    Stl10,
    /// ImageNet: a folder of train/ and val/ with a folder of pictures for each class
    Imagenet,
    /// Built-in procedural digits
    SyntheticDigits,
}

/// What a network is trained to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// A class for each pixel.
    Segmentation,
    /// A class for each picture.
    Classification,
}

impl DatasetKind {
    /// What its labels are of.
    pub const fn task(self) -> Task {
        match self.classes() {
            None => Task::Segmentation,
            Some(_) => Task::Classification,
        }
    }

    /// How its files are laid out, where a picture has one class.
    pub const fn classes(self) -> Option<Layout> {
        match self {
            Self::Synthetic | Self::Cityscapes | Self::Folder => None,
            Self::Cifar10 => Some(Layout::Cifar10),
            Self::Cifar100 => Some(Layout::Cifar100),
            Self::Svhn => Some(Layout::Svhn),
            Self::Stl10 => Some(Layout::Stl10),
            Self::Imagenet => Some(Layout::Imagenet),
            Self::SyntheticDigits => Some(Layout::Digits),
        }
    }

    /// Whether its pictures are made here, and not read from a folder.
    pub const fn is_built_in(self) -> bool {
        matches!(self, Self::Synthetic | Self::SyntheticDigits)
    }

    /// As it is said in files and flags, such as `cifar10`.
    pub fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map_or_else(String::new, |value| value.get_name().to_string())
    }
}

/// How a training picture is cut out of the whole one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crop {
    /// Randomly scaled by `scale`, then cut: segmentation.
    Scaled,
    /// Padded by mirroring, then cut (CIFAR).
    ReflectPadded,
    /// Padded with black, then cut (SVHN, STL-10).
    ZeroPadded,
    /// A random part of random shape, resized (ImageNet's `RandomResizedCrop`).
    Resized,
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
    /// Whether it is made for small pictures, 32 to 96 pixels a side: three stages, no pooling in front.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    /// One 7×7 convolution, as torchvision.
    Torchvision,
    /// Three 3×3 convolutions (ResNet-v1c), as the paper.
    V1c,
}

/// Who of the local modules steps when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// One after another, with one module's activations alive at a time
    #[default]
    Sequential,
    /// All at once, each on another batch: the same numbers, in less time and more memory
    Async,
    /// Each module for all its steps before the next begins, on stored features of the one before
    Staged,
}

/// Number format of activations and matrix products in training. Weights, statistics and losses are float32 always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// float32
    #[default]
    F32,
    /// bfloat16: half the memory, for GPUs
    Bf16,
}

impl Precision {
    /// Bytes of a value.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// DeepLabV3's head, as one of two libraries builds it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecodeHead {
    /// The branches are joined by a 3×3 convolution, as the paper.
    #[default]
    Mmsegmentation,
    /// The branches are joined by a 1×1 convolution, and a 3×3 one follows.
    Torchvision,
}

/// Local task head of dgl and infopro. `1c2f` is one convolution, two linear layers: the reference's names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocalHeadKind {
    /// 3×3 convolution, spatial dropout, 1×1 convolution: a class for each pixel.
    #[default]
    #[serde(rename = "fcn")]
    Fcn,
    /// Average, linear: greedy supervised learning's.
    #[serde(rename = "0c1f")]
    C0F1,
    /// Average, two linear layers.
    #[serde(rename = "0c2f")]
    C0F2,
    /// 3×3 convolution, average, linear.
    #[serde(rename = "1c1f")]
    C1F1,
    /// 3×3 convolution, average, two linear layers.
    #[serde(rename = "1c2f")]
    C1F2,
    /// 3×3 convolution, average, three linear layers.
    #[serde(rename = "1c3f")]
    C1F3,
    /// Two 3×3 convolutions, average, two linear layers.
    #[serde(rename = "2c2f")]
    C2F2,
    /// 1×1 → 128, 3×3 stride 2 → 256, 3×3 stride 2 → 512, 1×1 → 2048, average, linear.
    #[serde(rename = "imagenet")]
    Imagenet,
}

/// How features become a picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecoderKind {
    /// 1×1 convolution, then an upsampling and a 3×3 convolution for each of `decoder_channels` (Cityscapes, ImageNet).
    #[default]
    Stepwise,
    /// Upsampled at once, then a 3×3 convolution for each of `decoder_channels` (CIFAR, SVHN, STL-10).
    Direct,
}

/// T: the task term of a local loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TaskLoss {
    /// Cross-entropy of each pixel, or of each picture.
    Softmax,
    /// Supervised contrastive loss over embeddings: of sampled pixels, or of all pictures of the batch.
    Contrast,
}

/// Learning rate over steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LrScheduleKind {
    /// `(lr − min_lr)·(1 − step/steps)^power + min_lr`.
    Poly,
    /// Half a cosine from `lr` to `min_lr`.
    Cosine,
    /// `lr` throughout.
    Constant,
    /// `lr`, multiplied by `gamma` at each of `milestones`.
    Step,
}
