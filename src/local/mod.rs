//! The paper: a network cut into K local modules that never exchange a gradient.
//!
//! Read in this order: [`cut`] (where), [`heads`] and [`pooled`] (the small networks beside each module), [`loss`] (what
//! a module learns from), [`module`] (one module and its training step), [`schedule`] (who steps when).

pub mod cut;
pub mod heads;
pub mod loss;
pub mod module;
pub mod pooled;
pub mod schedule;

pub use heads::{LocalHead, ReconDecoder};
pub use module::{LocalModule, Losses, Targets};
pub use schedule::LocalNetwork;

#[cfg(test)]
mod tests;
