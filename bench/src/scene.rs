//! What a measurement takes place in: programs, keys, tokens, a folder for sockets and files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use tempfile::TempDir;

use crate::load::Endpoint;
use crate::mint::{self, Algorithm, Keys, Kind};
use crate::policy::{self, Policy};
use crate::process::{Server, Start};
use crate::request::{Ask, frame};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The gate.
    Gate,
    /// The empty handler as documentation shows it.
    Stock,
    /// The empty handler with the gate's settings.
    Tuned,
}

impl Subject {
    /// For tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Stock => "stock",
            Self::Tuned => "tuned",
        }
    }
}

/// Kind of socket between the load and the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    /// As the shipped configuration has it.
    #[default]
    Unix,
    /// Loopback.
    Tcp,
}

/// Where programs, keys and sockets are.
#[derive(Debug)]
pub struct Scene {
    /// The issuer's keys.
    pub keys: Keys,
    /// What it takes to reach a server.
    pub transport: Transport,
    target: PathBuf,
    gate: PathBuf,
    folder: TempDir,
}

impl Scene {
    /// A scene with the programs that were built beside this one; the gate may be another.
    ///
    /// # Errors
    /// Keys cannot be kept, or no folder be made.
    pub fn set(gate: Option<PathBuf>, transport: Transport) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let release = program.parent().context("this program is in no folder")?;
        let target = release.parent().context("this program is in no target folder")?.to_owned();
        let folder = tempfile::Builder::new().prefix("tollgate-bench").tempdir()?;
        let keys = Keys::kept_in(&target.join("bench/keys"))?;
        std::fs::write(folder.path().join("keys.jwks"), keys.jwks())?;
        let gate = gate.unwrap_or_else(|| release.join("tollgate"));
        Ok(Self { keys, transport, target, gate, folder })
    }

    /// A folder that goes away with the scene.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The gate's program.
    pub fn gate(&self) -> &Path {
        &self.gate
    }

    /// The gate as it is shipped: smaller. Where it was not built, or another gate was named, that one.
    pub fn shipped(&self) -> PathBuf {
        let image = self.built("image", "tollgate");
        if self.gate == self.built("release", "tollgate") && image.is_file() { image } else { self.gate.clone() }
    }

    /// A program that was built with a profile.
    pub fn built(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(name)
    }

    /// Tokens, kept on disk between runs.
    ///
    /// # Errors
    /// They could not be minted or kept.
    pub fn tokens(&self, algorithm: Algorithm, kind: Kind, count: usize) -> anyhow::Result<Vec<String>> {
        mint::tokens_on_disk(&self.target.join("bench/tokens"), &self.keys, algorithm, kind, count)
    }

    /// One request to the measured rule for each token.
    ///
    /// # Errors
    /// See [`Scene::tokens`].
    pub fn bodies(&self, algorithm: Algorithm, kind: Kind, count: usize) -> anyhow::Result<Vec<Bytes>> {
        let tokens = self.tokens(algorithm, kind, count)?;
        Ok(tokens.iter().enumerate().map(|(n, token)| body(token, n as u64)).collect())
    }

    /// A place to listen that nobody else has.
    ///
    /// # Errors
    /// No port is free.
    pub fn endpoint(&self, name: &str) -> anyhow::Result<Endpoint> {
        Ok(match self.transport {
            Transport::Unix => Endpoint::Unix(self.folder().join(format!("{name}.sock"))),
            Transport::Tcp => Endpoint::Tcp(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?),
        })
    }

    /// Starts a subject, the gate with its usual configuration, and waits until it serves.
    ///
    /// # Errors
    /// See [`Server::start`].
    pub async fn start(&self, subject: Subject) -> anyhow::Result<Server> {
        let endpoint = self.endpoint(subject.name())?;
        match subject {
            Subject::Gate => self.start_gate(&Policy::usual(endpoint)).await,
            Subject::Stock => self.start_baseline(self.built("stock", "stock"), endpoint).await,
            Subject::Tuned => self.start_baseline(self.built("release", "tuned"), endpoint).await,
        }
    }

    /// Starts a gate with a configuration and waits until it allows a request.
    ///
    /// # Errors
    /// See [`Server::start`].
    pub async fn start_gate(&self, policy: &Policy) -> anyhow::Result<Server> {
        Server::start(self.gate_start(policy)?, &self.opening()?).await
    }

    /// How to start a gate with a configuration, which is written.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn gate_start(&self, policy: &Policy) -> anyhow::Result<Start> {
        let file = self.folder().join("policy.yaml");
        std::fs::write(&file, policy.text())?;
        Ok(Start {
            program: self.gate.clone(),
            arguments: ["serve".into(), "--config".into(), OsString::from(file)].into(),
            environment: vec![("TOLLGATE_LOG".to_owned(), "info".into())],
            endpoint: policy.endpoint.clone(),
            log: self.folder().join("gate.log"),
        })
    }

    async fn start_baseline(&self, program: PathBuf, endpoint: Endpoint) -> anyhow::Result<Server> {
        let start = Start {
            program,
            arguments: vec![endpoint.to_string().into()],
            environment: Vec::new(),
            endpoint,
            log: self.folder().join("baseline.log"),
        };
        Server::start(start, &self.opening()?).await
    }

    /// A request that is allowed, with a token that is used for nothing else.
    ///
    /// # Errors
    /// The key would not sign.
    pub fn opening(&self) -> anyhow::Result<Bytes> {
        let token = mint::mint(&self.keys, Algorithm::EdDsa, Kind::Good, 99_999_999, mint::now())?;
        Ok(body(&token, 99_999_999))
    }
}

/// A request to the measured rule.
pub fn body(token: &str, nth: u64) -> Bytes {
    let path = format!("/api/internal/payments/pay_{nth:08}");
    frame(&Ask { host: policy::HOST, path: &path, token: Some(token), nth, ..Ask::default() })
}
