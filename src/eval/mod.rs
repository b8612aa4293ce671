//! From a trained network, or from predictions made elsewhere, to scores: inference, metrics, the confusion matrix,
//! instances, and reports as values; `render` writes them.

pub(crate) mod ahead;
pub(crate) mod classification;
pub(crate) mod classification_report;
pub(crate) mod classify;
pub mod compare;
pub(crate) mod confidence;
pub(crate) mod counted;
pub(crate) mod inference;
pub(crate) mod instances;
pub(crate) mod json;
pub(crate) mod metric;
pub(crate) mod predictions;
pub mod report;
pub(crate) mod scores;
pub(crate) mod segmentation;
pub mod test_time;

pub use classification::{Classification, Verdict};
pub use classification_report::ClassificationReport;
pub use classify::ClassificationMetric;
pub use compare::{Compared, ComparisonMetric};
pub use confidence::Confident;
pub use counted::Counted;
pub use inference::{Predictor, ids_of};
pub use metric::{Metric, Read, Reader, evaluate, evaluate_some};
pub use predictions::{ScoredPredictions, score_predictions};
pub use report::Scored;
pub use scores::{Confusion, Scores};
pub use segmentation::{Evaluation, PictureScores, SegmentationMetric};
pub use test_time::{Protocol, Slide, TestTime};
