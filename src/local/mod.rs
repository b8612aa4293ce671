//! The paper: a network cut into K local modules that never exchange a gradient.
//!
//! Read in this order: [`spec`] (of what), [`cut`] (where), [`cost`] and [`plan`] (memory), [`place`] (devices), [`method`] (what each learns from), [`heads`] and [`pooled`] (the small networks beside each module), [`loss`] (what
//! a module learns from), [`module`] (one module), [`step`] (its training pass), `sgd` (its update), [`network`], [`pipeline`] and [`replicas`]
//! (who steps when).

pub mod config;
pub mod cost;
pub mod cut;
pub mod heads;
pub mod loss;
pub mod method;
pub mod module;
pub mod network;
pub mod pipeline;
pub mod place;
pub mod plan;
pub mod pooled;
pub mod replicas;
pub(crate) mod sgd;
pub mod spec;
pub mod step;

pub use heads::{LocalHead, ReconDecoder};
pub use module::{LocalModule, Losses, Targets};
pub use network::LocalNetwork;
pub use spec::Spec;
pub use step::Mark;

#[cfg(test)]
mod tests;
