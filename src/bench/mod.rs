//! Measurements that users rerun: `segbench`.

mod child;
pub mod data;
pub mod eval;
pub mod local;
pub mod memory;
pub mod ops;
pub mod scaling;
pub mod step;
pub(crate) mod table;
pub mod tune;
