//! What a case expects, held to what was decided.

use crate::core::answer::{AllowedRequest, Verdict};
use crate::core::reason::Reason;
use crate::engine::explain::Explanation;

/// What is expected of a decision; of what is not said, anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// Whether the request is let through.
    pub allowed: Option<bool>,
    /// Why, or why not.
    pub reason: Option<Reason>,
    /// The rule that answers; `Some(None)` for none.
    pub rule: Option<Option<String>>,
    /// The HTTP status.
    pub status: Option<u16>,
    /// Headers of the request as the upstream gets it, by their names in lower case.
    pub headers: Vec<(String, Wanted)>,
    /// Headers of the response that the client gets, by their names in lower case.
    pub response_headers: Vec<(String, Wanted)>,
    /// The token that the upstream gets instead of the caller's; `Some(None)` for none.
    pub upstream_token: Option<Option<String>>,
}

/// What is expected of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It has this value.
    Value(String),
    /// The upstream gets none, whatever the client sends; the client gets none.
    Absent,
}

/// One thing that was expected, and what came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Which.
    pub what: String,
    /// What was expected.
    pub expected: String,
    /// What came.
    pub got: String,
    /// Whether it is a header.
    header: bool,
}

impl Compared {
    /// Whether it came as expected.
    pub fn agrees(&self) -> bool {
        self.expected == self.got
    }

    /// Whether it is a header, of the request or of the response.
    pub fn is_header(&self) -> bool {
        self.header
    }
}

const ABSENT: &str = "absent";

impl Expect {
    /// Holds what was expected to a decision: each thing, in a fixed order.
    pub fn compare(&self, explanation: &Explanation) -> Vec<Compared> {
        let answer = &explanation.answer;
        let mut all = Vec::new();
        let mut compare = |what: &str, expected: String, got: String| {
            all.push(Compared { what: what.to_owned(), expected, got, header: false });
        };
        if let Some(allowed) = self.allowed {
            compare("decision", decision(allowed).to_owned(), decision(answer.reason.allows()).to_owned());
        }
        if let Some(reason) = self.reason {
            compare("reason", reason.code().to_owned(), answer.reason.code().to_owned());
        }
        if let Some(rule) = &self.rule {
            compare("rule", named(rule.as_deref()), named(answer.rule.as_ref().map(|rule| &*rule.name)));
        }
        if let Some(status) = self.status {
            let got = match &answer.verdict {
                Verdict::Allow(_) => Reason::Allowed.http_status(),
                Verdict::Deny(denied) => denied.http_status(),
            };
            compare("status", status.to_string(), got.to_string());
        }
        if let Some(token) = &self.upstream_token {
            let got = explanation.upstream_token.as_ref().map(|token| &*token.name);
            compare("upstream_token", named(token.as_deref()), named(got));
        }
        for (name, wanted) in &self.headers {
            let got = match &answer.verdict {
                Verdict::Allow(allowed) => at_upstream(allowed, name, explanation),
                Verdict::Deny(_) => "nothing: the request is denied".to_owned(),
            };
            all.push(Compared { what: format!("header {name}"), expected: wanted.shown(), got, header: true });
        }
        for (name, wanted) in &self.response_headers {
            let got = match &answer.verdict {
                Verdict::Allow(allowed) => joined(allowed.response_headers(), name),
                Verdict::Deny(denied) => joined(denied.headers().iter(), name),
            };
            all.push(Compared { what: format!("response header {name}"), expected: wanted.shown(), got, header: true });
        }
        all
    }
}

impl Wanted {
    /// For people. A value stands in backticks, so that none looks like a header that is not there.
    fn shown(&self) -> String {
        match self {
            Self::Value(value) => quoted(value),
            Self::Absent => ABSENT.to_owned(),
        }
    }
}

const fn decision(allowed: bool) -> &'static str {
    if allowed { "allow" } else { "deny" }
}

fn named(name: Option<&str>) -> String {
    name.map_or_else(|| "none".to_owned(), quoted)
}

fn quoted(text: &str) -> String {
    format!("`{text}`")
}

/// What the upstream gets under a name.
fn at_upstream(allowed: &AllowedRequest, name: &str, explanation: &Explanation) -> String {
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    if let (Some(token), Some(_)) = (&explanation.upstream_token, allowed.bearer())
        && is("authorization")
    {
        return format!("the token `{}`", token.name);
    }
    if let Some((_, value)) = allowed.set().find(|(known, _)| is(known)) {
        return quoted(value);
    }
    if allowed.remove().any(is) { ABSENT.to_owned() } else { "whatever the client sends".to_owned() }
}

fn joined<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>, name: &str) -> String {
    let values: Vec<&str> =
        headers.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect();
    if values.is_empty() { ABSENT.to_owned() } else { quoted(&values.join(", ")) }
}
