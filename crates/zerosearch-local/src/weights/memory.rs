//! Whether a model fits into this machine's memory, asked before it is loaded.

use zerosearch_learner::{LearnerError, Result};

const GIB: f64 = (1u64 << 30) as f64;

/// Refuses to load `what` (a name for the message) if it needs more than `needed_bytes` of memory that can be had now.
/// Where the system does not say how much that is, nothing is refused.
pub fn refuse_if_too_large(what: &str, needed_bytes: u64) -> Result<()> {
    match available_bytes() {
        Some(available) => refuse(what, needed_bytes, available),
        None => Ok(()),
    }
}

fn refuse(what: &str, needed: u64, available: u64) -> Result<()> {
    if needed <= available {
        return Ok(());
    }
    Err(LearnerError::TooLarge {
        what: what.to_owned(),
        needed_gib: needed as f64 / GIB,
        available_gib: available as f64 / GIB,
    })
}

/// What Linux says can be allocated without swapping, or what is left of this container's share if that is less.
pub fn available_bytes() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = bytes_in(&read("/proc/meminfo")?, "MemAvailable:")?;
    let limit = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse::<u64>().ok());
    let used = read("/sys/fs/cgroup/memory.current").and_then(|text| text.trim().parse::<u64>().ok());
    let container = limit.zip(used).map_or(u64::MAX, |(limit, used)| limit.saturating_sub(used));
    Some(machine.min(container))
}

/// The most memory that this process has held at once, where the system says it.
pub fn peak_bytes() -> Option<u64> {
    bytes_in(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Memory of this machine, where the system says it.
pub fn machine_bytes() -> Option<u64> {
    bytes_in(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

/// A number of KiB behind `name` in a table of the kernel's.
fn bytes_in(table: &str, name: &str) -> Option<u64> {
    let line = table.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_counts_in_kib() {
        let meminfo = "MemTotal:       24549348 kB\nMemFree:         1000 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(bytes_in(meminfo, "MemAvailable:"), Some(2 << 20));
        assert_eq!(bytes_in(meminfo, "SwapFree:"), None);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_numbers() {
        assert!(refuse("training", 1 << 30, 1 << 30).is_ok());
        let message = refuse("training", 3 << 30, 1 << 30).unwrap_err().to_string();
        assert_eq!(message, "training needs 3.0 GiB of memory, this machine has 1.0 GiB available");
    }
}
