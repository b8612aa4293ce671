//! From a trained network, or from predictions made elsewhere, to scores: inference, the confusion matrix, instances, and
//! what is written of them.

pub mod ahead;
pub mod classification;
pub mod classification_report;
pub mod classify;
pub mod compare;
pub mod confidence;
pub mod evaluate;
pub mod gallery;
pub mod inference;
pub mod instances;
pub(crate) mod json;
pub mod predictions;
pub mod report;
pub mod scores;
pub mod test_time;

pub use classification::{Classification, Verdict};
pub use classification_report::ClassificationReport;
pub use classify::classify;
pub use compare::{Compared, compare};
pub use confidence::Confident;
pub use evaluate::{Evaluation, PictureScores, evaluate};
pub use gallery::gallery;
pub use inference::{Predictor, ids_of};
pub use predictions::{ScoredPredictions, score_predictions};
pub use report::Scored;
pub use test_time::{Protocol, Slide, TestTime};
