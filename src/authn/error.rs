//! Why a credential is not accepted, and how what it said is shown to operators.

use crate::core::reason::Reason;

/// Why a request's credential is not accepted. `detail` is for the operator's eyes (explain, `token`), never for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct AuthnError {
    /// The reason of the denial.
    pub reason: Reason,
    /// What exactly was seen and wanted; holds no token and no secret.
    pub detail: String,
}

impl AuthnError {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// Longest piece of a sender's text that is shown.
const SHOWN_CHARS: usize = 80;

/// A sender's text for people: cut short, and in ASCII, so that it moves no cursor and ends no log line.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::from("`");
    for c in text.chars().take(SHOWN_CHARS) {
        out.extend(c.escape_default());
    }
    if text.chars().nth(SHOWN_CHARS).is_some() {
        out.push('…');
    }
    out.push('`');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_senders_text_is_shown_short_and_plain() {
        assert_eq!(shown("at+jwt"), "`at+jwt`");
        assert_eq!(shown("a\x1b[31m\r\n\u{202e}b"), "`a\\u{1b}[31m\\r\\n\\u{202e}b`");
        assert_eq!(shown(&"x".repeat(10_000)).chars().count(), SHOWN_CHARS + 3);
    }
}
