//! What a denial looks like to the client: status, RFC 6750 challenge, problem details (RFC 9457) or plain text.
//!
//! Nothing of the token, the keys or the configuration shows here beyond the reason's code and the scopes that the
//! rule wants.

use std::fmt::Write as _;
use std::sync::Arc;

use super::answer::{DecisionId, DeniedResponse};
use super::reason::{BearerError, Reason};
use super::rule::{AnyAll, DenialStyle};

/// The realm of challenges, where the operator names none: RFC 6750 §3 wants at least one parameter.
const REALM: &str = "tollgate";

/// The reason to give for a denial: a reason that allows has no business here, and becomes our own fault.
pub(super) fn denying(reason: Reason) -> Reason {
    if reason.allows() { Reason::InternalError } else { reason }
}

/// Whether Envoy can send this status in a denial: those of 400 to 599 that its `envoy.type.v3.StatusCode` names.
pub(crate) fn is_known_status(status: u16) -> bool {
    matches!(status, 400..=417 | 421..=424 | 426 | 428 | 429 | 431 | 500..=508 | 510 | 511)
}

/// Makes the response. `scopes` are the alternatives that the rule wants.
pub(super) fn render(
    reason: Reason,
    style: &DenialStyle,
    scopes: Option<&[AnyAll]>,
    grpc: bool,
    decision_id: DecisionId,
) -> DeniedResponse {
    let reason = denying(reason);
    let own_status = reason.http_status();
    let http_status = match style.status {
        Some(status) if matches!(own_status, 401 | 403) && is_known_status(status) => status,
        Some(_) | None => own_status,
    };
    let mut headers: Vec<(Arc<str>, String)> = Vec::with_capacity(3 + style.headers.len());
    let error = match reason.bearer_error() {
        // A challenge belongs to its status. A 401 must have one (RFC 9110 §15.5.2).
        _ if http_status != own_status => (http_status == 401).then_some(BearerError::Bare),
        error => error,
    };
    if let Some(error) = error {
        headers.push(("www-authenticate".into(), challenge(reason, error, style, scopes)));
    }
    let (content_type, body) = match (&style.body, grpc) {
        (_, true) => ("text/plain", format!("{} ({reason}, decision {decision_id})", reason.sentence())),
        (Some((content_type, text)), false) => (&**content_type, fill(text, reason, decision_id)),
        (None, false) => ("application/problem+json", problem(reason, http_status, decision_id)),
    };
    headers.push(("content-type".into(), content_type.to_owned()));
    headers.push(("cache-control".into(), "no-store".to_owned()));
    for (name, value) in &style.headers {
        headers.retain(|(ours, _)| ours != name || **ours == *"www-authenticate");
        headers.push((Arc::clone(name), value.to_string()));
    }
    DeniedResponse { http_status, headers, body }
}

/// RFC 6750 §3, with RFC 9728 §5.1's parameter.
fn challenge(reason: Reason, error: BearerError, style: &DenialStyle, scopes: Option<&[AnyAll]>) -> String {
    let mut text = format!("Bearer realm=\"{}\"", quoted(style.realm.as_deref().unwrap_or(REALM)));
    let code = match error {
        BearerError::Bare => None,
        BearerError::InvalidRequest => Some("invalid_request"),
        BearerError::InvalidToken => Some("invalid_token"),
        BearerError::InsufficientScope => Some("insufficient_scope"),
    };
    // Writing to a String cannot fail.
    if let Some(code) = code {
        let _ = write!(text, ", error=\"{code}\", error_description=\"{}\"", quoted(reason.sentence()));
    }
    if let (BearerError::InsufficientScope, Some([first, ..])) = (error, scopes) {
        let names: Vec<&str> = first.names().collect();
        let _ = write!(text, ", scope=\"{}\"", quoted(&names.join(" ")));
    }
    if let Some(url) = &style.resource_metadata {
        let _ = write!(text, ", resource_metadata=\"{}\"", quoted(url));
    }
    text
}

/// Makes text safe inside a quoted-string (RFC 9110 §5.6.4): quotes and backslashes escaped, the rest visible ASCII.
fn quoted(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => safe.extend(['\\', c]),
            ' '..='~' => safe.push(c),
            _ => safe.push('?'),
        }
    }
    safe
}

fn problem(reason: Reason, http_status: u16, decision_id: DecisionId) -> String {
    let title = http::StatusCode::from_u16(http_status).ok().and_then(|status| status.canonical_reason());
    serde_json::json!({
        "title": title.unwrap_or("Denied"),
        "status": http_status,
        "detail": reason.sentence(),
        "reason": reason.code(),
        "decision_id": decision_id.to_string(),
    })
    .to_string()
}

fn fill(text: &str, reason: Reason, decision_id: DecisionId) -> String {
    text.replace("{reason}", reason.code()).replace("{decision_id}", &decision_id.to_string())
}
