//! From a trained network, or from predictions made elsewhere, to scores: inference, the confusion matrix, instances, and
//! what is written of them.

pub mod classification;
pub mod classification_report;
pub mod classify;
pub mod evaluate;
pub mod inference;
pub mod instances;
mod json;
pub mod predictions;
pub mod report;
pub mod scores;
pub mod test_time;

pub use classification::{Classification, Verdict};
pub use classification_report::ClassificationReport;
pub use classify::classify;
pub use evaluate::{Evaluation, evaluate};
pub use inference::{Predictor, ids_of};
pub use predictions::score_predictions;
pub use test_time::{Protocol, Slide, TestTime};
