//! The same numbers from two programs: PyTorch's, as `eval/parity/` wrote them into fixtures, against ours on the CPU; and
//! ours on a GPU against ours on the CPU.
//!
//! [`networks`] and [`units`] compute what a fixture holds, under the fixture's names, on any device; [`compare`] says how
//! far two sets of results are apart; [`drawn`] draws what fixtures of classification leave out. The fixtures, and what was
//! measured, are described in `eval/parity/README.md`.

mod compare;
#[cfg(feature = "cube")]
mod devices;
mod drawn;
#[cfg(feature = "cube")]
mod large;
mod networks;
mod units;

use crate::weights::safetensors;
#[cfg(feature = "cube")]
use burn::tensor::s;
use burn::tensor::{Device, Tensor, TensorData};
use compare::{Table, Tolerances};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Tensors by the name that a fixture gives them.
type Tensors = BTreeMap<String, TensorData>;

/// A file or folder under `eval/parity/` of the checkout that the test runs in, or else was built in.
fn path(relative: &str) -> PathBuf {
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(root).join("eval/parity").join(relative)
}

/// What PyTorch computed.
struct Fixture {
    tensors: Tensors,
}

impl Fixture {
    fn read(name: &str) -> Self {
        let (weights, _) = safetensors::read(&path(&format!("fixtures/{name}.safetensors"))).unwrap();
        Self { tensors: weights.tensors }
    }

    fn data(&self, name: &str) -> &TensorData {
        self.tensors.get(name).unwrap_or_else(|| panic!("the fixture has no {name}"))
    }

    fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        Tensor::from_data(self.data(name).clone(), device)
    }

    fn values(&self, name: &str) -> Vec<f32> {
        self.data(name).iter::<f32>().collect()
    }

    /// The same network on smaller images, for which it holds no results: the top left of each, with its labels.
    #[cfg(feature = "cube")]
    fn cropped(mut self, [height, width]: [usize; 2]) -> Self {
        let device = Device::flex();
        let input = self.tensor::<4>("input", &device).slice(s![.., .., 0..height, 0..width]);
        let label = self.tensor::<3>("label", &device).slice(s![.., 0..height, 0..width]);
        self.tensors.insert("input".into(), input.into_data());
        self.tensors.insert("label".into(), label.into_data());
        self
    }

    /// The tensors `<folder>/…`, for a folder at the top.
    fn inside(&self, folder: &str) -> Tensors {
        let inside = self.tensors.iter().filter(|(name, _)| name.split('/').next() == Some(folder));
        inside.map(|(name, data)| (name.clone(), data.clone())).collect()
    }

    /// The tensors `<folder>/…`, by what follows.
    fn under(&self, folder: &str) -> Tensors {
        let named = self.inside(folder).into_iter();
        named.map(|(name, data)| (name[folder.len() + 1..].to_string(), data)).collect()
    }
}

#[test]
fn networks_equal_pytorchs() {
    let mut table = Table::new();
    assert_eq!(networks::cases().len(), 17);
    for name in networks::cases() {
        let fixture = networks::fixture(&name);
        let mut ours = networks::compute(&name, &fixture, &Device::flex().autodiff());
        let mut right = fixture.tensors;
        if networks::is_drawn(&name) {
            (ours, right) = (drawn::all_thinned(ours), drawn::all_thinned(right));
        }
        table.add(&name, &ours, &right);
    }
    table.finish("Networks: flex against PyTorch", &Tolerances::PYTORCH);
}

#[test]
fn operations_equal_pytorchs() {
    let fixture = units::fixture();
    let mut table = Table::new();
    for (operation, ours) in units::compute(&fixture, &Device::flex().autodiff()) {
        table.add(operation, &ours, &fixture.inside(operation));
    }
    table.finish("Operations: flex against PyTorch", &Tolerances::PYTORCH);
}
