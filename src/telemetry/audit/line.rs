//! One line. `docs/audit.md` says what its fields mean; a test holds the two together.

use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::hmac;

use super::asked::Asked;
use super::json::{Object, write_list, write_texts};
use super::time;
use crate::clock::Timestamp;
use crate::core::answer::{Answer, DecisionId, Verdict};
use crate::core::audit::{Mask, MaskedField, Selection};
use crate::core::decide::wants;
use crate::core::reason::Reason;
use crate::core::request::Direction;
use crate::core::rule::{AnyAll, Rule};
use crate::core::trail::Trail;
use crate::trace_context::{SpanRef, TraceParent};

/// The version of the schema. It changes where a field changes its meaning or goes; new ones may come at any time.
const VERSION: u64 = 1;

/// The fields of a line, in their order.
pub const FIELDS: [&str; 30] = [
    "v",
    "time",
    "decision_id",
    "request_id",
    "trace_id",
    "span_id",
    "generation",
    "direction",
    "method",
    "host",
    "path",
    "caller",
    "rule",
    "outcome",
    "reason",
    "status",
    "issuer",
    "subject",
    "client",
    "service",
    "tenant",
    "audience",
    "scopes",
    "every_scope",
    "wanted_scopes",
    "token",
    "obtained",
    "obtained_by",
    "work",
    "duration_us",
];

/// Most bytes of a path, and of other texts.
const PATH_BYTES: usize = 2048;
const TEXT_BYTES: usize = 512;
const METHOD_BYTES: usize = 32;

/// Most items of a list, and bytes of each.
const LIST: (usize, usize) = (64, 128);

/// What becomes of fields.
#[derive(Debug, Default)]
pub(super) struct Masks {
    masks: [Mask; MaskedField::ALL.len()],
    key: Option<hmac::Key>,
}

impl Masks {
    /// As a configuration has it.
    pub(super) fn of(selection: &Selection) -> Self {
        let key = selection.hash_key.as_ref();
        let key = key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes()));
        Self { masks: selection.masks, key }
    }

    /// Writes a field, or what stands for it. What is to be hashed and has no key is left out.
    fn write(&self, line: &mut Object<'_>, field: MaskedField, text: Option<&str>, most: usize) {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return };
        match (self.masks.get(field as usize), &self.key) {
            (Some(Mask::Keep), _) => line.text(field.as_str(), text, most),
            (Some(Mask::Hash), Some(key)) => {
                let tag = hmac::sign(key, text.as_bytes());
                let mut word = String::with_capacity(40);
                word.push_str("hmac:");
                for byte in tag.as_ref().iter().take(16) {
                    // A String takes whatever is written.
                    let _ = write!(word, "{byte:02x}");
                }
                line.word(field.as_str(), &word);
            }
            (Some(Mask::Omit) | None, _) | (Some(Mask::Hash), None) => {}
        }
    }
}

/// What a line is made of.
#[derive(Debug)]
pub(in crate::telemetry) struct Facts<'f> {
    id: DecisionId,
    reason: Reason,
    answer: Option<&'f Answer>,
    asked: Option<&'f Asked<'f>>,
    direction: Option<Direction>,
    took: Duration,
    /// The decision's own span, where it is traced.
    span: Option<SpanRef>,
}

impl<'f> Facts<'f> {
    /// Of a decision.
    pub(in crate::telemetry) fn of_answer(
        answer: &'f Answer,
        took: Duration,
        asked: Option<&'f Asked<'f>>,
        span: Option<SpanRef>,
    ) -> Self {
        let direction = asked.map(|asked| asked.direction);
        Self { id: answer.decision_id, reason: answer.reason, answer: Some(answer), asked, direction, took, span }
    }

    /// Of a refusal without a look at the request.
    pub(in crate::telemetry) fn of_refusal(
        id: DecisionId,
        reason: Reason,
        direction: Direction,
        took: Duration,
    ) -> Self {
        Self { id, reason, answer: None, asked: None, direction: Some(direction), took, span: None }
    }

    /// Appends the line.
    pub(super) fn write(&self, out: &mut Vec<u8>, masks: &Masks, at: Timestamp) {
        let rule = self.answer.and_then(|answer| answer.rule.as_deref());
        let unknown = Trail::default();
        let trail = self.answer.map_or(&unknown, |answer| &answer.trail);
        let mut line = Object::begin(out);
        line.number("v", VERSION);
        line.field("time", |out| {
            out.push(b'"');
            time::write(out, at);
            out.push(b'"');
        });
        line.word("decision_id", self.id.hex().as_str());
        self.write_request(&mut line, masks, trail);
        if let Some(rule) = rule {
            line.text("rule", &rule.name, TEXT_BYTES);
        }
        line.word("outcome", if self.reason.allows() { "allow" } else { "deny" });
        line.word("reason", self.reason.code());
        if let Some(status) = self.status() {
            line.number("status", status.into());
        }
        self.write_principal(&mut line, masks);
        if let Some(wanted) = rule.and_then(wanted_scopes) {
            line.field("wanted_scopes", |out| write_list(out, wanted, LIST.0, write_alternative));
        }
        if let Some(token) = trail.token {
            line.word("token", DecisionId(token.0).hex().as_str());
        }
        if let Some(obtained) = &trail.obtained {
            line.text("obtained", &obtained.token, TEXT_BYTES);
            line.word("obtained_by", obtained.kind.as_str());
        }
        line.word("work", trail.work.as_str());
        line.number("duration_us", u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX));
        line.end();
        out.push(b'\n');
    }

    fn write_request(&self, line: &mut Object<'_>, masks: &Masks, trail: &Trail) {
        if let Some(id) = self.asked.and_then(|asked| asked.request_id) {
            masks.write(line, MaskedField::RequestId, Some(&String::from_utf8_lossy(id)), TEXT_BYTES);
        }
        let came = || Some(TraceParent::parse(self.asked?.traceparent?)?.span);
        if let Some(SpanRef { trace_id, span_id }) = self.span.or_else(came) {
            line.hex("trace_id", trace_id, 32);
            line.hex("span_id", span_id.into(), 16);
        }
        if trail.generation > 0 {
            line.number("generation", trail.generation);
        }
        match self.direction {
            Some(Direction::Inbound) => line.word("direction", "inbound"),
            Some(Direction::Outbound) => line.word("direction", "outbound"),
            None => {}
        }
        let Some(asked) = self.asked else { return };
        if !asked.method.is_empty() {
            line.text("method", asked.method, METHOD_BYTES);
        }
        masks.write(line, MaskedField::Host, Some(asked.host), TEXT_BYTES);
        masks.write(line, MaskedField::Path, Some(asked.path), PATH_BYTES);
        masks.write(line, MaskedField::Caller, Some(asked.peer), TEXT_BYTES);
    }

    fn write_principal(&self, line: &mut Object<'_>, masks: &Masks) {
        let Some(principal) = self.answer.and_then(|answer| answer.principal.as_deref()) else { return };
        line.text("issuer", principal.issuer(), TEXT_BYTES);
        masks.write(line, MaskedField::Subject, principal.subject(), TEXT_BYTES);
        masks.write(line, MaskedField::Client, principal.client(), TEXT_BYTES);
        masks.write(line, MaskedField::Service, principal.service(), TEXT_BYTES);
        masks.write(line, MaskedField::Tenant, principal.tenant(), TEXT_BYTES);
        line.texts("audience", principal.audience(), LIST);
        line.texts("scopes", principal.scopes(), LIST);
        if principal.has_every_scope() {
            line.field("every_scope", |out| out.extend_from_slice(b"true"));
        }
    }

    /// Of a denial.
    fn status(&self) -> Option<u16> {
        match self.answer.map(|answer| &answer.verdict) {
            Some(Verdict::Allow(_)) => None,
            Some(Verdict::Deny(denied)) => Some(denied.http_status()),
            None => Some(self.reason.http_status()),
        }
    }
}

/// The alternatives of a rule, where scopes matter to it.
fn wanted_scopes(rule: &Rule) -> Option<&[AnyAll]> {
    wants(rule).map(|wanted| &*wanted.scopes).filter(|scopes| !scopes.is_empty())
}

/// `{"any":["a","b"],"all":["c"]}`
fn write_alternative(out: &mut Vec<u8>, wanted: &AnyAll) {
    let mut alternative = Object::begin(out);
    for (name, scopes) in [("any", &wanted.any), ("all", &wanted.all)] {
        if !scopes.is_empty() {
            alternative.field(name, |out| write_texts(out, scopes.iter().map(|scope| &**scope), LIST));
        }
    }
    alternative.end();
}

#[cfg(test)]
mod tests;
