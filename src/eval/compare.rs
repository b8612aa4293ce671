//! Several runs on the same images: what each scores, and where they differ.

use super::metric::{Metric, Read};
use super::{Evaluation, Predictor, TestTime};
use crate::data::Dataset;
use crate::{Error, Result};
use ndarray::{Array2, Zip};
use std::path::Path;
use std::sync::Arc;

/// What came out of a comparison.
#[derive(Debug)]
pub struct Compared {
    /// One evaluation for each run, in their order.
    pub evaluations: Vec<Evaluation>,
    /// Share of each image's pixels that not all runs predict alike, in order of images.
    pub differing: Vec<f64>,
}

/// Counts what several networks say of the same images.
pub struct ComparisonMetric<'a> {
    compared: Compared,
    predictors: &'a [Predictor],
    test_time: &'a TestTime,
}

impl<'a> ComparisonMetric<'a> {
    /// Nothing counted yet.
    pub fn new(predictors: &'a [Predictor], dataset: &dyn Dataset, test_time: &'a TestTime) -> Self {
        let evaluations = predictors.iter().map(|_| Evaluation::new(Arc::clone(dataset.classes()))).collect();
        Self { compared: Compared { evaluations, differing: Vec::new() }, predictors, test_time }
    }

    /// What has been counted.
    ///
    /// # Errors
    /// No labelled pixel in the whole split.
    pub fn finish(self) -> Result<Compared> {
        if self.compared.evaluations.iter().any(|evaluation| evaluation.scores().miou.is_nan()) {
            return Err(Error::run("no picture has a labelled pixel: nothing to compare"));
        }
        Ok(self.compared)
    }
}

impl Metric for ComparisonMetric<'_> {
    fn add(&mut self, batch: Vec<Read>) -> Result<()> {
        for Read { example, .. } in batch {
            let predict = |predictor: &Predictor| predictor.predict_mean(&example.image, self.test_time);
            let preds: Vec<Array2<u8>> = self.predictors.iter().map(predict).collect::<Result<_>>()?;
            let Compared { evaluations, differing } = &mut self.compared;
            evaluations.iter_mut().zip(&preds).for_each(|(evaluation, pred)| evaluation.add(&example, None, pred));
            differing.push(share_differing(&preds));
        }
        Ok(())
    }

    fn images(&self) -> usize {
        self.compared.differing.len()
    }
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
