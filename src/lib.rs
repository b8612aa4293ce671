//! Semantic segmentation at full resolution, trained in gradient-isolated local modules (InfoPro, ICLR 2021).
//!
//! Data moves one way: [`data`] makes batches, [`local`] trains a [`net`]work of a [`task`] module by module, as a [`config`]
//! says; [`train`] drives it, [`eval`] scores it, [`render`] writes what came out and [`page`] puts it on a page. [`ops`] holds
//! the tensor operations with their own backward, [`device`] says where they run, [`memory`] counts bytes, [`probe`] asks what
//! each block of a trained network knows, [`weights`] takes a network's weights out to other programs and in from them.

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
