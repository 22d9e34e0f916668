//! A running issuer: its spec, keys and cache of validated tokens; and the authentication of one request.

use std::sync::Arc;

use super::spec::IssuerSpec;
use super::store::{Deps, KeyFileError, KeyStore};
use crate::clock::Timestamp;
use crate::core::caller::Caller;
use crate::core::principal::Principal;
use crate::core::reason::Reason;
use crate::core::request::Headers;

/// A running issuer. Survives reloads that leave its spec unchanged.
#[derive(Debug)]
pub struct Issuer {
    spec: IssuerSpec,
    keys: KeyStore,
}

/// A request's verified token.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// Whom it speaks for.
    pub principal: Arc<Principal>,
    /// The request header that carried it, lower case.
    pub header: Arc<str>,
    /// Whether the cache knew it.
    pub cached: bool,
}

/// Why a request's credential is not accepted. `detail` is for the operator's eyes (explain, `token`), never for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct AuthnError {
    /// The reason of the denial.
    pub reason: Reason,
    /// What exactly was seen and wanted; holds no token and no secret.
    pub detail: String,
}

impl Issuer {
    /// Starts an issuer: reads its key files, or begins to fetch its keys.
    ///
    /// # Errors
    /// A key file that is missing or broken.
    pub fn start(spec: IssuerSpec, deps: &Deps) -> Result<Arc<Self>, KeyFileError> {
        let keys = KeyStore::start(&spec, deps)?;
        Ok(Arc::new(Self { spec, keys }))
    }

    /// What the configuration says about it.
    pub fn spec(&self) -> &IssuerSpec {
        &self.spec
    }

    /// Its keys.
    pub fn keys(&self) -> &KeyStore {
        &self.keys
    }
}

/// Authenticates a request by the issuers that its rule accepts. `Ok(None)` where it carries no credential.
///
/// Waits only where a token names an unknown key; the caller of this function bounds that wait by the call's deadline.
///
/// # Errors
/// A credential that is not accepted, with the reason.
pub async fn authenticate(
    _issuers: &[&Arc<Issuer>],
    _headers: &Headers<'_>,
    _caller: &Caller<'_>,
    _now: Timestamp,
) -> Result<Option<Authenticated>, AuthnError> {
    Err(AuthnError { reason: Reason::InternalError, detail: String::new() })
}

/// The request headers that carry credentials of these issuers, lower case: what is removed where nothing was verified.
pub fn credential_headers<'i>(issuers: impl IntoIterator<Item = &'i Arc<Issuer>>) -> Vec<Arc<str>> {
    let _ = issuers;
    vec!["authorization".into()]
}
