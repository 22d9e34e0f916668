//! One of the ways to meet a requirement, and whether a decision went it.

use std::sync::Arc;

use serde_json::Value;

use crate::authn::explain::Credential;
use crate::core::caller::{SpiffeId, SpiffePattern};
use crate::core::principal::{ClaimPath, Principal};
use crate::engine::explain::Explanation;

/// A way to meet a requirement.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Way {
    /// That a preflight is answered.
    Preflight,
    /// That this issuer's token is accepted.
    Issuer(Arc<str>),
    /// That all of these are there, of a kind.
    Names(Kind, Vec<Box<str>>),
    /// That the caller is one of these.
    Caller(SpiffePattern),
    /// That a claim is this.
    Claim(ClaimPath, Value),
}

/// What names are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Audience,
    Scopes,
    Roles,
}

impl Kind {
    fn has(self, principal: &Principal, name: &str) -> bool {
        match self {
            Self::Audience => principal.audience().any(|known| known == name),
            Self::Scopes => principal.grants(name),
            Self::Roles => principal.roles().any(|known| known == name),
        }
    }
}

impl Way {
    /// Whether a decision went this way, be it beside others.
    pub(super) fn holds(&self, explanation: &Explanation) -> bool {
        let principal = explanation.answer.principal.as_deref();
        match self {
            Self::Preflight => true,
            Self::Issuer(name) => match &explanation.credential {
                Some(Credential::Judged { report, .. }) => report.issuer.as_ref() == Some(name),
                Some(Credential::Absent | Credential::Unreadable(_)) | None => false,
            },
            Self::Names(kind, names) => {
                principal.is_some_and(|principal| names.iter().all(|name| kind.has(principal, name)))
            }
            Self::Caller(pattern) => match &explanation.request {
                Ok(request) => {
                    let id = request.caller.as_ref().ok().and_then(|id| SpiffeId::parse(id));
                    id.is_some_and(|id| pattern.matches(id))
                }
                Err(_) => false,
            },
            Self::Claim(path, value) => {
                let claim = principal.and_then(|principal| principal.claim(path).ok().flatten());
                claim == Some(value)
            }
        }
    }
}
