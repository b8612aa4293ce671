//! The loop of a run.

use super::checkpoint::{self, State};
use super::run::Outcome;
use super::run_log::RunLog;
use super::schedule::{Schedule, total_steps};
use super::words::left_of;
use crate::config::{RunConfig, ScheduleKind};
use crate::data::Dataset;
use crate::local::LocalNetwork;
use crate::task::ClassSet;
use crate::{Error, Result};
use burn::tensor::Device;
use std::path::PathBuf;
use std::sync::Arc;

/// A run that is under way.
pub(super) struct Trainer {
    pub config: RunConfig,
    /// The first is where images arrive, and where the network is scored.
    pub devices: Vec<Device>,
    pub network: LocalNetwork,
    pub log: RunLog,
    pub folder: PathBuf,
    pub classes: Arc<ClassSet>,
    /// Steps that were done before.
    pub first_step: usize,
}

impl Trainer {
    /// Trains to the end, or until a stop is asked for; saves and scores on the way.
    pub fn train(&mut self, schedule: &mut dyn Schedule, val: &dyn Dataset) -> Result<Outcome> {
        let (total, save_every) = (total_steps(&self.config), self.config.train.save_every_steps);
        let between = if schedule.is_scored_between() { self.config.train.eval_every_steps } else { 0 };
        let is_scored = |step: usize| step == total || due(step, between);
        let saved = |schedule: &dyn Schedule, step| step == total || due(step, save_every) || schedule.pauses(step);
        let (mut done, mut table) = (self.first_step, String::new());
        // Saved, but stopped before the evaluation that was due: do it now, so that the log is that of a whole run.
        if done > 0 && is_scored(done) && !self.log.metrics.has_evaluation(done) {
            match self.evaluate(val, done, self.overlays_at(done, total)).map_err(|error| self.explain(done, error))? {
                Some(scores) => table = scores,
                None => return Ok(self.interrupted(done)),
            }
        }
        while done < total {
            let until = (done + 1..total).find(|&step| saved(schedule, step) || is_scored(step)).unwrap_or(total);
            done = schedule.train(self, done..until)?;
            let stopping = self.log.stop.requested();
            if stopping || saved(schedule, done) {
                self.save(done)?;
            }
            if stopping {
                return Ok(self.interrupted(done));
            }
            if is_scored(done) {
                match self.evaluate(val, done, self.overlays_at(done, total)) {
                    Ok(Some(scores)) => table = scores,
                    Ok(None) => {
                        self.save(done)?;
                        return Ok(self.interrupted(done));
                    }
                    Err(error) => return Err(self.save_and_explain(done, error)),
                }
            }
        }
        schedule.clean_up(&self.folder);
        Ok(Outcome::Done { folder: self.folder.clone(), table })
    }

    /// Panels are drawn of the last evaluation.
    fn overlays_at(&self, step: usize, total: usize) -> usize {
        if step == total { self.config.train.overlays } else { 0 }
    }

    pub fn interrupted(&self, step: usize) -> Outcome {
        Outcome::Interrupted { folder: self.folder.clone(), step }
    }

    /// What training has come to is not lost to an image that cannot be read.
    pub fn save_and_explain(&self, step: usize, error: Error) -> Error {
        self.saved_and_explained(step, step, error)
    }

    /// Saves the steps done and explains an error at step `at`.
    fn saved_and_explained(&self, done: usize, at: usize, error: Error) -> Error {
        if done > self.first_step
            && let Err(unsaved) = self.save(done)
        {
            return unsaved;
        }
        self.explain(at, error)
    }

    /// Like [`Self::save_and_explain`], for a batch that cannot be read: the step after `done` cannot be made.
    pub fn unreadable(&self, done: usize, error: Error) -> Error {
        let is_file = matches!(error, Error::File { .. });
        let all = if is_file { " (`segdata check` lists all such files)" } else { "" };
        self.saved_and_explained(done, done + 1, Error::run(format!("{error}{all}")))
    }

    pub fn save(&self, step: usize) -> Result<()> {
        let state = State {
            step,
            seconds: self.log.seconds(),
            model: self.config.model.clone(),
            local: self.config.local.clone(),
            staged_steps: (self.config.train.schedule == ScheduleKind::Staged).then_some(self.config.train.steps),
            classes: (*self.classes).clone(),
        };
        self.network
            .check_finite()
            // What the checkpoint says was logged is to be in the log, whatever happens to the machine.
            .and_then(|()| self.log.metrics.sync())
            .and_then(|()| checkpoint::save(&self.folder, &self.network, &state, self.config.train.keep_checkpoints))
            .map_err(|error| self.explain(step, error))
    }

    /// Like [`Self::explain`], for a loss that is not finite. A checkpoint of the step before holds the very weights that gave it, and
    /// would give it again whatever the learning rate: it is not the last good one.
    fn explain_loss(&self, step: usize, error: Error) -> Error {
        match checkpoint::last(&self.folder) {
            Ok(last) if last.state.step + 1 == step => Error::run(format!(
                "step {step}: {error}; the checkpoint of step {} holds the weights that gave this loss: remove the folder \
                 {} to go on from one before it, or train again from the start",
                last.state.step,
                last.folder.display()
            )),
            _ => self.explain(step, error),
        }
    }

    /// What stopped the run, whether it is a loss or not.
    pub fn explain_error(&self, step: usize, error: Error) -> Error {
        if matches!(error, Error::Loss(_)) { self.explain_loss(step, error) } else { self.explain(step, error) }
    }

    /// What stopped the run, and what is left of it.
    pub fn explain(&self, step: usize, error: Error) -> Error {
        Error::run(format!("step {step}: {error}; {}", left_of(&self.folder)))
    }
}

pub(super) fn due(step: usize, every: usize) -> bool {
    every > 0 && step.is_multiple_of(every)
}
