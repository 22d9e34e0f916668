//! The ways in which a provider fails.

use serde_json::{Value, json};

use crate::http::{Answer, http, status_json};

/// A way in which a provider fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Killed,
    Hanging,
    Status500,
    Html,
    HalfABody,
    FiftyMegabytes,
    WrongContentType,
    Redirect,
    WrongIssuer,
    EmptyKeySet,
}

impl Fault {
    pub(crate) const ALL: [Self; 10] = [
        Self::Killed,
        Self::Hanging,
        Self::Status500,
        Self::Html,
        Self::HalfABody,
        Self::FiftyMegabytes,
        Self::WrongContentType,
        Self::Redirect,
        Self::WrongIssuer,
        Self::EmptyKeySet,
    ];

    /// Whether the way to the provider is broken, or it says so itself: what opens breakers and lets old answers serve.
    pub(crate) fn is_down(self) -> bool {
        matches!(self, Self::Killed | Self::Hanging | Self::Status500 | Self::HalfABody)
    }

    /// What becomes of a good answer. A redirect leads to where that answer is.
    pub(crate) fn spoil(self, path: &str, good: &Value, elsewhere: &str) -> Answer {
        let json_type = "Content-Type: application/json";
        let body = good.to_string();
        match self {
            Self::Killed => Answer::HangUp,
            Self::Hanging => Answer::Stall(Vec::new()),
            Self::Status500 => status_json(500, good),
            Self::Html => Answer::Bytes(http(200, &["Content-Type: text/html"], "<html><h1>It works!</h1></html>")),
            Self::HalfABody => {
                let whole = http(200, &[json_type], &body);
                Answer::Bytes(whole[..whole.len() - body.len() / 2].to_vec())
            }
            Self::FiftyMegabytes => {
                let head = format!("HTTP/1.1 200 X\r\n{json_type}\r\nContent-Length: 50000000\r\n\r\n{body}");
                Answer::Endless(head.into_bytes(), vec![b' '; 0x1_0000])
            }
            Self::WrongContentType => Answer::Bytes(http(200, &["Content-Type: text/plain"], body)),
            Self::Redirect => Answer::Bytes(http(307, &[&format!("Location: {elsewhere}{path}")], body)),
            Self::WrongIssuer => {
                let mut other = good.clone();
                let name = if path.starts_with("/.well-known/") { "issuer" } else { "iss" };
                if let Some(issuer) = other.get_mut(name) {
                    *issuer = json!("https://other.example");
                }
                crate::http::json(&other)
            }
            Self::EmptyKeySet if path == "/jwks" => crate::http::json(&json!({ "keys": [] })),
            Self::EmptyKeySet => crate::http::json(good),
        }
    }
}
