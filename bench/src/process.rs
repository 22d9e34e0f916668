//! Servers as processes: where they run, what they use, and when they are ready.

mod pin;
mod usage;

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;

use crate::load::{Endpoint, Outcome, probe};
pub use pin::{on_core, pin_to};
pub use usage::{Memory, cpu_seconds, memory};

/// The core that servers run on.
pub const SERVER_CORE: usize = 0;

/// The core that the load comes from.
pub const LOAD_CORE: usize = 1;

/// Longest wait for a server to serve.
const START: Duration = Duration::from_secs(30);

/// A running server. It is killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    endpoint: Endpoint,
    log: PathBuf,
    took: Duration,
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Start {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables of its environment, beside this process's own.
    pub environment: Vec<(String, OsString)>,
    /// Where it will listen.
    pub endpoint: Endpoint,
    /// Where what it prints goes.
    pub log: PathBuf,
}

impl Server {
    /// Starts a server on its core and waits until it allows a request.
    ///
    /// # Errors
    /// It could not be started, ended, or did not allow the request in time: with what it printed.
    pub async fn start(start: Start, request: &Bytes) -> anyhow::Result<Self> {
        let mut server = Self::spawn(start)?;
        let begun = Instant::now();
        loop {
            if probe(&server.endpoint, request.clone()).await.is_ok_and(|outcome| outcome == Outcome::Allow) {
                server.took = begun.elapsed();
                return Ok(server);
            }
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended with {status}:\n{}", server.printed());
            }
            if begun.elapsed() > START {
                bail!("the server does not allow the request:\n{}", server.printed());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Starts a server on its core and does not wait.
    ///
    /// # Errors
    /// It could not be started.
    pub fn spawn(start: Start) -> anyhow::Result<Self> {
        if let Endpoint::Unix(path) = &start.endpoint {
            let _ = std::fs::remove_file(path);
        }
        let log = File::create(&start.log)?;
        let mut command = Command::new(&start.program);
        command
            .args(&start.arguments)
            .envs(start.environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = on_core(SERVER_CORE, || command.spawn())?
            .with_context(|| format!("cannot start {}", start.program.display()))?;
        Ok(Self { child, endpoint: start.endpoint, log: start.log, took: Duration::ZERO })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// From its start to the first request that it allowed.
    pub const fn took(&self) -> Duration {
        self.took
    }

    /// CPU that it has used, in seconds.
    ///
    /// # Errors
    /// It is gone.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        cpu_seconds(self.pid())
    }

    /// Memory that it uses.
    ///
    /// # Errors
    /// It is gone.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        memory(self.pid())
    }

    /// What it printed, for an error message: the end of it.
    pub fn printed(&self) -> String {
        last_of(&self.log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn last_of(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
