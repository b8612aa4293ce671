//! Peak memory: of the process on a CPU, of the allocator on a GPU.

use burn::tensor::Device;

/// Peak bytes since the process began, or `None` where neither device nor system tell.
///
/// On a GPU: the high-water mark of what burn's memory pools reserved there. On a CPU: the process's peak resident set.
pub fn peak_bytes(device: &Device) -> Option<u64> {
    let pools =
        device.memory_pool_report().map(|pools| pools.iter().map(|pool| pool.page_size * pool.pages_peak).sum::<u64>());
    pools.filter(|&bytes| bytes > 0).or_else(peak_resident_bytes)
}

/// `VmHWM` of `/proc/self/status`.
fn peak_resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// `1.25 GiB`, `310 MiB`.
pub fn human(bytes: u64) -> String {
    const GIB: f64 = (1u64 << 30) as f64;
    let bytes = bytes as f64;
    if bytes >= GIB { format!("{:.2} GiB", bytes / GIB) } else { format!("{:.0} MiB", bytes / GIB * 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_on_the_cpu_knows_its_peak() {
        assert!(peak_bytes(&Device::flex()).is_some_and(|bytes| bytes > 1 << 20));
        assert_eq!(human(5 << 28), "1.25 GiB");
        assert_eq!(human(310 << 20), "310 MiB");
    }
}
