//! Measurements that users rerun: `segbench`.

mod child;
pub mod local;
pub mod memory;
pub mod step;
pub mod table;
