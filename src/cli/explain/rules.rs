//! How rules stand to a request, for people: those that come near it, and how many others there are.

use std::collections::BTreeMap;

use super::secret::Names;
use crate::core::request::{Direction, Headers};
use crate::core::table::{Considered, Criterion, HeaderCondition, HeaderTest, Matcher, Matching, Miss, Standing};
use crate::engine::explain::{Explainer, Explanation};

/// A table of at most so many rules is shown whole.
const FEW: usize = 12;
/// Of rules that come near, at most so many are shown.
const NEAR: usize = 20;

/// The rules to show.
#[derive(Debug)]
pub(super) struct Rules {
    /// How many there are.
    pub(super) total: usize,
    /// Those that are shown: the one that answers, those that match, those that come near.
    pub(super) shown: Vec<Shown>,
    /// Those that are not, counted by the part that does not fit.
    pub(super) others: BTreeMap<&'static str, usize>,
}

/// A rule, and how it stands to the request.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) name: String,
    /// Whether this is what `cors_preflight` adds.
    pub(super) preflight: bool,
    pub(super) standing: &'static str,
    /// What another rule that goes before it is better by.
    pub(super) by: Option<Criterion>,
    pub(super) misses: Vec<Missed>,
}

/// A part of `match` that does not fit.
#[derive(Debug)]
pub(super) struct Missed {
    pub(super) part: &'static str,
    /// The key or header that it is about.
    pub(super) of: Option<String>,
    pub(super) wanted: Vec<String>,
    /// What the request has; `None` where it has nothing.
    pub(super) seen: Option<String>,
}

impl Rules {
    pub(super) fn of(
        explainer: &Explainer,
        explanation: &Explanation,
        headers: &Headers<'_>,
        secrets: &Names,
        all: bool,
    ) -> Self {
        let total = explainer.rules().len();
        let mut order: Vec<&Considered> = explanation.considered.iter().collect();
        order.sort_by_key(|considered| nearness(&considered.standing));
        let far = |considered: &&Considered| nearness(&considered.standing).0 > NEAREST_MISS;
        let shown = if all || total <= FEW {
            order.len()
        } else {
            let near = order.iter().take_while(|considered| !far(considered)).count();
            near.min(NEAR)
        };
        let mut others = BTreeMap::new();
        for considered in order.split_off(shown) {
            let part = match &considered.standing {
                Standing::Misses(misses) => misses.first().map_or("match", part),
                Standing::Answers | Standing::Unjudgeable | Standing::Outranked(_) => "rank",
            };
            *others.entry(part).or_insert(0) += 1;
        }
        let context = Seen { explanation, headers, secrets };
        let show = |considered: &Considered| {
            let rule = explainer.rules().get(considered.position);
            let matching = explainer.matching().get(considered.position);
            context.shown(considered, rule.map_or("", |rule| &rule.name), matching)
        };
        Self { total, shown: order.into_iter().map(show).collect(), others }
    }
}

/// Misses that are shown come no farther than this.
const NEAREST_MISS: u8 = 4;

/// The nearest first: what answers, what matches, what one part keeps from it; then what shares the path.
fn nearness(standing: &Standing) -> (u8, usize) {
    match standing {
        Standing::Answers | Standing::Unjudgeable => (0, 0),
        Standing::Outranked(_) => (1, 0),
        Standing::Misses(misses) => {
            let fits = |missed: &Miss| !misses.contains(missed);
            let near = match (fits(&Miss::Host) && fits(&Miss::Path), fits(&Miss::Path), fits(&Miss::Direction)) {
                (true, _, true) => 2,
                (_, true, true) => 3,
                // A place of its own on the same path, for the other direction.
                (true, _, false) => 4,
                (false, _, _) => 5,
            };
            (near, misses.len())
        }
    }
}

/// What the request has.
struct Seen<'s> {
    explanation: &'s Explanation,
    headers: &'s Headers<'s>,
    secrets: &'s Names,
}

impl Seen<'_> {
    fn shown(&self, considered: &Considered, name: &str, matching: Option<&Matching>) -> Shown {
        let (standing, by) = match &considered.standing {
            Standing::Answers => ("answers", None),
            Standing::Unjudgeable => ("unjudgeable", None),
            Standing::Outranked(criterion) => ("outranked", Some(*criterion)),
            Standing::Misses(_) => ("no_match", None),
        };
        let misses = match (&considered.standing, matching) {
            (Standing::Misses(misses), Some(matching)) => {
                misses.iter().map(|miss| self.missed(miss, &matching.matcher, considered.preflight)).collect()
            }
            (Standing::Misses(_) | Standing::Answers | Standing::Unjudgeable | Standing::Outranked(_), _) => Vec::new(),
        };
        Shown { name: name.to_owned(), preflight: considered.preflight, standing, by, misses }
    }

    fn missed(&self, miss: &Miss, matcher: &Matcher, preflight: bool) -> Missed {
        let reading = self.explanation.request.as_ref().ok();
        let (of, wanted, seen) = match miss {
            Miss::Direction => {
                let wanted = direction(matcher.direction.unwrap_or(Direction::Inbound));
                (None, vec![wanted.to_owned()], reading.map(|read| direction(read.direction).to_owned()))
            }
            Miss::Host => {
                let wanted = matcher.hosts.iter().map(ToString::to_string).collect();
                (None, wanted, reading.map(|read| read.host.clone()))
            }
            Miss::Path => {
                let wanted = matcher.paths.iter().map(ToString::to_string).collect();
                (None, wanted, reading.map(|read| read.path.clone()))
            }
            Miss::Method => {
                let named = matcher.methods.iter().map(ToString::to_string).collect();
                let wanted = if preflight { vec!["OPTIONS".to_owned()] } else { named };
                (None, wanted, reading.map(|read| read.method.clone()))
            }
            Miss::Context(key, value) => {
                let seen = reading.and_then(|read| read.context.iter().find(|(known, _)| **known == **key));
                (Some(key.to_string()), vec![value.to_string()], seen.map(|(_, value)| value.clone()))
            }
            Miss::Header(HeaderCondition { name, test }) => {
                let value = match self.headers.joined(name) {
                    Ok(value) => value.map(|value| self.secrets.shown(name, &value)),
                    Err(_) => Some("bytes that are not text".to_owned()),
                };
                (Some(name.to_string()), vec![self.header_test(name, test)], value)
            }
        };
        Missed { part: part(miss), of, wanted, seen }
    }

    fn header_test(&self, name: &str, test: &HeaderTest) -> String {
        match test {
            HeaderTest::Present => "present".to_owned(),
            HeaderTest::Absent => "absent".to_owned(),
            HeaderTest::Equals(value) => format!("equals {}", self.secrets.shown(name, value)),
            HeaderTest::NotEquals(value) => format!("not_equals {}", self.secrets.shown(name, value)),
        }
    }
}

/// What is not right with a rule's `match`, as the configuration calls it.
fn part(miss: &Miss) -> &'static str {
    match miss {
        Miss::Direction => "direction",
        Miss::Host => "hosts",
        Miss::Path => "paths",
        Miss::Method => "methods",
        Miss::Context(..) => "context_extensions",
        Miss::Header(_) => "headers",
    }
}

pub(super) const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

/// A criterion's name in JSON.
pub(super) const fn criterion(criterion: Criterion) -> &'static str {
    match criterion {
        Criterion::Deny => "deny",
        Criterion::Host => "hosts",
        Criterion::Path => "paths",
        Criterion::Method => "methods",
        Criterion::ContextExtensions => "context_extensions",
        Criterion::Headers => "headers",
        Criterion::Priority => "priority",
        Criterion::Position => "position",
    }
}

/// Why a rule that matches does not answer.
pub(super) const fn behind(criterion: Criterion) -> &'static str {
    match criterion {
        Criterion::Deny => "that one denies",
        Criterion::Host => "its host is less specific",
        Criterion::Path => "its path is less specific",
        Criterion::Method => "it names no method",
        Criterion::ContextExtensions => "it has fewer `context_extensions`",
        Criterion::Headers => "it has fewer conditions on headers",
        Criterion::Priority => "its `priority` is smaller",
        Criterion::Position => "both answer alike, and it comes later in the file",
    }
}
