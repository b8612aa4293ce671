//! Scores of a classification network on one split.

use super::classification::{Classification, Verdict};
use super::inference::Predictor;
use crate::Result;
use crate::data::classes::augment::ClassAugment;
use crate::data::loader::panicked;
use crate::data::{Dataset, Example};
use rayon::prelude::*;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

/// Pictures that the network sees at once.
const BATCH: usize = 50;

/// Classifies every picture of a split; of the `mistakes` that the network was surest of the pictures are kept.
/// `on_pictures` sees what has been counted after each batch, and may break off: the result is then `None`.
///
/// # Errors
/// A picture that cannot be read; scores that are not finite.
pub fn classify(
    predictor: &Predictor,
    dataset: &dyn Dataset,
    augment: &ClassAugment,
    mistakes: usize,
    mut on_pictures: impl FnMut(&Classification) -> ControlFlow<()>,
) -> Result<Option<Classification>> {
    let mut counted = Classification::new(&dataset.classes().names(), mistakes);
    std::thread::scope(|scope| {
        // The next batch is decoded while this one is classified.
        let (sender, batches) = mpsc::sync_channel::<Result<Vec<(Example, Vec<f32>)>>>(1);
        scope.spawn(move || {
            for first in (0..dataset.len()).step_by(BATCH) {
                let read = |index: usize| {
                    let made = catch_unwind(AssertUnwindSafe(|| {
                        let picture = dataset.example(index)?;
                        let input = augment.evaluation(&picture)?;
                        Ok((picture, input))
                    }));
                    made.unwrap_or_else(|panic| Err(panicked(panic.as_ref(), index)))
                };
                let batch = (first..(first + BATCH).min(dataset.len())).into_par_iter().map(read).collect();
                if sender.send(batch).is_err() {
                    return;
                }
            }
        });
        for batch in batches {
            let (pictures, inputs): (Vec<Example>, Vec<Vec<f32>>) = batch?.into_iter().unzip();
            for (picture, scores) in pictures.into_iter().zip(predictor.class_scores(&inputs, augment.resolution())?) {
                let verdict = Verdict::new(picture.name.clone(), picture.label[[0, 0]], &scores);
                counted.add(verdict, || augment.view(&picture))?;
            }
            if on_pictures(&counted).is_break() {
                return Ok(None);
            }
        }
        Ok(Some(counted))
    })
}
