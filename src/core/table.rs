//! The policy table: which rule answers a request.
//!
//! The order is total and does not depend on the file: any matching `deny` rule, else the most specific match, by
//! direction, host (exact, longest `*.suffix`, any), path (segment by segment: literal, `{name}`, `**`), method
//! (named, any), number of `context_extensions` conditions, number of header conditions, `priority`. Two rules
//! that remain equal for some request are a configuration error.

use std::sync::Arc;

use super::request::Direction;
use super::rule::Rule;

/// Which requests a rule is for. Every list is an "any of"; an empty list is "all".
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    /// Requests of this direction only.
    pub direction: Option<Direction>,
    /// Hosts.
    pub hosts: Vec<HostPattern>,
    /// Paths.
    pub paths: Vec<PathPattern>,
    /// Methods, case-sensitive.
    pub methods: Vec<Box<str>>,
    /// All of these must hold.
    pub headers: Vec<HeaderCondition>,
    /// All of these must be there: key and value of `context_extensions`.
    pub context_extensions: Vec<(Box<str>, Box<str>)>,
}

/// Hosts that a rule is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This host.
    Exact(Box<str>),
    /// Every host below this one, at any depth, but not itself: `*.example.com` holds `.example.com`.
    Suffix(Box<str>),
}

/// Paths that a rule is for: `/a/b`, `/a/{name}/c`, `/a/**`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPattern {
    pub(super) segments: Vec<Segment>,
    /// Ends in `**`: matches the path without it, and everything below.
    pub(super) open: bool,
}

/// One segment of a [`PathPattern`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Segment {
    /// This text, decoded.
    Literal(Box<str>),
    /// Any one segment that is not empty.
    Parameter(Box<str>),
}

/// A condition on a request header that selects a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeaderCondition {
    /// Lower case.
    pub name: Box<str>,
    /// What must be true of it.
    pub test: HeaderTest,
}

/// What must be true of a header.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HeaderTest {
    /// It is there.
    Present,
    /// It is not there.
    Absent,
    /// It is there once, with this value.
    Equals(Box<str>),
    /// It is there once and has another value, or is not there.
    NotEquals(Box<str>),
}

/// A rule with its matching half, as the configuration has it.
#[derive(Clone, Debug)]
pub struct RuleSpec {
    /// The decision's half.
    pub rule: Rule,
    /// The requests it is for.
    pub matcher: Matcher,
    /// Settles a tie: the greater one answers.
    pub priority: i32,
    /// The operator knows that a caller may choose this rule by leaving headers out.
    pub fallback: bool,
    /// Answer CORS preflights for the same hosts and paths.
    pub cors_preflight: bool,
}

/// The values of a path pattern's parameters.
#[derive(Clone, Debug, Default)]
pub struct PathParams<'a> {
    pub(super) pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> PathParams<'a> {
    /// The decoded segment that the pattern calls `name`.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

/// Why rules do not make a table. Indices are positions in the list given to [`PolicyTable::compile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableError {
    /// The rule at fault.
    pub rule: usize,
    /// The other rule, where two are at odds.
    pub other: Option<usize>,
    /// What is wrong and what to do; names the rules.
    pub message: String,
}

/// The compiled table.
#[derive(Debug, Default)]
pub struct PolicyTable {
    rules: Vec<Arc<Rule>>,
    reserved: Arc<[Box<str>]>,
}
