//! The run configuration: one struct tree, one TOML file, every key written out.
//!
//! [`RunConfig`] mirrors the file key by key; [`Layers::load`] puts flag over `--set` over file over the built-in
//! default of the dataset, and checks the relations between keys before data or a device is touched.

mod args;
mod check;
mod defaults;
mod layers;
mod local_k;
mod merge;
pub(crate) mod paper;
mod parallel;
pub mod reference;
mod train;

pub use crate::data::config::{AugmentConfig, Crop, DataConfig, DatasetKind};
pub use crate::device::DeviceChoice;
pub use crate::local::config::{
    Cuts, DecoderKind, LocalConfig, LocalHeadKind, LrScheduleKind, OptimConfig, Precision, TaskLoss,
};
pub use crate::local::method::Method;
pub use crate::net::config::{Backbone, DecodeHead, ModelConfig, Stem};
pub use crate::size::Resolution;
pub use args::{DataArgs, TrainArgs};
pub use defaults::defaults_for;
pub use layers::{Flag, Layers};
pub use local_k::LocalK;
pub use parallel::ParallelConfig;
pub use train::{ScheduleKind, TrainConfig};

use crate::local::plan::Plan;
use crate::local::{Execution, Spec};
use crate::task::ClassSet;
use crate::{Error, Result};
use documented::DocumentedFields;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// One whole experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Seeds weights, data order, augmentation and dropout.
    pub seed: u64,
    /// Where to compute: auto, cpu, cuda, vulkan, or one of several as cuda:1. auto takes the first GPU that the
    /// build and the machine have, else the CPU.
    pub device: DeviceChoice,
    /// Which images.
    pub data: DataConfig,
    /// What is done to training images.
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

    /// What the network in local modules is made from, and how its steps are made.
    pub fn spec(&self) -> Spec {
        let (train, dataset) = (&self.train, self.data.dataset);
        let cuts = paper::cuts(self).map_or_else(|| self.local.cuts.clone(), Cuts::After);
        let queues = (train.schedule == ScheduleKind::Async).then_some(train.queue_depth);
        Spec {
            seed: self.seed,
            task: dataset.task(),
            model: self.model.clone(),
            local: LocalConfig { cuts, ..self.local.clone() },
            optim: self.optim.clone(),
            normalization: dataset.normalization(),
            resolution: train.resolution,
            batch_size: train.batch_size,
            precision: train.precision,
            execution: Execution { micro_batches: train.micro_batches, recompute: train.recompute, queues },
            device: self.first_device().clone(),
            replicas: self.parallel.replicas,
            copies: self.networks_on_one(),
        }
    }

    /// This run as it is planned to fit into some memory: its modules, their cuts, and how a step is made.
    pub fn with_plan(mut self, plan: &Plan) -> Self {
        let Spec { local, execution, .. } = &plan.spec;
        (self.local.num_modules, self.local.cuts) = (local.num_modules, local.cuts.clone());
        (self.train.micro_batches, self.train.recompute) = (execution.micro_batches, execution.recompute);
        self
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

#[cfg(test)]
mod shipped_tests;
