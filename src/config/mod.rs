//! The run configuration: one struct tree, one TOML file, every key written out.
//!
//! [`RunConfig`] mirrors the file key by key; [`Layers::load`] puts flag over `--set` over file over the built-in
//! default of the dataset, and checks the relations between keys before data or a device is touched.

mod args;
mod check;
mod commented;
mod cuts;
mod device;
mod layers;
pub mod paper;
mod resolution;

pub use args::{DataArgs, TrainArgs};
pub use device::DeviceChoice;
pub use layers::{Flag, Layers, defaults_for};
pub use resolution::Resolution;

use crate::data::classes::Layout;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One whole experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Seeds weights, data order, augmentation and dropout.
    pub seed: u64,
    /// Where to compute.
    pub device: DeviceChoice,
    /// Which pictures.
    pub data: DataConfig,
    /// What is done to training pictures.
    pub augment: AugmentConfig,
    /// The network.
    pub model: ModelConfig,
    /// How the network is cut into local modules, and what each learns from.
    pub local: LocalConfig,
    /// Optimizer and learning-rate schedule, the same for every local module.
    pub optim: OptimConfig,
    /// Length of the run and its intervals.
    pub train: TrainConfig,
}

/// Which pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Where pictures and labels come from.
    pub dataset: Dataset,
    /// Folder of the dataset, as its publisher ships it (Cityscapes: the one that holds `leftImg8bit/` and `gtFine/`;
    /// CIFAR: the archive will do too); empty for built-in data.
    pub root: PathBuf,
    /// Split trained on.
    pub train_split: String,
    /// Split evaluated on.
    pub val_split: String,
    /// Loader threads. Changes speed only, never results.
    pub workers: usize,
    /// Size of the built-in scenes.
    pub synthetic_resolution: Resolution,
    /// Number of built-in scenes or digits `[train, val]`.
    pub synthetic_count: [usize; 2],
}

/// Where pictures and labels come from. The first two have a class a pixel, the others a class a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Dataset {
    /// Built-in procedural street scenes
    Synthetic,
    /// A folder in Cityscapes layout
    Cityscapes,
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

impl Dataset {
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
            Self::Synthetic | Self::Cityscapes => None,
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

/// What is done to training pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentConfig {
    /// How a training picture is cut out of the whole one.
    pub crop: Crop,
    /// Pixels that a padded crop adds on each side before it cuts.
    pub crop_padding: usize,
    /// Random scale `[smallest, largest]` of the original size.
    pub scale: [f32; 2],
    /// A crop is drawn again (at most ten times) while one class holds more than this share of its labelled pixels.
    pub category_max_share: f32,
    /// Probability of a horizontal flip.
    pub flip: f32,
    /// Brightness, contrast, saturation and hue distortion.
    pub photometric: bool,
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

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Network that computes the features.
    pub backbone: Backbone,
    /// Multiplies every backbone channel count.
    pub width: f64,
    /// First layers of the backbone.
    pub stem: Stem,
    /// Picture size / feature size of a segmentation network: 8 or 16.
    pub output_stride: usize,
    /// What comes after the backbone.
    #[serde(default)]
    pub decode_head: DecodeHead,
    /// Dilations of the ASPP branches; 1 stands for the 1×1 branch.
    pub atrous_rates: Vec<usize>,
    /// Channels of each ASPP branch and of the decode head.
    pub aspp_channels: usize,
    /// Channels of the FCN auxiliary head.
    pub aux_channels: usize,
    /// Weight of the FCN auxiliary head on layer3 in the last module's loss.
    pub aux_weight: f64,
    /// Spatial dropout before each classifier (torchvision's decode head: behind `project`).
    pub dropout: f64,
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

/// How the network is cut, and what each local module learns from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalConfig {
    /// K: number of gradient-isolated local modules; 1 is end-to-end training.
    pub num_modules: usize,
    /// Local learning method.
    pub method: Method,
    /// T: the task term of a local loss.
    pub task_loss: TaskLoss,
    /// Where the network is cut.
    pub cuts: Cuts,
    /// λ1, weight of the reconstruction term, for the `[first, last]` local module but the network's last; linear between.
    pub recon_weight: [f64; 2],
    /// λ2, weight of the task term, likewise.
    pub task_weight: [f64; 2],
    /// Local task head of dgl and infopro (greedy's is linear).
    #[serde(default)]
    pub head: LocalHeadKind,
    /// Hidden channels of the head `fcn`.
    pub head_channels: usize,
    /// Multiplies the hidden channels of the heads `0c1f` … `2c2f` and of the decoder `direct`.
    #[serde(default = "one")]
    pub widen: f64,
    /// Hidden features of the heads `0c1f` … `2c2f`, and dimensions of a contrastive embedding.
    #[serde(default = "feature_dim")]
    pub feature_dim: usize,
    /// How features become a picture.
    #[serde(default)]
    pub decoder: DecoderKind,
    /// Channels of the decoder's layers before the picture.
    pub decoder_channels: Vec<usize>,
    /// Pixel embeddings sampled per batch by the contrastive loss.
    pub contrast_samples: usize,
    /// Temperature of the contrastive loss.
    pub contrast_temperature: f64,
}

fn one() -> f64 {
    1.0
}

fn feature_dim() -> usize {
    128
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
    Linear,
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

/// Local learning method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// One module, one loss (K = 1).
    E2e,
    /// λ1 · reconstruction + λ2 · task.
    Infopro,
    /// Task term only (λ1 = 0), convolutional head.
    Dgl,
    /// Task term only (λ1 = 0), linear head.
    Greedy,
}

/// T: the task term of a local loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TaskLoss {
    /// Per-pixel cross-entropy.
    Softmax,
    /// Supervised contrastive loss over sampled pixel embeddings.
    Contrast,
}

/// Where the network is cut: `"auto"`, `"balanced"`, or the names of the blocks after which to cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cuts {
    /// The paper's cuts where it names some. Else networks for small pictures are cut into modules of the same number of
    /// blocks, and others balanced by activation memory.
    Auto,
    /// InfoPro*: the paper's memory-balanced cuts where it names some, else balanced by activation memory.
    Balanced,
    /// K − 1 block names such as `layer3.12`, in order.
    After(Vec<String>),
}

/// Optimizer and learning-rate schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimConfig {
    /// Initial learning rate.
    pub lr: f64,
    /// SGD momentum (PyTorch's: no dampening).
    pub momentum: f64,
    /// Nesterov's momentum.
    #[serde(default)]
    pub nesterov: bool,
    /// L2 penalty added to the gradient.
    pub weight_decay: f64,
    /// Learning rate over steps.
    pub schedule: LrScheduleKind,
    /// Exponent of the poly schedule.
    pub power: f64,
    /// The schedule's learning rate never falls below this (warm-up does).
    pub min_lr: f64,
    /// Steps of linear warm-up from zero.
    pub warmup_steps: usize,
    /// Schedule `step`: shares of the run, in 0..1 and rising, after which `gamma` multiplies the learning rate.
    #[serde(default)]
    pub milestones: Vec<f64>,
    /// Schedule `step`: factor at each of `milestones`.
    #[serde(default = "gamma")]
    pub gamma: f64,
}

fn gamma() -> f64 {
    0.1
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

/// Length of the run and its intervals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Training crop, height × width; of classification, the size of a picture as the network sees it.
    pub resolution: Resolution,
    /// Pictures per step.
    pub batch_size: usize,
    /// Number of steps.
    pub steps: usize,
    /// A line of metrics every so many steps.
    pub log_every_steps: usize,
    /// An evaluation every so many steps (and after the last); 0: only after the last.
    pub eval_every_steps: usize,
    /// A checkpoint every so many steps (and after the last); 0: only after the last.
    pub save_every_steps: usize,
    /// Checkpoints kept; older ones are removed.
    pub keep_checkpoints: usize,
    /// Overlays written after the last evaluation; of classification, pictures on the sheet of mistakes.
    pub overlays: usize,
    /// Weights to start from (`.pth`, `.pt`, `.safetensors`); empty: drawn from the seed.
    pub pretrained: PathBuf,
    /// Run folder; empty: a new folder `runs/<dataset>-<backbone>-<method>-k<K>-<number>`.
    pub out: PathBuf,
}
