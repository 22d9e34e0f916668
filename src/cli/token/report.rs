//! What `tollgate token` shows. Nothing of the token's making reaches the terminal but as [`Printable`].

use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::authn::issuer::Report;
use crate::authn::trace::Outcome;
use crate::cli::printable::Printable;
use crate::clock::Timestamp;
use crate::core::principal::Principal;

pub(super) fn text(report: &Report, now: Timestamp, out: &mut impl Write) -> io::Result<()> {
    for (title, part) in [("header", &report.header), ("claims", &report.claims)] {
        match part {
            Some(members) => writeln!(out, "{title} {}\n", Printable::lines(&pretty(members)))?,
            None if report.opaque => {}
            None => writeln!(out, "{title} (not readable)\n")?,
        }
    }
    if let Some(members) = &report.introspected {
        writeln!(out, "introspection {}\n", Printable::lines(&pretty(members)))?;
    }
    writeln!(out, "checks, as of {}", shown(now))?;
    for (check, outcome) in &report.steps {
        let (mark, detail) = match outcome {
            Outcome::Passed(detail) => ("ok", detail.as_str()),
            Outcome::Failed(error) => ("FAILED", error.detail.as_str()),
            Outcome::NotReached => ("-", ""),
        };
        let line = format!("  {mark:<7} {:<20} {}", check.as_str(), Printable::line(detail));
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(out)?;
    if let Ok(principal) = &report.result {
        for (name, value) in identity(principal) {
            let value = match &value {
                Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            writeln!(out, "  {name:<11} {}", Printable::line(&value))?;
        }
        writeln!(out)?;
    }
    let issuer = report.issuer.as_deref().map(|issuer| format!(" by issuer `{issuer}`")).unwrap_or_default();
    match &report.result {
        Ok(_) => writeln!(out, "accepted{}", Printable::line(&issuer)),
        Err(error) => {
            let (reason, status) = (error.reason, error.reason.http_status());
            writeln!(out, "refused{}: {reason} (HTTP {status}): {}", Printable::line(&issuer), reason.sentence())
        }
    }
}

pub(super) fn json(report: &Report, now: Timestamp, out: &mut impl Write) -> io::Result<()> {
    let checks: Vec<Value> = report
        .steps
        .iter()
        .map(|(check, outcome)| {
            let (outcome, detail) = match outcome {
                Outcome::Passed(detail) => ("passed", Some(detail.as_str())),
                Outcome::Failed(error) => ("failed", Some(error.detail.as_str())),
                Outcome::NotReached => ("not_reached", None),
            };
            json!({ "check": check.as_str(), "outcome": outcome, "detail": detail })
        })
        .collect();
    let error = report.result.as_ref().err();
    let whole = json!({
        "accepted": error.is_none(),
        "reason": error.map(|error| error.reason.code()),
        "detail": error.map(|error| error.detail.as_str()),
        "issuer": report.issuer.as_deref(),
        "at": shown(now),
        "header": report.header,
        "claims": report.claims,
        "introspection": report.introspected,
        "checks": checks,
        "identity": report.result.as_ref().ok().map(|principal| identity(principal).collect::<Map<_, _>>()),
    });
    writeln!(out, "{}", Printable::lines(&format!("{whole:#}")))
}

fn pretty(members: &Map<String, Value>) -> String {
    // A map of JSON values is always JSON.
    serde_json::to_string_pretty(members).unwrap_or_default()
}

/// What the configuration's mapping finds in the claims, as far as it finds anything.
pub(in crate::cli) fn identity(principal: &Principal) -> impl Iterator<Item = (String, Value)> {
    let text = |text: Option<&str>| text.map(Value::from);
    let list = |list: Vec<&str>| (!list.is_empty()).then(|| Value::from(list));
    let scopes = list(principal.scopes().collect());
    let scopes = if principal.has_every_scope() { Some(Value::from("every scope (wildcard)")) } else { scopes };
    let fixed = [
        ("subject", text(principal.subject())),
        ("client", text(principal.client())),
        ("service", text(principal.service())),
        ("tenant", text(principal.tenant())),
        ("audience", list(principal.audience().collect())),
        ("scopes", scopes),
        ("roles", list(principal.roles().collect())),
    ];
    let mapped = principal.all_mapped().map(|(name, value)| (name.to_owned(), value.clone()));
    fixed.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).chain(mapped)
}

/// RFC 3339 to the second, or seconds where the year has more than four digits.
pub(in crate::cli) fn shown(time: Timestamp) -> String {
    const YEAR_10000: u64 = 253_402_300_800;
    match u64::try_from(time.as_unix_seconds()) {
        Ok(seconds) if seconds < YEAR_10000 => {
            humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
        }
        Ok(_) | Err(_) => format!("{} s", time.as_unix_seconds()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_any_size_are_shown() {
        assert_eq!(shown(Timestamp::from_unix_seconds(1_777_636_800)), "2026-05-01T12:00:00Z");
        assert_eq!(shown(Timestamp::from_unix_seconds(-1)), "-1 s");
        assert_eq!(shown(Timestamp::from_unix_seconds(253_402_300_800)), "253402300800 s");
    }
}
