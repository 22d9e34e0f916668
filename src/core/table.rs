//! The policy table: which rule answers a request.
//!
//! The order is total and does not depend on the file: any matching `deny` rule, else the most specific match, by
//! host (exact, longest `*.suffix`, any), path (segment by segment: literal, `{name}`, `**`), method (named, any),
//! number of `context_extensions` conditions, number of header conditions, `priority`. A rule is for one direction.
//! Two rules that remain equal for some request are a configuration error.

pub mod algebra;
mod candidates;
mod conflict;
mod index;
mod pattern;
mod standing;

use std::borrow::Cow;
use std::sync::Arc;

pub use pattern::{HostPattern, PathPattern, PatternError};
pub use standing::{Considered, Criterion, Matching, Miss, Standing, consider};

use super::condition::ConditionError;
use super::path::PathParams;
use super::request::{Direction, RequestFacts};
use super::rule::{Action, DenialStyle, Effect, Rule};
use index::{Entry, Index};

/// Which requests a rule is for. Every list is an "any of"; an empty list is "all".
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    /// Requests of this direction only; inbound where nothing is said.
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

/// Keys and values of `context_extensions`.
type Context = Vec<(Box<str>, Box<str>)>;

impl Matcher {
    /// Its conditions as they count: each once, by name.
    fn conditions(&self) -> (Context, Vec<HeaderCondition>) {
        let (mut context, mut headers) = (self.context_extensions.clone(), self.headers.clone());
        context.sort();
        context.dedup();
        headers.sort();
        headers.dedup();
        (context, headers)
    }
}

/// A condition on a request header that selects a rule. Lines that repeat a name count as one value, joined by
/// commas, as Envoy joins them.
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
    /// It has this value.
    Equals(Box<str>),
    /// It has another value, or is not there.
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
    /// The operator knows that a caller may choose this rule by its headers, or by leaving them out.
    pub fallback: bool,
    /// Answer CORS preflights for the same hosts and paths.
    pub cors_preflight: bool,
}

/// The rule that answers a request.
#[derive(Clone, Debug)]
pub struct Match<'a> {
    /// The rule.
    pub rule: &'a Arc<Rule>,
    /// The values of its path's parameters.
    pub params: PathParams<'a>,
}

/// A rule that might have answered has a condition that cannot be judged: the request is denied.
#[derive(Clone, Copy, Debug)]
pub struct Unjudgeable<'a> {
    /// The rule.
    pub rule: &'a Arc<Rule>,
}

/// What a table says of a request.
pub type Found<'a> = Result<Option<Match<'a>>, Unjudgeable<'a>>;

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
    inbound: Side,
    outbound: Side,
    reserved: Vec<Arc<str>>,
    default_denial: Arc<DenialStyle>,
}

/// The rules of one direction.
#[derive(Debug, Default)]
struct Side {
    deny: Index,
    allow: Index,
}

impl PolicyTable {
    /// Compiles rules. Reserved are the headers that any rule injects, and `identity_headers`.
    ///
    /// # Errors
    /// Every pair of rules that could not be told apart, and every header-only difference without `fallback`.
    pub fn compile(rules: Vec<RuleSpec>, identity_headers: &[Box<str>]) -> Result<Self, Vec<TableError>> {
        let mut table = Self::default();
        let injected = rules.iter().flat_map(|spec| &spec.rule.effect.injection.headers).map(|header| &*header.name);
        let reserved = injected.chain(identity_headers.iter().map(|name| &**name));
        table.reserved = reserved.map(|name| name.to_ascii_lowercase().into()).collect();
        table.reserved.sort();
        table.reserved.dedup();
        for (position, spec) in rules.into_iter().enumerate() {
            let side = match spec.matcher.direction.unwrap_or(Direction::Inbound) {
                Direction::Inbound => &mut table.inbound,
                Direction::Outbound => &mut table.outbound,
            };
            let deny = matches!(spec.rule.effect.action, Action::Deny);
            let index = if deny { &mut side.deny } else { &mut side.allow };
            let rule = Arc::new(spec.rule);
            table.rules.push(Arc::clone(&rule));
            if spec.cors_preflight && !deny {
                let mut effect = Effect::clone(&rule.effect);
                effect.action = Action::Preflight { caller: effect.action.caller().cloned() };
                // A preflight carries no credential, so it gets none in its place.
                effect.upstream_token = None;
                effect.injection.headers = Vec::new();
                let preflight = Arc::new(Rule { name: Arc::clone(&rule.name), effect: Arc::new(effect) });
                let matcher = preflight_matcher(&spec.matcher);
                index.insert(&matcher, || Entry::new(position, &preflight, &matcher, &spec.priority, true));
            }
            let matcher = spec.matcher;
            index.insert(&matcher, || Entry::new(position, &rule, &matcher, &spec.priority, spec.fallback));
        }
        let mut errors = Vec::new();
        for side in [&mut table.inbound, &mut table.outbound] {
            side.deny.sort();
            side.allow.sort();
            side.allow.for_each_group(&mut |group| conflict::find(group, &mut errors));
        }
        if errors.is_empty() {
            return Ok(table);
        }
        errors.sort_by(|a, b| (a.rule, a.other, &a.message).cmp(&(b.rule, b.other, &b.message)));
        errors.dedup();
        Err(errors)
    }

    /// Sets what denials look like where no rule has a say.
    #[must_use]
    pub fn with_default_denial(mut self, style: DenialStyle) -> Self {
        self.default_denial = Arc::new(style);
        self
    }

    /// What denials look like where no rule has a say.
    pub fn default_denial(&self) -> &DenialStyle {
        &self.default_denial
    }

    /// The rule that answers this request, if one does.
    ///
    /// # Errors
    /// Where a condition of a rule that might answer cannot be judged.
    pub fn find<'a>(&'a self, facts: &'a RequestFacts<'_>) -> Found<'a> {
        let side = match facts.direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        };
        match side.deny.find(facts)? {
            Some(found) => Ok(Some(found)),
            None => side.allow.find(facts),
        }
    }

    /// Every rule, in the file's order.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// The identity headers that only the gate may set, lower case.
    pub(super) fn reserved(&self) -> &[Arc<str>] {
        &self.reserved
    }
}

/// The CORS preflights for the requests of a matcher.
fn preflight_matcher(matcher: &Matcher) -> Matcher {
    // A browser's preflight carries none of the headers of the request that it asks for.
    let present = |name: &str| HeaderCondition { name: name.into(), test: HeaderTest::Present };
    let headers = ["access-control-request-method", "origin"].map(present).into();
    Matcher { methods: vec!["OPTIONS".into()], headers, ..matcher.clone() }
}

/// A name in lower case.
fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name.into() }
}

/// The spelling to which frameworks fold header names: lower case, `_` and `.` as `-`.
pub fn fold(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase() || b == b'_' || b == b'.') {
        Cow::Owned(name.to_ascii_lowercase().replace(['_', '.'], "-"))
    } else {
        Cow::Borrowed(name)
    }
}

impl HeaderCondition {
    /// Judges the condition.
    ///
    /// # Errors
    /// Where the value must be compared and is not text.
    pub fn holds(&self, facts: &RequestFacts<'_>) -> Result<bool, ConditionError> {
        let value = || facts.headers.joined(&self.name).map_err(|_| ConditionError);
        match &self.test {
            HeaderTest::Present => Ok(facts.headers.contains(&self.name)),
            HeaderTest::Absent => Ok(!facts.headers.contains(&self.name)),
            HeaderTest::Equals(want) => Ok(value()?.is_some_and(|value| *value == **want)),
            HeaderTest::NotEquals(unwanted) => Ok(value()?.is_none_or(|value| *value != **unwanted)),
        }
    }
}
