//! On what, and of what, was measured.

use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine and the versions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Names and what they are.
    pub facts: Vec<(String, String)>,
}

/// What this machine is, and which versions the programs were built of.
pub fn this() -> Machine {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let lock = std::fs::read_to_string("Cargo.lock").unwrap_or_default();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut facts = vec![
        ("CPU", after(&cpu, "model name").unwrap_or_else(|| "unknown".to_owned())),
        ("cores", cpu.lines().filter(|line| line.starts_with("processor")).count().to_string()),
        ("memory", after(&memory, "MemTotal").unwrap_or_default()),
        ("kernel", kernel.trim().to_owned()),
        ("rustc", first_line("rustc", &["--version"])),
    ];
    for package in ["tonic", "hyper", "h2", "envoy-types", "aws-lc-rs", "mimalloc"] {
        facts.push((package, locked(&lock, package).unwrap_or_else(|| "unknown".to_owned())));
    }
    let envoy = std::env::var("TOLLGATE_ENVOY").unwrap_or_else(|_| ".tools/envoy".to_owned());
    facts.push(("envoy", envoy_version(&first_line(&envoy, &["--version"]))));
    Machine { facts: facts.into_iter().map(|(name, what)| (name.to_owned(), what)).collect() }
}

/// How busy the machine is beside us: the load of the last minute.
pub fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_ascii_whitespace().next()?.parse().ok()
}

fn after(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The version of a package in the lock file; of several the last, which is the newest.
fn locked(lock: &str, package: &str) -> Option<String> {
    let start = format!("name = \"{package}\"\nversion = \"");
    let (_, rest) = lock.rsplit_once(&start)?;
    Some(rest.split_once('"')?.0.to_owned())
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("not there").trim().to_owned()
}

/// `envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`, without the path that stands before it.
fn envoy_version(line: &str) -> String {
    line.split_once("version: ").map_or(line, |(_, version)| version).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found() {
        let lock =
            "[[package]]\nname = \"h2\"\nversion = \"0.3.9\"\n\n[[package]]\nname = \"h2\"\nversion = \"0.4.20\"\n";
        assert_eq!(locked(lock, "h2").as_deref(), Some("0.4.20"));
        assert_eq!(locked(lock, "hyper"), None);
        assert_eq!(envoy_version("envoy  version: abc/1.40.0/Clean"), "abc/1.40.0/Clean");
        assert_eq!(after("a\t: 1\nmodel name\t: EPYC 7: x\n", "model name").as_deref(), Some("EPYC 7: x"));
    }
}
