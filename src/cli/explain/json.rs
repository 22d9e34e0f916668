//! An explanation as JSON. `docs/explain.md` describes each member; a test holds the two to each other.

use serde_json::{Map, Value, json};

use super::rules::{Missed, Rules, Shown, criterion, direction};
use crate::authn::explain::{Credential, Report};
use crate::authn::stated::Stated;
use crate::authn::trace;
use crate::cli::token::report::{identity, shown};
use crate::core::answer::{Answer, Verdict};
use crate::core::observer::RequirementName;
use crate::engine::explain::{Alternative, Explanation, Judged, Outcome};

/// Grows with each change that a reader could stumble over.
const VERSION: u32 = 1;

pub(super) fn whole(explanation: &Explanation, rules: &Rules, stated: Option<&Stated>) -> Value {
    json!({
        "version": VERSION,
        "at": shown(explanation.at),
        "request": request(explanation),
        "rules": {
            "total": rules.total,
            "considered": rules.shown.iter().map(rule).collect::<Vec<_>>(),
            "others": rules.others,
        },
        "token": explanation.credential.as_ref().map(|credential| token(credential, stated)),
        "requirements": explanation.requirements.iter().map(requirement).collect::<Vec<_>>(),
        "upstream_token": explanation.upstream_token.as_ref().map(|token| json!({
            "name": &*token.name,
            "grant": if token.exchanged { "exchange" } else { "client_credentials" },
        })),
        "answer": answer(&explanation.answer, explanation.upstream_token.as_ref().map(|token| &*token.name)),
        "notes": explanation.notes,
    })
}

fn request(explanation: &Explanation) -> Value {
    match &explanation.request {
        Ok(read) => json!({
            "direction": direction(read.direction),
            "method": read.method,
            "host": read.host,
            "path": read.path,
            "caller": read.caller.as_ref().ok(),
            "error": null,
        }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

fn rule(shown: &Shown) -> Value {
    let missed =
        |Missed { part, of, wanted, seen }: &Missed| json!({ "part": part, "of": of, "wanted": wanted, "seen": seen });
    json!({
        "rule": shown.name,
        "preflight": shown.preflight,
        "standing": shown.standing,
        "by": shown.by.map(criterion),
        "misses": shown.misses.iter().map(missed).collect::<Vec<_>>(),
    })
}

fn token(credential: &Credential, stated: Option<&Stated>) -> Value {
    match credential {
        Credential::Absent => json!({ "state": "absent" }),
        Credential::Unreadable(error) => {
            json!({ "state": "unreadable", "reason": error.reason.code(), "detail": error.detail })
        }
        Credential::Judged { header, report } => judged(header, report, stated),
    }
}

fn judged(header: &str, report: &Report, stated: Option<&Stated>) -> Value {
    let check = |(check, outcome): &(trace::Check, trace::Outcome)| {
        let (outcome, detail) = match outcome {
            trace::Outcome::Passed(detail) => ("passed", Some(detail.as_str())),
            trace::Outcome::Failed(error) => ("failed", Some(error.detail.as_str())),
            trace::Outcome::NotReached => ("not_reached", None),
        };
        json!({ "check": check.as_str(), "outcome": outcome, "detail": detail })
    };
    let error = report.result.as_ref().err();
    json!({
        "state": if error.is_none() { "accepted" } else { "refused" },
        "reason": error.map(|error| error.reason.code()),
        "detail": error.map(|error| error.detail.as_str()),
        "header": header,
        "issuer": report.issuer.as_deref(),
        "stated": stated.is_some(),
        "added": stated.map(|stated| &stated.added),
        "checks": report.steps.iter().map(check).collect::<Vec<_>>(),
        "claims": report.claims,
        "introspection": report.introspected,
        "identity": report.result.as_ref().ok().map(|principal| identity(principal).collect::<Map<_, _>>()),
    })
}

fn requirement(judged: &Judged) -> Value {
    let (outcome, reason) = match judged.outcome {
        Outcome::Met => ("met", None),
        Outcome::NotMet(reason) => ("not_met", Some(reason.code())),
        Outcome::NotReached => ("not_reached", None),
    };
    let alternative = |Alternative { any, all, met, missing }: &Alternative| json!({ "any": any, "all": all, "met": met, "missing": missing });
    json!({
        "requirement": name(&judged.name),
        "of": judged.of,
        "outcome": outcome,
        "reason": reason,
        "wanted": judged.wanted,
        "seen": judged.seen,
        "alternatives": judged.alternatives.iter().map(alternative).collect::<Vec<_>>(),
    })
}

/// A requirement's name, as the configuration has it.
pub(super) fn name(name: &RequirementName) -> &'static str {
    match name {
        RequirementName::Audience => "audience",
        RequirementName::Caller => "caller",
        RequirementName::Scopes => "scopes",
        RequirementName::Roles => "roles",
        RequirementName::Claim(_) => "claim",
        RequirementName::Header(_) => "header",
    }
}

fn answer(answer: &Answer, upstream_token: Option<&str>) -> Value {
    let header = |(name, value): (&str, &str)| json!({ "name": name, "value": value });
    let mut shown = json!({
        "allowed": answer.reason.allows(),
        "reason": answer.reason.code(),
        "fault": answer.reason.fault().as_str(),
        "rule": answer.rule.as_ref().map(|rule| &*rule.name),
    });
    let more = match &answer.verdict {
        Verdict::Allow(allowed) => json!({
            "status": 200,
            "set": allowed.set().map(header).collect::<Vec<_>>(),
            "set_token": upstream_token.filter(|_| allowed.bearer().is_some()),
            "remove": allowed.remove().collect::<Vec<_>>(),
            "response_headers": allowed.response_headers().map(header).collect::<Vec<_>>(),
        }),
        Verdict::Deny(denied) => json!({
            "status": denied.http_status(),
            "response_headers": denied.headers().iter().map(header).collect::<Vec<_>>(),
            "body": denied.body(),
        }),
    };
    if let (Value::Object(shown), Value::Object(more)) = (&mut shown, more) {
        shown.extend(more);
    }
    shown
}
