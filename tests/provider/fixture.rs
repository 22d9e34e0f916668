//! A provider under test, its specs, and a recorder.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tollgate::clock::{ManualClock, Timestamp};
use tollgate::core::event::{Event, Events};
use tollgate::net::{Fetched, HttpClient};
use tollgate::provider::spec::{BreakerSpec, ClientAuth, ClientSpec, ProviderSpec};
use tollgate::provider::{CallError, Deps, Endpoint, Provider};
use tollgate::secret::SecretSource;

use crate::http::{DEADLINE, Server};

pub(crate) const ISSUER: &str = "https://idp.example.com/realms/shop";
pub(crate) const NOW: i64 = 1_800_000_000;
/// What the tests' clients are called and know. Neither is ever to be seen in an error, a log or a metric.
pub(crate) const SECRET: &str = "hunter2-s3cret";

/// Writes down every event.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<String>>);

impl Events for Recorder {
    fn report(&self, event: Event<'_>) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

impl Recorder {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// How many events hold this text.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.all().iter().filter(|event| event.contains(text)).count()
    }

    /// The states that the breaker went through.
    pub(crate) fn breaker(&self) -> Vec<String> {
        let states = |event: &String| Some(event.split_once("state: ")?.1.trim_end_matches(" }").to_owned());
        self.all().iter().filter(|event| event.starts_with("Breaker")).filter_map(states).collect()
    }

    /// The outcomes of calls to an endpoint.
    pub(crate) fn outcomes(&self, endpoint: &str) -> Vec<String> {
        let named = format!("endpoint: \"{endpoint}\"");
        let outcome = |event: &String| Some(event.split_once("outcome: ")?.1.split(',').next()?.to_owned());
        self.all().iter().filter(|event| event.contains(&named)).filter_map(outcome).collect()
    }
}

/// A provider, a directory for its files, and what it reports.
pub(crate) struct Fixture {
    pub(crate) provider: Arc<Provider>,
    pub(crate) events: Arc<Recorder>,
    pub(crate) clock: Arc<ManualClock>,
    directory: tempfile::TempDir,
}

/// Both endpoints at a server; long times, no retries, a breaker that does not open by itself.
pub(crate) fn spec(server: &Server) -> ProviderSpec {
    let mut spec = bare();
    spec.introspection_endpoint = Some(server.url("/introspect").parse().unwrap());
    spec.token_endpoint = Some(server.url("/token").parse().unwrap());
    spec
}

/// No endpoint.
pub(crate) fn bare() -> ProviderSpec {
    ProviderSpec {
        name: "keycloak".into(),
        issuer: Some(ISSUER.into()),
        metadata: None,
        allowed_hosts: Vec::new(),
        introspection_endpoint: None,
        token_endpoint: None,
        transport: Default::default(),
        timeout: Duration::from_secs(10),
        max_in_flight: 8,
        retries: 0,
        breaker: BreakerSpec { failures: 1000, open_for: Duration::from_secs(3600) },
    }
}

impl Fixture {
    pub(crate) fn new(spec: ProviderSpec) -> Self {
        Self::with(spec, HttpClient::new())
    }

    pub(crate) fn with(spec: ProviderSpec, http: HttpClient) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_seconds(NOW)));
        let events = Arc::new(Recorder::default());
        let deps = Deps::new(http, Arc::clone(&clock) as Arc<_>, Arc::clone(&events) as Arc<_>);
        let directory = tempfile::tempdir().unwrap();
        Self { provider: Provider::start(spec, &deps), events, clock, directory }
    }

    /// Writes a file.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// `client_secret_basic`.
    pub(crate) fn basic(&self) -> ClientSpec {
        let secret = SecretSource::File(self.file("secret", format!("{SECRET}\n")));
        ClientSpec { id: "service-b".into(), auth: ClientAuth::SecretBasic(secret) }
    }

    pub(crate) async fn introspect(&self, client: &ClientSpec) -> Result<Fetched, CallError> {
        soon(self.provider.call(Endpoint::Introspection, client, &[("token", "t0ken")], 1000)).await
    }

    pub(crate) async fn token(&self, client: &ClientSpec) -> Result<Fetched, CallError> {
        soon(self.provider.call(Endpoint::Token, client, &[("grant_type", "client_credentials")], 1000)).await
    }
}

/// The status of an answer.
pub(crate) fn status(result: &Result<Fetched, CallError>) -> u16 {
    result.as_ref().unwrap_or_else(|error| panic!("{error:?}")).status.as_u16()
}

/// Waits for something that must end.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it ends")
}
