//! A new token looked at as what it is: where it is a JWT of an issuer that the gate knows, it must be one that the next
//! hop will take, and speak for the same user.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::answer::{Scope, compare, unusable};
use super::spec::{ProviderRef, TokenSpec};
use super::subject::OwnSubject;
use crate::authn::jwt::{Checked, Token};
use crate::authn::spec::{IssuerClaim, KeySource};
use crate::authn::trace::{Failure, Unwatched};
use crate::authn::{AuthnError, Issuer, json, shown};
use crate::clock::Timestamp;
use crate::core::caller::Caller;
use crate::core::principal::Principal;
use crate::core::reason::Reason;

/// Longest wait for an issuer's keys: its first ones, or one that a token names and that is new.
const KEYS_LIMIT: Duration = Duration::from_secs(5);
/// Latest time that is believed of a token that nobody verified: the end of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// A new token that is a JWT.
#[derive(Clone, Debug)]
pub(super) struct Jwt {
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
    /// The issuer whose keys verified it.
    pub(super) verified_by: Option<Arc<str>>,
}

impl Jwt {
    /// `exp`, as it says.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        let seconds =
            self.claims.get("exp")?.as_f64().filter(|seconds| (1.0..=LAST_SECOND as f64).contains(seconds))?;
        #[allow(clippy::cast_possible_truncation, reason = "the range was checked; the fraction is cut")]
        let whole = seconds.floor() as i64;
        Some(Timestamp::from_unix_seconds(whole))
    }
}

/// Looks at a new token. `Ok(None)` where it is no JWT.
///
/// # Errors
/// Whatever makes it unfit to be sent to the next hop.
pub(super) async fn inspect(
    spec: &TokenSpec,
    issuers: &[Arc<Issuer>],
    token: &str,
    subject: Option<&OwnSubject>,
    now: Timestamp,
) -> Result<Option<Jwt>, AuthnError> {
    let Some(mut jwt) = peek(token)? else { return Ok(None) };
    if jwt.claims.contains_key("cnf") {
        return Err(unusable("the new token is bound to its sender (`cnf`): it is no bearer token"));
    }
    let Some(issuer) = claiming(spec, issuers, &jwt.claims)? else { return Ok(Some(jwt)) };
    let principal = verify(issuer, token, now).await.map_err(|error| {
        let name = &issuer.spec().name;
        unusable(&format!("the new token is not a valid one of the issuer `{name}`: {}", error.detail))
    })?;
    if let Some(expected) = &spec.expect_audience
        && let Some(lacking) = expected.iter().find(|name| !principal.audience().any(|of_token| of_token == &***name))
    {
        return Err(unusable(&format!("the new token is not meant for {}", shown(lacking))));
    }
    check_scopes(spec, issuer, &principal)?;
    if let Some(subject) = subject {
        check_subject(subject, issuer, &principal)?;
    }
    jwt.verified_by = Some(Arc::clone(&issuer.spec().name));
    Ok(Some(jwt))
}

/// Reads a token that looks like a JWT. What cannot be read to the end is refused: nobody could tell what it is.
pub(super) fn peek(token: &str) -> Result<Option<Jwt>, AuthnError> {
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Ok(None);
    };
    let read = |part: &str| URL_SAFE_NO_PAD.decode(part).ok().and_then(|bytes| json::parse_object(&bytes).ok());
    let Some(header) = read(header).filter(|header| header.contains_key("alg")) else { return Ok(None) };
    let claims = read(payload).ok_or_else(|| unusable("the new token is a JWT whose claims cannot be read"))?;
    Ok(Some(Jwt { header, claims, verified_by: None }))
}

/// The issuer that the token names, if the gate knows it and it signs its tokens. A token without `iss` can only be of
/// the issuer that was asked.
fn claiming<'i>(
    spec: &TokenSpec,
    issuers: &'i [Arc<Issuer>],
    claims: &Map<String, Value>,
) -> Result<Option<&'i Arc<Issuer>>, AuthnError> {
    let asked = match &spec.provider {
        ProviderRef::Issuer(index) => issuers.get(index.0),
        ProviderRef::Own(_) => None,
    };
    let iss = match claims.get("iss") {
        None => None,
        Some(Value::String(iss)) => Some(&**iss),
        Some(_) => return Err(unusable("the new token's `iss` is not a text")),
    };
    let signs = |issuer: &Arc<Issuer>| !matches!(issuer.spec().keys, KeySource::None);
    let named = |issuer: &Arc<Issuer>| match (&issuer.spec().issuer, iss) {
        (IssuerClaim::Exact(want), Some(iss)) => **want == *iss,
        (IssuerClaim::Absent, None) => asked.is_some_and(|asked| Arc::ptr_eq(asked, issuer)),
        (IssuerClaim::Exact(_), None) | (IssuerClaim::Absent, Some(_)) => false,
    };
    // Two issuers may claim one `iss`, with headers of their own: then the one that was asked is meant.
    let found = asked.into_iter().chain(issuers).find(|issuer| signs(issuer) && named(issuer));
    Ok(found)
}

/// As a caller's token would be, by the issuer's own rules and keys.
async fn verify(issuer: &Issuer, token: &str, now: Timestamp) -> Result<Arc<Principal>, AuthnError> {
    let unavailable = |_| AuthnError::new(Reason::KeysUnavailable, "the issuer's keys are not there");
    let trace = &mut Unwatched;
    let token = Token::decode(token, issuer.spec().max_token_bytes, trace)?;
    let checked = Checked::check(issuer.spec(), token, now, trace)?;
    let mut keys = match issuer.keys().current() {
        Ok(keys) => keys,
        Err(_) => {
            issuer.keys().wait(KEYS_LIMIT).await;
            issuer.keys().current().map_err(unavailable)?
        }
    };
    if let Some(kid) = checked.unknown_kid(&keys) {
        // Where it takes longer, the keys there are decide.
        let _ = tokio::time::timeout(KEYS_LIMIT, issuer.keys().refetch_for(kid)).await;
        keys = issuer.keys().current().map_err(unavailable)?;
    }
    let signed = checked.verify(&keys, trace).map_err(|failure: Failure| failure.error)?;
    let verified = signed.alone(issuer.spec()).map_err(|failure| failure.error)?;
    verified.prove(&Caller::new("", ""))
}

/// The scope claim, where there is one.
fn check_scopes(spec: &TokenSpec, issuer: &Issuer, principal: &Principal) -> Result<(), AuthnError> {
    let told = issuer.spec().claims.scopes.iter().any(|path| path.find(principal.claims()).is_some());
    if spec.scopes.is_empty() || !told {
        return Ok(());
    }
    if principal.has_every_scope() {
        return Err(unusable("the new token grants every scope"));
    }
    let granted: Vec<&str> = principal.scopes().collect();
    match compare(spec, &granted) {
        Scope::AsAsked => Ok(()),
        Scope::Wider(extra) => Err(unusable(&format!("the new token grants more than was asked for: {extra}"))),
        Scope::Narrower(missing) => Err(unusable(&format!("the new token does not grant {missing}"))),
    }
}

/// A new token of the subject token's issuer must be the same user's.
fn check_subject(subject: &OwnSubject, issuer: &Arc<Issuer>, principal: &Principal) -> Result<(), AuthnError> {
    let (before, after) = (subject.issuer.spec(), issuer.spec());
    // Two issuers may share one `iss`, with headers of their own; no `iss` is shared by none.
    let same_iss = before.issuer == after.issuer && before.issuer != IssuerClaim::Absent;
    let same_issuer = before.name == after.name || same_iss;
    let sub = principal.claims().get("sub").and_then(Value::as_str);
    match (subject.sub.as_deref(), sub) {
        (Some(before), Some(now)) if same_issuer && before != now => {
            Err(unusable("the new token is for another subject than the one that was exchanged"))
        }
        _ => Ok(()),
    }
}
