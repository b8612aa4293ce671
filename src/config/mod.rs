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
mod resolution;

pub use args::{DataArgs, TrainArgs};
pub use device::DeviceChoice;
pub use layers::{Flag, Layers, defaults_for};
pub use resolution::Resolution;

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
    /// Folder that holds `leftImg8bit/` and `gtFine/`; empty for built-in data.
    pub root: PathBuf,
    /// Split trained on.
    pub train_split: String,
    /// Split evaluated on.
    pub val_split: String,
    /// Loader threads. Changes speed only, never results.
    pub workers: usize,
    /// Size of the built-in scenes.
    pub synthetic_resolution: Resolution,
    /// Number of built-in scenes `[train, val]`.
    pub synthetic_count: [usize; 2],
}

/// Where pictures and labels come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Dataset {
    /// Built-in procedural street scenes.
    Synthetic,
    /// A folder in Cityscapes layout.
    Cityscapes,
}

/// What is done to training pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentConfig {
    /// Random scale `[smallest, largest]` of the original size.
    pub scale: [f32; 2],
    /// A crop is drawn again (at most ten times) while one class holds more than this share of its labelled pixels.
    pub category_max_share: f32,
    /// Probability of a horizontal flip.
    pub flip: f32,
    /// Brightness, contrast, saturation and hue distortion.
    pub photometric: bool,
}

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Residual network that computes the features.
    pub backbone: Backbone,
    /// Multiplies every backbone channel count.
    pub width: f64,
    /// First layers of the backbone.
    pub stem: Stem,
    /// Picture size / feature size: 8 or 16.
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

/// Residual network depth.
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
    /// Hidden channels of a local task head.
    pub head_channels: usize,
    /// Channels of the decoder's layers before the picture.
    pub decoder_channels: Vec<usize>,
    /// Pixel embeddings sampled per batch by the contrastive loss.
    pub contrast_samples: usize,
    /// Temperature of the contrastive loss.
    pub contrast_temperature: f64,
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

/// Where the network is cut: `"auto"`, or the names of the blocks after which to cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cuts {
    /// The paper's cut where it names one, else balanced by activation memory.
    Auto,
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
}

/// Length of the run and its intervals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Training crop, height × width.
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
    /// Overlays written after the last evaluation.
    pub overlays: usize,
    /// Weights to start from (`.pth`, `.pt`, `.safetensors`); empty: drawn from the seed.
    pub pretrained: PathBuf,
    /// Run folder; empty: a new folder `runs/<dataset>-<backbone>-<method>-k<K>-<number>`.
    pub out: PathBuf,
}
