//! Semantic segmentation at full resolution, trained in gradient-isolated local modules (InfoPro, ICLR 2021).
//!
//! Data moves one way: [`data`] makes batches, [`local`] trains a [`net`]work module by module, [`train`] drives it,
//! [`eval`] scores it and [`render`] draws what came out. [`ops`] holds the tensor operations with their own backward,
//! [`memory`] counts bytes, [`probe`] asks what each block of a trained network knows,
//! [`weights`] takes a network's weights out to other programs and in from them.

#![warn(missing_docs)]

#[doc(hidden)]
pub mod bench;
#[doc(hidden)]
pub mod cli;
pub mod config;
pub mod data;
pub mod device;
mod error;
pub mod eval;
#[doc(hidden)]
pub mod files;
mod folders;
mod font;
mod keys;
pub mod local;
pub mod memory;
pub mod messages;
pub mod net;
pub mod ops;
pub mod page;
pub mod predict;
pub mod probe;
pub mod render;
mod rng;
pub mod size;
pub mod task;
mod text;
pub mod train;
pub mod weights;

#[cfg(test)]
mod parity;

pub use error::{Error, Result};
