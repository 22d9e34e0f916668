//! One set of claims from two: what a JWT says, and what its issuer says of it when asked.
//!
//! The token's own claims count. They are signed, and they are the narrower: Keycloak computes an answer afresh from the
//! realm, so that of an exchanged token it names audiences and roles which the token was made not to have. Only
//! top-level members that the token does not have at all are taken from the answer; that is how lightweight tokens get
//! their claims. Where several claims may hold one thing (`client_id` and `azp`, `scope` and `scp`), what the token
//! says in one of them is not overruled by what the answer says in another.
//!
//! The answer must not contradict the token. It does where both have
//!
//! - `iss`, `sub`, `jti`, `azp`, `client_id`, `sid`, `typ`, `token_use`, `cnf` or `act`, and the values differ
//!   (where the token has only one of `client_id` and `azp`, it is compared to the other as well);
//! - `exp`, `nbf` or `iat`, and they are different seconds; `1.7e9` and `1700000000` are the same one;
//! - scopes, be it in different claims, and the sets differ; neither order nor the spelling as text or list matters;
//! - any other top-level claim, and the token says something that the answer does not: a text that is another and not in
//!   the answer's list, a list with an element that the answer's list lacks, an object with such a member. A rule may
//!   look at any claim, so none is left out. That the answer says more is no contradiction. The outermost name being
//!   there is enough: roles that the answer leaves out of an object which it has are denied.
//!
//! Members of the protocol that are not about the token's claims, `active` and `token_type`, take no part.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::authn::claims::{Claims, numeric_date};
use crate::authn::error::shown;
use crate::authn::spec::IssuerSpec;
use crate::authn::trace::{Check, Failure};
use crate::core::principal::ClaimPath;
use crate::core::reason::Reason;

/// Claims that are the same on both sides.
const SAME: [&str; 10] = ["iss", "sub", "jti", "azp", "client_id", "sid", "typ", "token_use", "cnf", "act"];
/// Those that are times.
const TIMES: [&str; 3] = ["exp", "nbf", "iat"];
/// Members of the answer that are no claims.
pub(super) const PROTOCOL: [&str; 2] = ["active", "token_type"];

/// Adds to a token's claims what the answer has beside them.
///
/// # Errors
/// The answer contradicts the token.
pub(super) fn merge(spec: &IssuerSpec, own: &Claims, mut answer: Claims) -> Result<Claims, Failure> {
    if let Some(claim) = contradicted(spec, own, &answer) {
        let detail = format!("the token's {claim} is contradicted by what its issuer says of it");
        return Err(Check::Merge.fails(Reason::TokenConflict, detail));
    }
    answer.retain(|name, _| !PROTOCOL.contains(&&**name));
    // In the place of what the answer has.
    answer.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(answer)
}

/// A claim of the token that the answer contradicts, by name.
fn contradicted(spec: &IssuerSpec, own: &Claims, answer: &Claims) -> Option<String> {
    let both = |name: &str| Some((own.get(name)?, answer.get(name)?));
    let other = |name: &&&str| both(name).is_some_and(|(own, told)| own != told);
    let other_time = |name: &&&str| both(name).is_some_and(|(own, told)| !is_same_second(spec, own, told));
    let named = SAME.iter().find(other).or_else(|| TIMES.iter().find(other_time));
    if let Some(name) = named {
        return Some(format!("`{name}`"));
    }
    if is_of_another_client(own, answer) {
        return Some("`client_id` or `azp`".to_owned());
    }
    let mapping = &spec.claims;
    if !has_same_scopes(&mapping.scopes, own, answer) || both("scope").is_some_and(|(own, told)| !is_same(own, told)) {
        return Some("scope".to_owned());
    }
    // Scopes were compared as sets; a claim that is nothing else is spelled in more ways than one.
    let of_scopes = |name: &str| name == "scope" || mapping.scopes.iter().any(|path| path.is_just(name));
    let compared = |name: &str| PROTOCOL.contains(&name) || TIMES.contains(&name) || of_scopes(name);
    let mut others = own.iter().filter(|(name, _)| !compared(name));
    others.find(|(name, own)| answer.get(&**name).is_some_and(|told| !covers(told, own))).map(|(name, _)| shown(name))
}

/// Whether the two name different clients, where the token has only one of the two names for it: issuers write `azp`
/// into tokens, and `client_id` into answers (RFC 7662 §2.2).
fn is_of_another_client(own: &Claims, answer: &Claims) -> bool {
    let differ = |name: &str, told: &str| match (own.get(name), answer.get(told)) {
        (Some(one), Some(other)) => !one.is_null() && !other.is_null() && one != other,
        (None, _) | (_, None) => false,
    };
    let lacks = |claims: &Claims, name: &str| !claims.contains_key(name);
    (lacks(own, "client_id") && differ("azp", "client_id")) || (lacks(own, "azp") && differ("client_id", "azp"))
}

fn is_same_second(spec: &IssuerSpec, own: &Value, told: &Value) -> bool {
    let second = |value| numeric_date(value, spec.times_in_strings).map(crate::clock::Timestamp::as_unix_seconds);
    matches!((second(own), second(told)), (Ok(own), Ok(told)) if own == told)
}

/// Whether the first of these claims that is there grants the same on both sides, and each that both have.
fn has_same_scopes(paths: &[ClaimPath], own: &Claims, answer: &Claims) -> bool {
    fn first<'c>(paths: &[ClaimPath], claims: &'c Claims) -> Option<&'c Value> {
        paths.iter().find_map(|path| path.find(claims).filter(|value| !value.is_null()))
    }
    let agree = |own: Option<&Value>, told: Option<&Value>| match (own, told) {
        (Some(own), Some(told)) => is_same(own, told),
        (None, _) | (_, None) => true,
    };
    agree(first(paths, own), first(paths, answer)) && paths.iter().all(|path| agree(path.find(own), path.find(answer)))
}

/// Whether two values name the same scopes.
fn is_same(own: &Value, told: &Value) -> bool {
    match (words(own), words(told)) {
        (Some(own), Some(told)) => own == told,
        (None, _) | (_, None) => own == told,
    }
}

fn words(value: &Value) -> Option<BTreeSet<&str>> {
    match value {
        Value::String(text) if text.is_empty() => Some(BTreeSet::new()),
        Value::String(text) => Some(text.split(' ').collect()),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// Whether all that a token's claim says is in the answer's as well.
fn covers(told: &Value, own: &Value) -> bool {
    match (own, told) {
        (Value::Null, _) => true,
        (Value::Array(own), Value::Array(told)) => own.iter().all(|own| told.iter().any(|told| covers(told, own))),
        (Value::Array(own), told) => own.iter().all(|own| covers(told, own)),
        (own, Value::Array(told)) => told.iter().any(|told| covers(told, own)),
        (Value::Object(own), Value::Object(told)) => {
            own.iter().all(|(name, own)| covers(told.get(name).unwrap_or(&Value::Null), own))
        }
        // `1` and `1.0`; integers beyond what a double holds are compared as they are.
        (Value::Number(own), Value::Number(told)) if own.is_f64() != told.is_f64() => own.as_f64() == told.as_f64(),
        (own, told) => own == told,
    }
}

#[cfg(test)]
mod tests;
