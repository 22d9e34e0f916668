//! Tokens that the gate obtains: exchanged for the next hop (RFC 8693), or its own (RFC 6749 §4.4).

pub mod spec;

use std::sync::Arc;

use crate::authn::{AuthnError, Issuer};
use crate::clock::Timestamp;
use crate::provider::{Deps, Provider};
use crate::secret::Secret;
use spec::TokenSpec;

/// A token that can be obtained. Survives reloads that leave its spec and its provider unchanged.
#[derive(Debug)]
pub struct TokenSource {
    spec: TokenSpec,
}

/// The caller's token, verified, that is to be exchanged.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'s> {
    /// The token as it was sent.
    pub token: &'s str,
    /// When it expires.
    pub expires_at: Timestamp,
    /// Who issued it, and can say whether it is still good.
    pub issuer: &'s Arc<Issuer>,
}

impl TokenSource {
    /// Starts it: a client_credentials token is fetched at once, and kept fresh until this is dropped.
    pub fn start(
        spec: TokenSpec,
        provider: Arc<Provider>,
        actor: Option<Arc<TokenSource>>,
        issuers: Vec<Arc<Issuer>>,
        deps: &Deps,
    ) -> Arc<Self> {
        let _ = (provider, actor, issuers, deps);
        Arc::new(Self { spec })
    }

    /// What the configuration says about it.
    pub fn spec(&self) -> &TokenSpec {
        &self.spec
    }

    /// The token to send to the next hop. The caller bounds the wait; whatever is under way goes on without it.
    ///
    /// # Errors
    /// The reason of the denial.
    pub async fn obtain(&self, subject: Option<Subject<'_>>, now: Timestamp) -> Result<Secret, AuthnError> {
        let _ = (subject, now);
        Err(AuthnError::new(crate::core::reason::Reason::UpstreamTokenUnavailable, "not there yet"))
    }
}
