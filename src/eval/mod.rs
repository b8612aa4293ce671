//! Scores.

pub mod scores;
