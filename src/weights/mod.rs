//! Weights by name: a network's into files, and files' into a network.
//!
//! Inside the project every tensor has one canonical name, `<block>.<path>`: `stem.convs.0.conv.weight`,
//! `layer3.12.last.norm.gamma`, `head.classifier.bias`, `aux_head.conv.norm.running_var`; what trains beside local module
//! k (from 1) is `local<k>.recon_decoder.…` and `local<k>.local_head.…`. Paths follow the structs of [`crate::net`] and
//! `crate::local::heads`. Read in this order: `network`, [`safetensors`], `pytorch`, `nesting`,
//! `source`, `naming`, `import`, `report`, [`export`].

pub(crate) mod classifiers;
pub mod export;
pub(crate) mod import;
pub(crate) mod naming;
pub(crate) mod nesting;
pub(crate) mod network;
pub(crate) mod pytorch;
pub(crate) mod report;
pub mod safetensors;
pub(crate) mod source;

pub use classifiers::{ClassMap, NewClasses};
pub use import::Checkpoint;
pub use naming::Naming;
pub use report::Report;

use burn::tensor::TensorData;
use std::collections::BTreeMap;

/// Float32 tensors by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weights {
    /// Name to values and shape.
    pub tensors: BTreeMap<String, TensorData>,
}

/// What became of each name when weights were put into a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Tensors of the network that were found and put in.
    pub loaded: Vec<String>,
    /// Tensors of the network that were not given; they are as they were.
    pub missing: Vec<String>,
    /// Given, but not of the network.
    pub unexpected: Vec<String>,
    /// Tensors whose given shape is another one, so left as they were: name, the network's shape, the given one.
    pub misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
}
