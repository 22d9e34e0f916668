//! Rules, and patterns of rules, that no request reaches.

use std::collections::BTreeSet;

use super::policy::Policy;
use super::{Code, Finding};
use crate::config::written::Spot;
use crate::core::table::RuleSpec;
use crate::core::table::algebra::{Budget, Coverage, Region, Sample, Stake, uncovered};

pub(super) fn find(policy: &Policy<'_>, findings: &mut Vec<Finding>) {
    let mut usual = BTreeSet::new();
    for (rule, spec, spot) in policy.rules() {
        let stakes = policy.stakes_of(rule).iter();
        let judged: Vec<(&Stake, Outcome)> = stakes.map(|stake| (stake, judge(policy, stake, &mut usual))).collect();
        let is_lost = |outcome: &Outcome| matches!(outcome, Outcome::Hidden { .. } | Outcome::Empty);
        if !judged.iter().all(|(_, outcome)| is_lost(outcome)) {
            patterns(policy, (spec, &spot), &judged, findings);
            continue;
        }
        let Some((sample, by)) = hidden(&judged) else {
            let message = format!(
                "the header conditions of rule `{}` contradict each other: no request meets them",
                spec.rule.name
            );
            findings.push(Finding::new(Code::ContradictoryConditions, &spot.key("match").key("headers"), message));
            continue;
        };
        let message =
            format!("no request reaches rule `{}`: {} every one that it matches", spec.rule.name, answer(policy, &by));
        findings.push(shown(policy, Finding::new(Code::UnreachableRule, &spot, message), sample));
    }
}

/// What becomes of the requests of a region.
enum Outcome {
    /// The rule answers some.
    Reached,
    /// Other rules answer all, this request for example.
    Hidden { sample: Sample, by: BTreeSet<usize> },
    /// There are none.
    Empty,
    /// The search was given up.
    Unknown,
}

/// `usual` are rules that hid others before: where they do so again, nothing else need be looked at.
fn judge(policy: &Policy<'_>, stake: &Stake, usual: &mut BTreeSet<usize>) -> Outcome {
    const MOST_USUAL: usize = 16;
    if stake.region.is_empty() {
        return Outcome::Empty;
    }
    let Some(sample) = stake.region.sample() else { return Outcome::Unknown };
    let answers = policy.answers(&sample);
    if answers == Some(stake.rule) {
        return Outcome::Reached;
    }
    // Mostly it is one rule that takes everything, the one that took this request.
    let alone = |other: &&Stake| other.precedes(stake) && other.region.covers(&stake.region);
    if let Some(rule) = answers
        && policy.stakes_of(rule).iter().any(|other| alone(&other))
    {
        return Outcome::Hidden { sample, by: BTreeSet::from([rule]) };
    }
    let first = |other: &&Stake| other.rule != stake.rule && other.region.meets(&stake.region) && other.precedes(stake);
    let known: Vec<&Stake> = usual.iter().flat_map(|rule| policy.stakes_of(*rule)).filter(first).collect();
    if !known.is_empty() && covered(&stake.region, &known) == Coverage::Covered {
        return Outcome::Hidden { sample, by: needed(&stake.region, known) };
    }
    let others: Vec<&Stake> = policy.stakes.iter().filter(first).collect();
    match covered(&stake.region, &others) {
        Coverage::Covered => {
            let by = needed(&stake.region, others);
            if usual.len() + by.len() <= MOST_USUAL {
                usual.extend(&by);
            }
            Outcome::Hidden { sample, by }
        }
        Coverage::Open(request) if policy.answers(&request) == Some(stake.rule) => Outcome::Reached,
        Coverage::Open(_) | Coverage::Undecided => Outcome::Unknown,
    }
}

fn covered(region: &Region, by: &[&Stake]) -> Coverage {
    let by: Vec<&Region> = by.iter().map(|stake| &stake.region).collect();
    uncovered(region, &by, &mut Budget::default())
}

/// The rules without which something would be left.
fn needed(region: &Region, mut by: Vec<&Stake>) -> BTreeSet<usize> {
    const FEW: usize = 64;
    let mut at = 0;
    while by.len() <= FEW && at < by.len() {
        let without: Vec<&Stake> =
            by.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, stake)| *stake).collect();
        if covered(region, &without) == Coverage::Covered {
            by = without;
        } else {
            at += 1;
        }
    }
    by.iter().map(|stake| stake.rule).collect()
}

/// The first request that is lost, and who has those that are.
fn hidden(judged: &[(&Stake, Outcome)]) -> Option<(Sample, BTreeSet<usize>)> {
    let mut found: Option<(Sample, BTreeSet<usize>)> = None;
    for (_, outcome) in judged {
        if let Outcome::Hidden { sample, by } = outcome {
            found.get_or_insert_with(|| (sample.clone(), BTreeSet::new())).1.extend(by);
        }
    }
    found
}

/// The hosts, paths and methods of a rule that answers others, for which it answers nothing.
fn patterns(
    policy: &Policy<'_>,
    (spec, spot): (&RuleSpec, &Spot<'_>),
    judged: &[(&Stake, Outcome)],
    findings: &mut Vec<Finding>,
) {
    if judged.iter().all(|(_, outcome)| !matches!(outcome, Outcome::Hidden { .. })) {
        return;
    }
    let matching = spot.key("match");
    let matcher = &spec.matcher;
    let mut look = |spot: Spot<'_>, shown: String, of: &dyn Fn(&Region) -> bool| {
        let own = judged.iter().filter(|(stake, _)| !stake.preflight && of(&stake.region));
        let mut found: Option<(Sample, BTreeSet<usize>)> = None;
        for (_, outcome) in own {
            let Outcome::Hidden { sample, by } = outcome else { return };
            found.get_or_insert_with(|| (sample.clone(), BTreeSet::new())).1.extend(by);
        }
        let Some((sample, by)) = found else { return };
        let message = format!(
            "rule `{}` never answers for `{shown}`: {} every such request",
            spec.rule.name,
            answer(policy, &by)
        );
        findings.push(self::shown(policy, Finding::new(Code::UnreachablePattern, &spot, message), sample));
    };
    let paths = match matching.find("grpc") {
        Some(grpc) => grpc.find("methods"),
        None => matching.find("paths"),
    };
    for (at, path) in matcher.paths.iter().enumerate() {
        let place = paths.as_ref().and_then(|paths| paths.item(at)).unwrap_or_else(|| matching.clone());
        look(place, path.to_string(), &|region| region.path == *path);
    }
    for (at, host) in matcher.hosts.iter().enumerate() {
        let place = matching.key("hosts").item(at).unwrap_or_else(|| matching.clone());
        look(place, host.to_string(), &|region| region.host.as_ref() == Some(host));
    }
    for (at, method) in matcher.methods.iter().enumerate() {
        let place = matching.key("methods").item(at).unwrap_or_else(|| matching.clone());
        look(place, method.to_string(), &|region| region.method.as_ref() == Some(method));
    }
}

/// "the `deny` rule `a` (policy.yaml:3:5) refuses".
fn answer(policy: &Policy<'_>, by: &BTreeSet<usize>) -> String {
    const MOST: usize = 3;
    let deny = |rule: &usize| policy.stakes_of(*rule).first().is_some_and(|stake| stake.deny);
    let mut names: Vec<String> = by.iter().take(MOST).map(|rule| policy.named(*rule)).collect();
    if by.len() > MOST {
        names.push(format!("{} more", by.len() - MOST));
    }
    let (kind, verb) = if by.iter().all(deny) { ("`deny` rule", "refuse") } else { ("rule", "answer") };
    match names.as_slice() {
        [one] => format!("the {kind} {one} {verb}s"),
        _ => format!("the {kind}s {} {verb}", names.join(", ")),
    }
}

fn shown(policy: &Policy<'_>, finding: Finding, sample: Sample) -> Finding {
    let answered_by = policy.answers(&sample).map(|rule| policy.name(rule));
    finding.with_example(sample, answered_by)
}
