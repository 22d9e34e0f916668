//! What a demo runs, and what it says about it.

use std::path::Path;

use tempfile::TempDir;

use super::envoy::{Envoy, Gate, Shipped, find};
use super::gate::LocalGate;
use super::issuer::{CLIENTS, DevIssuer};
use super::paint::Paint;
use super::passport::Passport;
use super::policy::{self, Files};
use super::tour::Tokens;
use super::upstream::Upstream;
use super::{DemoError, DemoOptions};

/// Everything that runs. It all ends when this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) issuer: DevIssuer,
    pub(super) passport: Passport,
    pub(super) upstream: Upstream,
    pub(super) gate: LocalGate,
    pub(super) envoy: Option<Envoy>,
    pub(super) files: Files,
    /// Holds the files.
    _directory: TempDir,
}

impl Running {
    pub(super) async fn start(options: &DemoOptions) -> Result<Self, DemoError> {
        let binary = if options.without_envoy { None } else { find()? };
        let directory = tempfile::Builder::new().prefix("tollgate-demo-").tempdir().map_err(DemoError::Directory)?;
        let issuer = DevIssuer::start(options.issuer_port).await?;
        let passport = Passport::new()?;
        let upstream = Upstream::start(options.upstream_port).await?;
        let files = policy::write(directory.path(), issuer.url(), options.probes_port)?;
        passport.write_public_key(&files.public_key)?;
        let gate = LocalGate::start(&files.policy).await?;
        let envoy = match &binary {
            Some(binary) => Some(start_envoy(binary, options, &upstream, &files).await?),
            None => None,
        };
        Ok(Self { issuer, passport, upstream, gate, envoy, files, _directory: directory })
    }

    /// What is running, and where.
    pub(super) fn introduction(&self, paint: Paint) -> Vec<String> {
        let Files { policy, socket, .. } = &self.files;
        let mut lines = vec![
            paint.strong("Tollgate demo. For development only: everything here ends with this command."),
            format!("  issuer   {}  (its clients and their secrets are public)", self.issuer.url()),
            format!("  service  http://{}  (answers with what it saw)", self.upstream.address()),
            format!("  policy   {}", policy.display()),
            format!("  gate     unix:{}", socket.display()),
        ];
        match &self.envoy {
            Some(envoy) => lines.push(format!("  Envoy    http://{}  (envoy/inbound.yaml)", envoy.address())),
            None => {
                lines.push("  Envoy    none: the gate is asked over gRPC, as Envoy would ask it".to_owned());
                lines.push("           `make envoy` fetches one, or name yours in TOLLGATE_ENVOY".to_owned());
            }
        }
        lines.push(String::new());
        lines
    }

    /// What to try.
    pub(super) fn invitation(&self, tokens: &Tokens) -> Vec<String> {
        let mut lines = vec![String::new()];
        if let Some(envoy) = &self.envoy {
            let base = format!("http://{}", envoy.address());
            lines.push("Try it yourself. These tokens live for 15 minutes:".to_owned());
            lines.push(String::new());
            lines.push(format!("  curl -i {base}/healthz"));
            lines.push(format!("  curl -i {base}/orders/17"));
            lines.push(format!("  curl -i {base}/orders/17 -H 'Authorization: Bearer {}'", tokens.reports));
            lines.push(format!("  curl -i {base}/orgs/acme/orders/17 -H 'Authorization: Bearer {}'", tokens.reports));
            lines.push(format!("  curl -i {base}/doctors/api/x -H 'Authorization: Bearer {}'", tokens.passport));
            lines.push(String::new());
        }
        lines.push("New tokens come from the development issuer:".to_owned());
        lines.push(String::new());
        for client in CLIENTS {
            lines.push(format!(
                "  curl -s -u {}:{} -d grant_type=client_credentials {}",
                client.id,
                client.secret,
                self.issuer.token_endpoint()
            ));
        }
        lines.push(String::new());
        if let Some(probes) = self.gate.probes_address() {
            lines.push(format!("Metrics: http://{probes}/metrics"));
        }
        lines.push(format!("Edit {} and watch it being reloaded here. Ctrl-C ends.", self.files.policy.display()));
        lines
    }
}

async fn start_envoy(
    binary: &Path,
    options: &DemoOptions,
    upstream: &Upstream,
    files: &Files,
) -> Result<Envoy, DemoError> {
    let config = Shipped::inbound()
        .between(options.envoy_port, options.envoy_admin_port, upstream.address(), &[Gate::Unix(files.socket.clone())])?
        // As patient as the demo's policy: this is a machine that does other things, and maybe a debug build.
        .replace(" timeout: 0.25s\n", " timeout: 2s\n")?;
    Envoy::start(binary, config.text()).await
}
