//! Templates that share requests although neither is the narrower one.
//!
//! The table decides by the first segment in which two templates differ. Whoever wrote the other one, which is the more
//! exact in a later segment, may not expect that. Templates of one host make a tree here, as they do in the table, so that
//! a template meets those alone that share its way.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::policy::Policy;
use super::{Code, Finding};
use crate::core::request::Direction;
use crate::core::table::algebra::Stake;
use crate::core::table::{HostPattern, PathPattern};

/// So many places of trees are looked at; real policies need a small part of it.
const MOST_STEPS: usize = 20_000_000;

pub(super) fn find(policy: &Policy<'_>, findings: &mut Vec<Finding>) {
    let mut trees: HashMap<(Direction, Option<&HostPattern>), Node> = HashMap::new();
    let own = || policy.stakes.iter().enumerate().filter(|(_, stake)| !stake.deny && !stake.preflight);
    for (at, stake) in own() {
        let tree = trees.entry((stake.region.direction, stake.region.host.as_ref())).or_default();
        tree.insert(&segments(&stake.region.path), stake.region.path.is_open(), at);
    }
    let mut told: HashSet<usize> = HashSet::new();
    let mut steps = MOST_STEPS;
    for (_, stake) in own() {
        let Some(tree) = trees.get(&(stake.region.direction, stake.region.host.as_ref())) else { continue };
        let way = segments(&stake.region.path);
        let mut search = Search { way: &way, open: stake.region.path.is_open(), steps: &mut steps, found: None };
        search.walk(tree, 0, Lead::None, &mut |at| {
            let Some(other) = policy.stakes.get(at) else { return false };
            tell(policy, stake, other, &mut told, findings)
        });
    }
}

/// Reports that `stake` answers what `other` is for as well, if that is so and matters.
fn tell(
    policy: &Policy<'_>,
    stake: &Stake,
    other: &Stake,
    told: &mut HashSet<usize>,
    findings: &mut Vec<Finding>,
) -> bool {
    // Once is enough for a rule. Whoever crosses this one, too, may cross others.
    if stake.rule == other.rule || told.contains(&other.rule) {
        return false;
    }
    let (Some(first), Some(second)) = (policy.spec(stake.rule), policy.spec(other.rule)) else { return false };
    if first.rule.effect == second.rule.effect {
        return false;
    }
    let Some(sample) = stake.region.meet(&other.region).and_then(|both| both.sample()) else { return false };
    if policy.answers(&sample) != Some(stake.rule) {
        return false;
    }
    told.insert(other.rule);
    let Some(spot) = policy.written.rule(other.rule) else { return false };
    let message = format!(
        "`{}` of rule `{}` and `{}` of rule {} are for some of the same requests, and `{}` answers them: the first segment in which the two differ decides",
        other.region.path,
        policy.name(other.rule),
        stake.region.path,
        policy.named(stake.rule),
        policy.name(stake.rule)
    );
    let at = second.matcher.paths.iter().position(|path| *path == other.region.path);
    let matching = spot.key("match");
    let place = at.and_then(|at| matching.find("paths")?.item(at)).unwrap_or(matching);
    findings.push(
        Finding::new(Code::OverlappingTemplates, &place, message).with_example(sample, Some(policy.name(stake.rule))),
    );
    true
}

/// A pattern's segments; `None` for a parameter.
fn segments(path: &PathPattern) -> Vec<Option<&str>> {
    path.words().collect()
}

#[derive(Default)]
struct Node<'p> {
    literals: BTreeMap<&'p str, Node<'p>>,
    parameter: Option<Box<Node<'p>>>,
    here: Vec<usize>,
    below: Vec<usize>,
}

impl<'p> Node<'p> {
    fn insert(&mut self, way: &[Option<&'p str>], open: bool, stake: usize) {
        match way.split_first() {
            None if open => self.below.push(stake),
            None => self.here.push(stake),
            Some((Some(text), rest)) => self.literals.entry(text).or_default().insert(rest, open, stake),
            Some((None, rest)) => self.parameter.get_or_insert_default().insert(rest, open, stake),
        }
    }
}

/// Which of the two was the more exact so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lead {
    None,
    Ours,
    /// Ours first, theirs later: neither is the narrower one.
    Crossed,
}

struct Search<'s> {
    way: &'s [Option<&'s str>],
    open: bool,
    steps: &'s mut usize,
    found: Option<()>,
}

impl Search<'_> {
    /// Calls for templates that cross ours, until one call says that it is enough.
    fn walk(&mut self, node: &Node<'_>, at: usize, lead: Lead, call: &mut dyn FnMut(usize) -> bool) {
        if self.found.is_some() || *self.steps == 0 {
            return;
        }
        *self.steps -= 1;
        if lead == Lead::Crossed {
            self.offer(&node.below, call);
        }
        match self.way.get(at) {
            Some(Some(text)) => {
                if let Some(next) = node.literals.get(text) {
                    self.walk(next, at + 1, lead, call);
                }
                let ours = if lead == Lead::None { Lead::Ours } else { lead };
                if let Some(next) = node.parameter.as_deref().filter(|_| !text.is_empty()) {
                    self.walk(next, at + 1, ours, call);
                }
            }
            Some(None) => {
                if let Some(next) = &node.parameter {
                    self.walk(next, at + 1, lead, call);
                }
                // Where they are the first to be more exact, theirs is the way from which this is found.
                if lead != Lead::None {
                    for (_, next) in node.literals.iter().filter(|(text, _)| !text.is_empty()) {
                        self.walk(next, at + 1, Lead::Crossed, call);
                    }
                }
            }
            None if self.open => {
                if lead != Lead::None {
                    let more = node.literals.values().chain(node.parameter.as_deref());
                    more.for_each(|next| self.walk(next, at + 1, Lead::Crossed, call));
                }
                if lead == Lead::Crossed {
                    self.offer(&node.here, call);
                }
            }
            None if lead == Lead::Crossed => self.offer(&node.here, call),
            None => {}
        }
    }

    fn offer(&mut self, stakes: &[usize], call: &mut dyn FnMut(usize) -> bool) {
        for stake in stakes {
            if *self.steps == 0 || self.found.is_some() {
                return;
            }
            *self.steps -= 1;
            if call(*stake) {
                self.found = Some(());
            }
        }
    }
}
