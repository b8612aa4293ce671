//! The schedule `staged`: one module after another, each for its whole budget, on stored features of the one before.
//!
//! A module that has made its steps is frozen. What it makes of the images (running statistics, no dropout) is written to
//! disk once, and the next module learns from there: earlier modules go forward no more. Their weights and momenta stay in
//! memory, though, and in every checkpoint. The network is scored once, at the end: before, its last module knows nothing.

use super::Schedule;
use crate::Result;
use crate::config::RunConfig;
use crate::data::loader::{Batch, Loader};
use crate::data::training_set::TrainingSet;
use crate::local::network::in_precision;
use crate::local::pipeline::Job;
use crate::memory::human;
use crate::rng::mix;
use crate::train::exhaustion;
use crate::train::features::{self, FeatureStore};
use crate::train::trainer::Trainer;
use burn::tensor::Tensor;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Steps of module k (from 0) of K are counted from `k·steps` on.
pub(super) struct Staged {
    images: Arc<TrainingSet>,
    /// Steps of each module.
    each: usize,
    modules: usize,
    /// Batches whose features are stored; later steps use them again.
    stored: usize,
    learning: Option<Learning>,
}

/// The module that learns.
struct Learning {
    module: usize,
    /// What it learns from; the first module has images.
    store: Option<FeatureStore>,
    loader: Loader,
    /// Steps after which the same batches come again.
    period: usize,
}

impl Schedule for Staged {
    fn train(&mut self, run: &mut Trainer, steps: Range<usize>) -> Result<usize> {
        let module = steps.start / self.each;
        let learning = match self.learning.take().filter(|learning| learning.module == module) {
            Some(learning) => learning,
            None => match self.next(run, module, steps.start)? {
                Some(learning) => learning,
                None => return Ok(steps.start),
            },
        };
        let learning = self.learning.insert(learning);
        let each = self.each;
        for done in steps.start + 1..=steps.end {
            learning.step(run, done, (done - 1) % each)?;
            if run.log.stop.requested() {
                return Ok(done);
            }
        }
        Ok(steps.end)
    }

    fn pauses(&self, step: usize) -> bool {
        step.is_multiple_of(self.each)
    }

    fn clean_up(&self, run: &Path) {
        features::remove(run, self.modules.saturating_sub(2));
    }

    fn is_scored_between(&self) -> bool {
        false
    }
}

impl Learning {
    /// One step of the module: `done` counts all modules' steps, `step` its own from 0.
    fn step(&mut self, run: &mut Trainer, done: usize, step: usize) -> Result<()> {
        let precision = run.network.precision;
        let job = self.loader.next().map(|batch| run.jobs().job(step, batch));
        let features = job.and_then(|job| match &self.store {
            None => Ok((job.input.clone(), job)),
            Some(store) => Ok((Tensor::from_data(store.read(step % self.period)?, &run.devices[0]), job)),
        });
        let (features, Job { targets, lr, seed, .. }) = features.map_err(|error| run.unreadable(done - 1, error))?;
        let (learner, device) = (&mut run.network.modules[self.module], &run.devices[0]);
        let seed = mix(seed, self.module as u64);
        let losses = exhaustion::guarded(device, || {
            Ok(learner.train_step(in_precision(features, precision), &targets, lr, seed))
        })
        .map_err(|error| run.explain(done, error))?
        .map_err(|error| run.explain_error(done, error))?;
        run.log.step_of(done - 1, self.module, losses.1)
    }
}

impl Staged {
    pub fn new(images: Arc<TrainingSet>, config: &RunConfig) -> Self {
        let (each, modules) = (config.train.steps, config.local.num_modules);
        let stored = match config.train.stored_batches {
            0 => each,
            number => number.min(each),
        };
        Self { images, each, modules, stored, learning: None }
    }

    fn loader(&self, config: &RunConfig, first: usize, period: usize) -> Loader {
        let (batch, workers) = (config.train.batch_size, config.data.workers);
        Loader::cycled(Arc::clone(&self.images), batch, config.seed, workers, first, period)
    }

    /// Module `module` with what it learns from; `None` if a stop was asked for meanwhile.
    fn next(&mut self, run: &mut Trainer, module: usize, done: usize) -> Result<Option<Learning>> {
        self.learning = None; // its loader's threads
        let store = match module.checked_sub(1) {
            None => None,
            Some(frozen) => match self.features_of(run, frozen, done)? {
                Some(store) => Some(store),
                None => return Ok(None),
            },
        };
        // The first module sees images of its own at every step.
        let period = if store.is_some() { self.stored } else { self.each };
        let loader = self.loader(&run.config, done % self.each % period, period);
        Ok(Some(Learning { module, store, loader, period }))
    }

    /// The whole store of the features of module `frozen`, which is written where it is not there; `None` if a stop was asked
    /// for meanwhile.
    fn features_of(&self, run: &mut Trainer, frozen: usize, done: usize) -> Result<Option<FeatureStore>> {
        let sums = |module: usize| (run.network.checksum(module + 1), self.images.checksum());
        let (weights, names) = sums(frozen);
        let store = FeatureStore::open(&run.folder, frozen, &run.config, weights, names)
            .map_err(|error| run.explain(done, error))?;
        let missing: Vec<usize> = (0..self.stored).filter(|&batch| !store.has(batch)).collect();
        let (Some(&first), Some(&last)) = (missing.first(), missing.last()) else { return Ok(Some(store)) };
        let before = match frozen.checked_sub(1) {
            None => None,
            Some(earlier) => {
                let (weights, names) = sums(earlier);
                let there = FeatureStore::existing(&run.folder, earlier, &run.config, weights, names)
                    .map_err(|error| run.explain(done, error))?;
                there.filter(|before| missing.iter().all(|&batch| before.has(batch)))
            }
        };
        // Where earlier features are gone, the images go through all modules again.
        let mut loader = before.is_none().then(|| self.loader(&run.config, first, self.stored));
        let from = if before.is_some() { frozen } else { 0 };
        let modules: Vec<_> = run.network.modules[from..=frozen].iter().map(|module| module.frozen()).collect();
        for batch in first..=last {
            let made = match (&before, &mut loader) {
                (Some(_), _) if store.has(batch) => continue,
                (Some(before), _) => before.read(batch),
                (None, Some(loader)) => loader.next().map(Batch::into_input),
                (None, None) => unreachable!("what is not made of features is made of images"),
            };
            let made = made.and_then(|input| {
                if store.has(batch) {
                    return Ok(()); // its images come by on the way to those that are missing
                }
                let device = &run.devices[0];
                let input = in_precision(Tensor::from_data(input, device), run.network.precision);
                let forward = || modules.iter().fold(input, |x, module| module.forward(x));
                let features = exhaustion::guarded(device, || Ok(forward()))?;
                store.write(batch, &features.into_data())
            });
            made.map_err(|error| run.unreadable(done, error))?;
            run.log.observer.storing(batch + 1, self.stored);
            if run.log.stop.requested() {
                return Ok(None);
            }
        }
        drop(loader);
        // Features of earlier modules are not read again.
        (0..frozen).for_each(|earlier| features::remove(&run.folder, earlier));
        let (number, folder) = (self.stored, store.folder().display());
        run.log.observer.message(&format!(
            "module {} is frozen; its features of {} are in {folder} ({})",
            frozen + 1,
            if number == 1 { "1 batch".to_string() } else { format!("{number} batches") },
            human(store.bytes())
        ));
        Ok(Some(store))
    }
}
