//! The paper: a network cut into K local modules that never exchange a gradient.
//!
//! Read in this order: `spec` (of what), [`cut`] (where), `cost` and [`plan`] (memory), `place` (devices), `method` (what each learns from), `heads` and `pooled` (the small networks beside each module), `loss` (what
//! a module learns from), `module` (one module), `step` (its training pass), `sgd` (its update), `network`, `pipeline` and `replicas`
//! (who steps when).

pub(crate) mod config;
pub(crate) mod cost;
pub mod cut;
pub(crate) mod heads;
pub(crate) mod loss;
pub(crate) mod mark;
pub(crate) mod method;
pub(crate) mod module;
pub(crate) mod network;
pub(crate) mod pipeline;
pub(crate) mod place;
pub mod plan;
pub(crate) mod pooled;
pub(crate) mod replicas;
pub(crate) mod sgd;
pub(crate) mod spec;
pub(crate) mod step;

pub use cost::{Costs, ModuleCost, StepCost};
pub use heads::{LocalHead, ReconDecoder};
pub use mark::Mark;
pub use method::Method;
pub use module::{LocalModule, Losses, Targets};
pub use network::LocalNetwork;
pub use pipeline::{Job, Work, Workers};
pub use spec::{Execution, Spec};

#[cfg(test)]
mod tests;
