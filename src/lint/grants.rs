//! What rules ask of tokens, and whether the issuers' tokens can have it.

use super::policy::{Policy, listed, requirements};
use super::{Code, Finding};
use crate::authn::spec::{IssuerSpec, TokenFormat};
use crate::config::written::Spot;
use crate::core::caller::SpiffePattern;
use crate::core::inject::Placeholder;
use crate::core::rule::{AnyAll, AudienceRequirement, CallerRequirement, Requirements};
use crate::core::table::RuleSpec;

pub(super) fn find(policy: &Policy<'_>, findings: &mut Vec<Finding>) {
    for (_, spec, spot) in policy.rules() {
        if let Some(caller) = spec.rule.effect.action.caller() {
            redundant_callers(policy, &spot, caller, findings);
        }
        let Some(wanted) = requirements(spec) else { continue };
        let issuers: Vec<&IssuerSpec> = policy.issuers(&wanted.issuers).collect();
        if issuers.is_empty() {
            continue;
        }
        never_granted(policy, &spot, wanted, &issuers, findings);
        no_value(&spot, spec, &issuers, findings);
        if wanted.audience == AudienceRequirement::Unchecked {
            let opaque = issuers.iter().any(|issuer| issuer.tokens != TokenFormat::Jwt);
            let more = if opaque { ", perhaps even a refresh token, which some providers call active" } else { "" };
            let message = format!("a token of {} will do, whomever it was meant for{more}", names(&issuers));
            findings.push(Finding::new(Code::AudienceUnchecked, &policy.required_at(&spot, "audience"), message));
        }
    }
}

fn names(issuers: &[&IssuerSpec]) -> String {
    listed(&issuers.iter().map(|issuer| &*issuer.name).collect::<Vec<_>>())
}

/// Roles and scopes that no token of the issuers can show.
fn never_granted(
    policy: &Policy<'_>,
    spot: &Spot<'_>,
    wanted: &Requirements,
    issuers: &[&IssuerSpec],
    findings: &mut Vec<Finding>,
) {
    let mut tell = |key: &str, message: String| {
        findings.push(Finding::new(Code::NeverGranted, &policy.required_at(spot, key), message));
    };
    if !wanted.roles.is_empty() && issuers.iter().all(|issuer| issuer.claims.roles.is_empty()) {
        tell("roles", format!("roles are asked for, and no claim of {} is said to hold any", names(issuers)));
    }
    if !wanted.scopes.is_empty() && issuers.iter().all(|issuer| issuer.claims.scopes.is_empty()) {
        tell("scopes", format!("scopes are asked for, and no claim of {} is said to hold any", names(issuers)));
    } else if !wanted.scopes.is_empty()
        && wanted.scopes.iter().all(needs_star)
        && issuers.iter().all(|issuer| issuer.wildcard_scope.is_none())
    {
        tell(
            "scopes",
            format!("the scope `*` is never taken for a plain name, and {} has no `wildcard_scope`", names(issuers)),
        );
    }
}

fn needs_star(AnyAll { any, all }: &AnyAll) -> bool {
    all.iter().any(|scope| &**scope == "*") || (!any.is_empty() && any.iter().all(|scope| &**scope == "*"))
}

/// Headers whose template needs what no token of the issuers can show.
fn no_value(spot: &Spot<'_>, spec: &RuleSpec, issuers: &[&IssuerSpec], findings: &mut Vec<Finding>) {
    for header in &spec.rule.effect.injection.headers {
        let lacking = header.template.placeholders().find_map(|placeholder| {
            let (name, has): (_, fn(&IssuerSpec) -> bool) = match placeholder {
                Placeholder::Client => ("client", |issuer| !issuer.claims.client.is_empty()),
                Placeholder::Service => ("service", |issuer| issuer.claims.service.is_some()),
                Placeholder::Tenant => ("tenant", |issuer| issuer.claims.tenant.is_some()),
                Placeholder::Scopes(_) => ("scopes", |issuer| !issuer.claims.scopes.is_empty()),
                Placeholder::Roles(_) => ("roles", |issuer| !issuer.claims.roles.is_empty()),
                Placeholder::Subject
                | Placeholder::Issuer
                | Placeholder::Caller
                | Placeholder::Audience(_)
                | Placeholder::Claim(_)
                | Placeholder::PathParameter(_)
                | Placeholder::Claims => return None,
            };
            (!issuers.iter().any(|issuer| has(issuer))).then_some(name)
        });
        let Some(name) = lacking else { continue };
        let effect =
            if header.required { "and it is required: every request is refused" } else { "so it is never set" };
        let message = format!(
            "the header `{}` needs `{{{name}}}`, which no claim of {} is said to hold, {effect}",
            header.name,
            names(issuers)
        );
        let inject = spot.key("inject");
        let written = inject.keys().find(|written| written.eq_ignore_ascii_case(&header.name));
        let place = written.map_or_else(|| inject.clone(), |written| inject.key(written));
        findings.push(Finding::new(Code::NoValue, &place, message));
    }
}

/// Callers that another pattern of the same list accepts already.
fn redundant_callers(policy: &Policy<'_>, spot: &Spot<'_>, caller: &CallerRequirement, findings: &mut Vec<Finding>) {
    let mut below: Vec<&str> = Vec::new();
    for pattern in &caller.spiffe {
        if let SpiffePattern::Below(prefix) = pattern {
            below.push(prefix);
        }
    }
    for (at, pattern) in caller.spiffe.iter().enumerate() {
        let (SpiffePattern::Exact(text) | SpiffePattern::Below(text)) = pattern;
        let wider = below.iter().find(|prefix| text.len() > prefix.len() && text.starts_with(**prefix));
        let Some(wider) = wider else { continue };
        let list = policy.required_at(spot, "caller").key("spiffe");
        let place = list.item(at).unwrap_or(list);
        let message = format!("`{}` is one of `{wider}**`, which stands beside it", text.trim_end_matches('/'));
        findings.push(Finding::new(Code::RedundantCaller, &place, message));
    }
}
