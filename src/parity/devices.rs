//! The same program on two devices: what flex computes, the GPU of this build computes as well.
//!
//! Tests of a machine that has such a GPU: `cargo test --release --features cuda devices` (or `vulkan`). `BURN_DEVICE`
//! chooses one where a build has both.

use super::compare::{Table, Tolerances};
use super::{large, networks, units};
use crate::device::DeviceChoice;
use crate::ops;
use burn::tensor::Device;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An operation with a ReLU in it. Where a value is near 0, rounding decides on which side of the ReLU it is: TF32 takes gradients
/// of whole networks half of their largest value away from float32, in PyTorch as well (`eval/parity/rounding.py`). This operation
/// and whole networks are therefore compared with convolutions in float32. Convolutions in tensor cores have tests of their own.
const SHARP: &str = "dense";

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

/// One test at a time: a GPU is not shared, nor is [`ops::plainly`].
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn every_operation_equals_flex() {
    let _alone = alone();
    let fixture = units::fixture();
    let flex = units::compute(&fixture, &Device::flex().autodiff());
    for (name, device, tolerances) in devices() {
        let mut table = Table::new();
        let ours = units::compute(&fixture, &device);
        let plain = ops::plainly(|| units::compute(&fixture, &device));
        for (((operation, ours), (_, plain)), (_, right)) in ours.into_iter().zip(&plain).zip(&flex) {
            table.add(operation, if operation == SHARP { plain } else { &ours }, right);
        }
        table.finish(&format!("Operations: {name} against flex"), &tolerances);
    }
}

#[test]
fn operations_on_large_maps_equal_flex() {
    let _alone = alone();
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
    let _alone = alone();
    // Both stems and output strides, both decode heads, the auxiliary head, the decoder, all three local task heads. Of
    // classification, grouped convolutions, pooling and dense blocks are operations above. On small images, for a
    // software device takes minutes as it is.
    let cases = ["resnet18-e2e", "resnet18-k2-softmax", "resnet18-k3-greedy", "resnet18-k4-contrast"];
    for (name, device, tolerances) in devices() {
        let mut table = Table::new();
        for case in cases {
            let fixture = networks::fixture(case).cropped([32, 48]);
            let mut flex = networks::compute(case, &fixture, &Device::flex().autodiff());
            // Updates are measured from the weights before the steps.
            flex.extend(fixture.inside("weights"));
            let compute = || networks::compute(case, &fixture, &device);
            table.add(case, &if name == "cuda" { ops::plainly(compute) } else { compute() }, &flex);
        }
        table.finish(&format!("Networks: {name} against flex"), &tolerances);
    }
}
