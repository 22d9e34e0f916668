//! From claims to a [`Principal`], as the issuer's configuration maps them. Texts that are empty are absent, and a claim
//! of the wrong type yields nothing rather than something.

use std::sync::Arc;

use serde_json::Value;

use super::claims::Claims;
use super::spec::IssuerSpec;
use crate::clock::Timestamp;
use crate::core::caller::Thumbprint;
use crate::core::principal::{ClaimPath, Principal, Scopes};

/// Whom verified claims speak for. `own` are those that the token itself holds, where its issuer added others: of two
/// places for one thing, what the token says counts.
pub(super) fn principal(
    spec: &IssuerSpec,
    own: Option<&Claims>,
    claims: Claims,
    expires_at: Timestamp,
    bound_to: Option<Thumbprint>,
) -> Principal {
    let mapping = &spec.claims;
    let told_by = |paths: &[ClaimPath]| own.filter(|own| is_told(paths, own)).unwrap_or(&claims);
    let one = |path: &ClaimPath| path.find(&claims).and_then(Value::as_str).and_then(non_empty);
    let mapped = mapping.extra.iter().filter_map(|(name, path)| Some((name.clone(), path.find(&claims)?.clone())));
    Principal {
        issuer: spec.name.clone(),
        issuer_url: claims.get("iss").and_then(Value::as_str).map(Arc::from),
        subject: one(&mapping.subject),
        client: mapping.client.iter().find_map(|path| path.find(told_by(&mapping.client)).and_then(single)),
        service: mapping.service.as_ref().and_then(one),
        tenant: mapping.tenant.as_ref().and_then(one),
        audience: mapping.audience.find(&claims).and_then(texts).unwrap_or_default(),
        scopes: scopes(spec, told_by(&mapping.scopes)),
        roles: mapping
            .roles
            .iter()
            .filter_map(|path| texts(path.find(told_by(&mapping.roles)).filter(|v| v.is_array())?))
            .flatten()
            .collect(),
        mapped: mapped.collect(),
        expires_at,
        bound_to,
        claims: Arc::new(claims),
    }
}

/// Whether one of these paths leads somewhere.
pub(super) fn is_told(paths: &[ClaimPath], claims: &Claims) -> bool {
    paths.iter().any(|path| path.find(claims).is_some_and(|value| !value.is_null()))
}

fn non_empty(text: &str) -> Option<Box<str>> {
    (!text.is_empty()).then(|| text.into())
}

/// A text, or the only element of a list.
fn single(value: &Value) -> Option<Box<str>> {
    match value {
        Value::String(text) => non_empty(text),
        Value::Array(items) => match items.as_slice() {
            [Value::String(text)] => non_empty(text),
            _ => None,
        },
        _ => None,
    }
}

/// A text or a list of texts, without empty ones. `None` for anything else, a mixed list too.
fn texts(value: &Value) -> Option<Vec<Box<str>>> {
    match value {
        Value::String(text) => Some(non_empty(text).into_iter().collect()),
        Value::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            Some(texts?.into_iter().filter_map(non_empty).collect())
        }
        _ => None,
    }
}

/// The first of the mapped claims that is there decides. A text is split at single spaces (RFC 6749 §3.3); one with
/// empty words, and names that hold white space or controls, are outside that grammar: then nothing is granted.
fn scopes(spec: &IssuerSpec, claims: &Claims) -> Scopes {
    let Some(value) = spec.claims.scopes.iter().find_map(|path| path.find(claims)) else { return Scopes::default() };
    let words: Vec<Box<str>> = match value {
        Value::String(text) if text.is_empty() => return Scopes::default(),
        Value::String(text) => text.split(' ').map(Box::from).collect(),
        _ => texts(value).unwrap_or_default(),
    };
    if !words.iter().all(|word| is_scope(word)) {
        return Scopes::default();
    }
    let wildcard = spec.wildcard_scope.as_ref().is_some_and(|wildcard| words.contains(wildcard));
    // `*` is never a plain name: an upstream might take it for the wildcard that it is elsewhere.
    let named = |word: &str| word != "*" && spec.wildcard_scope.as_deref() != Some(word);
    Scopes { names: words.into_iter().filter(|word| named(word)).collect(), wildcard }
}

fn is_scope(word: &str) -> bool {
    !word.is_empty() && !word.chars().any(|c| c.is_whitespace() || c.is_control())
}
