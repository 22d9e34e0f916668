//! What stands in the configuration without anything that uses it.

use std::collections::{HashMap, HashSet};

use super::policy::{Policy, requirements};
use super::{Code, Finding};
use crate::authn::spec::IssuerClaim;
use crate::config::written::Spot;
use crate::core::request::Direction;
use crate::core::table::algebra::Region;
use crate::core::table::{HeaderCondition, HostPattern, RuleSpec};
use crate::outbound::spec::{ActorSpec, Grant, ProviderRef, TokenSpec};

pub(super) fn find(policy: &Policy<'_>, findings: &mut Vec<Finding>) {
    issuers(policy, findings);
    tokens(policy, findings);
    sets(policy, findings);
    fallbacks(policy, findings);
}

fn issuers(policy: &Policy<'_>, findings: &mut Vec<Finding>) {
    let rules = policy.written.rules.iter().filter_map(requirements);
    let mut used: HashSet<usize> = rules.flat_map(|wanted| wanted.issuers.iter().map(|index| index.0)).collect();
    for token in &policy.config.tokens {
        match &token.provider {
            ProviderRef::Issuer(index) => drop(used.insert(index.0)),
            // It verifies what its namesake hands out.
            ProviderRef::Own(provider) => {
                used.extend(policy.config.issuers.iter().enumerate().filter_map(|(at, issuer)| {
                    let same =
                        matches!(&issuer.issuer, IssuerClaim::Exact(iss) if Some(iss) == provider.issuer.as_ref());
                    same.then_some(at)
                }))
            }
        }
    }
    for (at, issuer) in policy.config.issuers.iter().enumerate().filter(|(at, _)| !used.contains(at)) {
        let Some(spot) = policy.root.key("issuers").find(&issuer.name) else { continue };
        let message = format!(
            "no rule accepts tokens of the issuer `{}`",
            policy.config.issuers.get(at).map_or("", |issuer| &*issuer.name)
        );
        findings.push(Finding::new(Code::UnusedIssuer, &spot, message));
    }
}

fn tokens(policy: &Policy<'_>, findings: &mut Vec<Finding>) {
    let attached = policy.written.rules.iter().filter_map(|spec| spec.rule.effect.upstream_token);
    let acting = policy.config.tokens.iter().filter_map(|token: &TokenSpec| match &token.grant {
        Grant::Exchange(exchange) => match &exchange.actor {
            Some(ActorSpec::Token(index)) => Some(*index),
            Some(ActorSpec::File { .. }) | None => None,
        },
        Grant::ClientCredentials(_) => None,
    });
    let used: HashSet<usize> = attached.chain(acting).map(|index| index.0).collect();
    for (_, token) in policy.config.tokens.iter().enumerate().filter(|(at, _)| !used.contains(at)) {
        let Some(spot) = policy.root.key("tokens").find(&token.name) else { continue };
        findings.push(Finding::new(Code::UnusedToken, &spot, format!("no rule attaches the token `{}`", token.name)));
    }
}

fn sets(policy: &Policy<'_>, findings: &mut Vec<Finding>) {
    let mut used: HashSet<&str> = HashSet::new();
    for (_, _, spot) in policy.rules() {
        let require = spot.key("require");
        used.extend(require.text());
        used.extend(require.find("use").and_then(|name| name.text()));
    }
    let Some(sets) = policy.root.find("requirements") else { return };
    for name in sets.keys().filter(|name| !used.contains(name)) {
        findings.push(Finding::new(Code::UnusedRequirements, &sets.key(name), format!("no rule requires `{name}`")));
    }
}

/// Where rules stand that headers alone tell apart: direction, host, path without the names of parameters, method,
/// extensions.
type Group<'r> =
    (Direction, Option<&'r HostPattern>, (Vec<Option<&'r str>>, bool), Option<&'r str>, &'r [(Box<str>, Box<str>)]);

/// Rules marked `fallback` that compete with none by their headers.
fn fallbacks(policy: &Policy<'_>, findings: &mut Vec<Finding>) {
    if !policy.written.rules.iter().any(|spec| spec.fallback) {
        return;
    }
    let mut groups: HashMap<Group<'_>, Vec<(usize, &[HeaderCondition])>> = HashMap::new();
    for stake in policy.stakes.iter().filter(|stake| !stake.preflight && !stake.deny) {
        groups.entry(group(&stake.region)).or_default().push((stake.rule, &stake.region.headers));
    }
    let competes = |rule: usize| {
        policy.stakes_of(rule).iter().filter(|stake| !stake.preflight).any(|stake| {
            let own = &stake.region.headers;
            groups
                .get(&group(&stake.region))
                .is_some_and(|group| group.iter().any(|(_, headers)| *headers != own.as_slice()))
        })
    };
    let marked = policy.rules().filter(|(_, spec, _): &(usize, &RuleSpec, Spot<'_>)| spec.fallback);
    for (_, spec, spot) in marked.filter(|(rule, ..)| !competes(*rule)) {
        let message = format!(
            "rule `{}` is a `fallback`, and no rule for the same requests differs by headers alone",
            spec.rule.name
        );
        findings.push(Finding::new(Code::NeedlessFallback, &spot.key("fallback"), message));
    }
}

fn group(region: &Region) -> Group<'_> {
    let path = (region.path.words().collect(), region.path.is_open());
    (region.direction, region.host.as_ref(), path, region.method.as_deref(), &region.context)
}
