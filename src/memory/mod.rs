//! Memory: how much there is and how much is used. What a training step will need is `crate::local::cost`.

pub mod counting;
mod machine;
mod pool;
mod size;

pub use pool::{give_back, has_pools, lasting, reserve};
pub use size::{MemorySize, human};

use crate::device::DeviceChoice;
use burn::tensor::Device;

/// Peak bytes since the process began, or `None` where neither device nor system tell.
///
/// On a GPU: the most that its memory pools had from the driver, sampled here and before each cleanup. On a CPU: the
/// process's peak resident set.
pub fn peak_bytes(device: &Device) -> Option<u64> {
    pool::peak(device).or_else(machine::peak_resident)
}

/// Default memory budget in bytes: nine tenths of the machine's memory, or of the GPU's.
///
/// # Errors
/// Why it is not known, as a clause.
pub fn available(device: &DeviceChoice) -> Result<u64, String> {
    match device.resolve() {
        cpu if cpu.is_cpu() => machine::total()
            .map(|bytes| bytes / 10 * 9)
            .ok_or_else(|| "this system does not tell how much memory it has; say --memory-budget SIZE".into()),
        gpu => gpu
            .gpu_memory()
            .map(|bytes| bytes / 10 * 9)
            .ok_or_else(|| format!("{gpu} does not tell how much memory it has; say --memory-budget SIZE")),
    }
}

/// Bytes that the heap can grow to before the system ends the process: what is free now and what is on the heap already, or
/// the control group's limit; less a reserve for what is not on the heap.
pub fn heap_limit() -> Option<u64> {
    const RESERVE: u64 = 256 << 20;
    let free = machine::available()? + counting::live() as u64;
    let limit = machine::total().map_or(free, |total| total.min(free));
    Some(limit.saturating_sub(RESERVE))
}

/// Whether what training takes can be read, so that a budget can be kept to.
///
/// # Errors
/// Why not, as a clause.
pub fn check_measurable(device: &DeviceChoice) -> Result<(), String> {
    let resolved = device.resolve();
    let measured = match &resolved {
        cpu if cpu.is_cpu() => machine::peak_resident().is_some(),
        // Where it cannot be opened at all, that is told when it is.
        gpu => gpu.open().map_or(true, |device| device.memory_pool_report().is_some()),
    };
    match measured {
        true => Ok(()),
        false => Err(format!("{resolved} does not report how much memory is in use, and no budget can be kept there")),
    }
}

/// Bytes in use now: on a GPU in its pools, on a CPU on the heap. Waits for the device to have done what it was told.
pub fn live_bytes(device: &Device) -> u64 {
    match device.memory_pool_usage() {
        Some(usage) => usage.bytes_in_use,
        None => counting::live() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_on_the_cpu_knows_its_peak() {
        assert!(peak_bytes(&Device::flex()).is_some_and(|bytes| bytes > 1 << 20));
        assert!(live_bytes(&Device::flex()) > 0);
    }
}
