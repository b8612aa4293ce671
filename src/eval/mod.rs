//! From a trained network to scores: inference, the confusion matrix, and what is written of both.

pub mod evaluate;
pub mod inference;
pub mod scores;

pub use evaluate::{Evaluation, evaluate};
pub use inference::Predictor;
