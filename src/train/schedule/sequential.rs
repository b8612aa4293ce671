//! The schedule `sequential`: one module after another, with one module's activations alive at a time.

use super::Schedule;
use crate::data::loader::{Batch, Loader};
use crate::local::Losses;
use crate::local::pipeline::Job;
use crate::train::exhaustion;
use crate::train::first_step::FirstStep;
use crate::train::trainer::Trainer;
use crate::{Result, memory};
use std::ops::Range;

pub(super) struct Sequential {
    pub loader: Loader,
}

impl Schedule for Sequential {
    fn train(&mut self, run: &mut Trainer, steps: Range<usize>) -> Result<usize> {
        for step in steps.clone() {
            let batch = self.loader.next().map_err(|error| run.unreadable(step, error))?;
            let device = run.devices[0].clone();
            let losses = exhaustion::guarded(&device, || Ok(make(run, step, batch)))
                .map_err(|error| run.explain(step + 1, error))?
                .map_err(|error| run.explain_error(step + 1, error))?;
            run.log.step(step, &losses, &[])?;
            if run.log.stop.requested() {
                return Ok(step + 1);
            }
        }
        Ok(steps.end)
    }
}

/// Makes a step. The first one on a GPU also reports its progress.
fn make(run: &mut Trainer, step: usize, batch: Batch) -> Result<Vec<Losses>> {
    let Job { input, targets, lr, seed, .. } = run.jobs().job(step, batch);
    let Trainer { network, log, devices, config, first_step, .. } = run;
    if step > *first_step || !memory::has_pools(&devices[0]) {
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
