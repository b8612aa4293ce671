//! Schedules whose workers have several batches under way: `async`, all modules at once, each on another batch, and data
//! parallelism, whole networks on parts of a batch.

use super::Schedule;
use crate::Result;
use crate::data::loader::Loader;
use crate::device::DeviceChoice;
use crate::local::pipeline::{Job, Workers};
use crate::local::replicas;
use crate::local::{LocalNetwork, Losses};
use crate::train::exhaustion;
use crate::train::trainer::Trainer;
use std::ops::Range;

/// All modules at once.
pub(super) struct Pipelined {
    pub loader: Loader,
}

impl Schedule for Pipelined {
    fn train(&mut self, run: &mut Trainer, steps: Range<usize>) -> Result<usize> {
        let workers = Workers { queue_depth: run.config.train.queue_depth, threads: run.config.threads_of_worker() };
        streamed(run, &mut self.loader, steps, |run, jobs, told| {
            let Trainer { network, log, .. } = run;
            network.train_pipelined(workers, jobs, |step, works| {
                *told = step + 1;
                let losses: Vec<Losses> = works.iter().map(|work| work.losses).collect();
                log.step(step, &losses, works)
            })
        })
    }
}

/// Several networks with the same weights.
pub(super) struct Replicated {
    pub loader: Loader,
    /// All networks but the run's own.
    pub replicas: Vec<LocalNetwork>,
}

impl Schedule for Replicated {
    fn train(&mut self, run: &mut Trainer, steps: Range<usize>) -> Result<usize> {
        let choices = run.config.devices();
        let on_cuda = choices.iter().all(|choice| matches!(choice.resolve(), DeviceChoice::Cuda(_)));
        let shared = run.config.networks_on_one() > 1; // a collective is of different devices
        let together = replicas::Replicated {
            sync_bn: run.config.parallel.sync_bn,
            threads: run.config.threads_of_worker(),
            collective: if on_cuda && !shared { run.devices.clone() } else { Vec::new() },
        };
        let Self { loader, replicas: others } = self;
        streamed(run, loader, steps, |run, jobs, told| {
            let Trainer { network, log, .. } = run;
            let networks = std::iter::once(network).chain(others).collect();
            replicas::train(networks, &together, jobs, |step, losses| {
                *told = step + 1;
                log.step(step, losses, &[])
            })
        })
    }
}

/// Gives `train` the work of these steps, or of fewer if a stop is asked for; it counts the steps that it has told of.
fn streamed(
    run: &mut Trainer,
    loader: &mut Loader,
    steps: Range<usize>,
    train: impl FnOnce(&mut Trainer, &mut dyn Iterator<Item = Job>, &mut usize) -> Result<()>,
) -> Result<usize> {
    let make = run.jobs();
    let stop = run.log.stop.clone();
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
    let (mut told, device) = (first, run.devices[0].clone());
    let trained = exhaustion::guarded(&device, || Ok(train(run, &mut jobs, &mut told)));
    drop(jobs);
    trained.map_err(|error| run.explain(told + 1, error))?.map_err(|error| run.explain_error(told + 1, error))?;
    // Every batch that was begun has trained every module.
    match unread {
        Some(error) => Err(run.unreadable(begun, error)),
        None => Ok(begun),
    }
}
