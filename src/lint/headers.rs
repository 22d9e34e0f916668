//! Identity headers: compared where they cannot be trusted, or set for some requests only.
//!
//! Every header that a rule injects is removed from every request that is allowed, so none needs a second look for that.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::policy::Policy;
use super::{Code, Finding};
use crate::config::written::Spot;
use crate::core::request::Direction;
use crate::core::rule::{Action, IssuerIndex};
use crate::core::table::{HostPattern, RuleSpec, fold};

pub(super) fn find(policy: &Policy<'_>, findings: &mut Vec<Finding>) {
    matched(policy, findings);
    partly_injected(policy, findings);
}

fn matched(policy: &Policy<'_>, findings: &mut Vec<Finding>) {
    let listed = policy.root.find("identity_headers");
    let listed = listed.iter().flat_map(Spot::items).filter_map(|spot| spot.text().map(|name| fold(name).into_owned()));
    let injected = policy.written.rules.iter().flat_map(|spec| &spec.rule.effect.injection.headers);
    let identity: HashSet<String> = injected.map(|header| fold(&header.name).into_owned()).chain(listed).collect();
    for (_, spec, spot) in policy.rules() {
        let found =
            spec.matcher.headers.iter().enumerate().find(|(_, condition)| identity.contains(&*fold(&condition.name)));
        let Some((at, condition)) = found else { continue };
        let list = spot.key("match").key("headers");
        let place = list.item(at).unwrap_or(list);
        let message =
            format!("rule `{}` is chosen by `{}`, which is an identity header", spec.rule.name, condition.name);
        findings.push(Finding::new(Code::MatchesIdentityHeader, &place, message));
    }
}

/// Rules that are asked of the same tokens on the same hosts.
type Peers<'c> = (&'c [IssuerIndex], &'c [HostPattern]);

/// A header that all but a few of a service's rules set.
fn partly_injected(policy: &Policy<'_>, findings: &mut Vec<Finding>) {
    const FEWEST: usize = 4;
    let mut groups: HashMap<Peers<'_>, Vec<(&RuleSpec, Spot<'_>)>> = HashMap::new();
    for (_, spec, spot) in policy.rules() {
        if let Action::Require(wanted) = &spec.rule.effect.action
            && spec.matcher.direction != Some(Direction::Outbound)
        {
            groups.entry((&wanted.issuers, &spec.matcher.hosts)).or_default().push((spec, spot));
        }
    }
    for rules in groups.into_values().filter(|rules| rules.len() >= FEWEST) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for header in rules.iter().flat_map(|(spec, _)| &spec.rule.effect.injection.headers) {
            *counts.entry(&header.name).or_default() += 1;
        }
        let usual: Vec<(&str, usize)> =
            counts.into_iter().filter(|(_, count)| *count < rules.len() && count * 4 >= rules.len() * 3).collect();
        if usual.is_empty() {
            continue;
        }
        for (spec, spot) in &rules {
            let sets = |name: &str| spec.rule.effect.injection.headers.iter().any(|header| *header.name == *name);
            let Some((name, count)) = usual.iter().find(|(name, _)| !sets(name)) else { continue };
            let message = format!(
                "rule `{}` does not set `{name}`, which {count} of {} rules for the same issuers and hosts set",
                spec.rule.name,
                rules.len()
            );
            findings.push(Finding::new(Code::PartlyInjected, spot, message));
        }
    }
}
