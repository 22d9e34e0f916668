//! What a denial looks like to the client: status, RFC 6750 challenge, problem details (RFC 9457) or plain text.
//!
//! Nothing of the token, the keys or the configuration shows here beyond the reason's code and the scopes that the
//! rule wants.

use std::sync::Arc;

use super::answer::{DecisionId, DeniedResponse};
use super::header_list::HeaderList;
use super::reason::{BearerError, Reason};
use super::rule::{AnyAll, DenialStyle};

/// The realm of challenges, where the operator names none: RFC 6750 §3 wants at least one parameter.
const REALM: &str = "tollgate";

const CHALLENGE: &str = "www-authenticate";

/// Room for the headers of most denials, and for the body.
const HEADER_BYTES: usize = 256;
const BODY_BYTES: usize = 256;

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
    let error = match reason.bearer_error() {
        // A challenge belongs to its status. A 401 must have one (RFC 9110 §15.5.2).
        _ if http_status != own_status => (http_status == 401).then_some(BearerError::Bare),
        error => error,
    };
    let (content_type, body) = match (&style.body, grpc) {
        (_, true) => ("text/plain", plain(reason, decision_id)),
        (Some((content_type, text)), false) => (&**content_type, fill(text, reason, decision_id)),
        (None, false) => ("application/problem+json", problem(reason, http_status, decision_id)),
    };
    let mut headers = HeaderList::with_capacity(HEADER_BYTES);
    if let Some(error) = error {
        headers.push_with(CHALLENGE, |text| challenge(text, reason, error, style, scopes));
    }
    // Of two headers of one name the operator's counts, and of the operator's the last; but for challenges, which are
    // alternatives.
    let last = |name: &str, later: &[(Arc<str>, Arc<str>)]| {
        *name == *CHALLENGE || later.iter().all(|(other, _)| **other != *name)
    };
    for (name, value) in [("content-type", content_type), ("cache-control", "no-store")] {
        if last(name, &style.headers) {
            headers.push(name, value);
        }
    }
    let mut later = &*style.headers;
    while let [(name, value), rest @ ..] = later {
        if last(name, rest) {
            headers.push(name, value);
        }
        later = rest;
    }
    DeniedResponse { http_status, headers, body }
}

/// RFC 6750 §3, with RFC 9728 §5.1's parameter.
fn challenge(text: &mut String, reason: Reason, error: BearerError, style: &DenialStyle, scopes: Option<&[AnyAll]>) {
    text.push_str("Bearer realm=\"");
    quote(text, style.realm.as_deref().unwrap_or(REALM));
    text.push('"');
    let code = match error {
        BearerError::Bare => None,
        BearerError::InvalidRequest => Some("invalid_request"),
        BearerError::InvalidToken => Some("invalid_token"),
        BearerError::InsufficientScope => Some("insufficient_scope"),
    };
    if let Some(code) = code {
        push_all(text, &[", error=\"", code, "\", error_description=\""]);
        quote(text, reason.sentence());
        text.push('"');
    }
    if let (BearerError::InsufficientScope, Some([first, ..])) = (error, scopes) {
        text.push_str(", scope=\"");
        for (at, name) in first.names().enumerate() {
            if at > 0 {
                text.push(' ');
            }
            quote(text, name);
        }
        text.push('"');
    }
    if let Some(url) = &style.resource_metadata {
        text.push_str(", resource_metadata=\"");
        quote(text, url);
        text.push('"');
    }
}

/// Appends what is safe inside a quoted-string (RFC 9110 §5.6.4): quotes and backslashes escaped, the rest visible ASCII.
fn quote(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            ' '..='~' => text.push(c),
            _ => text.push('?'),
        }
    }
}

fn push_all(text: &mut String, pieces: &[&str]) {
    pieces.iter().for_each(|piece| text.push_str(piece));
}

/// For clients that speak gRPC: they show it as the status's message.
fn plain(reason: Reason, decision_id: DecisionId) -> String {
    let mut text = String::with_capacity(BODY_BYTES);
    push_all(&mut text, &[reason.sentence(), " (", reason.code(), ", decision ", decision_id.hex().as_str(), ")"]);
    text
}

/// Problem details. Every word is one of ours, and none needs escaping: a test sees to that.
fn problem(reason: Reason, http_status: u16, decision_id: DecisionId) -> String {
    let status = http::StatusCode::from_u16(http_status).unwrap_or(http::StatusCode::FORBIDDEN);
    let mut json = String::with_capacity(BODY_BYTES);
    push_all(
        &mut json,
        &[
            "{\"decision_id\":\"",
            decision_id.hex().as_str(),
            "\",\"detail\":\"",
            reason.sentence(),
            "\",\"reason\":\"",
            reason.code(),
            "\",\"status\":",
            status.as_str(),
            ",\"title\":\"",
            status.canonical_reason().unwrap_or("Denied"),
            "\"}",
        ],
    );
    json
}

fn fill(text: &str, reason: Reason, decision_id: DecisionId) -> String {
    text.replace("{reason}", reason.code()).replace("{decision_id}", decision_id.hex().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_details_are_json_whatever_they_say() {
        for reason in Reason::ALL {
            for status in (400..600).filter(|status| is_known_status(*status)) {
                let title = http::StatusCode::from_u16(status).unwrap().canonical_reason().unwrap_or("Denied");
                let want = serde_json::json!({
                    "title": title,
                    "status": status,
                    "detail": reason.sentence(),
                    "reason": reason.code(),
                    "decision_id": "0000000000000000000000000000002a",
                });
                assert_eq!(problem(*reason, status, DecisionId(42)), want.to_string());
            }
        }
    }

    #[test]
    fn the_operators_headers_take_the_place_of_ours_and_challenges_stand_side_by_side() {
        let header = |name: &str, value: &str| (Arc::from(name), Arc::from(value));
        let style = DenialStyle {
            headers: vec![
                header("content-type", "text/html"),
                header("www-authenticate", "Basic"),
                header("x-a", "1"),
                header("www-authenticate", "DPoP"),
                header("x-a", "2"),
            ],
            ..DenialStyle::default()
        };
        let denied = render(Reason::MissingToken, &style, None, false, DecisionId(1));
        let want = [
            ("www-authenticate", "Bearer realm=\"tollgate\""),
            ("cache-control", "no-store"),
            ("content-type", "text/html"),
            ("www-authenticate", "Basic"),
            ("www-authenticate", "DPoP"),
            ("x-a", "2"),
        ];
        assert_eq!(denied.headers().iter().collect::<Vec<_>>(), want);
    }
}
