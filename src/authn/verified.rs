//! What comes out of the checks: a token that is signed, and one that is known to be good.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::claims::{self, Claims, Validity};
use super::error::AuthnError;
use super::keys::{Fingerprint, KeySet, VerifyingKey};
use super::mapping;
use super::spec::{Algorithm, IssuerSpec};
use super::trace::Failure;
use crate::clock::Timestamp;
use crate::core::caller::{Caller, Thumbprint};
use crate::core::principal::Principal;
use crate::core::reason::Reason;

/// A JWT that this issuer signed, and that is valid by what it says itself.
#[derive(Clone, Debug)]
pub struct Signed {
    pub(super) claims: Claims,
    pub(super) validity: Validity,
    pub(super) bound_to: Option<Thumbprint>,
    pub(super) key: UsedKey,
}

impl Signed {
    /// The token by itself, where nobody else is asked.
    ///
    /// # Errors
    /// Claims that are missing.
    pub fn alone(self, spec: &IssuerSpec) -> Result<Verified, Failure> {
        claims::check_profile(spec, &self.claims)?;
        let Self { claims, validity, bound_to, key } = self;
        Ok(Verified::new(spec, None, claims, validity, bound_to, Evidence::Signature(key)))
    }
}

/// Which key verified a token, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedKey {
    pub(super) fingerprint: Fingerprint,
    pub(super) kid: Option<Arc<str>>,
    pub(super) algorithm: Algorithm,
}

impl UsedKey {
    /// Whether these keys would verify the token as well: the same key under the same id, for the same algorithm.
    pub fn is_in(&self, keys: &KeySet) -> bool {
        let same = |key: &VerifyingKey| *key.fingerprint() == self.fingerprint;
        keys.candidates(self.kid.as_deref(), self.algorithm).any(same)
    }
}

/// Why a token is believed.
#[derive(Clone, Debug)]
pub(super) enum Evidence {
    /// The issuer signed it.
    Signature(UsedKey),
    /// The issuer said so when asked at this time. It also signed it, where there is a key.
    Answer {
        key: Option<UsedKey>,
        /// For how long the issuer's word counts where it names no end itself.
        until: Timestamp,
    },
}

/// A token that is this issuer's and that is good. Whom it speaks for is told against proof of possession.
#[derive(Clone, Debug)]
pub struct Verified {
    principal: Arc<Principal>,
    validity: Validity,
    evidence: Evidence,
}

impl Verified {
    pub(super) fn new(
        spec: &IssuerSpec,
        own: Option<&Claims>,
        claims: Claims,
        validity: Validity,
        bound_to: Option<Thumbprint>,
        evidence: Evidence,
    ) -> Self {
        let expires_at = match (validity.expires_at, &evidence) {
            (Some(expires_at), _) => expires_at,
            (None, Evidence::Answer { until, .. }) => *until,
            // Such a token does not pass the checks; if it did, it would be of no use.
            (None, Evidence::Signature(_)) => Timestamp::from_unix_seconds(0),
        };
        let principal = Arc::new(mapping::principal(spec, own, claims, expires_at, bound_to));
        Self { principal, validity, evidence }
    }

    /// Whom the token speaks for, if it is not bound to a certificate or the caller showed that one (RFC 8705 §3).
    ///
    /// # Errors
    /// Another certificate, or none that Envoy reported.
    pub fn prove(&self, caller: &Caller<'_>) -> Result<Arc<Principal>, AuthnError> {
        let Some(bound_to) = self.principal.bound_to() else { return Ok(Arc::clone(&self.principal)) };
        match caller.thumbprint() {
            Ok(thumbprint) if thumbprint == *bound_to => Ok(Arc::clone(&self.principal)),
            Ok(_) => Err(AuthnError::new(
                Reason::TokenBinding,
                "the token is bound to another certificate than the caller's",
            )),
            Err(error) => {
                let detail = format!("the token is bound to a certificate, and none can be compared: {error}");
                Err(AuthnError::new(Reason::TokenBinding, detail))
            }
        }
    }

    /// The key that verified it; an opaque token has none.
    pub fn key(&self) -> Option<&UsedKey> {
        match &self.evidence {
            Evidence::Signature(key) => Some(key),
            Evidence::Answer { key, .. } => key.as_ref(),
        }
    }

    /// Whether its issuer was asked about it.
    pub(super) fn is_introspected(&self) -> bool {
        matches!(self.evidence, Evidence::Answer { .. })
    }

    /// `exp`, where it has one.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        self.validity.expires_at
    }

    pub(super) fn not_before(&self) -> Option<Timestamp> {
        self.validity.not_before
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

    pub(super) fn claims(&self) -> &Map<String, Value> {
        self.principal.claims()
    }
}
