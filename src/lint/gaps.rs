//! Anonymous rules that are wider than they look, and `deny` rules that are narrower.

use super::policy::{Policy, is_anonymous};
use super::{Code, Finding};
use crate::config::written::Spot;
use crate::core::request::Direction;
use crate::core::rule::Action;
use crate::core::table::RuleSpec;
use crate::core::table::algebra::{Region, Stake};

/// Methods that are tried where a rule names its own.
const USUAL: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// Methods that change nothing (RFC 9110 §9.2.1): what everybody may read, not everybody may write.
const SAFE: [&str; 2] = ["GET", "HEAD"];

pub(super) fn find(policy: &Policy<'_>, findings: &mut Vec<Finding>) {
    let rules = || policy.rules().filter(|(_, spec, _)| is_anonymous(spec));
    let anyone = rules().next().is_some();
    let of_hosts = |stake: &&Stake| stake.region.host.is_some() && stake.region.path.is_open() && !stake.preflight;
    let hosted: Vec<&Stake> = rules().flat_map(|(rule, ..)| policy.stakes_of(rule)).filter(of_hosts).collect();
    for (rule, spec, spot) in policy.rules() {
        if matches!(spec.rule.effect.action, Action::Deny) {
            narrow_deny(policy, (rule, &spot), findings);
            deny_by_header(policy, (rule, &spot), findings);
        } else if is_anonymous(spec) {
            wide(spec, &spot, findings);
        } else if anyone && matches!(spec.rule.effect.action, Action::Require(_)) {
            anonymous_gap(policy, (rule, spec, &spot), &hosted, findings);
        }
    }
}

/// A request that is a little different from those of a rule that wants a token, and needs none.
fn anonymous_gap(
    policy: &Policy<'_>,
    (rule, spec, spot): (usize, &RuleSpec, &Spot<'_>),
    hosted: &[&Stake],
    findings: &mut Vec<Finding>,
) {
    for stake in policy.stakes_of(rule).iter().filter(|stake| !stake.preflight) {
        let region = &stake.region;
        let with_slash =
            region.path.with_slash().map(|path| (Region { path, ..region.clone() }, "with a slash at its end"));
        let own = |method: &str| spec.matcher.methods.iter().any(|own| **own == *method);
        let reads = SAFE.iter().any(|method| own(method));
        let methods =
            USUAL.iter().filter(|method| region.method.is_some() && !own(method) && (reads || !SAFE.contains(method)));
        let others =
            methods.map(|method| (Region { method: Some((*method).into()), ..region.clone() }, "by another method"));
        // Hosts come before paths: a rule for one host answers there, however wide its path.
        let wider = |other: &&&Stake| other.region.path.covers(&region.path) && !region.path.covers(&other.region.path);
        let hosted = if region.host.is_none() { hosted } else { &[] };
        let elsewhere = hosted.iter().filter(|other| region.meets(&other.region)).filter(wider);
        let elsewhere = elsewhere.filter_map(|other| region.meet(&other.region));
        let elsewhere = elsewhere.map(|both| (both, "on a host that has rules of its own"));
        for (variant, how) in with_slash.into_iter().chain(others).chain(elsewhere) {
            let Some(sample) = variant.sample() else { continue };
            let Some(open) = policy.answers(&sample) else { continue };
            // Who writes an anonymous rule for the very path means it.
            let means_it =
                |stake: &Stake| !stake.region.path.covers(&region.path) || region.path.covers(&stake.region.path);
            let Some(open_spec) = policy.spec(open).filter(|spec| is_anonymous(spec)) else { continue };
            if policy.stakes_of(open).iter().filter(|stake| stake.region.meets(&variant)).all(means_it) {
                continue;
            }
            let message = format!(
                "what rule `{}` wants a token for can be had without one {how}: the anonymous rule {} answers then",
                spec.rule.name,
                policy.named(open)
            );
            findings
                .push(Finding::new(Code::AnonymousGap, spot, message).with_example(sample, Some(&open_spec.rule.name)));
            return;
        }
    }
}

fn narrow_deny(policy: &Policy<'_>, (rule, spot): (usize, &Spot<'_>), findings: &mut Vec<Finding>) {
    for stake in policy.stakes_of(rule) {
        let Some(path) = stake.region.path.with_slash() else { continue };
        let variant = Region { path, ..stake.region.clone() };
        let Some(sample) = variant.sample() else { continue };
        let Some(open) = policy.answers(&sample) else { continue };
        if policy.stakes_of(open).iter().any(|stake| stake.deny) {
            continue;
        }
        let message = format!(
            "rule `{}` refuses `{}`, and rule {} answers the same with a slash at its end",
            policy.name(rule),
            stake.region.path,
            policy.named(open)
        );
        findings.push(Finding::new(Code::NarrowDeny, spot, message).with_example(sample, Some(policy.name(open))));
        return;
    }
}

fn deny_by_header(policy: &Policy<'_>, (rule, spot): (usize, &Spot<'_>), findings: &mut Vec<Finding>) {
    for stake in policy.stakes_of(rule).iter().filter(|stake| !stake.region.headers.is_empty()) {
        let wider = Region { headers: Vec::new(), ..stake.region.clone() };
        let found = wider.beside(&stake.region).and_then(|sample| {
            let open = policy.answers(&sample)?;
            (!policy.stakes_of(open).iter().any(|stake| stake.deny)).then_some((sample, open))
        });
        let Some((sample, open)) = found else { continue };
        let message = format!(
            "rule `{}` refuses by headers, and with others rule {} answers",
            policy.name(rule),
            policy.named(open)
        );
        let place = spot.key("match").key("headers");
        findings.push(Finding::new(Code::DenyByHeader, &place, message).with_example(sample, Some(policy.name(open))));
        return;
    }
}

fn wide(spec: &RuleSpec, spot: &Spot<'_>, findings: &mut Vec<Finding>) {
    let matcher = &spec.matcher;
    let conditional = !matcher.headers.is_empty() || !matcher.context_extensions.is_empty();
    if matcher.direction == Some(Direction::Outbound) || conditional || !matcher.methods.is_empty() {
        return;
    }
    let matching = spot.key("match");
    let everywhere =
        matcher.paths.is_empty() || matcher.paths.iter().any(|path| path.is_open() && path.words().next().is_none());
    if everywhere && matcher.hosts.is_empty() {
        let message =
            format!("rule `{}` allows every request that no other rule is for, whoever sends it", spec.rule.name);
        findings.push(Finding::new(Code::AnonymousByDefault, spot, message));
    } else if let Some(path) = matcher.paths.iter().find(|path| path.is_open()) {
        let at = matcher.paths.iter().position(|other| other == path).unwrap_or(0);
        let place = matching.find("paths").and_then(|paths| paths.item(at)).unwrap_or(matching);
        let message = format!("rule `{}` allows every method on `{path}` without a token", spec.rule.name);
        findings.push(Finding::new(Code::WideAnonymous, &place, message));
    }
}
