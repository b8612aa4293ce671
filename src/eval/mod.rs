//! From a trained network to scores: inference, the confusion matrix, and what is written of both.

pub mod evaluate;
pub mod inference;
pub mod scores;
pub mod test_time;

pub use evaluate::{Evaluation, evaluate};
pub use inference::{Predictor, ids_of};
pub use test_time::{Slide, TestTime};
