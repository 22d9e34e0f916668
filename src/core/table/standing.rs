//! How each rule stands to a request: which one answers, and why each other one does not.
//!
//! This is a second way to the answer, slow and plain: it looks at every rule by itself. The table finds the rule that
//! answers; a property test holds the two to each other.

use std::cmp::Reverse;

use super::super::request::{Direction, RequestFacts};
use super::super::rule::{Action, Rule};
use super::pattern::{HostPattern, PathPattern, Segment};
use super::{Found, HeaderCondition, Matcher, RuleSpec, preflight_matcher};

/// Which requests a rule is for, and how it stands to others: what a table no longer has as it was written.
#[derive(Clone, Debug)]
pub struct Matching {
    /// The requests it is for.
    pub matcher: Matcher,
    /// Settles a tie.
    pub priority: i32,
    /// A caller may choose it by its headers.
    pub fallback: bool,
    /// It answers CORS preflights for the same hosts and paths.
    pub cors_preflight: bool,
}

impl From<&RuleSpec> for Matching {
    fn from(spec: &RuleSpec) -> Self {
        let RuleSpec { rule: _, matcher, priority, fallback, cors_preflight } = spec;
        Self { matcher: matcher.clone(), priority: *priority, fallback: *fallback, cors_preflight: *cors_preflight }
    }
}

/// How one rule stands to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It answers.
    Answers,
    /// It would be the next to answer, but a condition of it cannot be judged: the request is refused.
    Unjudgeable,
    /// It does not match: each part that does not fit; never empty.
    Misses(Vec<Miss>),
    /// It matches, and another rule goes before it, by this.
    Outranked(Criterion),
}

/// A part of a rule's `match` that does not fit the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// It is for the other direction.
    Direction,
    /// None of its hosts.
    Host,
    /// None of its paths.
    Path,
    /// None of its methods.
    Method,
    /// This of the `context_extensions`, by key and value.
    Context(Box<str>, Box<str>),
    /// This condition on a header.
    Header(HeaderCondition),
}

/// What settles which of two rules that match a request goes first. The order is that in which it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// A rule that denies goes before all that do not.
    Deny,
    /// The more specific host.
    Host,
    /// The more specific path.
    Path,
    /// A named method.
    Method,
    /// More `context_extensions`.
    ContextExtensions,
    /// More conditions on headers.
    Headers,
    /// The greater `priority`.
    Priority,
    /// Both do the same, and it comes later in the file.
    Position,
}

/// A rule, or what of it answers preflights, and how it stands to a request.
#[derive(Clone, Debug)]
pub struct Considered {
    /// The rule's position in the table.
    pub position: usize,
    /// Whether this is what `cors_preflight` adds.
    pub preflight: bool,
    /// How it stands.
    pub standing: Standing,
}

/// How every rule stands to a request, in the table's order. What `cors_preflight` adds is told of preflights alone.
pub fn consider(rules: &[std::sync::Arc<Rule>], matching: &[Matching], facts: &RequestFacts<'_>) -> Vec<Considered> {
    let mut judged = Vec::with_capacity(rules.len());
    for (position, (rule, matching)) in rules.iter().zip(matching).enumerate() {
        let deny = matches!(rule.effect.action, Action::Deny);
        if matching.cors_preflight && !deny && facts.method == "OPTIONS" {
            let matcher = preflight_matcher(&matching.matcher);
            let fit = Fit::of(&matcher, deny, matching.priority, position, true, facts);
            if facts.is_cors_preflight() || fit.rank().is_some() {
                judged.push((position, true, fit));
            }
        }
        let fit = Fit::of(&matching.matcher, deny, matching.priority, position, false, facts);
        judged.push((position, false, fit));
    }
    // The first in rank whose conditions hold, or cannot be judged, ends the search.
    let ends = |fit: &&Fit| matches!(fit, Fit::Matches(_) | Fit::Unjudgeable(_));
    let first = judged.iter().map(|(_, _, fit)| fit).filter(ends).filter_map(Fit::rank).max().cloned();
    let standing = |fit: Fit| match (fit, &first) {
        (Fit::Misses(misses), _) => Standing::Misses(misses),
        (Fit::Matches(rank), Some(first)) if rank == *first => Standing::Answers,
        (Fit::Unjudgeable(rank), Some(first)) if rank == *first => Standing::Unjudgeable,
        (Fit::Matches(rank) | Fit::Unjudgeable(rank), Some(first)) => Standing::Outranked(rank.behind(first)),
        // Where one matches there is a first.
        (Fit::Matches(_) | Fit::Unjudgeable(_), None) => Standing::Answers,
    };
    let considered = |(position, preflight, fit)| Considered { position, preflight, standing: standing(fit) };
    judged.into_iter().map(considered).collect()
}

impl Considered {
    /// Whether the table found this one.
    pub fn is(&self, rules: &[std::sync::Arc<Rule>], found: &Found<'_>) -> bool {
        let rule = match found {
            Ok(None) => return false,
            Ok(Some(found)) => found.rule,
            Err(found) => found.rule,
        };
        let is_preflight = matches!(rule.effect.action, Action::Preflight { .. });
        self.preflight == is_preflight && rules.get(self.position).is_some_and(|known| known.name == rule.name)
    }
}

/// The order among rules that match one request: the greatest answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    deny: bool,
    host: (u8, usize),
    path: Vec<u8>,
    method: bool,
    context: usize,
    headers: usize,
    priority: i32,
    position: Reverse<usize>,
    /// Of one rule, what answers preflights comes first: they were put into the table in this order.
    preflight: bool,
}

impl Rank {
    /// By what the other one goes first.
    fn behind(&self, first: &Self) -> Criterion {
        if self.deny != first.deny {
            Criterion::Deny
        } else if self.host != first.host {
            Criterion::Host
        } else if self.path != first.path {
            Criterion::Path
        } else if self.method != first.method {
            Criterion::Method
        } else if self.context != first.context {
            Criterion::ContextExtensions
        } else if self.headers != first.headers {
            Criterion::Headers
        } else if self.priority != first.priority {
            Criterion::Priority
        } else {
            Criterion::Position
        }
    }
}

/// What a rule by itself says of a request.
enum Fit {
    Misses(Vec<Miss>),
    Matches(Rank),
    Unjudgeable(Rank),
}

impl Fit {
    fn rank(&self) -> Option<&Rank> {
        match self {
            Self::Misses(_) => None,
            Self::Matches(rank) | Self::Unjudgeable(rank) => Some(rank),
        }
    }

    fn of(
        matcher: &Matcher,
        deny: bool,
        priority: i32,
        position: usize,
        preflight: bool,
        facts: &RequestFacts<'_>,
    ) -> Self {
        let mut misses = Vec::new();
        if matcher.direction.unwrap_or(Direction::Inbound) != facts.direction {
            misses.push(Miss::Direction);
        }
        let host = host(matcher, facts);
        misses.extend(host.is_none().then_some(Miss::Host));
        let path = path(matcher, facts);
        misses.extend(path.is_none().then_some(Miss::Path));
        let named = !matcher.methods.is_empty();
        if named && matcher.methods.iter().all(|method| **method != *facts.method) {
            misses.push(Miss::Method);
        }
        let (context, headers) = matcher.conditions();
        // As the table judges them: in order, and none after one that does not hold.
        let (mut unjudged, mut failed) = (false, None);
        for (key, want) in &context {
            let mut values = facts.context(key);
            let (value, another) = (values.next(), values.next());
            if another.is_some() {
                unjudged = true;
                break;
            } else if value != Some(&**want) {
                failed = Some(Miss::Context(key.clone(), want.clone()));
                break;
            }
        }
        if !unjudged && failed.is_none() {
            for condition in &headers {
                match condition.holds(facts) {
                    Ok(true) => continue,
                    Ok(false) => failed = Some(Miss::Header(condition.clone())),
                    Err(_) => unjudged = true,
                }
                break;
            }
        }
        misses.extend(failed);
        let (Some(host), Some(path), true) = (host, path, misses.is_empty()) else { return Self::Misses(misses) };
        let (context, headers) = (context.len(), headers.len());
        let position = Reverse(position);
        let rank = Rank { deny, host, path, method: named, context, headers, priority, position, preflight };
        if unjudged { Self::Unjudgeable(rank) } else { Self::Matches(rank) }
    }
}

/// How specific the best of a rule's hosts is for this request.
fn host(matcher: &Matcher, facts: &RequestFacts<'_>) -> Option<(u8, usize)> {
    let host = facts.host.as_str();
    if matcher.hosts.is_empty() {
        return Some((0, 0));
    }
    let fits = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(name) => (**name == *host).then_some((2, 0)),
        HostPattern::Suffix(suffix) => {
            (!host.starts_with('[') && host.ends_with(&**suffix)).then_some((1, suffix.len()))
        }
    };
    matcher.hosts.iter().filter_map(fits).max()
}

/// How specific the best of a rule's paths is for this request.
fn path(matcher: &Matcher, facts: &RequestFacts<'_>) -> Option<Vec<u8>> {
    if matcher.paths.is_empty() {
        return Some(vec![BELOW]);
    }
    let sent: Vec<&str> = facts.path.segments().collect();
    matcher.paths.iter().filter_map(|pattern| specificity(pattern, &sent)).max()
}

/// What a segment of a path adds to how specific it is.
const BELOW: u8 = 1;
const PARAMETER: u8 = 2;
const LITERAL: u8 = 3;
/// The path ends where the pattern does.
const END: u8 = 4;

fn specificity(pattern: &PathPattern, sent: &[&str]) -> Option<Vec<u8>> {
    let mut rank = Vec::with_capacity(pattern.segments.len() + 1);
    for (at, segment) in pattern.segments.iter().enumerate() {
        match (segment, *sent.get(at)?) {
            (Segment::Literal(text), sent) if **text == *sent => rank.push(LITERAL),
            (Segment::Parameter(_), sent) if !sent.is_empty() => rank.push(PARAMETER),
            (Segment::Literal(_) | Segment::Parameter(_), _) => return None,
        }
    }
    rank.push(if pattern.open { BELOW } else { END });
    (pattern.open || sent.len() == pattern.segments.len()).then_some(rank)
}
