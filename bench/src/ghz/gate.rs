//! The gate of a load test: the built program as a process, with file keys, asked over loopback and a unix socket.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use tollgate::demo::client::Call;
use tollgate::demo::issuer::DevIssuer;

/// Time to start, and time to end.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// A running gate. It is killed when this is dropped.
pub(super) struct Gate {
    child: Child,
    directory: TempDir,
    log: PathBuf,
    address: SocketAddr,
    probes: SocketAddr,
}

impl Gate {
    /// Starts `program`, which trusts `issuer`, with its log in `folder`, and waits until it is ready.
    pub(super) async fn start(program: &Path, folder: &Path, issuer: &DevIssuer) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("tollgate-load-").tempdir()?;
        let keys = directory.path().join("keys.json");
        std::fs::write(&keys, issuer.jwks().to_string())?;
        let policy = directory.path().join("policy.yaml");
        std::fs::write(&policy, text(directory.path(), &keys, issuer.url()))?;
        let log = folder.join("gate.log");
        let child = Command::new(program)
            .args(["serve", "--config"])
            .arg(&policy)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).with_context(|| format!("`{}`", log.display()))?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("`{}`", program.display()))?;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut gate = Self { child, directory, log, address: nowhere, probes: nowhere };
        gate.wait_until_ready().await?;
        Ok(gate)
    }

    /// Where it is asked over TCP.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it is asked over a unix socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.directory.path().join("check.sock")
    }

    /// Where its metrics are.
    pub(super) fn probes(&self) -> SocketAddr {
        self.probes
    }

    /// Its log.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Kills it: it has nothing to drain.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        ensure!(self.child.try_wait()?.is_none(), "the gate ended under load: see `{}`", self.log.display());
        self.child.start_kill()?;
        timeout(PATIENCE, self.child.wait()).await.context("the gate does not end")??;
        Ok(())
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let late = Instant::now() + PATIENCE;
        loop {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            if let Some(status) = self.child.try_wait()? {
                bail!("the gate ended with {status}\n{log}");
            }
            let said = |message: &str| addresses(&log, message).next();
            if let (Some(address), Some(probes)) = (said("Check listener"), said("probes listener")) {
                (self.address, self.probes) = (address, probes);
                if Call::get("gate", "/readyz").send(probes).await.is_ok_and(|reply| reply.status == 200) {
                    return Ok(());
                }
            }
            ensure!(Instant::now() < late, "the gate is not ready after {} s\n{log}", PATIENCE.as_secs());
            sleep(PAUSE).await;
        }
    }
}

/// The TCP addresses that the log names with `message`.
fn addresses(log: &str, message: &str) -> impl Iterator<Item = SocketAddr> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines = lines.filter(move |line| line.get("message").is_some_and(|said| said == message));
    lines.filter_map(|line| line.get("address")?.as_str()?.parse().ok())
}

/// The policy: an API of which everything needs a token with a scope, and its caller named to the service behind.
fn text(directory: &Path, keys: &Path, issuer: &str) -> String {
    format!(
        r#"server:
  check:
    - {{ listen: "127.0.0.1:0", direction: inbound }}
    - {{ listen: "unix:{socket}", direction: inbound }}
  probes: {{ listen: "127.0.0.1:0" }}
  reflection: true
issuers:
  shop:
    issuer: {issuer}
    keys: {{ jwks_file: {keys} }}
    claims: {{ client: client_id, scopes: scopes, service: custom_claims.service_name, tenant: oid }}
rules:
  - name: read-orders
    match: {{ paths: ["/orders/**"], methods: [GET] }}
    require: {{ audience: {{ any: [shop] }}, scopes: {{ any: ["read:orders"] }} }}
    inject: {{ x-service-name: "{{service}}", x-service-scopes: "{{scopes}}", x-tenant: "{{tenant}}" }}
"#,
        socket = directory.join("check.sock").display(),
        keys = keys.display(),
    )
}
