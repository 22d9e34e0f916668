//! What people and dashboards are told about an engine.

use std::sync::Arc;
use std::time::Duration;

use super::{LoadError, Snapshot};
use crate::authn::Issuer;
use crate::authn::store::KeyStatus;
use crate::clock::Timestamp;
use crate::config::Source;
use crate::outbound::{TokenSource, TokenStatus};

/// Whether an engine may be sent traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Every issuer had keys once.
    Ready,
    /// These issuers never had keys; never empty.
    WaitingFor(Vec<Arc<str>>),
}

/// How the last reload ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// When.
    pub at: Timestamp,
    /// The generation in service afterwards.
    pub generation: u64,
    /// Why the changed configuration is not in service, where it is not.
    pub error: Option<LoadError>,
    /// It changes `server`, which only a restart applies.
    pub restart_needed: bool,
}

/// An issuer at one time.
#[derive(Clone, Debug)]
pub struct IssuerStatus {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Its keys.
    pub keys: KeyStatus,
    /// How long ago they were last read or fetched with success.
    pub age: Option<Duration>,
}

/// An engine at one time.
#[derive(Clone, Debug)]
pub struct Status {
    /// Of the snapshot in service.
    pub generation: u64,
    /// When that was loaded.
    pub loaded_at: Timestamp,
    /// The files it was read from.
    pub sources: Vec<Source>,
    /// How many rules it has.
    pub rules: usize,
    /// In the configuration's order.
    pub issuers: Vec<IssuerStatus>,
    /// The tokens that the gate obtains, in the configuration's order.
    pub tokens: Vec<TokenStatus>,
    /// Whether traffic may be sent.
    pub readiness: Readiness,
    /// `None` before the first.
    pub last_reload: Option<Reload>,
}

impl Status {
    pub(super) fn of(snapshot: &Snapshot, now: Timestamp, readiness: Readiness, last_reload: Option<Reload>) -> Self {
        let issuer = |issuer: &Arc<Issuer>| {
            let keys = issuer.keys().status();
            let age = keys.last_success.map(|at| now.since(at));
            IssuerStatus { name: Arc::clone(&issuer.spec().name), keys, age }
        };
        Self {
            generation: snapshot.generation(),
            loaded_at: snapshot.loaded_at(),
            sources: snapshot.sources().to_vec(),
            rules: snapshot.table().rules().len(),
            issuers: snapshot.issuers().iter().map(issuer).collect(),
            tokens: snapshot.tokens().iter().map(|token| TokenSource::status(token)).collect(),
            readiness,
            last_reload,
        }
    }
}
