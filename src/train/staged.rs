//! The schedule `staged`: one module after another, each for its whole budget, on stored features of the one before.
//!
//! A module that has made its steps is frozen. What it makes of the pictures (running statistics, no dropout) is written to
//! disk once, and the next module learns from there: earlier modules go forward no more. Their weights and momenta stay in
//! memory, though, and in every checkpoint. The network is scored once, at the end: before, its last module knows nothing.

use super::exhaustion;
use super::features::{self, FeatureStore};
use super::trainer::{Outcome, Trainer, due};
use crate::Result;
use crate::data::Dataset;
use crate::data::loader::{Batch, Loader};
use crate::data::training_set::TrainingSet;
use crate::local::network::in_precision;
use crate::local::pipeline::Job;
use crate::memory::human;
use crate::rng::mix;
use burn::tensor::Tensor;
use std::sync::Arc;

impl Trainer {
    /// Steps of module k (from 0) of K are counted from `k·steps` on.
    pub(super) fn staged(&mut self, train: Box<dyn Dataset>, val: &dyn Dataset, first_step: usize) -> Result<Outcome> {
        let settings = self.config.train.clone();
        let normalization = self.network.normalization;
        let pictures = Arc::new(TrainingSet::new(train, &self.config.augment, settings.resolution, normalization));
        let each = settings.steps;
        let modules = self.network.modules.len();
        let mut done = first_step;
        while done < modules * each {
            let module = done / each;
            let Some(store) = self.features_before(module, &pictures, done, first_step)? else {
                return Ok(self.interrupted(done));
            };
            done = self.train_alone(module, store.as_ref(), &pictures, done, first_step)?;
            if self.log.stop.requested() {
                return Ok(self.interrupted(done));
            }
        }
        features::remove(&self.folder, modules.saturating_sub(2));
        match self.evaluate(val, done, settings.overlays) {
            Ok(Some(table)) => Ok(Outcome::Done { folder: self.folder.clone(), table }),
            Ok(None) => Ok(self.interrupted(done)),
            Err(error) => Err(self.save_and_explain(done, first_step, error)),
        }
    }

    /// Number of batches whose features are stored; later steps use them again.
    fn stored_batches(&self) -> usize {
        match self.config.train.stored_batches {
            0 => self.config.train.steps,
            number => number.min(self.config.train.steps),
        }
    }

    fn loader(&self, pictures: &Arc<TrainingSet>, first: usize, period: usize) -> Loader {
        let (batch, workers) = (self.config.train.batch_size, self.config.data.workers);
        Loader::cycled(Arc::clone(pictures), batch, self.config.seed, workers, first, period)
    }

    /// What module `module` learns from: the whole store of the one before, `Some(None)` of the first. `None` if a stop was
    /// asked for.
    fn features_before(
        &mut self,
        module: usize,
        pictures: &Arc<TrainingSet>,
        done: usize,
        first_step: usize,
    ) -> Result<Option<Option<FeatureStore>>> {
        let Some(frozen) = module.checked_sub(1) else { return Ok(Some(None)) };
        let sums = |module: usize| (self.network.checksum(module + 1), pictures.checksum());
        let (weights, names) = sums(frozen);
        let store = FeatureStore::open(&self.folder, frozen, &self.config, weights, names)
            .map_err(|error| self.explain(done, error))?;
        let number = self.stored_batches();
        let missing: Vec<usize> = (0..number).filter(|&batch| !store.has(batch)).collect();
        let (Some(&first), Some(&last)) = (missing.first(), missing.last()) else { return Ok(Some(Some(store))) };
        let before = match frozen.checked_sub(1) {
            None => None,
            Some(earlier) => {
                let (weights, names) = sums(earlier);
                let there = FeatureStore::existing(&self.folder, earlier, &self.config, weights, names)
                    .map_err(|error| self.explain(done, error))?;
                there.filter(|before| missing.iter().all(|&batch| before.has(batch)))
            }
        };
        // Where earlier features are gone, the pictures go through all modules again.
        let mut loader = before.is_none().then(|| self.loader(pictures, first, number));
        let from = if before.is_some() { frozen } else { 0 };
        let modules: Vec<_> = self.network.modules[from..=frozen].iter().map(|module| module.frozen()).collect();
        for batch in first..=last {
            let made = match (&before, &mut loader) {
                (Some(_), _) if store.has(batch) => continue,
                (Some(before), _) => before.read(batch),
                (None, Some(loader)) => loader.next().map(Batch::into_input),
                (None, None) => unreachable!("what is not made of features is made of pictures"),
            };
            let made = made.and_then(|input| {
                if store.has(batch) {
                    return Ok(()); // its pictures come by on the way to those that are missing
                }
                let device = &self.devices[0];
                let input = in_precision(Tensor::from_data(input, device), self.network.precision);
                let forward = || modules.iter().fold(input, |x, module| module.forward(x));
                let features = exhaustion::guarded(device, || Ok(forward()))?;
                store.write(batch, &features.into_data())
            });
            made.map_err(|error| self.save_and_explain(done, first_step, error))?;
            self.log.observer.storing(batch + 1, number);
            if self.log.stop.requested() {
                self.save(done)?;
                return Ok(None);
            }
        }
        drop(loader);
        // Features of earlier modules are not read again.
        (0..frozen).for_each(|earlier| features::remove(&self.folder, earlier));
        self.log.observer.message(&format!(
            "module {module} is frozen; its features of {number} {} are in {} ({})",
            if number == 1 { "batch" } else { "batches" },
            store.folder().display(),
            human(store.bytes())
        ));
        Ok(Some(Some(store)))
    }

    /// Trains one module to its end, or until a stop is asked for; returns the steps done, all modules' counted.
    fn train_alone(
        &mut self,
        module: usize,
        store: Option<&FeatureStore>,
        pictures: &Arc<TrainingSet>,
        done: usize,
        first_step: usize,
    ) -> Result<usize> {
        let each = self.config.train.steps;
        // The first module sees pictures of its own at every step.
        let period = if store.is_some() { self.stored_batches() } else { each };
        let mut loader = self.loader(pictures, done % each % period, period);
        let precision = self.network.precision;
        for done in done + 1..=(module + 1) * each {
            let step = (done - 1) % each;
            let job = loader.next().map(|batch| self.jobs().job(step, batch));
            let features = job.and_then(|job| match store {
                None => Ok((job.input.clone(), job)),
                Some(store) => Ok((Tensor::from_data(store.read(step % period)?, &self.devices[0]), job)),
            });
            let (features, Job { targets, lr, seed, .. }) =
                features.map_err(|error| self.save_and_explain(done - 1, first_step, error))?;
            let (learner, device) = (&mut self.network.modules[module], &self.devices[0]);
            let seed = mix(seed, module as u64);
            let losses = exhaustion::guarded(device, || {
                Ok(learner.train_step(in_precision(features, precision), &targets, lr, seed))
            })
            .map_err(|error| self.explain(done, error))?
            .map_err(|error| self.explain_error(done, error))?;
            self.log.step_of(done - 1, module, losses.1)?;
            let stopping = self.log.stop.requested();
            if due(done, self.config.train.save_every_steps) || step + 1 == each || stopping {
                self.save(done)?;
            }
            if stopping {
                return Ok(done);
            }
        }
        Ok((module + 1) * each)
    }
}
