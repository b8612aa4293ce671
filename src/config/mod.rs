//! The run configuration: one struct tree, one TOML file, every key written out.
//!
//! [`RunConfig`] mirrors the file key by key; [`Layers::load`] puts flag over `--set` over file over the built-in
//! default of the dataset, and checks the relations between keys before data or a device is touched.

mod args;
mod check;
mod choices;
mod commented;
mod cuts;
mod layers;
mod local_k;
pub mod paper;
mod parallel;

pub use crate::device::DeviceChoice;
pub use crate::local::method::Method;
pub use crate::size::Resolution;
pub use args::{DataArgs, TrainArgs};
pub use choices::{
    Backbone, Crop, DatasetKind, DecodeHead, DecoderKind, LocalHeadKind, LrScheduleKind, Precision, Schedule, Stem,
    Task, TaskLoss,
};
pub use layers::{Flag, Layers, defaults_for};
pub use local_k::LocalK;
pub use parallel::ParallelConfig;

use crate::task::ClassSet;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

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
    /// Several devices.
    #[serde(default)]
    pub parallel: ParallelConfig,
}

impl RunConfig {
    /// Number of classes of the dataset, as far as it is known without its files: ImageNet's are as many as its folders.
    pub fn num_classes_expected(&self) -> usize {
        match self.data.dataset.classes() {
            None => self.class_set_expected().len(),
            Some(layout) => layout.num_classes_hint().unwrap_or(IMAGENET_CLASSES),
        }
    }

    /// The class set of a dataset with a class for each pixel; Cityscapes' where it cannot be told.
    pub fn class_set_expected(&self) -> ClassSet {
        crate::data::class_file(&self.data).map_or_else(|_| (*ClassSet::cityscapes()).clone(), |file| file.classes)
    }

    /// Makes paths absolute, so that a run can be used from any folder.
    ///
    /// # Errors
    /// The working folder is gone.
    pub fn make_paths_absolute(&mut self) -> Result<()> {
        let train = &mut self.train;
        for path in [&mut self.data.root, &mut train.pretrained, &mut train.init_classes, &mut self.parallel.token_file]
        {
            if !path.as_os_str().is_empty() {
                *path = absolute(path)?;
            }
        }
        let is_preset = crate::task::class_set::preset(&self.data.classes).is_some();
        if !is_preset && Path::new(&self.data.classes).is_file() {
            self.data.classes = absolute(Path::new(&self.data.classes))?.to_string_lossy().into_owned();
        }
        Ok(())
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|cause| Error::file(path, format!("cannot be made absolute: {cause}")))
}

const IMAGENET_CLASSES: usize = 1000;

/// Which pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Where pictures and labels come from.
    pub dataset: DatasetKind,
    /// Folder of the dataset, as its publisher ships it (Cityscapes: the one that holds `leftImg8bit/` and `gtFine/`;
    /// CIFAR: the archive will do too); empty for built-in data.
    pub root: PathBuf,
    /// Class set of a dataset with a class for each pixel: a `classes.toml` or the name of a preset; empty: `classes.toml` in
    /// the root, else Cityscapes' for `cityscapes`.
    #[serde(default)]
    pub classes: String,
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
    /// Pixel embeddings sampled per batch by the contrastive loss; of classification all pictures take part.
    pub contrast_samples: usize,
    /// Temperature of the contrastive loss.
    pub contrast_temperature: f64,
}

fn one() -> f64 {
    1.0
}

fn queue_depth() -> usize {
    1
}

fn one_part() -> usize {
    1
}

fn feature_dim() -> usize {
    128
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

/// Length of the run and its intervals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Training crop, height × width; of classification, the size of a picture as the network sees it.
    pub resolution: Resolution,
    /// Pictures per step.
    pub batch_size: usize,
    /// Who of the local modules steps when.
    #[serde(default)]
    pub schedule: Schedule,
    /// Schedule `async`: batches that may wait before each module but the first.
    #[serde(default = "queue_depth")]
    pub queue_depth: usize,
    /// On a CPU: threads of each module's (schedule `async`) or replica's own; 0: shares of the CPU have their cores, and else all
    /// share the program's.
    #[serde(default)]
    pub worker_threads: usize,
    /// Schedule `staged`: batches whose features are stored, and used again after as many steps; 0: as many as steps.
    #[serde(default)]
    pub stored_batches: usize,
    /// Number format of activations.
    #[serde(default)]
    pub precision: Precision,
    /// Parts that each local module takes a batch in, one after the other. Their gradients add up to the batch's, but
    /// BatchNorm's statistics are of a part.
    #[serde(default = "one_part")]
    pub micro_batches: usize,
    /// Whether blocks keep their input alone and go forward once more when it is their turn to go backward.
    #[serde(default)]
    pub recompute: bool,
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
    /// Whether the run is written for TensorBoard, too.
    #[serde(default)]
    pub tensorboard: bool,
    /// Weights to start from (`.pth`, `.pt`, `.safetensors`, an index of several); empty: drawn from the seed.
    pub pretrained: PathBuf,
    /// TOML file of `"class of the weights" = "class of the data"`: rows of the classifiers that carry over from
    /// `pretrained`; empty: none.
    #[serde(default)]
    pub init_classes: PathBuf,
    /// Run folder; empty: a new folder `runs/<dataset>-<backbone>-<method>-k<K>-<number>`.
    pub out: PathBuf,
}
