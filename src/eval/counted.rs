//! What a run's own evaluations count, by the run's task. A new task is a variant of [`Counted`].

use super::metric::evaluate;
use super::segmentation::OnPrediction;
use super::{
    Classification, ClassificationMetric, Evaluation, Metric, Predictor, Protocol, SegmentationMetric, TestTime,
};
use crate::Result;
use crate::data::Dataset;
use crate::data::classes::augment::ClassAugment;
use crate::task::TaskKind;
use crate::text::counted as number_of;
use std::ops::ControlFlow;

/// What came out.
pub enum Counted {
    /// A class for each pixel.
    Segmentation(Evaluation),
    /// A class for each image.
    Classification(Classification),
}

impl Counted {
    /// Scores every example once and whole, as the task of `dataset` asks: images are classified as `augment` evaluates them,
    /// with images of the `mistakes` that the network is most confident about; `on_prediction` sees each map of classes. `on_images`
    /// hears how many are counted, and may break off: the result is then `None`.
    ///
    /// # Errors
    /// See [`evaluate`].
    pub fn of(
        predictor: &Predictor,
        dataset: &dyn Dataset,
        augment: ClassAugment,
        mistakes: usize,
        on_prediction: OnPrediction,
        mut on_images: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<Self>> {
        match dataset.task() {
            TaskKind::Segmentation => {
                let metric = SegmentationMetric::new(predictor, dataset, Protocol::only(TestTime::default()));
                let mut metric = metric.on_prediction(on_prediction);
                let whole = evaluate(&mut metric, dataset, |metric| on_images(metric.images()))?;
                Ok(metric.evaluations.pop().filter(|_| whole).map(Self::Segmentation))
            }
            TaskKind::Classification => {
                let mut metric = ClassificationMetric::new(predictor, dataset, augment, mistakes);
                let whole = evaluate(&mut metric, dataset, |metric| on_images(metric.images()))?;
                Ok(whole.then_some(Self::Classification(metric.counted)))
            }
        }
    }

    /// Whether anything was labelled.
    pub fn is_scored(&self) -> bool {
        match self {
            Self::Segmentation(evaluation) => !evaluation.scores().miou.is_nan(),
            Self::Classification(counted) => counted.images() > 0,
        }
    }

    /// Scores of each class, for a terminal.
    pub fn table(&self) -> String {
        match self {
            Self::Segmentation(evaluation) => evaluation.report().table(),
            Self::Classification(counted) => counted.report().table(),
        }
    }
}

/// The scores in one line.
impl std::fmt::Display for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Segmentation(evaluation) => {
                let scores = evaluation.scores();
                write!(
                    f,
                    "mIoU {:.2} % ({:.2} % over classes that occur in truth), pixel accuracy {:.2} % on {}",
                    100.0 * scores.miou,
                    100.0 * scores.miou_present,
                    100.0 * scores.pixel_accuracy,
                    number_of(evaluation.images, "picture"),
                )
            }
            Self::Classification(counted) => write!(
                f,
                "top-1 error {:.2} %, top-5 error {:.2} % on {}",
                100.0 * counted.top1_error(),
                100.0 * counted.top5_error(),
                number_of(counted.images(), "picture"),
            ),
        }
    }
}
