//! Pictures of an evaluation for its page: a second look at a few, this time with the confidence of each pixel.

use super::{Evaluation, Predictor, TestTime};
use crate::Result;
use crate::data::Dataset;
use crate::render::page::{Prediction, Shown};

/// The `count` pictures that scored worst, the worst first, as the page shows them.
///
/// # Errors
/// A picture that can no longer be read or predicted.
pub fn gallery(
    predictor: &Predictor,
    dataset: &dyn Dataset,
    test_time: &TestTime,
    evaluation: &Evaluation,
    count: usize,
) -> Result<Vec<Shown>> {
    let show = |scores: &super::PictureScores| {
        let sample = dataset.example(scores.index)?;
        let sure = predictor.predict_with_confidence(&sample.image, test_time)?;
        Shown::new(dataset.classes(), &sample, &[Prediction { sure: &sure, scores }])
    };
    evaluation.worst(count).into_iter().map(show).collect()
}
