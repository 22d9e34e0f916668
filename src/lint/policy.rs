//! A configuration as lint looks at it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::authn::spec::IssuerSpec;
use crate::config::Config;
use crate::config::written::{Place, Spot, Written};
use crate::core::request::RequestFacts;
use crate::core::rule::{Action, IssuerIndex, Requirements};
use crate::core::table::RuleSpec;
use crate::core::table::algebra::{Sample, Stake};

/// A configuration, and what its rules claim.
pub(super) struct Policy<'c> {
    pub(super) config: &'c Config,
    pub(super) written: &'c Written,
    pub(super) root: Spot<'c>,
    /// What the rules claim, in their order.
    pub(super) stakes: Vec<Stake>,
    /// Of each rule, its part of `stakes`.
    ranges: Vec<Range<usize>>,
    positions: HashMap<&'c str, usize>,
}

impl<'c> Policy<'c> {
    /// `None` where nothing was written that could be looked at.
    pub(super) fn new(config: &'c Config) -> Option<Self> {
        let written = &config.written;
        let root = written.root()?;
        let (mut stakes, mut ranges) = (Vec::new(), Vec::new());
        for (position, spec) in written.rules.iter().enumerate() {
            let start = stakes.len();
            stakes.extend(Stake::of_rule(position, spec));
            ranges.push(start..stakes.len());
        }
        let positions = written.rules.iter().enumerate().map(|(at, spec)| (&*spec.rule.name, at)).collect();
        Some(Self { config, written, root, stakes, ranges, positions })
    }

    /// The rules, with their positions and places.
    pub(super) fn rules(&self) -> impl Iterator<Item = (usize, &'c RuleSpec, Spot<'c>)> {
        let written = self.written;
        let rules = written.rules.iter().enumerate();
        rules.filter_map(|(position, spec)| Some((position, spec, written.rule(position)?)))
    }

    pub(super) fn spec(&self, rule: usize) -> Option<&'c RuleSpec> {
        self.written.rules.get(rule)
    }

    /// What a rule claims.
    pub(super) fn stakes_of(&self, rule: usize) -> &[Stake] {
        self.ranges.get(rule).and_then(|range| self.stakes.get(range.clone())).unwrap_or_default()
    }

    pub(super) fn name(&self, rule: usize) -> &'c str {
        self.spec(rule).map_or("", |spec| &*spec.rule.name)
    }

    /// A rule's name and place: `` `orders` (policy.yaml:12:5)``.
    pub(super) fn named(&self, rule: usize) -> String {
        let place = self.written.rule(rule).map(|spot| format!(" ({})", in_short(&spot.place())));
        format!("`{}`{}", self.name(rule), place.unwrap_or_default())
    }

    /// The rule that the table has answer this request.
    pub(super) fn answers(&self, request: &Sample) -> Option<usize> {
        let facts = RequestFacts::parse(request.raw()).ok()?;
        let found = self.config.table.find(&facts).ok()??;
        self.positions.get(&*found.rule.name).copied()
    }

    /// Where a rule says this key of its requirements, be it in a set.
    pub(super) fn required_at(&self, rule: &Spot<'c>, key: &str) -> Spot<'c> {
        self.written.required(rule, key)
    }

    /// The issuers of these indices.
    pub(super) fn issuers<'s>(&'s self, indices: &'s [IssuerIndex]) -> impl Iterator<Item = &'c IssuerSpec> + 's {
        indices.iter().filter_map(|index| self.config.issuers.get(index.0))
    }
}

/// What a rule asks of tokens, where it looks at any.
pub(super) fn requirements(spec: &RuleSpec) -> Option<&Arc<Requirements>> {
    match &spec.rule.effect.action {
        Action::Require(wanted) | Action::Optional(wanted) => Some(wanted),
        Action::Deny | Action::Anonymous { .. } | Action::Preflight { .. } => None,
    }
}

/// Whether a rule lets requests through without a look at who sends them.
pub(super) fn is_anonymous(spec: &RuleSpec) -> bool {
    matches!(&spec.rule.effect.action, Action::Anonymous { caller: None })
}

/// `policy.yaml:12:5`, without the file's directory.
pub(super) fn in_short(place: &Place) -> String {
    let file = place.file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let (line, column) = place.position;
    format!("{file}:{line}:{column}")
}

/// "`a`, `b` and 3 more".
pub(super) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const MOST: usize = 3;
    let shown: Vec<String> = names.iter().take(MOST).map(|name| format!("`{}`", name.as_ref())).collect();
    match (names.len().checked_sub(MOST).filter(|more| *more > 0), shown.split_last()) {
        (Some(more), _) => format!("{} and {more} more", shown.join(", ")),
        (None, Some((last, []))) => last.clone(),
        (None, Some((last, rest))) => format!("{} and {last}", rest.join(", ")),
        (None, None) => "none".to_owned(),
    }
}
