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

/// Who a verified token speaks for. A value of this type exists only for a token that was checked against its
/// issuer; what a rule asks beyond that (audience, scopes, roles, claims) is judged from it on every request.
#[derive(Clone, Debug)]
pub struct Principal {
    issuer: Arc<str>,
    issuer_url: Option<Box<str>>,
    subject: Option<Box<str>>,
    client: Option<Box<str>>,
    service: Option<Box<str>>,
    tenant: Option<Box<str>>,
    audience: Vec<Box<str>>,
    scopes: Vec<Box<str>>,
    every_scope: bool,
    roles: Vec<Box<str>>,
    mapped: Vec<(Box<str>, Value)>,
    claims: Map<String, Value>,
    expires_at: Timestamp,
    bound_to: Option<Thumbprint>,
}

/// What a [`Principal`] is made of. Texts that are empty are as good as none.
#[derive(Clone, Debug)]
pub struct Parts<'p> {
    /// The issuer's name in the configuration.
    pub issuer: &'p Arc<str>,
    /// The token's `iss`, where it carries one.
    pub issuer_url: Option<&'p str>,
    /// Who the token is about: `sub`, or the claim mapped to it.
    pub subject: Option<&'p str>,
    /// The OAuth client that obtained it.
    pub client: Option<&'p str>,
    /// The calling service's name.
    pub service: Option<&'p str>,
    /// The tenant or organisation.
    pub tenant: Option<&'p str>,
    /// Whom the token is meant for.
    pub audience: Vec<&'p str>,
    /// The scopes that it names, in the token's order, without the wildcard.
    pub scopes: Vec<&'p str>,
    /// It holds the scope that its issuer's configuration calls the wildcard: it grants every scope.
    pub every_scope: bool,
    /// Roles, groups or permissions.
    pub roles: Vec<&'p str>,
    /// Claims that the issuer's configuration maps under a name of its own, as far as the token has them.
    pub mapped: Vec<(&'p str, Value)>,
    /// All verified claims.
    pub claims: Map<String, Value>,
    /// `exp`, without leeway; of an opaque token whose issuer names none, when the issuer's word no longer counts.
    pub expires_at: Timestamp,
    /// The certificate that the token is bound to (RFC 8705 §3), for which proof was or must be shown.
    pub bound_to: Option<Thumbprint>,
}

impl<'p> Parts<'p> {
    /// Those of somebody of whom nothing is known but the issuer.
    pub fn of(issuer: &'p Arc<str>) -> Self {
        Self {
            issuer,
            issuer_url: None,
            subject: None,
            client: None,
            service: None,
            tenant: None,
            audience: Vec::new(),
            scopes: Vec::new(),
            every_scope: false,
            roles: Vec::new(),
            mapped: Vec::new(),
            claims: Map::new(),
            expires_at: Timestamp::from_unix_seconds(0),
            bound_to: None,
        }
    }
}

impl From<Parts<'_>> for Principal {
    fn from(parts: Parts<'_>) -> Self {
        let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(Box::from);
        let texts = |texts: Vec<&str>| texts.into_iter().filter(|text| !text.is_empty()).map(Box::from).collect();
        Self {
            issuer: Arc::clone(parts.issuer),
            issuer_url: text(parts.issuer_url),
            subject: text(parts.subject),
            client: text(parts.client),
            service: text(parts.service),
            tenant: text(parts.tenant),
            audience: texts(parts.audience),
            scopes: texts(parts.scopes),
            every_scope: parts.every_scope,
            roles: texts(parts.roles),
            mapped: parts.mapped.into_iter().map(|(name, value)| (name.into(), value)).collect(),
            claims: parts.claims,
            expires_at: parts.expires_at,
            bound_to: parts.bound_to,
        }
    }
}

impl Principal {
    /// The issuer's name in the configuration.
    pub fn issuer(&self) -> &Arc<str> {
        &self.issuer
    }

    /// The token's `iss`, where it carries one.
    pub fn issuer_url(&self) -> Option<&str> {
        self.issuer_url.as_deref()
    }

    /// Who the token is about: `sub`, or the claim mapped to it.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// The OAuth client that obtained it.
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// The calling service's name.
    pub fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// The tenant or organisation.
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// Whom the token is meant for, in the token's order.
    pub fn audience(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.audience.iter().map(|text| &**text)
    }

    /// The scopes that it names, in the token's order, without the wildcard.
    pub fn scopes(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.scopes.iter().map(|text| &**text)
    }

    /// Whether it holds the scope that its issuer's configuration calls the wildcard: it grants every scope.
    pub fn has_every_scope(&self) -> bool {
        self.every_scope
    }

    /// Whether `scope` is granted. Scopes are case-sensitive (RFC 6749 §3.3).
    pub fn grants(&self, scope: &str) -> bool {
        self.every_scope || self.scopes().any(|name| name == scope)
    }

    /// Roles, groups or permissions.
    pub fn roles(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.roles.iter().map(|text| &**text)
    }

    /// The claim that the issuer's configuration maps under this name, as far as the token has it.
    pub fn mapped(&self, name: &str) -> Option<&Value> {
        self.all_mapped().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All of those that the token has, by name.
    pub fn all_mapped(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.mapped.iter().map(|(name, value)| (&**name, value))
    }

    /// All verified claims.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// `exp`, without leeway; of an opaque token whose issuer names none, when the issuer's word no longer counts.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The certificate that the token is bound to (RFC 8705 §3), for which proof was or must be shown.
    pub fn bound_to(&self) -> Option<&Thumbprint> {
        self.bound_to.as_ref()
    }
}
