//! Which of two rules answers a request that is in both their regions.

use std::cmp::{Ordering, Reverse};

use super::super::super::rule::Action;
use super::super::pattern::Segment;
use super::super::{HostPattern, PathPattern, RuleSpec, preflight_matcher};
use super::Region;

/// A region of a rule, with what settles whether the rule answers there.
#[derive(Clone, Debug)]
pub struct Stake {
    /// The rule's position in the list.
    pub rule: usize,
    /// The requests.
    pub region: Region,
    /// Whether it refuses them: such rules come first.
    pub deny: bool,
    /// Whether these are CORS preflights that the rule answers beside the requests that it is for.
    pub preflight: bool,
    priority: i32,
}

impl Stake {
    /// Everything that rules claim, in their order.
    pub fn of(rules: &[RuleSpec]) -> Vec<Self> {
        rules.iter().enumerate().flat_map(|(rule, spec)| Self::of_rule(rule, spec)).collect()
    }

    /// What the rule at this position claims.
    pub fn of_rule(rule: usize, spec: &RuleSpec) -> Vec<Self> {
        let deny = matches!(spec.rule.effect.action, Action::Deny);
        let preflights = (spec.cors_preflight && !deny).then(|| preflight_matcher(&spec.matcher));
        let stake = |region, preflight| Self { rule, region, deny, preflight, priority: spec.priority };
        let own = Region::of(&spec.matcher).map(|region| stake(region, false));
        let more = preflights.iter().flat_map(Region::of).map(|region| stake(region, true));
        own.chain(more).collect()
    }

    /// Whether this one answers requests that are in both.
    pub fn precedes(&self, other: &Self) -> bool {
        let rank = |stake: &Self| {
            let Region { headers, context, .. } = &stake.region;
            (Reverse(context.len()), Reverse(headers.len()), Reverse(stake.priority), stake.rule)
        };
        let order = other.deny.cmp(&self.deny);
        let order = order.then_with(|| hosts(self.region.host.as_ref(), other.region.host.as_ref()));
        let order = order.then_with(|| paths(&self.region.path, &other.region.path));
        let order = order.then_with(|| other.region.method.is_some().cmp(&self.region.method.is_some()));
        order.then_with(|| rank(self).cmp(&rank(other))) == Ordering::Less
    }
}

/// The narrower one first.
fn hosts(a: Option<&HostPattern>, b: Option<&HostPattern>) -> Ordering {
    let rank = |host: Option<&HostPattern>| match host {
        Some(HostPattern::Exact(_)) => (0, Reverse(0)),
        Some(HostPattern::Suffix(suffix)) => (1, Reverse(suffix.len())),
        None => (2, Reverse(0)),
    };
    rank(a).cmp(&rank(b))
}

/// Segment by segment: text, then a parameter, then nothing more.
fn paths(a: &PathPattern, b: &PathPattern) -> Ordering {
    let rank = |segment: Option<&Segment>| match segment {
        Some(Segment::Literal(_)) => 0,
        Some(Segment::Parameter(_)) => 1,
        None => 2,
    };
    let length = a.segments.len().max(b.segments.len());
    let differing = (0..length).map(|at| rank(a.segments.get(at)).cmp(&rank(b.segments.get(at))));
    differing.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| a.open.cmp(&b.open))
}
