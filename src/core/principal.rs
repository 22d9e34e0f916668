//! Who a verified token speaks for.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::caller::Thumbprint;
use crate::clock::Timestamp;

/// The way to a claim: one name a nesting level. Names are taken whole, so a name may be a URL or hold dots.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClaimPath(Vec<Box<str>>);

impl ClaimPath {
    /// From names, outermost first. `None` where there are none or one is empty.
    pub fn new<S: Into<Box<str>>>(names: impl IntoIterator<Item = S>) -> Option<Self> {
        let names: Vec<Box<str>> = names.into_iter().map(Into::into).collect();
        (!names.is_empty() && names.iter().all(|name| !name.is_empty())).then_some(Self(names))
    }

    /// From `realm_access.roles`: split at each dot.
    pub fn dotted(text: &str) -> Option<Self> {
        Self::new(text.split('.'))
    }

    /// Whether it leads to the top-level claim of this name.
    pub fn is_just(&self, name: &str) -> bool {
        matches!(&*self.0, [only] if **only == *name)
    }

    /// The claim in these claims, if it is there.
    pub fn find<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        let (first, rest) = self.0.split_first()?;
        rest.iter().try_fold(claims.get(&**first)?, |value, name| value.as_object()?.get(&**name))
    }

    /// Whether something other than an object is in the way, so that it cannot be told what the issuer meant to say.
    /// `null` is as good as nothing.
    pub fn is_blocked(&self, claims: &Map<String, Value>) -> bool {
        let Some((_, way)) = self.0.split_last() else { return false };
        let mut members = claims;
        for name in way {
            match members.get(&**name) {
                None | Some(Value::Null) => return false,
                Some(Value::Object(inner)) => members = inner,
                Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => return true,
            }
        }
        false
    }
}

impl fmt::Debug for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

/// The scopes that a token grants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    /// In the token's order, without the wildcard.
    pub names: Vec<Box<str>>,
    /// The token holds the scope that its issuer's configuration calls the wildcard: it grants every scope.
    pub wildcard: bool,
}

impl Scopes {
    /// Whether `scope` is granted. Scopes are case-sensitive (RFC 6749 §3.3).
    pub fn grants(&self, scope: &str) -> bool {
        self.wildcard || self.names.iter().any(|name| **name == *scope)
    }
}

/// Who a verified token speaks for. A value of this type exists only for a token that was checked against its
/// issuer; what a rule asks beyond that (audience, scopes, roles, claims) is judged from it on every request.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The issuer's name in the configuration.
    pub issuer: Arc<str>,
    /// The token's `iss`, where it carries one.
    pub issuer_url: Option<Arc<str>>,
    /// Who the token is about: `sub`, or the claim mapped to it.
    pub subject: Option<Box<str>>,
    /// The OAuth client that obtained it.
    pub client: Option<Box<str>>,
    /// The calling service's name.
    pub service: Option<Box<str>>,
    /// The tenant or organisation.
    pub tenant: Option<Box<str>>,
    /// Whom the token is meant for.
    pub audience: Vec<Box<str>>,
    /// What it grants.
    pub scopes: Scopes,
    /// Roles, groups or permissions.
    pub roles: Vec<Box<str>>,
    /// Claims that the issuer's configuration maps under a name of its own, as far as the token has them.
    pub mapped: Vec<(Arc<str>, Value)>,
    /// All verified claims.
    pub claims: Arc<Map<String, Value>>,
    /// `exp`, without leeway; of an opaque token whose issuer names none, when the issuer's word no longer counts.
    pub expires_at: Timestamp,
    /// The certificate that the token is bound to (RFC 8705 §3), for which proof was or must be shown.
    pub bound_to: Option<Thumbprint>,
}
