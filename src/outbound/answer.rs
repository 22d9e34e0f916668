//! What a token endpoint's answer says (RFC 6749 §5, RFC 8693 §2.2), and what an error answer means for the request.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value};
use zeroize::Zeroize as _;

use super::spec::{ExchangeSpec, Grant, TokenSpec, TokenType};
use crate::authn::{AuthnError, json, shown};
use crate::core::reason::Reason;
use crate::net::Fetched;
use crate::secret::Secret;

/// Longest lifetime that is believed: ten years.
const MAX_LIFETIME_SECONDS: u64 = 10 * 366 * 24 * 3600;
/// Longest `error` code that is repeated.
const MAX_CODE_BYTES: usize = 64;

/// A token as the answer hands it over. Nothing in the token itself was looked at.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) token: Secret,
    pub(super) expires_in: Option<Duration>,
    /// `scope`, as it says.
    pub(super) scope: Option<Box<str>>,
}

/// Takes the token out of an answer, which is overwritten.
///
/// # Errors
/// An error answer, or one that does not hold a token that can be used as it was asked for.
pub(super) fn read(spec: &TokenSpec, fetched: Fetched) -> Result<Answered, AuthnError> {
    let parsed = parse(spec, &fetched);
    // The body holds the token, and perhaps others. It is ours alone unless the client kept a part of its buffer.
    if let Ok(mut body) = fetched.body.try_into_mut() {
        body.zeroize();
    }
    let mut members = parsed?;
    let answered = judge(spec, &mut members);
    members.values_mut().for_each(wipe);
    answered
}

fn parse(spec: &TokenSpec, fetched: &Fetched) -> Result<Map<String, Value>, AuthnError> {
    if fetched.status != StatusCode::OK {
        return Err(refusal(&spec.grant, fetched));
    }
    if !fetched.is_json() {
        return Err(unusable("its content type is not `application/json`"));
    }
    json::parse_object(&fetched.body).map_err(|error| unusable(&error.to_string()))
}

fn judge(spec: &TokenSpec, members: &mut Map<String, Value>) -> Result<Answered, AuthnError> {
    let token = match members.remove("access_token") {
        Some(Value::String(token)) => Secret::new(token),
        _ => return Err(unusable("there is no `access_token`")),
    };
    check_token(token.expose(), spec.max_token_bytes)?;
    match members.get("token_type") {
        Some(Value::String(kind)) if kind.eq_ignore_ascii_case("bearer") => {}
        Some(Value::String(kind)) => {
            return Err(unusable(&format!("`token_type` is {}, wanted `Bearer`", named(kind))));
        }
        _ => return Err(unusable("there is no `token_type`")),
    }
    if let Grant::Exchange(exchange) = &spec.grant {
        check_issued_type(exchange, members.get("issued_token_type"))?;
    }
    let expires_in = members.get("expires_in").map(lifetime).transpose()?;
    let scope = match members.get("scope") {
        None => None,
        Some(scope) => {
            let scope = scope.as_str().ok_or_else(|| unusable("`scope` is not a text"))?;
            check_scope(spec, scope)?;
            Some(scope.into())
        }
    };
    Ok(Answered { token, expires_in, scope })
}

/// Whether it fits behind `Bearer` (RFC 6750 §2.1 asks for a token68; providers also use the other characters of
/// tokens as RFC 9110 §5.6.2 has them).
fn check_token(token: &str, max_bytes: usize) -> Result<(), AuthnError> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=!#$%&'*^`|".contains(&b);
    if token.is_empty() || !token.bytes().all(fits) {
        return Err(unusable("`access_token` does not fit a header"));
    }
    if token.len() > max_bytes {
        let bytes = token.len();
        return Err(unusable(&format!("`access_token` has {bytes} bytes, the maximum is {max_bytes}")));
    }
    Ok(())
}

/// RFC 8693 §2.2.1: a refresh or ID token may come in `access_token`, too.
fn check_issued_type(exchange: &ExchangeSpec, issued: Option<&Value>) -> Result<(), AuthnError> {
    let Some(Value::String(issued)) = issued else { return Err(unusable("there is no `issued_token_type`")) };
    let kind = [TokenType::AccessToken, TokenType::Jwt].into_iter().find(|kind| kind.urn() == issued);
    match (kind, exchange.requested_token_type) {
        (None, _) => Err(unusable(&format!("`issued_token_type` is {}", named(issued)))),
        (Some(kind), Some(wanted)) if kind != wanted => {
            Err(unusable(&format!("`issued_token_type` is `{}`, wanted `{}`", kind.urn(), wanted.urn())))
        }
        (Some(_), _) => Ok(()),
    }
}

/// `expires_in`: a positive whole number of seconds.
fn lifetime(value: &Value) -> Result<Duration, AuthnError> {
    match value.as_u64() {
        Some(seconds) if (1..=MAX_LIFETIME_SECONDS).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err(unusable("`expires_in` is not a whole number of seconds, at least one and at most ten years")),
    }
}

/// RFC 6749 §5.1, §3.3: what was granted, where it is not what was asked for.
fn check_scope(spec: &TokenSpec, granted: &str) -> Result<(), AuthnError> {
    if spec.scopes.is_empty() {
        return Ok(());
    }
    let granted: Vec<&str> = if granted.is_empty() { Vec::new() } else { granted.split(' ').collect() };
    if granted.contains(&"") {
        return Err(unusable("`scope` is not a list of names with a space between them"));
    }
    match compare(spec, &granted) {
        Scope::AsAsked => Ok(()),
        Scope::Wider(extra) => Err(unusable(&format!("`scope` grants more than was asked for: {extra}"))),
        Scope::Narrower(missing) => {
            let reason = match &spec.grant {
                Grant::Exchange(_) => Reason::ExchangeScope,
                Grant::ClientCredentials(_) => Reason::UpstreamTokenRefused,
            };
            Err(AuthnError::new(reason, format!("the provider does not grant {missing}")))
        }
    }
}

/// What was granted beside what was asked for, in words for the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scope {
    AsAsked,
    Wider(String),
    Narrower(String),
}

/// Most names that are repeated.
const MAX_NAMES: usize = 8;

/// Compares the scopes of a token with those that its spec asks for.
pub(super) fn compare(spec: &TokenSpec, granted: &[&str]) -> Scope {
    let asked = |name: &str| spec.scopes.iter().any(|asked| **asked == *name);
    let tolerated = |name: &str| spec.also_granted.iter().any(|also| **also == *name);
    let words = |names: Vec<&str>| {
        let shown: Vec<String> = names.into_iter().take(MAX_NAMES).map(shown).collect();
        shown.join(", ")
    };
    let extra: Vec<&str> = granted.iter().copied().filter(|name| !asked(name) && !tolerated(name)).collect();
    if !extra.is_empty() {
        return Scope::Wider(words(extra));
    }
    let missing: Vec<&str> = spec.scopes.iter().map(|name| &**name).filter(|name| !granted.contains(name)).collect();
    if missing.is_empty() { Scope::AsAsked } else { Scope::Narrower(words(missing)) }
}

/// What an error answer means (RFC 6749 §5.2, RFC 8693 §2.2.2). What the client's own grant is refused for is no
/// caller's fault. `error_description` is repeated nowhere: some providers quote there what they were sent.
fn refusal(grant: &Grant, fetched: &Fetched) -> AuthnError {
    let status = fetched.status.as_u16();
    let members = json::parse_object(&fetched.body).unwrap_or_default();
    let code = members.get("error").and_then(Value::as_str).filter(|code| is_code(code));
    let exchange = matches!(grant, Grant::Exchange(_));
    let reason = match (status, code) {
        (500.. | 429 | ..=399, _) => Reason::UpstreamTokenUnavailable,
        (_, Some("access_denied")) if exchange => Reason::ExchangeDenied,
        (_, Some("invalid_target")) if exchange => Reason::ExchangeTarget,
        (_, Some("invalid_scope")) if exchange => Reason::ExchangeScope,
        // Whatever other code: this status is about the client's authentication.
        (401, _) => Reason::UpstreamTokenRefused,
        (_, Some("access_denied" | "invalid_target" | "invalid_scope" | "invalid_client" | "unauthorized_client")) => {
            Reason::UpstreamTokenRefused
        }
        (_, Some("invalid_request" | "invalid_grant" | "unsupported_grant_type")) => Reason::UpstreamTokenUnavailable,
        (403, _) => Reason::UpstreamTokenRefused,
        _ => Reason::UpstreamTokenUnavailable,
    };
    let said = code.map_or_else(|| "no error code".to_owned(), |code| format!("`{code}`"));
    AuthnError::new(reason, format!("the token endpoint answers with status {status} and {said}"))
}

/// A code as RFC 6749 §5.2 and its relatives write them, and not long. What else may stand there is not repeated: a
/// provider that is confused could have put a token into its place.
fn is_code(code: &str) -> bool {
    (1..=MAX_CODE_BYTES).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// A type of token for the log, under the same caution: `DPoP`, `N_A`, or one of the registered names.
fn named(kind: &str) -> String {
    let short = kind.len() <= 8 && kind.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    let registered = kind.strip_prefix("urn:ietf:params:oauth:token-type:").is_some_and(is_code);
    if short || registered { shown(kind) } else { "another text".to_owned() }
}

/// Whether an error answer may be the subject token's fault, so that its issuer is asked about it.
pub(super) fn may_blame_subject(status: StatusCode) -> bool {
    status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS
}

pub(super) fn unusable(why: &str) -> AuthnError {
    AuthnError::new(Reason::UpstreamTokenUnavailable, format!("the token endpoint's answer: {why}"))
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests;
