//! Envoy as a process on the servers' core.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tollgate::demo::envoy::{Envoy, find};

use super::config::Config;
use crate::load::Endpoint;
use crate::process::{LOAD_CORE, SERVER_CORE, cpu_seconds, pin_to};

/// Envoy's binary, also where the current directory is that of this crate.
pub(super) fn binary() -> anyhow::Result<PathBuf> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/envoy");
    let found = find()?.or_else(|| fetched.is_file().then_some(fetched));
    found.context("no envoy: `make envoy` fetches it, or name one in TOLLGATE_ENVOY")
}

/// A running Envoy. It is killed when this is dropped.
pub(super) struct Proxy {
    envoy: Envoy,
    pid: u32,
}

impl Proxy {
    /// Starts Envoy with one worker on the servers' core, and goes back to the load's.
    pub(super) async fn start(config: &Config) -> anyhow::Result<Self> {
        let binary = binary()?;
        pin_to(SERVER_CORE)?;
        let envoy = Envoy::start(&binary, config.text()).await;
        pin_to(LOAD_CORE)?;
        let envoy = envoy?;
        let pid = envoy.pid().context("envoy is gone")?;
        Ok(Self { envoy, pid })
    }

    /// Where it takes requests.
    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint::Tcp(self.envoy.address())
    }

    /// CPU that it has used, in seconds.
    pub(super) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        cpu_seconds(self.pid)
    }

    /// CPU that it has used, in seconds, to the nanosecond: for windows that are short.
    pub(super) fn fine_cpu_seconds(&self) -> anyhow::Result<f64> {
        let mut nanoseconds = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.pid))? {
            // The first number is the time on a CPU (Documentation/scheduler/sched-stats.rst).
            let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            nanoseconds += text.split(' ').next().context("no time")?.parse::<u64>()?;
        }
        Ok(nanoseconds as f64 / 1e9)
    }

    /// One of its counters.
    pub(super) async fn counter(&self, name: &str) -> anyhow::Result<u64> {
        let reply = self.envoy.admin(&format!("/stats?filter=^{name}$")).await?.text();
        let value = reply.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.with_context(|| format!("envoy counts no `{name}`"))?.trim().parse().context("not a count")
    }
}
