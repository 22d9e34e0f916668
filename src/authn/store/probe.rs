//! One visit to an issuer's keys, step by step and aside from any running store: what `tollgate doctor` shows.

use std::time::{Duration, Instant};

use super::KeyFileError;
use super::file::FileKeys;
use super::remote::{RefreshError, Remote};
use crate::authn::keys::{KeySet, Published};
use crate::authn::spec::{FetchSpec, IssuerSpec, KeySource};
use crate::net::{FetchError, HttpClient};

/// One step on the way to an issuer's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeStep {
    /// What was read or asked: a file, or a URL.
    pub what: String,
    /// How long it took.
    pub took: Duration,
    /// Why it led nowhere, where it did.
    pub error: Option<ProbeError>,
}

/// Why a step led nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeError {
    /// For people.
    pub message: String,
    /// What the HTTP client said, where it was that.
    pub fetch: Option<FetchError>,
}

impl From<RefreshError> for ProbeError {
    fn from(error: RefreshError) -> Self {
        let message = error.to_string();
        let fetch = match error {
            RefreshError::Fetch { error, .. } => Some(error),
            RefreshError::Token(..) | RefreshError::Discovery(_) | RefreshError::Keys(_) => None,
        };
        Self { message, fetch }
    }
}

impl From<KeyFileError> for ProbeError {
    fn from(error: KeyFileError) -> Self {
        Self { message: error.to_string(), fetch: None }
    }
}

/// What a visit found.
#[derive(Debug)]
pub struct Probe {
    /// In the order in which they were taken; the last may have failed.
    pub steps: Vec<ProbeStep>,
    /// The keys, and what was wrong with those that are not used; `None` where a step failed.
    pub found: Option<Published>,
}

/// Visits the source of an issuer's keys as a running issuer does: same client, same limits, same checks.
pub async fn probe(spec: &IssuerSpec, http: &HttpClient) -> Probe {
    let mut probe = Probe { steps: Vec::new(), found: None };
    match &spec.keys {
        KeySource::None => probe.found = Some(Published::default()),
        KeySource::Pem(paths) => probe.file(FileKeys::Pem(paths.clone())),
        KeySource::JwksFile(path) => probe.file(FileKeys::Jwks(path.clone())),
        KeySource::JwksUrl { url, fetch } => probe.jwks(url, fetch, http).await,
        KeySource::Discovery { url, allowed_hosts, fetch } => {
            let began = Instant::now();
            let document = Remote::get(url, fetch, http).await;
            let place = document.and_then(|(document, _)| {
                let insecure = fetch.transport.allow_insecure_http;
                Ok(super::discovery::jwks_uri(&document, url, &spec.issuer, allowed_hosts, insecure)?)
            });
            if let Some(place) = probe.step(url.to_string(), began, place) {
                probe.jwks(&place, fetch, http).await;
            }
        }
    }
    probe
}

impl Probe {
    fn file(&mut self, keys: FileKeys) {
        let began = Instant::now();
        let what: Vec<String> = keys.paths().iter().map(|path| path.display().to_string()).collect();
        let read = keys.read();
        self.found = self.step(what.join(", "), began, read);
    }

    async fn jwks(&mut self, url: &url::Url, fetch: &FetchSpec, http: &HttpClient) {
        let began = Instant::now();
        let document = Remote::get(url, fetch, http).await;
        let read = document.and_then(|(document, _)| Ok(KeySet::from_jwks(&document)?));
        self.found = self.step(url.to_string(), began, read);
    }

    fn step<T, E: Into<ProbeError>>(&mut self, what: String, began: Instant, ended: Result<T, E>) -> Option<T> {
        let (done, error) = match ended {
            Ok(done) => (Some(done), None),
            Err(error) => (None, Some(error.into())),
        };
        self.steps.push(ProbeStep { what, took: began.elapsed(), error });
        done
    }
}
