//! What a caller of [`run`](super::run) sees of a run while it lasts, and how it can end it.

use super::metrics::StepLine;
use crate::Result;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
#[derive(Clone, Default)]
pub struct Stop(Arc<Asked>);

#[derive(Default)]
struct Asked {
    asked: AtomicBool,
    last_resort: Mutex<Option<LastResort>>,
}

/// Gets the reason, as a sentence.
type LastResort = Box<dyn Fn(&str) + Send>;

impl Stop {
    /// Asks; returns whether it was asked before.
    pub fn request(&self) -> bool {
        self.0.asked.swap(true, Ordering::SeqCst)
    }

    /// Whether it was asked.
    pub fn requested(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst)
    }

    /// Sets what ends a run that cannot end by itself: burn waits forever for a remote worker that hangs. A program will exit;
    /// without this, such a run goes on waiting.
    pub fn set_last_resort(&self, act: impl Fn(&str) + Send + 'static) {
        *self.0.last_resort.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(act));
    }

    /// Calls the last resort, if there is one.
    pub(super) fn give_up(&self, reason: &str) {
        if let Some(act) = &*self.0.last_resort.lock().unwrap_or_else(PoisonError::into_inner) {
            act(reason);
        }
    }
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Stop").field(&self.requested()).finish()
    }
}
