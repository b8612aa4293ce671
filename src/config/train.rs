//! The section `[train]`: the length of a run, its intervals, and which local module steps when.

use crate::local::config::Precision;
use crate::size::Resolution;
use documented::DocumentedFields;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Which local module steps when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// One after another, with one module's activations alive at a time
    #[default]
    Sequential,
    /// All at once, each on another batch: the same numbers, in less time and more memory
    Async,
    /// Each module for all its steps before the next begins, on stored features of the one before
    Staged,
}

fn queue_depth() -> usize {
    1
}

fn one_part() -> usize {
    1
}

/// Length of the run and its intervals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Training crop, height x width; where each image has a class, its size as the network sees it.
    pub resolution: Resolution,
    /// Images of a step.
    pub batch_size: usize,
    /// Which local module steps when.
    #[serde(default)]
    pub schedule: ScheduleKind,
    /// For the schedule async: batches that may wait before each module but the first.
    #[serde(default = "queue_depth")]
    pub queue_depth: usize,
    /// On a CPU: threads of each module's (schedule async) or replica's own; 0: shares cpu:0, cpu:1, … have their
    /// cores, and else all share the program's.
    #[serde(default)]
    pub worker_threads: usize,
    /// For the schedule staged: batches whose features are stored, and used again after as many steps; 0: as many as
    /// steps.
    #[serde(default)]
    pub stored_batches: usize,
    /// Number format of activations in training. Weights, statistics and losses are float32 always.
    #[serde(default)]
    pub precision: Precision,
    /// Parts that each local module takes a batch in, one after the other: less memory. Their gradients add up to the
    /// batch's, but BatchNorm's statistics are of a part.
    #[serde(default = "one_part")]
    pub micro_batches: usize,
    /// Whether blocks keep their input alone and go forward once more when it is their turn to go backward: less
    /// memory, more time.
    #[serde(default)]
    pub recompute: bool,
    /// Number of steps.
    pub steps: usize,
    /// Steps between two lines of the log.
    pub log_every_steps: usize,
    /// Steps between two evaluations; there is one after the last step, too. 0: only that one.
    pub eval_every_steps: usize,
    /// Steps between two checkpoints; there is one after the last step, too. 0: only that one.
    pub save_every_steps: usize,
    /// Checkpoints kept; older ones are removed.
    pub keep_checkpoints: usize,
    /// Overlays written after the last evaluation; where each image has a class, images on the sheet of mistakes.
    pub overlays: usize,
    /// Whether the run is written for TensorBoard, too (tensorboard --logdir RUN).
    #[serde(default)]
    pub tensorboard: bool,
    /// Weights to start from: .pth, .pt, .safetensors or an index of several, of torchvision, mmsegmentation or
    /// segexport; empty: drawn from the seed.
    pub pretrained: PathBuf,
    /// TOML file of "class of the weights" = "class of the data": rows of the classifiers that carry over from
    /// pretrained; empty: none.
    #[serde(default)]
    pub init_classes: PathBuf,
    /// Run folder; empty: a new folder `runs/<dataset>-<backbone>-<method>-k<K>-<number>`.
    pub out: PathBuf,
}
