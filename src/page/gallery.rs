//! Images of an evaluation for its page: a second look at a few, this time with the confidence of each pixel.

use super::{Prediction, Shown};
use crate::Result;
use crate::data::Dataset;
use crate::eval::{Compared, Evaluation, PictureScores, Predictor, TestTime};

/// The `count` images that scored worst, the worst first, as the page shows them.
///
/// # Errors
/// An image that can no longer be read or predicted.
pub fn gallery(
    predictor: &Predictor,
    dataset: &dyn Dataset,
    test_time: &TestTime,
    evaluation: &Evaluation,
    count: usize,
) -> Result<Vec<Shown>> {
    let show = |scores: &PictureScores| {
        let sample = dataset.example(scores.index)?;
        let sure = predictor.predict_with_confidence(&sample.image, test_time)?;
        Shown::new(dataset.classes(), &sample, &[Prediction { sure: &sure, scores }])
    };
    evaluation.worst(count).into_iter().map(show).collect()
}

/// The `count` images that runs differ most on, with the predictions of all; images of which they say the same are left out.
///
/// # Errors
/// An image that can no longer be read or predicted.
pub fn differences(
    compared: &Compared,
    predictors: &[Predictor],
    dataset: &dyn Dataset,
    test_time: &TestTime,
    count: usize,
) -> Result<Vec<Shown>> {
    let mut order: Vec<usize> =
        (0..compared.differing.len()).filter(|index| compared.differing[*index] > 0.0).collect();
    order.sort_by(|a, b| compared.differing[*b].total_cmp(&compared.differing[*a]).then(a.cmp(b)));
    order.truncate(count);
    let show = |index: usize| {
        let sample = dataset.example(index)?;
        let sure = |predictor: &Predictor| predictor.predict_with_confidence(&sample.image, test_time);
        let sure: Vec<_> = predictors.iter().map(sure).collect::<Result<_>>()?;
        let scored = compared.evaluations.iter().map(|evaluation| &evaluation.pictures[index]);
        let predictions: Vec<_> = sure.iter().zip(scored).map(|(sure, scores)| Prediction { sure, scores }).collect();
        Ok(Shown {
            differing: Some(compared.differing[index]),
            ..Shown::new(dataset.classes(), &sample, &predictions)?
        })
    };
    order.into_iter().map(show).collect()
}
