//! Tokens that the gate obtains: tried once each, and shown by their claims.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::finding::{Finding, rounded};
use super::mask::Mask;
use super::remedy::{self, Ask};
use crate::clock::Timestamp;
use crate::outbound::spec::{Grant, TokenSpec};
use crate::outbound::{Subject as SubjectToken, TokenSource, TrialError, TriedOut};

/// Why an exchange is not tried.
#[derive(Clone, Debug)]
pub(super) enum NotTried {
    /// No token was given for it.
    NoSubject,
    /// The one that was given is refused; how, in words.
    Refused(String),
}

/// Obtains a token, aside from everything.
pub(super) async fn examine(
    source: &Arc<TokenSource>,
    subject: Result<SubjectToken<'_>, NotTried>,
    now: Timestamp,
    mask: &Mask,
) -> Vec<Finding> {
    let spec = source.spec();
    let (ask, subject) = match (&spec.grant, subject) {
        (Grant::ClientCredentials(_), _) => (Ask::ClientCredentials, None),
        (Grant::Exchange(_), Ok(subject)) => (Ask::Exchange, Some(subject)),
        (Grant::Exchange(_), Err(NotTried::NoSubject)) => {
            return vec![Finding::skipped(
                "the exchange was not tried: it takes a user's token",
                "put one that callers send into a file, and name it by `--subject-token FILE`",
            )];
        }
        (Grant::Exchange(_), Err(NotTried::Refused(why))) => {
            return vec![Finding::skipped(
                format!("the exchange was not tried: the gate refuses the subject token ({why})"),
                "`tollgate token` shows each check; give a fresh token of an issuer of this configuration",
            )];
        }
    };
    let began = Instant::now();
    let tried = source.try_out(subject).await;
    let took = rounded(began.elapsed());
    match tried {
        Ok(tried) => {
            let claims = tried.claims.as_ref().map(|claims| mask.claims(claims));
            let text = format!("obtained ({took}): {}", described(&tried, claims.as_ref(), now, mask));
            let mut findings = vec![Finding::fine(text).showing(claims)];
            findings.extend(lifetime(spec, &tried, now));
            findings.extend(scopes(spec, &tried, mask));
            findings
        }
        Err(failed) => vec![failure(&failed, ask, &took, mask)],
    }
}

fn failure(failed: &TrialError, ask: Ask, took: &str, mask: &Mask) -> Finding {
    let TrialError { error, call, refusal, claims } = failed;
    let (text, remedy) = match (call, refusal) {
        (Some(call), _) => (call.to_string(), remedy::of_call(call)),
        (None, Some(refusal)) => (
            format!("the token endpoint refuses: {}", mask.refusal(refusal)),
            remedy::of_refusal(refusal, ask).to_owned(),
        ),
        (None, None) => (
            mask.text(&error.detail),
            "the gate sends no such token: compare it with `audience`, `expect_audience`, `scopes` and `also_granted`"
                .to_owned(),
        ),
    };
    let text = format!("not obtained ({took}): {text}; requests are denied with `{}`", error.reason);
    Finding::fault(text, remedy).showing(claims.as_ref().map(|claims| mask.claims(claims)))
}

/// What came, in a line.
fn described(tried: &TriedOut, claims: Option<&Map<String, Value>>, now: Timestamp, mask: &Mask) -> String {
    let mut parts = vec![match (claims, &tried.verified_by) {
        (None, _) => format!("opaque, {} bytes", tried.bytes),
        (Some(_), Some(issuer)) => {
            format!("a JWT of {} bytes, verified with the keys of issuer `{issuer}`", tried.bytes)
        }
        (Some(_), None) => {
            format!("a JWT of {} bytes, not verified (its `iss` is no issuer of this configuration)", tried.bytes)
        }
    }];
    if let Some(claims) = claims {
        parts.extend(["aud", "azp"].map(|name| match claims.get(name) {
            Some(value) => format!("{name} {}", mask.text(&words(value))),
            None => format!("no {name}"),
        }));
    }
    parts.push(match granted(tried) {
        Some(names) => format!("scope {}", mask.text(&words(&Value::from(names)))),
        None => "no scope named".to_owned(),
    });
    parts.push(match tried.expires_at {
        Some(at) => format!("expires in {}", humantime::format_duration(Duration::from_secs(at.since(now).as_secs()))),
        None => "no expiry".to_owned(),
    });
    parts.join("; ")
}

/// A claim on one line: `a, b` or JSON.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        value => value.to_string(),
    }
}

/// The scopes, by the token where it says so, else by the answer.
fn granted(tried: &TriedOut) -> Option<Vec<String>> {
    let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let claim = tried.claims.as_ref().and_then(|claims| claims.get("scope").or_else(|| claims.get("scp")));
    match claim {
        Some(Value::String(text)) => Some(list(text)),
        Some(Value::Array(items)) => Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        Some(_) | None => tried.scope.as_deref().map(list),
    }
}

/// What its lifetime means for how often it is asked for.
fn lifetime(spec: &TokenSpec, tried: &TriedOut, now: Timestamp) -> Option<Finding> {
    let left = tried.expires_at.map(|at| at.since(now));
    let seconds = |duration: Duration| humantime::format_duration(Duration::from_secs(duration.as_secs()));
    match (&spec.grant, left) {
        (Grant::ClientCredentials(_), None) => Some(Finding::warning(
            "it does not say when it expires: it is fetched anew every few minutes",
            "have the provider send `expires_in`",
        )),
        (Grant::ClientCredentials(grant), Some(left)) if left / 3 < grant.refresh_ahead => Some(Finding::warning(
            format!(
                "it lives {}: the next one is fetched {} before its end, not `refresh.ahead` ({})",
                seconds(left),
                seconds(left / 3),
                seconds(grant.refresh_ahead)
            ),
            "lower `refresh.ahead` to a third of its life, or have the provider issue it for longer",
        )),
        (Grant::Exchange(_), None) => Some(Finding::warning(
            "it does not say when it expires: it is not cached, and each request is an exchange",
            "have the provider send `expires_in`",
        )),
        (Grant::Exchange(grant), Some(left)) if left <= grant.cache.margin => Some(Finding::warning(
            format!(
                "it lives {}, no longer than `cache.margin` ({}): each request is an exchange",
                seconds(left),
                seconds(grant.cache.margin)
            ),
            "have the provider issue it for longer, or lower `cache.margin`",
        )),
        (Grant::ClientCredentials(_) | Grant::Exchange(_), Some(_)) => None,
    }
}

/// Where other scopes came than were asked for.
fn scopes(spec: &TokenSpec, tried: &TriedOut, mask: &Mask) -> Option<Finding> {
    if spec.scopes.is_empty() {
        return None;
    }
    let asked = spec.scopes.join(" ");
    let Some(granted) = granted(tried) else {
        return Some(Finding::warning(
            format!("scopes were asked for ({asked}), and neither answer nor token names any"),
            "some providers leave out what they do not grant: are the scopes assigned to the client?",
        ));
    };
    let expected = |name: &String| spec.scopes.iter().chain(&spec.also_granted).any(|known| **known == **name);
    let all_there = spec.scopes.iter().all(|name| granted.iter().any(|granted| **granted == **name));
    let differs = !all_there || !granted.iter().all(expected);
    differs.then(|| {
        Finding::warning(
            format!("scopes differ: asked for {asked}, granted {}", mask.text(&granted.join(" "))),
            "assign the scopes to the client at the provider, or mend `scopes` and `also_granted`",
        )
    })
}
