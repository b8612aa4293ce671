//! What the operating system tells of memory.

use std::fs::read_to_string;
use std::path::Path;

/// `VmHWM` of `/proc/self/status`: the process's peak resident set.
pub fn peak_resident() -> Option<u64> {
    kibibytes(&read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Bytes of memory that this process can have at most: the machine's, or its control group's where that is less. Swap
/// is left out: a training step that lives in it does not end. `None` where the system does not tell.
pub fn total() -> Option<u64> {
    let machine = kibibytes(&read_to_string("/proc/meminfo").ok()?, "MemTotal:")?;
    Some(group_limit().map_or(machine, |group| group.min(machine)))
}

/// Bytes that are free now, as the system estimates it.
pub fn available() -> Option<u64> {
    kibibytes(&read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// The least of the limits of this process's control group and those around it.
fn group_limit() -> Option<u64> {
    let limit = |path: &Path| read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let own = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").trim_start_matches('/').to_string();
    let groups = Path::new(&own).ancestors().map(|group| Path::new("/sys/fs/cgroup").join(group).join("memory.max"));
    let old = Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes").to_path_buf();
    groups.chain([old]).filter_map(|path| limit(&path)).min()
}

/// The number behind `key` in lines such as `VmHWM:   1234 kB`, in bytes.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_system_are_read() {
        let status = "VmPeak:\t  200 kB\nVmHWM:\t     100 kB\n";
        assert_eq!(kibibytes(status, "VmHWM:"), Some(102_400));
        assert_eq!(kibibytes(status, "VmSwap:"), None);
    }
}
