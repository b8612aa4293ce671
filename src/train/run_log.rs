//! Where a run reports its steps: the log, the observer, TensorBoard.

use super::board::Board;
use super::lr::learning_rate;
use super::metrics::{Line, Metrics, ModuleLine, StepLine};
use super::observer::{Observer, Stop};
use super::trainer::due;
use crate::config::OptimConfig;
use crate::local::Losses;
use crate::local::pipeline::Work;
use crate::{Result, memory};
use burn::tensor::Device;
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
    pub fn step(&mut self, step: usize, losses: &[Losses], works: &[Work]) -> Result<()> {
        self.step_with(step, ModuleLine::all(losses, works))
    }

    /// Like [`Self::step`], but for one module (from 0).
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
