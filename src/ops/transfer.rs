//! From device to device.

use burn::tensor::kind::Basic;
use burn::tensor::{Device, Tensor};

/// Whether a device is another machine's.
pub fn is_remote(device: &Device) -> bool {
    #[cfg(feature = "remote")]
    {
        let device = device.clone().without_autodiff();
        matches!(device.as_dispatch(), burn::backend::DispatchDevice::Remote(_))
    }
    #[cfg(not(feature = "remote"))]
    {
        let _ = device;
        false
    }
}

/// Whether a device is a GPU of this machine.
pub fn is_gpu(device: &Device) -> bool {
    #[cfg(feature = "cube")]
    {
        let device = device.clone().without_autodiff();
        matches!(device.as_dispatch(), burn::backend::DispatchDevice::Cube(_))
    }
    #[cfg(not(feature = "cube"))]
    {
        let _ = device;
        false
    }
}

/// Waits until a GPU of this machine has done what this thread told it. What is wrong with it, its next use tells.
pub fn settle(device: &Device) {
    if is_gpu(device) {
        let _ = device.sync();
    }
}

/// The same on another device, without its tape. Between two workers it comes by this machine: they need not see each other.
pub fn moved<const D: usize, K: Basic>(x: Tensor<D, K>, device: &Device) -> Tensor<D, K> {
    let from = x.device();
    if from == *device || !(is_remote(&from) && is_remote(device)) {
        return x.to_device(device);
    }
    Tensor::from_data(x.into_data(), device)
}
