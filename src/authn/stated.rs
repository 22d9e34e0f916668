//! Claims that somebody states, and no token: so that a policy can be explained without one.
//!
//! They pass the checks that a token's claims pass, and are mapped as a token's are. What needs the token itself is left
//! out: its form and header, its key and signature, and the question to its issuer. What comes out is a [`Report`] for
//! people.
//!
//! *Invariant:* nothing that answers requests names this module; a test of the layering sees to that. A [`Report`] goes
//! into no cache, and the engine in service has no way in for one.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::accepted::Accepted;
use super::claims::Claims;
use super::error::AuthnError;
use super::explain::Report;
use super::introspection::judge::judge;
use super::issuer::Issuer;
use super::jwt;
use super::mapping;
use super::select;
use super::spec::{IssuerClaim, IssuerSpec, TokenFormat};
use super::trace::{Check, Course, Failure, Recorder, Trace as _};
use super::verified;
use super::{claims, shown};
use crate::clock::Timestamp;
use crate::core::caller::Caller;
use crate::core::principal::Principal;
use crate::core::reason::Reason;

/// Claims that stand for a token.
#[derive(Clone, Debug)]
pub struct Stated {
    /// Whose token it would be, by name; `None` where `iss` tells.
    pub issuer: Option<Arc<str>>,
    /// What it would say.
    pub claims: Map<String, Value>,
    /// The claims that were added, since a token without them would say nothing about the policy.
    pub added: Vec<&'static str>,
}

/// How long a token would live whose end nobody states, in seconds.
const LIFETIME: i64 = 300;

impl Stated {
    /// Claims as they were given, completed by `iss`, `iat` and `exp` where they have none. A claim that is there is left
    /// as it is, `null` too. `of` is the issuer, where one is named or there is but one.
    pub fn complete(
        issuer: Option<Arc<str>>,
        of: Option<&IssuerSpec>,
        given: Map<String, Value>,
        now: Timestamp,
    ) -> Self {
        let mut stated = Self { issuer, claims: given, added: Vec::new() };
        if let Some(IssuerClaim::Exact(iss)) = of.map(|spec| &spec.issuer) {
            stated.add("iss", Value::from(&**iss));
        }
        let now = now.as_unix_seconds();
        stated.add("iat", Value::from(now));
        stated.add("exp", Value::from(now.saturating_add(LIFETIME)));
        stated
    }

    fn add(&mut self, name: &'static str, value: Value) {
        if !self.claims.contains_key(name) {
            self.claims.insert(name.to_owned(), value);
            self.added.push(name);
        }
    }

    /// The checks of a token's claims, run on these by the issuers of a rule.
    pub fn explain(&self, accepted: Accepted<'_>, caller: &Caller<'_>, now: Timestamp) -> Report {
        let mut trace = Recorder::default();
        let mut issuer = None;
        let result = self.judge(accepted, now, &mut trace, &mut issuer).and_then(|principal| {
            let proven = verified::prove(&principal, caller);
            let proven = proven.map_err(|error| Failure { check: Check::Possession, error })?;
            let proof = if proven.bound_to().is_some() { "the caller's certificate is the one" } else { "none needed" };
            trace.passed(Check::Possession, format_args!("{proof}"));
            Ok(proven)
        });
        Report {
            issuer,
            steps: trace.steps(Course::ClaimsAlone, result.as_ref().err()),
            header: None,
            claims: Some(self.claims.clone()),
            introspected: None,
            opaque: false,
            result: result.map_err(AuthnError::from),
        }
    }

    fn judge(
        &self,
        accepted: Accepted<'_>,
        now: Timestamp,
        trace: &mut Recorder,
        name: &mut Option<Arc<str>>,
    ) -> Result<Arc<Principal>, Failure> {
        let issuer = self.issuer(accepted)?;
        let spec = issuer.spec();
        *name = Some(Arc::clone(&spec.name));
        if let (TokenFormat::Opaque, Some(introspection)) = (spec.tokens, &spec.introspection) {
            let of = (spec, issuer.origin());
            let answer = self.claims.clone();
            // Of an opaque token these are what its issuer would say.
            let verified = judge(of, None, answer, introspection.active_for, now, trace)?;
            return Ok(Arc::clone(verified.principal()));
        }
        let iss = claims::issuer(&self.claims)?;
        trace.passed(Check::Issuer, format_args!("{}", iss.map_or_else(|| "no `iss`".to_owned(), shown)));
        let (validity, bound_to) = jwt::check_claims(spec, None, &self.claims, now, trace)?;
        // A token without an end does not come this far.
        let expires_at = validity.expires_at.unwrap_or(now);
        let claims: Claims = self.claims.clone();
        Ok(Arc::new(mapping::principal(spec, issuer.origin(), None, claims, expires_at, bound_to)))
    }

    /// Whose token it would be, as a token's issuer is chosen among those that a rule accepts.
    fn issuer<'i>(&self, accepted: Accepted<'i>) -> Result<&'i Arc<Issuer>, Failure> {
        let is_opaque = |issuer: &&Arc<Issuer>| issuer.spec().tokens == TokenFormat::Opaque;
        let named = |issuer: &&Arc<Issuer>| self.issuer.as_ref().is_none_or(|name| *name == issuer.spec().name);
        let mut opaque = accepted.iter().filter(is_opaque).filter(named);
        if let (Some(only), None) = (opaque.next(), opaque.next())
            && (self.issuer.is_some() || accepted.iter().count() == 1)
        {
            return Ok(only);
        }
        let claiming = select::claiming_iss(accepted, claims::issuer(&self.claims)?)?;
        match &self.issuer {
            Some(name) if *name != claiming.spec().name => {
                let detail = format!("`iss` is that of issuer `{}`, and `{name}` was named", claiming.spec().name);
                Err(Check::Issuer.fails(Reason::UnknownIssuer, detail))
            }
            Some(_) | None => Ok(claiming),
        }
    }
}
