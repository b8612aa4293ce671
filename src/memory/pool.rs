//! The memory pools of a GPU.
//!
//! CubeCL carves tensors out of pages that are as large as the largest tensor so far. When a larger one comes, pages of its size
//! take over: those there are serve nothing new, and go back to the driver when they are asked for or when the device is nearly
//! full. A training step makes the same tensors each time. So [`reserve`] shows the pool the largest of them before any weight
//! exists, weights and momentum are [`lasting`], and [`give_back`] returns unused pages after each module's first step and around
//! evaluation.
//!
//! Each thread has pools of its own, unless it takes a stream from another: the first two calls are for the thread that makes the
//! tensors.

use burn::tensor::{Device, Tensor};
use std::sync::{Mutex, PoisonError};

/// The most bytes that each device's pools were seen to have from the driver.
static PEAKS: Mutex<Vec<(Device, u64)>> = Mutex::new(Vec::new());

/// Whether tensors of this device live in pools of its own; those of a CPU live on the heap.
pub fn has_pools(device: &Device) -> bool {
    device.memory_pool_usage().is_some()
}

/// Grows the pool's pages to hold a tensor of `bytes`; 0: they stay as they are.
pub fn reserve(device: &Device, bytes: u64) {
    let device = device.clone().without_autodiff();
    if bytes > 0 && has_pools(&device) {
        let tensor = Tensor::<1>::empty([(bytes as usize).div_ceil(size_of::<f32>()).max(1)], &device);
        // One that nothing reads is never made. What is wrong with a device, its first use tells.
        let _ = tensor.narrow(0, 0, 1).try_into_data();
    }
}

/// What `make` leaves on the device gets memory of its own, as large as it is: among activations it would keep pages from going
/// back.
pub fn lasting<T: Send>(device: &Device, make: impl FnOnce() -> T + Send) -> T {
    let device = device.clone().without_autodiff();
    match has_pools(&device) {
        true => device.memory_persistent_allocations(make, |make| make()),
        false => make(),
    }
}

/// Returns the pool's unused pages to the driver.
pub fn give_back(device: &Device) {
    let device = device.clone().without_autodiff();
    if peak(&device).is_some() {
        device.memory_cleanup();
    }
}

/// High-water mark of what the device's pools had from the driver, as far as it was looked at: here, and in [`give_back`]. `None`
/// on a CPU.
pub fn peak(device: &Device) -> Option<u64> {
    let device = device.clone().without_autodiff();
    let bytes = device.memory_pool_usage()?.bytes_reserved;
    let mut peaks = PEAKS.lock().unwrap_or_else(PoisonError::into_inner);
    let of_device = match peaks.iter_mut().find(|(other, _)| *other == device) {
        Some((_, of_device)) => of_device,
        None => {
            peaks.push((device, 0));
            &mut peaks.last_mut().expect("one was pushed").1
        }
    };
    *of_device = bytes.max(*of_device);
    (*of_device > 0).then_some(*of_device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_has_no_pools() {
        let device = Device::flex();
        reserve(&device, 1 << 20);
        give_back(&device);
        assert_eq!((has_pools(&device), peak(&device)), (false, None));
    }
}
