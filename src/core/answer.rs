//! What a decision says to the proxy, still free of wire types. An [`Answer`] is the one value from which a
//! `CheckResponse`, a metric, a log line and `explain` are made.

use std::fmt;
use std::sync::Arc;

use super::guard::AUTHORIZATION;
use super::header_list::HeaderList;
use super::principal::Principal;
use super::reason::Reason;
use super::rule::Rule;
use super::trail::Trail;
use crate::secret::Secret;

/// Names one decision: in the denial's body, dynamic metadata and logs. 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DecisionId(pub u128);

impl DecisionId {
    /// Its one spelling: 32 hexadecimal digits, lower case.
    pub fn hex(self) -> DecisionIdHex {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
        let mut text = [b'0'; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
        }
        DecisionIdHex(text)
    }
}

/// The text of a [`DecisionId`], without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct DecisionIdHex([u8; 32]);

impl DecisionIdHex {
    /// The text.
    pub fn as_str(&self) -> &str {
        // Hexadecimal digits are always text.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.hex().as_str())
    }
}

impl fmt::Debug for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The outcome of one Check.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its name.
    pub decision_id: DecisionId,
    /// Why.
    pub reason: Reason,
    /// The rule that answered; `None` where none matched or the request was malformed.
    pub rule: Option<Arc<Rule>>,
    /// Whom the verified token speaks for; on denials, too, once it was verified.
    pub principal: Option<Arc<Principal>>,
    /// What Envoy called the peer, where it authenticated one.
    pub caller: Option<Box<str>>,
    /// What Envoy is to do.
    pub verdict: Verdict,
    /// How it came about.
    pub trail: Trail,
}

/// What Envoy is to do with the request. Built by [`super::decide`] and `core::denial` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it on.
    Allow(AllowedRequest),
    /// Answer the client.
    Deny(DeniedResponse),
}

/// Changes to a request that is sent on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedRequest {
    pub(super) set: HeaderList,
    pub(super) bearer: Option<Secret>,
    /// Names that go from every request, but for what is set or kept; shared between answers.
    pub(super) guarded: Arc<[Arc<str>]>,
    /// The one of them whose credential was verified and travels on.
    pub(super) kept: Option<Arc<str>>,
    /// Names that go from this request.
    pub(super) disguised: Vec<Box<str>>,
    pub(super) response_headers: Arc<[(Arc<str>, Arc<str>)]>,
}

impl AllowedRequest {
    /// Sets these headers, removes those of these names that it does not set, and adds headers to the response.
    pub fn new(set: HeaderList, guarded: Arc<[Arc<str>]>, response_headers: Arc<[(Arc<str>, Arc<str>)]>) -> Self {
        Self { set, guarded, response_headers, ..Self::default() }
    }

    /// Also sets a bearer token that the gate obtained, in the place of whatever the request carried.
    #[must_use]
    pub fn with_bearer(self, token: Secret) -> Self {
        Self { bearer: Some(token), ..self }
    }

    /// Request headers to set, over whatever the client sent.
    pub fn set(&self) -> impl Iterator<Item = (&str, &str)> {
        // One header has one value: the token's.
        self.set.iter().filter(|(name, _)| !self.is_bearers(name))
    }

    /// The bearer token to set as `authorization`, over whatever the client sent.
    pub fn bearer(&self) -> Option<&Secret> {
        self.bearer.as_ref()
    }

    /// Request headers to remove. None of them is set: Envoy removes last.
    pub fn remove(&self) -> impl Iterator<Item = &str> {
        let kept = |name: &str| self.kept.as_deref() == Some(name);
        let guarded = self.guarded.iter().map(|name| &**name).filter(move |name| !kept(name));
        let names = guarded.chain(self.disguised.iter().map(|name| &**name));
        names.filter(|name| !self.set.contains(name) && !self.is_bearers(name))
    }

    /// Headers for the response to the client.
    pub fn response_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.response_headers.iter().map(|(name, value)| (&**name, &**value))
    }

    fn is_bearers(&self, name: &str) -> bool {
        self.bearer.is_some() && name.eq_ignore_ascii_case(AUTHORIZATION)
    }
}

/// The response that the client gets instead of the upstream's. Its status is never 2xx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeniedResponse {
    pub(crate) http_status: u16,
    pub(crate) headers: HeaderList,
    pub(crate) body: String,
}

impl DeniedResponse {
    /// 400–599.
    pub fn http_status(&self) -> u16 {
        self.http_status
    }

    /// Response headers, `www-authenticate` and `content-type` among them.
    pub fn headers(&self) -> &HeaderList {
        &self.headers
    }

    /// The body: `application/problem+json`, the operator's own, or plain text for gRPC.
    pub fn body(&self) -> &str {
        &self.body
    }
}
