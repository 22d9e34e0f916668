//! Who a verified token speaks for.

mod claim_path;
mod packed;
mod size;

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::caller::Thumbprint;
use crate::clock::Timestamp;
pub use claim_path::ClaimPath;
use packed::Packer;
pub use packed::Texts;

/// The claims that are kept of a token once it is mapped to a [`Principal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptClaims {
    /// Every one, as they are.
    All,
    /// What stands at these paths; sorted, each once.
    Only(Vec<ClaimPath>),
}

impl KeptClaims {
    /// What stands at these paths, in whatever order.
    pub fn only(paths: impl IntoIterator<Item = ClaimPath>) -> Self {
        let mut paths: Vec<ClaimPath> = paths.into_iter().collect();
        paths.sort_unstable();
        paths.dedup();
        Self::Only(paths)
    }
}

/// What all principals of an issuer have in common; they share it.
#[derive(Debug)]
pub struct Origin {
    /// The issuer's name in the configuration.
    pub issuer: Arc<str>,
    /// What its tokens say in `iss`, where they all say the same.
    pub issuer_url: Option<Arc<str>>,
    /// Claims that its configuration maps under names of its own.
    pub mapped: Vec<(Arc<str>, ClaimPath)>,
    /// The claims that are kept.
    pub kept: KeptClaims,
}

/// A claim was asked for that the configuration does not keep: a defect, and no reason to take it for absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the claim was not kept")]
pub struct NotKept;

/// Who a verified token speaks for. A value of this type exists only for a token that was checked against its
/// issuer; what a rule asks beyond that (audience, scopes, roles, claims) is judged from it on every request.
///
/// A million of them may be kept at one time, so all texts are in one piece.
#[derive(Clone)]
pub struct Principal {
    origin: Arc<Origin>,
    texts: Box<str>,
    claims: Kept,
    expires_at: Timestamp,
    bound_to: Option<Box<Thumbprint>>,
}

/// The claims of one token that are kept.
#[derive(Clone, Debug)]
enum Kept {
    All(Map<String, Value>),
    /// By the position of their path, ascending. `None` where something other than an object is in the way.
    Only(Box<[(u32, Option<Value>)]>),
}

/// What a [`Principal`] is made of, beside its claims. Texts that are empty are as good as none.
#[derive(Clone, Debug)]
pub struct Parts<'p> {
    /// Who issued the token.
    pub origin: Arc<Origin>,
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
    /// `exp`, without leeway; of an opaque token whose issuer names none, when the issuer's word no longer counts.
    pub expires_at: Timestamp,
    /// The certificate that the token is bound to (RFC 8705 §3), for which proof was or must be shown.
    pub bound_to: Option<Thumbprint>,
}

impl Parts<'_> {
    /// Those of somebody of whom nothing is known but the issuer, which keeps all claims.
    pub fn of(issuer: &Arc<str>) -> Self {
        let issuer = Arc::clone(issuer);
        Self::from(Arc::new(Origin { issuer, issuer_url: None, mapped: Vec::new(), kept: KeptClaims::All }))
    }
}

impl From<Arc<Origin>> for Parts<'_> {
    fn from(origin: Arc<Origin>) -> Self {
        Self {
            origin,
            issuer_url: None,
            subject: None,
            client: None,
            service: None,
            tenant: None,
            audience: Vec::new(),
            scopes: Vec::new(),
            every_scope: false,
            roles: Vec::new(),
            expires_at: Timestamp::from_unix_seconds(0),
            bound_to: None,
        }
    }
}

/// The order of a principal's texts. A flag stands before them, the lists behind.
#[derive(Clone, Copy)]
enum Field {
    IssuerUrl,
    Subject,
    Client,
    Service,
    Tenant,
}

const FIELDS: usize = Field::Tenant as usize + 1;

#[derive(Clone, Copy)]
enum List {
    Audience,
    Scopes,
    Roles,
}

/// Flags: it grants every scope; its `iss` is what its issuer's tokens all say.
const EVERY_SCOPE: usize = 1;
const ISSUER_URL_OF_ORIGIN: usize = 2;

impl From<Parts<'_>> for Principal {
    fn from(mut parts: Parts<'_>) -> Self {
        let mut flags = if parts.every_scope { EVERY_SCOPE } else { 0 };
        if parts.issuer_url.is_some() && parts.issuer_url == parts.origin.issuer_url.as_deref() {
            flags |= ISSUER_URL_OF_ORIGIN;
            parts.issuer_url = None;
        }
        let fields: [_; FIELDS] = [parts.issuer_url, parts.subject, parts.client, parts.service, parts.tenant];
        let mut lists = [parts.audience, parts.scopes, parts.roles];
        lists.iter_mut().for_each(|list| list.retain(|text| !text.is_empty()));
        let texts = Packer::pack(|to| {
            to.number(flags);
            fields.iter().for_each(|field| to.text(field.unwrap_or_default()));
            for list in &lists {
                to.number(list.len());
                list.iter().for_each(|text| to.text(text));
            }
        });
        let (origin, expires_at) = (parts.origin, parts.expires_at);
        let bound_to = parts.bound_to.map(Box::new);
        Self { origin, texts, claims: Kept::Only(Box::default()), expires_at, bound_to }.with_claims(Map::new())
    }
}

impl Principal {
    /// The same one, with these claims, as far as they are kept.
    pub fn with_claims(mut self, claims: Map<String, Value>) -> Self {
        self.claims = match &self.origin.kept {
            KeptClaims::All => Kept::All(claims),
            KeptClaims::Only(paths) => {
                let kept = |(index, path): (usize, &ClaimPath)| match path.find(&claims) {
                    Some(value) => Some((u32::try_from(index).ok()?, Some(value.clone()))),
                    None => path.is_blocked(&claims).then_some((u32::try_from(index).ok()?, None)),
                };
                Kept::Only(paths.iter().enumerate().filter_map(kept).collect())
            }
        };
        self
    }

    /// The issuer's name in the configuration.
    pub fn issuer(&self) -> &Arc<str> {
        &self.origin.issuer
    }

    /// The token's `iss`, where it carries one.
    pub fn issuer_url(&self) -> Option<&str> {
        if self.flags() & ISSUER_URL_OF_ORIGIN != 0 {
            return self.origin.issuer_url.as_deref();
        }
        self.field(Field::IssuerUrl)
    }

    /// Who the token is about: `sub`, or the claim mapped to it.
    pub fn subject(&self) -> Option<&str> {
        self.field(Field::Subject)
    }

    /// The OAuth client that obtained it.
    pub fn client(&self) -> Option<&str> {
        self.field(Field::Client)
    }

    /// The calling service's name.
    pub fn service(&self) -> Option<&str> {
        self.field(Field::Service)
    }

    /// The tenant or organisation.
    pub fn tenant(&self) -> Option<&str> {
        self.field(Field::Tenant)
    }

    /// Whom the token is meant for, in the token's order.
    pub fn audience(&self) -> Texts<'_> {
        self.list(List::Audience)
    }

    /// The scopes that it names, in the token's order, without the wildcard.
    pub fn scopes(&self) -> Texts<'_> {
        self.list(List::Scopes)
    }

    /// Whether it holds the scope that its issuer's configuration calls the wildcard: it grants every scope.
    pub fn has_every_scope(&self) -> bool {
        self.flags() & EVERY_SCOPE != 0
    }

    /// Whether `scope` is granted. Scopes are case-sensitive (RFC 6749 §3.3).
    pub fn grants(&self, scope: &str) -> bool {
        self.has_every_scope() || self.scopes().any(|name| name == scope)
    }

    /// Roles, groups or permissions.
    pub fn roles(&self) -> Texts<'_> {
        self.list(List::Roles)
    }

    /// The claim that the issuer's configuration maps under this name, as far as the token has it.
    pub fn mapped(&self, name: &str) -> Option<&Value> {
        self.all_mapped().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All of those that the token has, by name.
    pub fn all_mapped(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.origin.mapped.iter().filter_map(|(name, path)| Some((&**name, self.claim(path).ok()??)))
    }

    /// The claim at this path, as far as the token has it.
    ///
    /// # Errors
    /// The issuer's configuration does not keep it.
    pub fn claim(&self, path: &ClaimPath) -> Result<Option<&Value>, NotKept> {
        match &self.claims {
            Kept::All(claims) => Ok(path.find(claims)),
            Kept::Only(_) => self.kept(path).map(|claim| claim?.as_ref()),
        }
    }

    /// Whether something other than an object is in the way to this path, so that it cannot be told what the issuer
    /// meant to say. `null` is as good as nothing.
    ///
    /// # Errors
    /// As [`Principal::claim`].
    pub fn is_blocked(&self, path: &ClaimPath) -> Result<bool, NotKept> {
        match &self.claims {
            Kept::All(claims) => Ok(path.is_blocked(claims)),
            Kept::Only(_) => self.kept(path).map(|claim| matches!(claim, Some(None))),
        }
    }

    /// All verified claims, where the issuer's configuration keeps them.
    pub fn claims(&self) -> Option<&Map<String, Value>> {
        match &self.claims {
            Kept::All(claims) => Some(claims),
            Kept::Only(_) => None,
        }
    }

    /// `exp`, without leeway; of an opaque token whose issuer names none, when the issuer's word no longer counts.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The certificate that the token is bound to (RFC 8705 §3), for which proof was or must be shown.
    pub fn bound_to(&self) -> Option<&Thumbprint> {
        self.bound_to.as_deref()
    }

    /// About what it takes on the heap, itself included, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let counted = size_of::<Self>() + 2 * size_of::<usize>();
        let bound_to = self.bound_to.as_deref().map_or(0, |bound_to| size::allocated(size_of_val(bound_to)));
        let claims = match &self.claims {
            Kept::All(claims) => size::of_object(claims),
            Kept::Only(kept) => {
                let values = kept.iter().filter_map(|(_, value)| value.as_ref());
                size::allocated(size_of_val(&**kept)) + values.map(size::of_value).sum::<usize>()
            }
        };
        size::allocated(counted) + size::allocated(self.texts.len()) + bound_to + claims
    }

    fn flags(&self) -> usize {
        packed::Reader::new(&self.texts).number()
    }

    fn field(&self, field: Field) -> Option<&str> {
        let mut texts = packed::Reader::new(&self.texts);
        texts.number();
        texts.skip(field as usize);
        Some(texts.text()).filter(|text| !text.is_empty())
    }

    fn list(&self, list: List) -> Texts<'_> {
        let mut texts = packed::Reader::new(&self.texts);
        texts.number();
        texts.skip(FIELDS);
        for _ in 0..list as usize {
            let count = texts.number();
            texts.skip(count);
        }
        texts.list()
    }

    /// What is kept for a path; `Some(None)` where something is in the way.
    fn kept(&self, path: &ClaimPath) -> Result<Option<&Option<Value>>, NotKept> {
        let (Kept::Only(kept), KeptClaims::Only(paths)) = (&self.claims, &self.origin.kept) else {
            return Err(NotKept);
        };
        let index = paths.binary_search(path).map_err(|_| NotKept)?;
        let found = kept.iter().find(|(of, _)| usize::try_from(*of) == Ok(index));
        Ok(found.map(|(_, claim)| claim))
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("issuer", self.issuer())
            .field("subject", &self.subject())
            .field("client", &self.client())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
