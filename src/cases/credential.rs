//! The credential of a request that is decided on for people: a token, or claims that stand for one.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::authn::credential::header_name;
use crate::authn::spec::{CredentialSource, IssuerClaim, IssuerSpec};
use crate::authn::stated::Stated;
use crate::clock::Timestamp;
use crate::core::request::{Header, Headers, RawRequest};
use crate::secret::Secret;

/// What the request carries where a token would be, if claims are stated: no token looks like this.
const STAND_IN: &str = "claims-stated-to-tollgate-explain";

/// A credential that was given.
#[derive(Debug)]
pub enum Given {
    /// None: the request's own counts.
    Nothing,
    /// The header's name and value.
    Token(CredentialSource, Secret),
    /// Claims, in the place of a token in this header, whose value this is.
    Claims(CredentialSource, Secret, Stated),
}

/// Whose token it is that was given.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'n> {
    /// The issuer's name; needed for claims without `iss`, and where issuers read different headers.
    pub name: Option<&'n str>,
    /// What errors call the place where it is named.
    pub named_by: &'static str,
}

impl Given {
    /// A token, in the header that its issuer reads.
    ///
    /// # Errors
    /// In words: an issuer that does not exist, or one that must be named.
    pub fn token(issuers: &[IssuerSpec], whose: Whose<'_>, token: &str) -> Result<Self, String> {
        let source = source(issuers, whose.find(issuers)?, whose)?;
        Ok(Self::Token(source.clone(), value(source, token)))
    }

    /// Claims that stand for a token, completed as of `now`.
    ///
    /// # Errors
    /// In words: an issuer that does not exist, or one that must be named.
    pub fn claims(
        issuers: &[IssuerSpec],
        whose: Whose<'_>,
        claims: Map<String, Value>,
        now: Timestamp,
    ) -> Result<Self, String> {
        let named = whose.find(issuers)?;
        let of = named.or_else(|| only_issuer_of(issuers, &claims));
        let source = source(issuers, of, whose)?;
        let name = named.map(|spec| Arc::clone(&spec.name));
        let stated = Stated::complete(name, of, claims, now);
        Ok(Self::Claims(source.clone(), value(source, STAND_IN), stated))
    }

    /// Without the claims that are null: that is how a file says that there is to be none.
    #[must_use]
    pub fn without_nulls(mut self) -> Self {
        if let Self::Claims(_, _, stated) = &mut self {
            stated.claims.retain(|_, value| !value.is_null());
        }
        self
    }

    /// The request, with this credential in the place of its own.
    pub fn carried_by<'r>(&'r self, request: RawRequest<'r>) -> RawRequest<'r> {
        let (source, value) = match self {
            Self::Nothing => return request,
            Self::Token(source, value) | Self::Claims(source, value, _) => (source, value),
        };
        let name = header_name(source);
        let line = Header { name, value: value.expose().as_bytes() };
        let others = request.headers.iter().filter(|line| !line.is(name)).copied();
        let headers = Headers::new(others.chain([line]).collect());
        RawRequest { headers, ..request }
    }

    /// The claims, and the token that they stand for.
    pub fn stated(&self) -> Option<(&Stated, &'static str)> {
        match self {
            Self::Claims(_, _, stated) => Some((stated, STAND_IN)),
            Self::Nothing | Self::Token(..) => None,
        }
    }
}

impl Whose<'_> {
    /// Whether the issuer that is named is there.
    ///
    /// # Errors
    /// In words: it is not.
    pub fn check(self, issuers: &[IssuerSpec]) -> Result<(), String> {
        self.find(issuers).map(drop)
    }

    /// The issuer that is named.
    fn find(self, issuers: &[IssuerSpec]) -> Result<Option<&IssuerSpec>, String> {
        let Some(name) = self.name else { return Ok(None) };
        issuers.iter().find(|issuer| *issuer.name == *name).map(Some).ok_or_else(|| {
            let known: Vec<String> = issuers.iter().map(|issuer| format!("`{}`", issuer.name)).collect();
            format!("no issuer is named `{name}`; there are {}", known.join(", "))
        })
    }
}

/// The issuer that these claims can only be of.
fn only_issuer_of<'i>(issuers: &'i [IssuerSpec], claims: &Map<String, Value>) -> Option<&'i IssuerSpec> {
    let is_of = |issuer: &&IssuerSpec| match (&issuer.issuer, claims.get("iss")) {
        (IssuerClaim::Exact(iss), Some(said)) => said.as_str() == Some(iss),
        (IssuerClaim::Absent, said) => said.is_none(),
        (IssuerClaim::Exact(_), None) => false,
    };
    if let [only] = issuers {
        return Some(only);
    }
    let mut found = issuers.iter().filter(is_of);
    found.next().filter(|_| found.next().is_none())
}

/// The header that carries the token.
fn source<'i>(
    issuers: &'i [IssuerSpec],
    of: Option<&'i IssuerSpec>,
    whose: Whose<'_>,
) -> Result<&'i CredentialSource, String> {
    if let Some(issuer) = of {
        return Ok(&issuer.credential);
    }
    let mut sources: Vec<&CredentialSource> = issuers.iter().map(|issuer| &issuer.credential).collect();
    sources.sort();
    sources.dedup();
    match &*sources {
        [only] => Ok(only),
        [] => Ok(&CredentialSource::Authorization),
        _ => {
            let names: Vec<String> = sources.iter().map(|source| format!("`{}`", header_name(source))).collect();
            let names = names.join(", ");
            Err(format!("tokens come in different headers ({names}); name the issuer with `{}`", whose.named_by))
        }
    }
}

/// The header's value.
fn value(source: &CredentialSource, token: &str) -> Secret {
    match source {
        CredentialSource::Authorization => Secret::new(format!("Bearer {token}")),
        CredentialSource::Header(_) => Secret::new(token),
    }
}
