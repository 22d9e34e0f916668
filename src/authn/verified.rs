//! What comes out of the checks: a token that is signed, and one that is known to be good.

use std::sync::Arc;

use super::claims::{self, Claims, Validity};
use super::error::AuthnError;
use super::keys::UsedKey;
use super::mapping;
use super::spec::IssuerSpec;
use super::trace::Failure;
use crate::clock::Timestamp;
use crate::core::caller::{Caller, Thumbprint};
use crate::core::principal::{Origin, Principal};
use crate::core::reason::Reason;

/// A JWT that this issuer signed, and that is valid by what it says itself.
#[derive(Clone, Debug)]
pub struct Signed {
    pub(super) claims: Claims,
    pub(super) validity: Validity,
    pub(super) bound_to: Option<Thumbprint>,
    pub(super) key: Arc<UsedKey>,
}

impl Signed {
    /// The token by itself, where nobody else is asked.
    ///
    /// # Errors
    /// Claims that are missing.
    pub fn alone(self, spec: &IssuerSpec, origin: &Arc<Origin>) -> Result<Verified, Failure> {
        claims::check_profile(spec, &self.claims)?;
        let Self { claims, validity, bound_to, key } = self;
        Ok(Verified::new((spec, origin), None, claims, validity, bound_to, Evidence::Signature(key)))
    }
}

/// Why a token is believed.
#[derive(Clone, Debug)]
pub(super) enum Evidence {
    /// The issuer signed it.
    Signature(Arc<UsedKey>),
    /// The issuer said so when asked at this time. It also signed it, where there is a key.
    Answer {
        key: Option<Arc<UsedKey>>,
        /// For how long the issuer's word counts where it names no end itself.
        until: Timestamp,
    },
}

/// A token that is this issuer's and that is good. Whom it speaks for is told against proof of possession.
///
/// Caches hold a million of these.
#[derive(Clone, Debug)]
pub struct Verified {
    principal: Arc<Principal>,
    key: Option<Arc<UsedKey>>,
    not_before: Option<Timestamp>,
    /// Whether it says itself when it expires.
    ends: bool,
    introspected: bool,
}

impl Verified {
    pub(super) fn new(
        (spec, origin): (&IssuerSpec, &Arc<Origin>),
        own: Option<&Claims>,
        claims: Claims,
        validity: Validity,
        bound_to: Option<Thumbprint>,
        evidence: Evidence,
    ) -> Self {
        let (key, introspected, until) = match evidence {
            // Such a token does not pass the checks without `exp`; if it did, it would be of no use.
            Evidence::Signature(key) => (Some(key), false, Timestamp::from_unix_seconds(0)),
            Evidence::Answer { key, until } => (key, true, until),
        };
        let expires_at = validity.expires_at.unwrap_or(until);
        let principal = Arc::new(mapping::principal(spec, origin, own, claims, expires_at, bound_to));
        let (ends, not_before) = (validity.expires_at.is_some(), validity.not_before);
        Self { principal, key, not_before, ends, introspected }
    }

    /// Whom the token speaks for, if it is not bound to a certificate or the caller showed that one (RFC 8705 §3).
    ///
    /// # Errors
    /// Another certificate, or none that Envoy reported.
    pub fn prove(&self, caller: &Caller<'_>) -> Result<Arc<Principal>, AuthnError> {
        prove(&self.principal, caller)
    }

    /// Whom the token speaks for, whoever sent it.
    pub(super) fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// The key that verified it; an opaque token has none.
    pub fn key(&self) -> Option<&UsedKey> {
        self.key.as_deref()
    }

    /// Whether its issuer was asked about it.
    pub(super) fn is_introspected(&self) -> bool {
        self.introspected
    }

    /// `exp`, where it has one.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        self.ends.then(|| self.principal.expires_at())
    }

    pub(super) fn not_before(&self) -> Option<Timestamp> {
        self.not_before
    }

    /// This token, if it is still good at another time than that for which it was verified.
    pub(super) fn at(self, spec: &IssuerSpec, now: Timestamp) -> Result<Self, AuthnError> {
        if self.expires_at().is_some_and(|exp| claims::is_over(exp, now, spec.leeway)) {
            return Err(AuthnError::new(Reason::TokenExpired, "it expired while its issuer was asked"));
        }
        if !claims::is_begun(self.not_before(), now, spec.leeway) {
            return Err(AuthnError::new(Reason::TokenNotYetValid, "its time has not come"));
        }
        Ok(self)
    }

    /// About what it takes on the heap, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.principal.heap_bytes()
    }
}

/// Somebody whose token is not bound to a certificate, or is to the caller's.
pub(super) fn prove(principal: &Arc<Principal>, caller: &Caller<'_>) -> Result<Arc<Principal>, AuthnError> {
    let Some(bound_to) = principal.bound_to() else { return Ok(Arc::clone(principal)) };
    match caller.thumbprint() {
        Ok(thumbprint) if thumbprint == *bound_to => Ok(Arc::clone(principal)),
        Ok(_) => {
            Err(AuthnError::new(Reason::TokenBinding, "the token is bound to another certificate than the caller's"))
        }
        Err(error) => {
            let detail = format!("the token is bound to a certificate, and none can be compared: {error}");
            Err(AuthnError::new(Reason::TokenBinding, detail))
        }
    }
}
