//! Scores of a classification network on one split.

use super::ahead::for_each_batch;
use super::classification::{Classification, Verdict};
use super::inference::Predictor;
use crate::Result;
use crate::data::classes::augment::ClassAugment;
use crate::data::{Dataset, Example};
use std::ops::ControlFlow;

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
    let read = |index| {
        let image = dataset.example(index)?;
        let input = augment.evaluation(&image)?;
        Ok((image, input))
    };
    let all: Vec<usize> = (0..dataset.len()).collect();
    let whole = for_each_batch(&all, BATCH, read, |batch| {
        let (images, inputs): (Vec<Example>, Vec<Vec<f32>>) = batch.into_iter().unzip();
        for (image, scores) in images.into_iter().zip(predictor.class_scores(&inputs, augment.resolution())?) {
            let verdict = Verdict::new(image.name.clone(), image.label[[0, 0]], &scores);
            counted.add(verdict, || augment.view(&image))?;
        }
        Ok(on_pictures(&counted))
    })?;
    Ok(whole.then_some(counted))
}
