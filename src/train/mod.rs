//! A training run from configuration to plots.
//!
//! [`load`] makes the configuration, and [`run`] trains. `trainer` is the loop, `schedule` which module steps when, `lr` the
//! learning rate, [`checkpoint`] what survives a crash, [`metrics`] what is logged, [`Observer`] what a caller sees of a run.

mod board;
pub mod checkpoint;
mod evaluation;
pub(crate) mod exhaustion;
pub mod features;
pub(crate) mod first_step;
mod fit;
pub(crate) mod lock;
mod lost;
pub(crate) mod lr;
mod manifest;
pub mod metrics;
mod observer;
mod run;
pub(crate) mod run_folder;
mod run_log;
mod schedule;

pub(crate) mod tensorboard;
mod trainer;
mod words;

pub use fit::load;
pub use lr::learning_rate;
pub use observer::{Observer, Silent, Stop};
pub use run::{Outcome, run, run_with};
pub use words::left_of;
