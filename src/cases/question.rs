//! A request and who sends it: what can be decided on.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::credential::{Given, Whose};
use super::request;
use super::text::from_now;
use crate::authn::stated::Stated;
use crate::clock::Timestamp;
use crate::core::request::{Direction, Headers};
use crate::engine::explain::{Explainer, Explanation};
use crate::secret::Secret;

/// A request and who sends it.
#[derive(Clone, Debug)]
pub struct Question {
    /// The message that Envoy would send: a `CheckRequest`.
    pub message: Bytes,
    /// The listener that is asked.
    pub direction: Direction,
    /// Who sends it.
    pub sent: Sent,
    /// As of when it is to be decided; `None` for now.
    pub at: Option<Timestamp>,
}

/// Who sends a request.
#[derive(Clone, Debug)]
pub enum Sent {
    /// What it carries itself counts.
    AsItIs,
    /// It carries this token in the place of its own.
    Token {
        /// The token.
        token: Secret,
        /// Whose it is, by name, where that matters.
        issuer: Option<String>,
    },
    /// It carries a token with these claims in the place of its own. Times may be written as spans: `+5m`, `-1h`. A claim that
    /// is null is not there.
    Claims {
        /// What the token says.
        claims: Map<String, Value>,
        /// Whose it is, by name, where that matters.
        issuer: Option<String>,
    },
}

/// What was decided on a question.
#[derive(Debug)]
pub struct Decided {
    /// The decision, and how it was come to.
    pub explanation: Explanation,
    message: Bytes,
    direction: Direction,
    given: Given,
}

impl Question {
    /// Decides on it, as of its own time, or else as of `now`.
    ///
    /// # Errors
    /// In words: a message that the gate does not decide on, an issuer that does not exist, key files that cannot be used.
    pub async fn decide(&self, explainer: &Explainer, now: Timestamp) -> Result<Decided, String> {
        let now = self.at.unwrap_or(now);
        let request = request::read(&self.message, self.direction)?;
        let whose = |name| Whose { name, named_by: "issuer" };
        let given = match &self.sent {
            Sent::AsItIs => Given::Nothing,
            Sent::Token { token, issuer } => {
                Given::token(explainer.issuers(), whose(issuer.as_deref()), token.expose())?
            }
            Sent::Claims { claims, issuer } => {
                Given::claims(explainer.issuers(), whose(issuer.as_deref()), timed(claims, now), now)?.without_nulls()
            }
        };
        let explanation = explainer.explain(given.carried_by(request), given.stated(), now).await;
        let explanation = explanation.map_err(|error| error.messages().join("; "))?;
        Ok(Decided { explanation, message: self.message.clone(), direction: self.direction, given })
    }
}

impl Decided {
    /// The headers of the request, that of its credential among them.
    pub fn headers(&self) -> Headers<'_> {
        let read = request::read(&self.message, self.direction);
        read.map(|request| self.given.carried_by(request).headers).unwrap_or_default()
    }

    /// The claims that stood for a token.
    pub fn stated(&self) -> Option<&Stated> {
        self.given.stated().map(|(stated, _)| stated)
    }
}

/// Claims that are times (RFC 7519 §4.1, OpenID Connect Core §2).
const TIMES: [&str; 4] = ["exp", "nbf", "iat", "auth_time"];

/// The claims, with times that are counted from now in their place.
fn timed(claims: &Map<String, Value>, now: Timestamp) -> Map<String, Value> {
    let mut claims = claims.clone();
    for name in TIMES {
        if let Some(value) = claims.get_mut(name)
            && let Some(time) = value.as_str().and_then(|text| from_now(text, now))
        {
            *value = Value::from(time.as_unix_seconds());
        }
    }
    claims
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spans_become_times_in_claims_that_are_times() {
        let Value::Object(claims) = json!({ "exp": "+5m", "nbf": "-10s", "iat": 7, "sub": "+5m", "auth_time": "noon" })
        else {
            panic!("no object")
        };
        let timed = timed(&claims, Timestamp::from_unix_seconds(1000));
        let want = json!({ "exp": 1300, "nbf": 990, "iat": 7, "sub": "+5m", "auth_time": "noon" });
        assert_eq!(Value::Object(timed), want);
    }
}
