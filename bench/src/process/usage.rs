//! What a process uses, by `/proc`.

use std::fs;

use anyhow::Context as _;

/// Ticks in a second, in which the kernel tells times to user space: the same on all machines that Linux still knows.
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

/// CPU that a process has used in user and kernel mode, all threads, in seconds.
///
/// # Errors
/// There is no such process.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    ticks(&stat).map(|ticks| ticks as f64 / TICKS_PER_SECOND).context("`/proc/PID/stat` reads unlike its manual page")
}

/// Memory of a process.
///
/// # Errors
/// There is no such process.
pub fn memory(pid: u32) -> anyhow::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let of = |name| bytes(&status, name).with_context(|| format!("`/proc/PID/status` has no `{name}`"));
    Ok(Memory { resident: of("VmRSS")?, peak: of("VmHWM")? })
}

/// `utime` and `stime`. The name of the program stands before them and may hold anything, parentheses too.
fn ticks(stat: &str) -> Option<u64> {
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 5 0 250 31 0 0 20 0 4 0 100 1000 50 18446744073709551615";
        assert_eq!(ticks(stat), Some(281));
        assert_eq!(ticks("42 (a) S 1"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn memory_is_told_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t   2000 kB\nVmRSS:\t    1234 kB\nRssAnon:\t 1 kB\n";
        assert_eq!(bytes(status, "VmRSS"), Some(1234 * 1024));
        assert_eq!(bytes(status, "VmHWM"), Some(2000 * 1024));
        assert_eq!(bytes(status, "VmSwap"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let begun = cpu_seconds(std::process::id()).unwrap();
        let mut n = 0u64;
        while cpu_seconds(std::process::id()).unwrap() <= begun {
            n = std::hint::black_box(n.wrapping_add(1));
        }
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.resident > 1 << 20 && memory.peak >= memory.resident);
    }
}
