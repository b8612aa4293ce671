//! Several runs on the same pictures: what each scores, and where they differ.

use super::ahead::for_each_batch;
use super::{Evaluation, Predictor, TestTime};
use crate::data::Dataset;
use crate::render::page::{Prediction, Shown};
use crate::{Error, Result};
use ndarray::{Array2, Zip};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// What came out of a comparison.
#[derive(Debug)]
pub struct Compared {
    /// One evaluation for each run, in their order.
    pub evaluations: Vec<Evaluation>,
    /// Share of each picture's pixels that not all runs predict alike, in order of pictures.
    pub differing: Vec<f64>,
}

/// Predicts every picture with every network; `on_picture` hears of each.
///
/// # Errors
/// A picture that cannot be read or predicted; no labelled pixel in the whole split.
pub fn compare(
    predictors: &[Predictor],
    dataset: &dyn Dataset,
    test_time: &TestTime,
    on_picture: impl Fn(),
) -> Result<Compared> {
    let mut evaluations: Vec<Evaluation> =
        predictors.iter().map(|_| Evaluation::new(Arc::clone(dataset.classes()))).collect();
    let mut differing = Vec::with_capacity(dataset.len());
    let all: Vec<usize> = (0..dataset.len()).collect();
    let counted = for_each_batch(
        &all,
        1,
        |index| dataset.example(index),
        |batch| {
            for sample in batch {
                let predict = |predictor: &Predictor| predictor.predict_mean(&sample.image, test_time);
                let preds: Vec<Array2<u8>> = predictors.iter().map(predict).collect::<Result<_>>()?;
                evaluations.iter_mut().zip(&preds).for_each(|(evaluation, pred)| evaluation.add(&sample, None, pred));
                differing.push(share_differing(&preds));
                on_picture();
            }
            Ok(ControlFlow::Continue(()))
        },
    );
    counted?;
    if evaluations.iter().any(|evaluation| evaluation.scores().miou.is_nan()) {
        return Err(Error::run("no picture has a labelled pixel: nothing to compare"));
    }
    Ok(Compared { evaluations, differing })
}

/// Refuses to compare runs that are scored on different images, or with different class sets.
///
/// # Errors
/// What differs, with both run folders.
pub fn check_same_data(first: &Path, pictures: &dyn Dataset, run: &Path, others: &dyn Dataset) -> Result<()> {
    let (one, other) = (pictures.classes(), others.classes());
    if one.first_difference(other).is_some() || !one.reads_like(other) {
        return Err(Error::usage(format!(
            "--compare: {} is scored with the class set {}, {} with another one, {}; name one set for all with --classes",
            first.display(),
            one.describe(),
            run.display(),
            other.describe()
        )));
    }
    let count = pictures.len();
    let same = count == others.len() && (0..count).all(|index| pictures.name(index) == others.name(index));
    let same_size = || Ok::<_, Error>(pictures.example(0)?.label.dim() == others.example(0)?.label.dim());
    if same && (count == 0 || same_size()?) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "--compare: {} is scored on other pictures than {}; say the same of both (--dataset, --data-root, --split)",
        run.display(),
        first.display()
    )))
}

/// Share of pixels that not all predictions say the same of.
fn share_differing(preds: &[Array2<u8>]) -> f64 {
    let Some((first, others)) = preds.split_first() else { return 0.0 };
    let mut differs = first.mapv(|_| false);
    for other in others {
        Zip::from(&mut differs).and(first).and(other).for_each(|differs, a, b| *differs |= a != b);
    }
    differs.iter().filter(|differs| **differs).count() as f64 / differs.len().max(1) as f64
}

impl Compared {
    /// The `count` pictures that the runs differ most on, with the predictions of all; pictures of which they say the same
    /// are left out.
    ///
    /// # Errors
    /// A picture that can no longer be read or predicted.
    pub fn gallery(
        &self,
        predictors: &[Predictor],
        dataset: &dyn Dataset,
        test_time: &TestTime,
        count: usize,
    ) -> Result<Vec<Shown>> {
        let mut order: Vec<usize> = (0..self.differing.len()).filter(|index| self.differing[*index] > 0.0).collect();
        order.sort_by(|a, b| self.differing[*b].total_cmp(&self.differing[*a]).then(a.cmp(b)));
        order.truncate(count);
        let show = |index: usize| {
            let sample = dataset.example(index)?;
            let sure = |predictor: &Predictor| predictor.predict_with_confidence(&sample.image, test_time);
            let sure: Vec<_> = predictors.iter().map(sure).collect::<Result<_>>()?;
            let scored = self.evaluations.iter().map(|evaluation| &evaluation.pictures[index]);
            let predictions: Vec<_> =
                sure.iter().zip(scored).map(|(sure, scores)| Prediction { sure, scores }).collect();
            Ok(Shown {
                differing: Some(self.differing[index]),
                ..Shown::new(dataset.classes(), &sample, &predictions)?
            })
        };
        order.into_iter().map(show).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_pixel_differs_where_any_run_says_another_class() {
        let preds = [array![[0, 1, 2, 3]], array![[0, 1, 2, 4]], array![[0, 5, 2, 4]]];
        assert_eq!(share_differing(&preds), 0.5);
        assert_eq!(share_differing(&preds[..1]), 0.0);
        assert_eq!(share_differing(&[]), 0.0);
    }
}
