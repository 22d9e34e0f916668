//! What an endpoint answered instead of what it was asked for, for people.

use std::fmt;

use http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::net::Fetched;

/// Longest code and content type that are kept, in characters.
const MAX_WORD: usize = 100;
/// Longest description that is kept, in characters.
const MAX_DESCRIPTION: usize = 16 << 10;

/// An answer that is not the one that was asked for. Its texts are the provider's: whoever shows them makes them safe to
/// look at, and takes out what they repeat of tokens and secrets. `Debug` leaves them out.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: Option<Box<str>>,
    /// `error` (RFC 6749 §5.2).
    pub error: Option<Box<str>>,
    /// `error_description`.
    pub description: Option<Box<str>>,
}

impl Refusal {
    /// Reads an answer, whatever it is.
    pub fn of(answer: &Fetched) -> Self {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = |name: &str, chars: usize| Some(body.get(name)?.as_str()?.chars().take(chars).collect());
        let content_type = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Self {
            status: answer.status.as_u16(),
            content_type: content_type.map(|text| text.chars().take(MAX_WORD).collect()),
            error: text("error", MAX_WORD),
            description: text("error_description", MAX_DESCRIPTION),
        }
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal").field("status", &self.status).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::*;

    #[test]
    fn answers_of_any_kind_are_read_and_not_debugged() {
        let answer = |body: &'static str| Fetched {
            status: StatusCode::BAD_REQUEST,
            headers: HeaderMap::from_iter([(CONTENT_TYPE, "text/html".parse().unwrap())]),
            body: Bytes::from_static(body.as_bytes()),
        };
        let refusal = Refusal::of(&answer(r#"{"error":"invalid_request","error_description":"hunter2 is wrong"}"#));
        assert_eq!(refusal.error.as_deref(), Some("invalid_request"));
        assert_eq!(refusal.description.as_deref(), Some("hunter2 is wrong"));
        assert_eq!(refusal.content_type.as_deref(), Some("text/html"));
        assert!(!format!("{refusal:?}").contains("hunter2"));
        for body in ["", "<html>", "[]", r#"{"error":7}"#] {
            let refusal = Refusal::of(&answer(body));
            assert_eq!((refusal.status, refusal.error, refusal.description), (400, None, None), "{body}");
        }
    }
}
