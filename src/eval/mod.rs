//! From a trained network, or from predictions made elsewhere, to scores: inference, the confusion matrix, instances, and
//! what is written of them.

pub(crate) mod ahead;
pub mod classification;
pub mod classification_report;
pub mod classify;
pub mod compare;
pub mod confidence;
pub mod counted;
pub mod inference;
pub mod instances;
pub(crate) mod json;
pub mod metric;
pub mod predictions;
pub mod report;
pub mod scores;
pub mod segmentation;
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
pub use segmentation::{Evaluation, PictureScores, SegmentationMetric};
pub use test_time::{Protocol, Slide, TestTime};
