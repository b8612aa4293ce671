//! Evaluations of a run on its validation split: scores into the log, reports and plots into the run folder.

use super::metrics::{EvaluationLine, Line, LoggedScores};
use super::trainer::Trainer;
use super::{checkpoint, exhaustion};
use crate::data::Dataset;
use crate::data::classes::augment::ClassAugment;
use crate::eval::{Counted, Predictor, Scored, TestTime};
use crate::render::overlays::Overlays;
use crate::render::written;
use crate::{Result, memory};
use std::ops::ControlFlow;

impl Trainer {
    /// Scores and plots; returns the class table, or `None` if a stop was asked for meanwhile.
    pub fn evaluate(&mut self, val: &dyn Dataset, step: usize, overlays: usize) -> Result<Option<String>> {
        let device = self.devices[0].clone();
        // Whole images have tensors of other sizes than a step: neither keeps the pages of the other.
        memory::give_back(&device);
        let outcome = exhaustion::guarded(&device, || self.evaluate_unguarded(val, step, overlays));
        memory::give_back(&device);
        outcome
    }

    fn evaluate_unguarded(&mut self, val: &dyn Dataset, step: usize, overlays: usize) -> Result<Option<String>> {
        let predictor = Predictor::of(&self.network, &self.devices[0]);
        let (size, normalization) = (self.config.train.resolution, self.network.normalization);
        let augment = ClassAugment::of(&self.config.augment, size, normalization);
        if let Some(board) = &mut self.log.board {
            board.look(step, &self.network, &predictor, val, &augment, &self.devices[0])?;
        }
        let mut drawn = Overlays::new(&self.folder, if val.task().is_dense() { overlays } else { 0 }, val.len())?;
        let draw = Box::new(|example: &_, pred: &_| drawn.add(val.classes(), example, pred));
        let counted = Counted::of(&predictor, val, augment, overlays, draw, |images| {
            self.log.observer.evaluating(images, val.len());
            if self.log.stop.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let Some(counted) = counted else { return Ok(None) };
        drawn.publish()?;
        if !counted.is_scored() {
            self.log
                .observer
                .message(&format!("step {step}: no scores, as no image of the split has a labelled pixel"));
            return Ok(Some(String::new()));
        }
        drop(predictor); // it shares the weights, which the optimizer could not update in place
        written::write(&counted, &self.folder, self.scored(val, step))?;
        self.log_scores(step, LoggedScores::of(&counted))?;
        self.log.observer.message(&format!("step {step}: {counted}"));
        Ok(Some(counted.table()))
    }

    fn scored(&self, val: &dyn Dataset, step: usize) -> Scored {
        let folder = checkpoint::last(&self.folder).ok().filter(|last| last.state.step == step).map(|last| last.folder);
        let data = &self.config.data;
        Scored::new(data, &data.val_split, val.classes(), &TestTime::default(), folder.as_deref())
    }

    fn log_scores(&mut self, step: usize, scores: LoggedScores) -> Result<()> {
        let line = EvaluationLine { step, scores, seconds: self.log.seconds() };
        if let Some(board) = &mut self.log.board {
            board.scores(&line)?;
        }
        self.log.metrics.push(Line::Evaluation(line))?;
        self.log.metrics.plot(&self.folder.join("plots"))
    }
}
