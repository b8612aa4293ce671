//! Evaluations of a run on its validation split: scores into the log, reports and plots into the run folder.

use super::metrics::{EvaluationLine, Line, LoggedScores};
use super::trainer::Trainer;
use super::{checkpoint, exhaustion};
use crate::data::Dataset;
use crate::data::classes::augment::ClassAugment;
use crate::eval::{Predictor, Protocol, Scored, TestTime, classify, evaluate};
use crate::task::TaskKind;
use crate::text::counted;
use crate::{Result, memory};
use std::ops::ControlFlow;

impl Trainer {
    /// Scores and plots; returns the class table, or `None` if a stop was asked for meanwhile.
    pub fn evaluate(&mut self, val: &dyn Dataset, step: usize, overlays: usize) -> Result<Option<String>> {
        let device = self.devices[0].clone();
        // Whole pictures have tensors of other sizes than a step: neither keeps the pages of the other.
        memory::give_back(&device);
        let outcome = exhaustion::guarded(&device, || self.evaluate_unguarded(val, step, overlays));
        memory::give_back(&device);
        outcome
    }

    fn evaluate_unguarded(&mut self, val: &dyn Dataset, step: usize, overlays: usize) -> Result<Option<String>> {
        let predictor = Predictor::of(&self.network, &self.devices[0]);
        if let Some(board) = &mut self.log.board {
            let (size, normalization) = (self.config.train.resolution, self.network.normalization);
            let augment = ClassAugment::of(&self.config.augment, size, normalization);
            board.look(step, &self.network, &predictor, val, &augment, &self.devices[0])?;
        }
        match val.task() {
            TaskKind::Segmentation => self.evaluate_pixels(predictor, val, step, overlays),
            TaskKind::Classification => self.evaluate_pictures(predictor, val, step, overlays),
        }
    }

    fn evaluate_pictures(
        &mut self,
        predictor: Predictor,
        val: &dyn Dataset,
        step: usize,
        mistakes: usize,
    ) -> Result<Option<String>> {
        let (size, normalization) = (self.config.train.resolution, self.network.normalization);
        let augment = ClassAugment::of(&self.config.augment, size, normalization);
        let counted = classify(&predictor, val, &augment, mistakes, |counted| {
            self.log.observer.evaluating(counted.images(), val.len());
            if self.log.stop.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let Some(counted) = counted else { return Ok(None) };
        drop(predictor); // as below
        counted.write(&self.folder)?;
        self.log_scores(step, LoggedScores::of_classification(&counted))?;
        self.log.observer.message(&format!(
            "step {step}: top-1 error {:.2} %, top-5 error {:.2} % on {}",
            100.0 * counted.top1_error(),
            100.0 * counted.top5_error(),
            crate::text::counted(counted.images(), "picture"),
        ));
        Ok(Some(counted.report().to_string()))
    }

    fn log_scores(&mut self, step: usize, scores: LoggedScores) -> Result<()> {
        let line = EvaluationLine { step, scores, seconds: self.log.seconds() };
        if let Some(board) = &mut self.log.board {
            board.scores(&line)?;
        }
        self.log.metrics.push(Line::Evaluation(line))?;
        self.log.metrics.plot(&self.folder.join("plots"))
    }

    fn evaluate_pixels(
        &mut self,
        predictor: Predictor,
        val: &dyn Dataset,
        step: usize,
        overlays: usize,
    ) -> Result<Option<String>> {
        let plain = Protocol::only(TestTime::default());
        let evaluations = evaluate(&predictor, val, &plain, false, overlays, &self.folder, |counted| {
            self.log.observer.evaluating(counted[0].images, val.len());
            if self.log.stop.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let Some(evaluation) = evaluations.and_then(|mut all| all.pop()) else { return Ok(None) };
        if evaluation.scores().miou.is_nan() {
            self.log
                .observer
                .message(&format!("step {step}: no scores, as no image of the split has a labelled pixel"));
            return Ok(Some(String::new()));
        }
        drop(predictor); // it shares the weights, which the optimizer could not update in place
        let folder = checkpoint::last(&self.folder).ok().filter(|last| last.state.step == step).map(|last| last.folder);
        let scored = Scored::new(
            &self.config.data,
            &self.config.data.val_split,
            val.classes(),
            &TestTime::default(),
            folder.as_deref(),
        );
        let report = evaluation.write(&self.folder, scored)?;
        let scores = evaluation.scores();
        self.log_scores(step, LoggedScores::of_segmentation(&scores))?;
        self.log.observer.message(&format!(
            "step {step}: mIoU {:.2} % ({:.2} % over classes that occur in truth), pixel accuracy {:.2} % on {}",
            100.0 * scores.miou,
            100.0 * scores.miou_present,
            100.0 * scores.pixel_accuracy,
            counted(evaluation.images, "picture"),
        ));
        Ok(Some(report.table()))
    }
}
