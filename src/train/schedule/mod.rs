//! Which local module steps when. One file for each schedule; a new schedule is a file here and an arm of [`of`].

mod sequential;
mod staged;
mod streamed;

use super::lr::learning_rate;
use super::trainer::Trainer;
use crate::Result;
use crate::config::{OptimConfig, RunConfig, ScheduleKind};
use crate::data::Dataset;
use crate::data::loader::{Batch, Loader};
use crate::data::normalize::Normalization;
use crate::data::training_set::TrainingSet;
use crate::local::pipeline::Job;
use crate::local::{LocalNetwork, Targets};
use crate::rng::mix;
use burn::tensor::{Device, Tensor};
use sequential::Sequential;
use staged::Staged;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use streamed::{Pipelined, Replicated};

/// An order in which modules make their steps.
pub(super) trait Schedule {
    /// Trains on these steps, counted over the whole run, or on fewer if a stop is asked for; returns the number of steps done.
    /// The steps do not reach beyond one that [`pauses`](Self::pauses).
    ///
    /// # Errors
    /// A batch that cannot be read, a loss that is not finite, no memory left: with what is left of the run.
    fn train(&mut self, run: &mut Trainer, steps: Range<usize>) -> Result<usize>;

    /// Whether a part of the run ends with this step, which is therefore saved.
    fn pauses(&self, _step: usize) -> bool {
        false
    }

    /// Removes what only training needed, once the run is over.
    fn clean_up(&self, _run: &Path) {}

    /// Whether the network as a whole can be scored before the last step.
    fn is_scored_between(&self) -> bool {
        true
    }
}

/// The schedule of a run that goes on after `first_step`.
pub(super) fn of(
    config: &RunConfig,
    train: Box<dyn Dataset>,
    normalization: Normalization,
    replicas: Vec<LocalNetwork>,
    first_step: usize,
) -> Box<dyn Schedule> {
    let images = TrainingSet::new(train, &config.augment, config.train.resolution, normalization);
    let batch_size = config.train.batch_size * config.parallel.replicas;
    let loader = |images| Loader::new(images, batch_size, config.seed, config.data.workers, first_step);
    match config.train.schedule {
        ScheduleKind::Sequential if replicas.is_empty() => Box::new(Sequential { loader: loader(images) }),
        ScheduleKind::Sequential => Box::new(Replicated { loader: loader(images), replicas }),
        ScheduleKind::Async => Box::new(Pipelined { loader: loader(images) }),
        ScheduleKind::Staged => Box::new(Staged::new(Arc::new(images), config)),
    }
}

/// Steps of a run; of the staged schedule those of all modules.
pub(super) fn total_steps(config: &RunConfig) -> usize {
    let modules = if config.train.schedule == ScheduleKind::Staged { config.local.num_modules } else { 1 };
    modules * config.train.steps
}

impl Trainer {
    pub(super) fn jobs(&self) -> Jobs {
        Jobs {
            device: self.devices[0].clone(),
            normalization: self.network.normalization,
            optim: self.config.optim.clone(),
            steps: self.config.train.steps,
            seed: self.config.seed,
        }
    }
}

/// Makes a step's work of its batch.
pub(super) struct Jobs {
    device: Device,
    normalization: Normalization,
    optim: OptimConfig,
    steps: usize,
    seed: u64,
}

impl Jobs {
    pub fn job(&self, step: usize, mut batch: Batch) -> Job {
        let label = std::mem::take(&mut batch.label);
        let input = Tensor::from_data(batch.into_input(), &self.device);
        let targets = Targets::new(&input, self.normalization, label, &self.device);
        let lr = learning_rate(&self.optim, step, self.steps);
        Job { step, input, targets, lr, seed: mix(self.seed, step as u64) }
    }
}
