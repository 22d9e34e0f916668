//! From the model to rules: cells are decided, those that say nothing new are left out, and equal ones share a rule.

use std::collections::{BTreeMap, BTreeSet};

use super::cells::{Cell, HostPart, cut};
use super::decision::{Answer, Decision, GeneralNotes, decide};
use super::formula::Formula;
use super::model::{Model, Part};
use super::path::PathPart;

/// A rule of the policy.
#[derive(Clone, Debug)]
pub(super) struct PlannedRule {
    pub(super) name: String,
    /// Empty: every host.
    pub(super) hosts: Vec<HostPart>,
    pub(super) paths: Vec<PathPart>,
    /// Empty: every method.
    pub(super) methods: Vec<String>,
    pub(super) decision: Decision,
    /// A denial that other rules could otherwise not be kept from: `deny: true` would cover them, too.
    pub(super) closes: bool,
    pub(super) origins: Vec<String>,
}

/// The rules, or `None` where there are too many cells.
pub(super) fn plan(model: &mut Model) -> Option<Vec<PlannedRule>> {
    let general = GeneralNotes {
        alternatives: model.notes.unsayable(
            String::new(),
            "of several alternatives one rule can hold those that differ in one way alone: the issuer, the audience, \
             the values of one claim, or the caller; the widest was kept, the others are refused",
        ),
        mixed: model.notes.unsayable(
            String::new(),
            "a request with a bad token, or one without any, was let through under other conditions than one with a \
             good token; it is refused",
        ),
    };
    let passes: Vec<&Formula> = model.parts.iter().map(|part| &part.passes).collect();
    let cells = cut(&passes)?;
    let decisions: Vec<Decision> = cells
        .iter()
        .map(|cell| {
            let whole = Formula::All(model.parts.iter().map(|part| part.passes.clone()).collect());
            decide(&cell.settle(&whole, model.any_port), &model.providers, general)
        })
        .collect();
    let kept = needed(&cells, &decisions);
    let mut rules = group(&cells, &decisions, &kept);
    for rule in &mut rules {
        rule.origins = origins(&model.parts, rule, model.any_port);
    }
    name(&mut rules);
    for rule in &rules {
        for note in &rule.decision.notes {
            model.notes.blame(*note, &rule.name);
        }
    }
    Some(rules)
}

/// Of the kept cells, the one whose rule answers the requests of `cell`.
fn answering(cells: &[Cell], kept: &[bool], cell: &Cell) -> Option<usize> {
    let covering = cells.iter().zip(kept).enumerate().filter(|(_, (other, kept))| **kept && other.covers(cell));
    covering.max_by_key(|(_, (other, _))| other.specificity()).map(|(index, _)| index)
}

/// Which cells need rules: without the others every request is answered as before.
fn needed(cells: &[Cell], decisions: &[Decision]) -> Vec<bool> {
    let mut kept = vec![true; cells.len()];
    // The cells that each kept one answers for.
    let mut answers: Vec<Vec<usize>> = (0..cells.len()).map(|index| vec![index]).collect();
    let mut order: Vec<usize> = (0..cells.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(cells.get(*index).map(Cell::specificity)));
    for index in order {
        let clients = answers.get(index).cloned().unwrap_or_default();
        if let Some(flag) = kept.get_mut(index) {
            *flag = false;
        }
        let moved: Option<Vec<(usize, Option<usize>)>> = clients
            .iter()
            .map(|client| {
                let (cell, want) = (cells.get(*client)?, decisions.get(*client)?);
                let found = answering(cells, &kept, cell);
                let same = match found.and_then(|found| decisions.get(found)) {
                    Some(decision) => decision == want,
                    // What no rule is for is denied.
                    None => want.answer == Answer::Deny && want.notes.is_empty(),
                };
                same.then_some((*client, found))
            })
            .collect();
        match moved {
            Some(moved) => {
                for (client, to) in moved {
                    if let Some(list) = to.and_then(|to| answers.get_mut(to)) {
                        list.push(client);
                    }
                }
            }
            None => {
                if let Some(flag) = kept.get_mut(index) {
                    *flag = true;
                }
            }
        }
    }
    kept
}

/// Rules for the kept cells. Those that differ in paths, in methods or in hosts alone become one.
fn group(cells: &[Cell], decisions: &[Decision], kept: &[bool]) -> Vec<PlannedRule> {
    type Key<'d> = (HostPart, Option<String>, &'d Decision, bool);
    let mut by_paths: BTreeMap<Key<'_>, Vec<PathPart>> = BTreeMap::new();
    for (index, cell) in cells.iter().enumerate().filter(|(index, _)| kept.get(*index) == Some(&true)) {
        let Some(decision) = decisions.get(index) else { continue };
        let all_denied = || {
            let covered = cells.iter().zip(decisions).filter(|(other, _)| cell.covers(other));
            covered.into_iter().all(|(_, decision)| decision.answer == Answer::Deny)
        };
        let closes = decision.answer == Answer::Deny && !all_denied();
        let key = (cell.host.clone(), cell.method.clone(), decision, closes);
        by_paths.entry(key).or_default().push(cell.path.clone());
    }
    type Merged<'d> = (HostPart, Vec<PathPart>, &'d Decision, bool);
    let mut by_methods: BTreeMap<Merged<'_>, Vec<Option<String>>> = BTreeMap::new();
    for ((host, method, decision, closes), mut paths) in by_paths {
        // `/a/**` matches `/a`, too. Where methods matter, a rule for `/a` answers before one for `/a/**` with a method.
        if cells.iter().all(|cell| cell.method.is_none()) {
            let below: Vec<PathPart> = paths.clone();
            paths.retain(|path| {
                !below.iter().any(|other| matches!((other, path), (PathPart::Below(a), PathPart::Exactly(b)) if a == b))
            });
        }
        paths.sort();
        by_methods.entry((host, paths, decision, closes)).or_default().push(method);
    }
    let mut rules: Vec<PlannedRule> = Vec::new();
    for ((host, paths, decision, closes), methods) in by_methods {
        // Where every other method is in it, too, the named ones still have to be named: two rules.
        let (named, others): (Vec<_>, Vec<_>) = methods.into_iter().partition(Option::is_some);
        let named: Vec<String> = named.into_iter().flatten().collect();
        let mut add = |methods: Vec<String>| {
            rules.push(PlannedRule {
                name: String::new(),
                hosts: if host == HostPart::Any { Vec::new() } else { vec![host.clone()] },
                paths: paths.clone(),
                methods,
                decision: decision.clone(),
                closes,
                origins: Vec::new(),
            });
        };
        if !named.is_empty() {
            add(named);
        }
        if !others.is_empty() {
            add(Vec::new());
        }
    }
    rules.sort_by(|a, b| (&a.hosts, &a.paths, b.methods.len()).cmp(&(&b.hosts, &b.paths, a.methods.len())));
    rules
}

/// What the original says of a rule's requests.
fn origins(parts: &[Part], rule: &PlannedRule, any_port: bool) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut listed = Vec::new();
    let hosts = if rule.hosts.is_empty() { vec![HostPart::Any] } else { rule.hosts.clone() };
    let methods: Vec<Option<String>> =
        if rule.methods.is_empty() { vec![None] } else { rule.methods.iter().cloned().map(Some).collect() };
    for host in &hosts {
        for path in &rule.paths {
            for method in &methods {
                let cell = Cell { host: host.clone(), path: path.clone(), method: method.clone() };
                for part in parts {
                    for (origin, formula) in &part.origins {
                        let settled = cell.settle(formula, any_port);
                        if settled != Formula::Const(false) && found.insert(origin.clone()) {
                            listed.push(origin.clone());
                        }
                        if part.first_counts && settled == Formula::Const(true) {
                            break;
                        }
                    }
                }
            }
        }
    }
    listed
}

/// Gives every rule a name of its own that says what it is for.
fn name(rules: &mut [PlannedRule]) {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for rule in rules {
        let kind = match &rule.decision.answer {
            Answer::Deny => "refused",
            Answer::Anonymous(_) => "open",
            Answer::Optional(_) => "optional",
            Answer::Require(_) => "token",
        };
        let path = rule.paths.first().map(ToString::to_string).unwrap_or_default();
        let mut slug = String::new();
        let host = rule.hosts.first().map(ToString::to_string).unwrap_or_default();
        let words = [rule.methods.join("-").to_ascii_lowercase(), host, path];
        for c in words.join("-").chars() {
            if c.is_ascii_alphanumeric() || c == '.' || c == '_' {
                slug.push(c);
            } else if !slug.ends_with('-') {
                slug.push('-');
            }
        }
        let slug: String = slug.trim_matches('-').chars().take(60).collect();
        let base = if slug.is_empty() { format!("{kind}-everything-else") } else { format!("{kind}-{slug}") };
        let mut name = base.clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            name = format!("{base}-{number}");
            number += 1;
        }
        rule.name = name;
    }
}
