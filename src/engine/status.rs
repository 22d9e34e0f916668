//! What people and dashboards are told about an engine.

use std::sync::Arc;
use std::time::Duration;

use super::{LoadError, Snapshot};
use crate::authn::Issuer;
use crate::authn::issuer::CacheStatus;
use crate::authn::spec::KeySource;
use crate::authn::store::KeyStatus;
use crate::clock::Timestamp;
use crate::config::Source;
use crate::outbound::spec::ProviderRef;
use crate::outbound::{TokenSource, TokenStatus};
use crate::provider::{Provider, ProviderStatus};

/// Whether an engine may be sent traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Every issuer that must have keys had them once.
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
    /// It has no keys and needs none: its tokens are opaque.
    pub keyless: bool,
    /// How full its cache of validated tokens is, where it has one.
    pub cache: Option<CacheStatus>,
    /// How many waited for a fetch of keys that others had called for.
    pub key_followers: u64,
    /// How many waited for a question to it that others had asked, where it is asked.
    pub introspection_followers: Option<u64>,
}

/// A provider at one time.
#[derive(Clone, Debug)]
pub struct NamedProvider {
    /// The name of its issuer, or of the token that brings it along.
    pub name: Arc<str>,
    /// How it fares.
    pub status: ProviderStatus,
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
    /// The providers that are called: those of issuers, then those that tokens bring along.
    pub providers: Vec<NamedProvider>,
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
            let keyless = matches!(issuer.spec().keys, KeySource::None);
            IssuerStatus {
                name: Arc::clone(&issuer.spec().name),
                keys,
                age,
                keyless,
                cache: issuer.cache(),
                key_followers: issuer.keys().followers(),
                introspection_followers: issuer.introspection_followers(),
            }
        };
        let provider = |provider: &Arc<Provider>| NamedProvider {
            name: Arc::clone(&provider.spec().name),
            status: provider.status(),
        };
        let of_issuers = snapshot.issuers().iter().filter_map(|issuer| issuer.provider());
        let of_tokens = snapshot.tokens().iter().filter(|token| matches!(token.spec().provider, ProviderRef::Own(_)));
        let providers = of_issuers.chain(of_tokens.map(|token| token.provider())).map(provider).collect();
        Self {
            generation: snapshot.generation(),
            loaded_at: snapshot.loaded_at(),
            sources: snapshot.sources().to_vec(),
            rules: snapshot.table().rules().len(),
            issuers: snapshot.issuers().iter().map(issuer).collect(),
            providers,
            tokens: snapshot.tokens().iter().map(|token| TokenSource::status(token)).collect(),
            readiness,
            last_reload,
        }
    }
}
