//! What a caller of [`run`](super::run) sees of a run while it lasts, and how it can end it.

use super::metrics::StepLine;
use crate::Result;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Callbacks of a run. Each does nothing unless it is implemented.
#[allow(unused_variables)]
pub trait Observer {
    /// The run folder is there, and `total_steps` begin after `first_step`; a step has `batch_size` images.
    ///
    /// # Errors
    /// An error ends the run before its first step.
    fn started(&mut self, run: &Path, total_steps: usize, first_step: usize, batch_size: usize) -> Result<()> {
        Ok(())
    }

    /// A step is done; `logged` says whether it is one that goes into the log.
    fn step(&mut self, line: &StepLine, logged: bool) {}

    /// An evaluation is under way: `done` of `images`.
    fn evaluating(&mut self, done: usize, images: usize) {}

    /// How far the first step on a GPU is, every [`interval`](Self::interval).
    fn tuning(&mut self, text: &str) {}

    /// Features are written to disk: `done` of `batches`.
    fn storing(&mut self, done: usize, batches: usize) {}

    /// A sentence about the run, such as the scores of an evaluation.
    fn message(&mut self, text: &str) {}

    /// Nothing follows.
    fn finished(&mut self) {}

    /// Time between two calls of [`tuning`](Self::tuning).
    fn interval(&self) -> Duration {
        Duration::from_secs(15)
    }
}

/// An observer that looks at nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}

/// Asks a run to save and end after the step it is at. Clones ask the same run.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks; returns whether it was asked before.
    pub fn request(&self) -> bool {
        self.0.swap(true, Ordering::SeqCst)
    }

    /// Whether it was asked.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
