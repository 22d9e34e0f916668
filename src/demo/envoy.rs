//! A real Envoy as a child process, with the configuration that is shipped in `envoy/`.

mod shipped;
mod sidecar;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::DemoError;
use super::client::{Call, Reply};
pub use shipped::{Gate, Shipped};
pub use sidecar::Sidecar;

/// Time for Envoy to start: it waits for the gate's first health check, and machines may be busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at something that is about to happen.
const PAUSE: Duration = Duration::from_millis(20);

/// Finds Envoy's binary: the one that `TOLLGATE_ENVOY` names, the one that `make envoy` fetched below the current
/// directory, or `envoy` on the `PATH`.
///
/// # Errors
/// Where `TOLLGATE_ENVOY` names no file: whoever names one wants that one.
pub fn find() -> Result<Option<PathBuf>, DemoError> {
    if let Some(named) = std::env::var_os("TOLLGATE_ENVOY").filter(|name| !name.is_empty()) {
        let named = PathBuf::from(named);
        return if named.is_file() { Ok(Some(named)) } else { Err(DemoError::NoSuchEnvoy(named)) };
    }
    let installed = std::fs::read_dir(".tools/envoy-venv/lib").into_iter().flatten().flatten();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = std::iter::once(PathBuf::from(".tools/envoy"))
        .chain(installed.map(|version| version.path().join("site-packages/envoy/_bin/envoy")))
        .chain(std::env::split_paths(&path).map(|directory| directory.join("envoy")));
    Ok(candidates.into_iter().find(|candidate| candidate.is_file()))
}

/// A running Envoy. It is killed when this is dropped, and its files are removed.
#[derive(Debug)]
pub struct Envoy {
    child: Child,
    admin: SocketAddr,
    address: SocketAddr,
    directory: TempDir,
}

impl Envoy {
    /// Starts `binary` with `config` and waits until it takes requests.
    ///
    /// # Errors
    /// Where it does not start; the error holds the end of its log.
    pub async fn start(binary: &Path, config: &str) -> Result<Self, DemoError> {
        let directory = tempfile::Builder::new().prefix("tollgate-envoy-").tempdir().map_err(DemoError::Directory)?;
        let child = spawn(binary, config, directory.path())?;
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut envoy = Self { child, admin: nowhere, address: nowhere, directory };
        match envoy.wait_until_ready().await {
            Ok(()) => Ok(envoy),
            Err(why) => {
                let log = tail(&envoy.log());
                Err(DemoError::Envoy { why, log })
            }
        }
    }

    /// Where it takes requests.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the listener with this name takes requests.
    ///
    /// # Errors
    /// Where it has none.
    pub async fn listener(&self, name: &str) -> Result<SocketAddr, DemoError> {
        let listeners = self.admin("/listeners?format=json").await?.json();
        let statuses = listeners.get("listener_statuses").and_then(serde_json::Value::as_array);
        let named = statuses.into_iter().flatten().find(|status| status.get("name").is_some_and(|known| known == name));
        named
            .and_then(address_of)
            .ok_or_else(|| DemoError::Envoy { why: format!("it has no listener `{name}`"), log: tail(&self.log()) })
    }

    /// Where its admin interface is.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Its access log: one JSON object a line.
    pub fn access_log(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.directory.path().join("access.log")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The access log's entry at `index`, as soon as it is there; `None` where that takes too long.
    pub async fn access_log_entry(&self, index: usize) -> Option<serde_json::Value> {
        let late = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(entry) = self.access_log().into_iter().nth(index) {
                return Some(entry);
            }
            if Instant::now() >= late {
                return None;
            }
            sleep(PAUSE).await;
        }
    }

    /// Its process id, as long as it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it logged about itself.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("envoy.log")).unwrap_or_default()
    }

    /// Asks its admin interface.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn admin(&self, path: &str) -> Result<Reply, DemoError> {
        Ok(Call::get("admin", path).send(self.admin).await?)
    }

    /// Checks a configuration without running it.
    ///
    /// # Errors
    /// What Envoy says against it.
    pub async fn validate(binary: &Path, config: &str) -> Result<(), DemoError> {
        let directory = tempfile::tempdir().map_err(DemoError::Directory)?;
        let file = directory.path().join("envoy.yaml");
        std::fs::write(&file, config).map_err(|error| DemoError::File { path: file.clone(), error })?;
        let run = Command::new(binary)
            .args(["--mode", "validate", "--log-level", "warning", "-c"])
            .arg(&file)
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| DemoError::File { path: binary.to_owned(), error })?;
        if run.status.success() {
            return Ok(());
        }
        let why = "it refuses the configuration".to_owned();
        Err(DemoError::Envoy { why, log: tail(&String::from_utf8_lossy(&run.stderr)) })
    }

    async fn wait_until_ready(&mut self) -> Result<(), String> {
        let late = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("it ended with {status}"));
            }
            if let Some(address) = self.listening().await {
                self.address = address;
                return Ok(());
            }
            if Instant::now() >= late {
                return Err(format!("it is not ready after {} s", PATIENCE.as_secs()));
            }
            sleep(PAUSE).await;
        }
    }

    /// Where the first listener listens, once Envoy takes requests.
    async fn listening(&mut self) -> Option<SocketAddr> {
        let text = std::fs::read_to_string(self.directory.path().join("admin")).ok()?;
        self.admin = text.trim().parse().ok()?;
        let ready = self.admin("/ready").await.ok()?;
        if ready.status != 200 {
            return None;
        }
        let listeners = self.admin("/listeners?format=json").await.ok()?.json();
        address_of(listeners.pointer("/listener_statuses/0")?)
    }
}

/// Where a listener listens, by the admin interface's description of it.
fn address_of(status: &serde_json::Value) -> Option<SocketAddr> {
    let port = status.pointer("/local_address/socket_address/port_value")?.as_u64()?;
    Some(SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).ok()?)))
}

fn spawn(binary: &Path, config: &str, directory: &Path) -> Result<Child, DemoError> {
    let create = |name: &str| {
        let path = directory.join(name);
        std::fs::File::create(&path).map_err(|error| DemoError::File { path, error })
    };
    let file = directory.join("envoy.yaml");
    std::fs::write(&file, config).map_err(|error| DemoError::File { path: file.clone(), error })?;
    Command::new(binary)
        .arg("-c")
        .arg(&file)
        // The access log is read while it is written; by default it appears after ten seconds.
        .args(["--concurrency", "1", "--use-dynamic-base-id", "--file-flush-interval-msec", "20"])
        .args(["--log-level", "warning"])
        .arg("--admin-address-path")
        .arg(directory.join("admin"))
        .stdin(Stdio::null())
        .stdout(create("access.log")?)
        .stderr(create("envoy.log")?)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error: io::Error| DemoError::File { path: binary.to_owned(), error })
}

/// The last lines of a log.
pub(super) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n")
}
