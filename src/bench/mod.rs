//! Measurements that users rerun: `segbench`.

pub mod local;
pub mod table;
