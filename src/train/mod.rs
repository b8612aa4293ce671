//! A training run from configuration to plots.
//!
//! [`run`] is the loop; [`schedule`] the learning rate, [`checkpoint`] what survives a crash, [`metrics`] what is logged,
//! [`progress`] what a person sees meanwhile.

pub mod checkpoint;
pub mod interrupt;
pub mod metrics;
pub mod progress;
pub mod run_folder;
pub mod schedule;

mod trainer;

pub use trainer::{Outcome, run};
