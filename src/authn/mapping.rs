//! From claims to a [`Principal`], as the issuer's configuration maps them. Texts that are empty are absent, and a claim
//! of the wrong type yields nothing rather than something.

use serde_json::Value;

use super::claims::Claims;
use super::spec::IssuerSpec;
use crate::clock::Timestamp;
use crate::core::caller::Thumbprint;
use crate::core::principal::{ClaimPath, Parts, Principal};

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
    let one = |path: &ClaimPath| path.find(&claims).and_then(Value::as_str);
    let mapped = mapping.extra.iter().filter_map(|(name, path)| Some((&**name, path.find(&claims)?.clone())));
    let of_roles = told_by(&mapping.roles);
    let roles = mapping.roles.iter().filter_map(|path| texts(path.find(of_roles).filter(|v| v.is_array())?)).flatten();
    let (scopes, every_scope) = scopes(spec, told_by(&mapping.scopes));
    let parts = Parts {
        issuer: &spec.name,
        issuer_url: claims.get("iss").and_then(Value::as_str),
        subject: one(&mapping.subject),
        client: mapping.client.iter().find_map(|path| path.find(told_by(&mapping.client)).and_then(single)),
        service: mapping.service.as_ref().and_then(one),
        tenant: mapping.tenant.as_ref().and_then(one),
        audience: mapping.audience.find(&claims).and_then(texts).unwrap_or_default(),
        scopes,
        every_scope,
        roles: roles.collect(),
        mapped: mapped.collect(),
        expires_at,
        bound_to,
        claims: claims.clone(),
    };
    parts.into()
}

/// Whether one of these paths leads somewhere.
pub(super) fn is_told(paths: &[ClaimPath], claims: &Claims) -> bool {
    paths.iter().any(|path| path.find(claims).is_some_and(|value| !value.is_null()))
}

/// A text, or the only element of a list. Not an empty one.
fn single(value: &Value) -> Option<&str> {
    let text = match value {
        Value::String(text) => text,
        Value::Array(items) => match items.as_slice() {
            [Value::String(text)] => text,
            _ => return None,
        },
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// A text or a list of texts. `None` for anything else, a mixed list too.
fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// The first of the mapped claims that is there decides; with the scopes that it names, whether it grants every one. A
/// text is split at single spaces (RFC 6749 §3.3); one with empty words, and names that hold white space or controls,
/// are outside that grammar: then nothing is granted.
fn scopes<'c>(spec: &IssuerSpec, claims: &'c Claims) -> (Vec<&'c str>, bool) {
    let Some(value) = spec.claims.scopes.iter().find_map(|path| path.find(claims)) else { return Default::default() };
    let mut words: Vec<&str> = match value {
        Value::String(text) if text.is_empty() => return Default::default(),
        Value::String(text) => text.split(' ').collect(),
        _ => texts(value).unwrap_or_default().into_iter().filter(|word| !word.is_empty()).collect(),
    };
    if !words.iter().all(|word| is_scope(word)) {
        return Default::default();
    }
    let wildcard = spec.wildcard_scope.as_deref();
    let every_scope = wildcard.is_some_and(|wildcard| words.contains(&wildcard));
    // `*` is never a plain name: an upstream might take it for the wildcard that it is elsewhere.
    words.retain(|word| *word != "*" && wildcard != Some(*word));
    (words, every_scope)
}

fn is_scope(word: &str) -> bool {
    !word.is_empty() && !word.chars().any(|c| c.is_whitespace() || c.is_control())
}
