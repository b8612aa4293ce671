//! The same program on two devices: what flex computes, the GPU of this build computes as well.
//!
//! Tests of a machine that has such a GPU: `cargo test --release --features cuda devices` (or `vulkan`). Of a build with both,
//! `BURN_DEVICE` chooses one.

use super::compare::{Table, Tolerances};
use super::{large, networks, units};
use crate::config::DeviceChoice;
use burn::tensor::Device;

/// Every GPU backend of this build, and how close to flex it must be: CUDA multiplies matrices in tensor cores.
fn devices() -> Vec<(&'static str, Device, Tolerances)> {
    // A build with several is tested on one of them where the machine has only that one.
    let chosen = std::env::var("BURN_DEVICE").ok();
    let wanted = |name: &str| chosen.as_deref().is_none_or(|chosen| chosen == name);
    let open = |choice: DeviceChoice| choice.open().expect("this test needs the GPU it is built for").autodiff();
    let mut devices = Vec::new();
    if cfg!(feature = "cuda") && wanted("cuda") {
        devices.push(("cuda", open(DeviceChoice::Cuda(0)), Tolerances::CUDA));
    }
    if cfg!(feature = "vulkan") && wanted("vulkan") {
        devices.push(("vulkan", open(DeviceChoice::Vulkan(0)), Tolerances::VULKAN));
    }
    devices
}

#[test]
fn every_operation_equals_flex() {
    let fixture = units::fixture();
    let flex = units::compute(&fixture, &Device::flex().autodiff());
    for (name, device, tolerances) in devices() {
        let mut table = Table::new();
        for ((operation, ours), (_, right)) in units::compute(&fixture, &device).into_iter().zip(&flex) {
            table.add(operation, &ours, right);
        }
        table.finish(&format!("Operations: {name} against flex"), &tolerances);
    }
}

#[test]
fn operations_on_large_maps_equal_flex() {
    let flex = large::compute(&Device::flex().autodiff());
    for (name, device, tolerances) in devices() {
        let mut table = Table::new();
        for ((operation, ours), (_, right)) in large::compute(&device).into_iter().zip(&flex) {
            table.add(operation, &ours, right);
        }
        table.finish(&format!("Large maps: {name} against flex"), &tolerances);
    }
}

#[test]
fn every_head_and_loss_and_three_training_steps_equal_flex() {
    // Both stems and output strides, both decode heads, the auxiliary head, the decoder, all three local task heads. Of
    // classification, grouped convolutions, pooling and dense blocks are operations above. On small pictures, for a
    // software device takes minutes as it is.
    let cases = ["resnet18-e2e", "resnet18-k2-softmax", "resnet18-k3-greedy", "resnet18-k4-contrast"];
    for (name, device, tolerances) in devices() {
        let mut table = Table::new();
        for case in cases {
            let fixture = networks::fixture(case).cropped([32, 48]);
            let mut flex = networks::compute(case, &fixture, &Device::flex().autodiff());
            // Updates are measured from the weights before the steps.
            flex.extend(fixture.inside("weights"));
            table.add(case, &networks::compute(case, &fixture, &device), &flex);
        }
        table.finish(&format!("Networks: {name} against flex"), &tolerances);
    }
}
