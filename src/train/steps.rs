//! Training steps between two saved or scored ones: one module after another, or all at once.

use super::board::Board;
use super::exhaustion;
use super::first_step::FirstStep;
use super::lr::learning_rate;
use super::metrics::{Line, Metrics, ModuleLine, StepLine};
use super::observer::{Observer, Stop};
use super::trainer::{Trainer, due};
use crate::config::{OptimConfig, ScheduleKind};
use crate::data::loader::{Batch, Loader};
use crate::data::normalize::Normalization;
use crate::device::DeviceChoice;
use crate::local::pipeline::{Job, Work, Workers};
use crate::local::replicas::{self, Replicated};
use crate::local::{Losses, Targets};
use crate::rng::mix;
use crate::{Result, memory};
use burn::tensor::{Device, Tensor};
use std::ops::Range;
use std::time::Instant;

/// Where a run reports its steps: the log and the observer.
pub(super) struct RunLog {
    pub metrics: Metrics,
    pub observer: Box<dyn Observer>,
    pub stop: Stop,
    pub started: Instant,
    pub seconds_before: f64,
    pub devices: Vec<Device>,
    pub optim: OptimConfig,
    /// Steps of each module.
    pub steps: usize,
    /// Steps of the whole run: under the staged schedule, of all modules together.
    pub total_steps: usize,
    pub log_every_steps: usize,
    pub board: Option<Board>,
}

impl RunLog {
    /// Since the run began, interruptions not counted.
    pub fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    /// Step `step`, counted from 0, is done.
    fn step(&mut self, step: usize, losses: &[Losses], works: &[Work]) -> Result<()> {
        self.step_with(step, ModuleLine::all(losses, works))
    }

    /// The same of one module (from 0) alone.
    pub fn step_of(&mut self, step: usize, module: usize, losses: Losses) -> Result<()> {
        self.step_with(step, vec![ModuleLine::of(module, &losses, None)])
    }

    fn step_with(&mut self, step: usize, losses: Vec<ModuleLine>) -> Result<()> {
        let done = step + 1;
        let line = StepLine {
            step: done,
            lr: learning_rate(&self.optim, step % self.steps, self.steps),
            losses,
            seconds: self.seconds(),
            peak_memory_bytes: self.devices.iter().filter_map(memory::peak_bytes).max(),
        };
        let logged = due(done, self.log_every_steps) || done == self.total_steps;
        self.observer.step(&line, logged);
        if let Some(board) = self.board.as_mut().filter(|_| logged) {
            board.step(&line)?;
        }
        if logged { self.metrics.push(Line::Step(line)) } else { Ok(()) }
    }
}

impl Trainer {
    /// Trains on these steps, or on fewer if a stop is asked for; returns the number of steps done.
    pub fn train(&mut self, loader: &mut Loader, steps: Range<usize>, first_step: usize) -> Result<usize> {
        match self.config.train.schedule {
            ScheduleKind::Sequential if !self.replicas.is_empty() => self.replicated(loader, steps, first_step),
            ScheduleKind::Sequential => self.sequential(loader, steps, first_step),
            ScheduleKind::Staged => unreachable!("the staged schedule has a loop of its own"),
            ScheduleKind::Async => self.pipelined(loader, steps, first_step),
        }
    }

    fn sequential(&mut self, loader: &mut Loader, steps: Range<usize>, first_step: usize) -> Result<usize> {
        for step in steps.clone() {
            let batch = match loader.next() {
                Ok(batch) => batch,
                Err(error) => return Err(self.save_and_explain(step, first_step, error)),
            };
            let losses =
                exhaustion::guarded(&self.devices[0].clone(), || Ok(self.step(step, batch, step == first_step)))
                    .map_err(|error| self.explain(step + 1, error))?
                    .map_err(|error| self.explain_error(step + 1, error))?;
            self.log.step(step, &losses, &[])?;
            if self.log.stop.requested() {
                return Ok(step + 1);
            }
        }
        Ok(steps.end)
    }

    /// Makes a step; of the first on a GPU it tells how far it is.
    fn step(&mut self, step: usize, batch: Batch, first: bool) -> Result<Vec<Losses>> {
        let Job { input, targets, lr, seed, .. } = self.jobs().job(step, batch);
        let Self { network, log, devices, config, .. } = self;
        if !(first && memory::has_pools(&devices[0])) {
            return network.train_step(input, &targets, lr, seed);
        }
        let mut first = FirstStep::new(&network.modules, config.train.micro_batches, log.observer.interval());
        let losses = network.train_step_watched(input, &targets, lr, seed, &mut |module, mark| {
            if let Some(text) = first.mark(module, mark) {
                log.observer.tuning(&text);
            }
        })?;
        first.end().iter().for_each(|text| log.observer.message(text));
        Ok(losses)
    }

    fn pipelined(&mut self, loader: &mut Loader, steps: Range<usize>, first_step: usize) -> Result<usize> {
        let workers = Workers { queue_depth: self.config.train.queue_depth, threads: self.config.threads_of_worker() };
        self.streamed(loader, steps, first_step, |trainer, jobs, told| {
            let Trainer { network, log, .. } = trainer;
            network.train_pipelined(workers, jobs, |step, works| {
                *told = step + 1;
                let losses: Vec<Losses> = works.iter().map(|work| work.losses).collect();
                log.step(step, &losses, works)
            })
        })
    }

    fn replicated(&mut self, loader: &mut Loader, steps: Range<usize>, first_step: usize) -> Result<usize> {
        let choices = self.config.devices();
        let on_cuda = choices.iter().all(|choice| matches!(choice.resolve(), DeviceChoice::Cuda(_)));
        let shared = self.config.networks_on_one() > 1; // a collective is of different devices
        let together = Replicated {
            sync_bn: self.config.parallel.sync_bn,
            threads: self.config.threads_of_worker(),
            collective: if on_cuda && !shared { self.devices.clone() } else { Vec::new() },
        };
        self.streamed(loader, steps, first_step, |trainer, jobs, told| {
            let Trainer { network, replicas: others, log, .. } = trainer;
            let networks = std::iter::once(network).chain(others).collect();
            replicas::train(networks, &together, jobs, |step, losses| {
                *told = step + 1;
                log.step(step, losses, &[])
            })
        })
    }

    /// Gives `train` the work of these steps, or of fewer if a stop is asked for; it counts the steps that it has told
    /// of.
    fn streamed(
        &mut self,
        loader: &mut Loader,
        steps: Range<usize>,
        first_step: usize,
        train: impl FnOnce(&mut Self, &mut dyn Iterator<Item = Job>, &mut usize) -> Result<()>,
    ) -> Result<usize> {
        let make = self.jobs();
        let stop = self.log.stop.clone();
        let first = steps.start;
        let (mut begun, mut unread) = (first, None);
        let mut jobs = steps.map_while(|step| {
            // At least one step, as one after another does it.
            if stop.requested() && step > first {
                return None;
            }
            match loader.next() {
                Ok(batch) => {
                    begun = step + 1;
                    Some(make.job(step, batch))
                }
                Err(error) => {
                    unread = Some(error);
                    None
                }
            }
        });
        let (mut told, device) = (first, self.devices[0].clone());
        let trained = exhaustion::guarded(&device, || Ok(train(self, &mut jobs, &mut told)));
        drop(jobs);
        trained.map_err(|error| self.explain(told + 1, error))?.map_err(|error| self.explain_error(told + 1, error))?;
        // Every batch that was begun has trained every module.
        match unread {
            Some(error) => Err(self.save_and_explain(begun, first_step, error)),
            None => Ok(begun),
        }
    }

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
