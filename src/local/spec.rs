//! All that this room knows of a run.

use super::config::{Cuts, LocalConfig, OptimConfig, Precision};
use crate::data::normalize::Normalization;
use crate::device::DeviceChoice;
use crate::net::config::ModelConfig;
use crate::net::{FeatureShape, Init, Network};
use crate::size::Resolution;
use crate::task::TaskKind;
use burn::tensor::Device;

/// What a network in local modules is made from, and how its training steps are made. A run's is
/// [`RunConfig::spec`](crate::config::RunConfig::spec).
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Draws the first weights.
    pub seed: u64,
    /// What is learned.
    pub task: TaskKind,
    /// The network.
    pub model: ModelConfig,
    /// Its local modules. Cuts that the paper has for this network are named in it.
    pub local: LocalConfig,
    /// Their optimizers.
    pub optim: OptimConfig,
    /// How the network's input is made of images.
    pub normalization: Normalization,
    /// Size of a training image.
    pub resolution: Resolution,
    /// Images of a step, of each replica.
    pub batch_size: usize,
    /// Number format of activations.
    pub precision: Precision,
    /// How a step is made.
    pub execution: Execution,
    /// Where it is made; of several devices, the first.
    pub device: DeviceChoice,
    /// Whole networks that make a batch together.
    pub replicas: usize,
    /// Whole networks in the memory of one device.
    pub copies: usize,
}

/// How a step is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    /// Parts that each local module takes a batch in, one after the other.
    pub micro_batches: usize,
    /// Whether blocks keep their input alone, and go forward once more before they go backward.
    pub recompute: bool,
    /// Whether all modules are at work at once, and then how many batches may wait before each.
    pub queues: Option<usize>,
}

impl Spec {
    /// A network that is not trained here: one module, on the CPU.
    pub fn of_inference(task: TaskKind, model: ModelConfig, normalization: Normalization) -> Self {
        let resolution = Resolution { height: 512, width: 1024 };
        Self {
            seed: 0,
            task,
            model,
            local: LocalConfig { num_modules: 1, cuts: Cuts::Auto, ..LocalConfig::default() },
            optim: OptimConfig::default(),
            normalization,
            resolution,
            batch_size: 1,
            precision: Precision::F32,
            execution: Execution { micro_batches: 1, recompute: false, queues: None },
            device: DeviceChoice::Cpu,
            replicas: 1,
            copies: 1,
        }
    }

    /// The network without weights, for its shapes.
    pub fn blank(&self, num_classes: usize) -> Network {
        self.task.task().network(&mut Init::blank(&Device::flex()), &self.model, num_classes)
    }

    /// Shape of a training image.
    pub fn image(&self) -> FeatureShape {
        let Resolution { height, width } = self.resolution;
        FeatureShape { channels: 3, height, width }
    }
}
