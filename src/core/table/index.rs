//! The search structure: hosts by hash, paths by tree, methods by hash, and then candidates in order.

use std::cmp::Reverse;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::super::condition::ConditionError;
use super::super::path::{ParamValues, PathParams};
use super::super::request::RequestFacts;
use super::super::rule::Rule;
use super::candidates::Candidates;
use super::pattern::{HostPattern, PathPattern, Segment};
use super::{HeaderCondition, Match, Matcher, Unjudgeable};

/// A hash table without a secret key. That is safe where, as here, only the operator chooses what is in it: a request
/// chooses what is looked up, and one that meets many collisions has to find them among the operator's few.
pub(super) type Map<T> = FxHashMap<Box<str>, T>;

/// A rule at one place of the index.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The rule's position in the file.
    pub(super) position: usize,
    pub(super) rule: Arc<Rule>,
    pub(super) context: Arc<[(Box<str>, Box<str>)]>,
    pub(super) headers: Arc<[HeaderCondition]>,
    pub(super) priority: i32,
    pub(super) fallback: bool,
    /// The names of its path's parameters.
    pub(super) parameters: Arc<[Box<str>]>,
}

impl Entry {
    pub(super) fn new(position: usize, rule: &Arc<Rule>, matcher: &Matcher, priority: &i32, fallback: bool) -> Self {
        let sorted = |mut conditions: Vec<(Box<str>, Box<str>)>| {
            conditions.sort();
            conditions.dedup();
            conditions
        };
        let mut headers = matcher.headers.clone();
        headers.sort();
        headers.dedup();
        Self {
            position,
            rule: Arc::clone(rule),
            context: sorted(matcher.context_extensions.clone()).into(),
            headers: headers.into(),
            priority: *priority,
            fallback,
            parameters: Arc::default(),
        }
    }

    /// Most specific first.
    pub(super) fn rank(&self) -> (Reverse<usize>, Reverse<usize>, Reverse<i32>, usize) {
        (Reverse(self.context.len()), Reverse(self.headers.len()), Reverse(self.priority), self.position)
    }

    /// Judges the conditions, `context_extensions` first, each kind by name; what follows one that does not hold is not
    /// looked at.
    pub(super) fn holds(&self, facts: &RequestFacts<'_>) -> Result<bool, ConditionError> {
        for (key, want) in self.context.iter() {
            let mut values = facts.context(key);
            let (value, another) = (values.next(), values.next());
            if another.is_some() {
                return Err(ConditionError);
            }
            if value != Some(want) {
                return Ok(false);
            }
        }
        for condition in self.headers.iter() {
            if !condition.holds(facts)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The rules of one direction and kind.
#[derive(Debug, Default)]
pub(super) struct Index {
    exact: Map<Node>,
    suffix: Map<Node>,
    any: Node,
}

/// A place in the tree of paths: what the segments so far lead to.
#[derive(Debug, Default)]
struct Node {
    literals: Map<Node>,
    parameter: Option<Box<Node>>,
    here: Methods,
    below: Methods,
}

/// The rules at one place, by method.
#[derive(Debug, Default)]
struct Methods {
    named: Map<Candidates>,
    any: Candidates,
}

impl Index {
    pub(super) fn insert(&mut self, matcher: &Matcher, make: impl Fn() -> Entry) {
        let entry = make();
        let everywhere = PathPattern { segments: Vec::new(), open: true };
        let paths = if matcher.paths.is_empty() { std::slice::from_ref(&everywhere) } else { &matcher.paths };
        if matcher.hosts.is_empty() {
            self.any.insert_all(paths, &matcher.methods, &entry);
        }
        for host in &matcher.hosts {
            let tree = match host {
                HostPattern::Exact(name) => self.exact.entry(name.clone()).or_default(),
                HostPattern::Suffix(suffix) => self.suffix.entry(suffix.clone()).or_default(),
            };
            tree.insert_all(paths, &matcher.methods, &entry);
        }
    }

    pub(super) fn sort(&mut self) {
        let trees = self.exact.values_mut().chain(self.suffix.values_mut());
        trees.chain([&mut self.any]).for_each(Node::sort);
    }

    /// Calls for the rules of each place and method: those that only conditions tell apart.
    pub(super) fn for_each_group(&self, call: &mut impl FnMut(&[Entry])) {
        let trees = self.exact.values().chain(self.suffix.values());
        trees.chain([&self.any]).for_each(|tree| tree.for_each_group(call));
    }

    pub(super) fn find<'a>(&'a self, facts: &'a RequestFacts<'_>) -> Result<Option<Match<'a>>, Unjudgeable<'a>> {
        let host = facts.host.as_str();
        if let Some(found) = self.exact.get(host).map_or(Ok(None), |tree| tree.find(facts))? {
            return Ok(Some(found));
        }
        if !self.suffix.is_empty() && !host.starts_with('[') {
            for (dot, _) in host.match_indices('.') {
                let suffix = host.get(dot..).unwrap_or_default();
                if let Some(found) = self.suffix.get(suffix).map_or(Ok(None), |tree| tree.find(facts))? {
                    return Ok(Some(found));
                }
            }
        }
        self.any.find(facts)
    }
}

impl Node {
    fn insert_all(&mut self, paths: &[PathPattern], methods: &[Box<str>], entry: &Entry) {
        for path in paths {
            let mut entry = entry.clone();
            entry.parameters = path.parameters().map(Into::into).collect();
            let node = path.segments.iter().fold(&mut *self, |node, segment| match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Parameter(_) => node.parameter.get_or_insert_default(),
            });
            let place = if path.open { &mut node.below } else { &mut node.here };
            place.insert(methods, entry);
        }
    }

    fn sort(&mut self) {
        self.here.sort();
        self.below.sort();
        self.literals.values_mut().for_each(Self::sort);
        self.parameter.as_deref_mut().into_iter().for_each(Self::sort);
    }

    fn for_each_group(&self, call: &mut impl FnMut(&[Entry])) {
        for place in [&self.here, &self.below] {
            place.named.values().chain([&place.any]).for_each(|group| call(group.entries()));
        }
        self.literals.values().for_each(|node| node.for_each_group(call));
        self.parameter.as_deref().into_iter().for_each(|node| node.for_each_group(call));
    }

    fn find<'a>(&'a self, facts: &'a RequestFacts<'_>) -> Result<Option<Match<'a>>, Unjudgeable<'a>> {
        self.search(facts, Some(facts.path.joined()), &mut ParamValues::new())
    }

    /// Depth first, the more specific branch first, so that the first match is the most specific one. `path` is what
    /// remains of it, `None` after its last segment; `values` holds the segments that parameters took on the way here.
    fn search<'a>(
        &'a self,
        facts: &'a RequestFacts<'_>,
        path: Option<&'a str>,
        values: &mut ParamValues<'a>,
    ) -> Result<Option<Match<'a>>, Unjudgeable<'a>> {
        match path {
            None => {
                if let Some(found) = self.here.find(facts, values)? {
                    return Ok(Some(found));
                }
            }
            Some(path) => {
                let (segment, rest) = match path.split_once('/') {
                    Some((segment, rest)) => (segment, Some(rest)),
                    None => (path, None),
                };
                if let Some(node) = self.literals.get(segment)
                    && let Some(found) = node.search(facts, rest, values)?
                {
                    return Ok(Some(found));
                }
                if let Some(node) = &self.parameter
                    && !segment.is_empty()
                {
                    values.push(segment);
                    let found = node.search(facts, rest, values)?;
                    values.pop();
                    if found.is_some() {
                        return Ok(found);
                    }
                }
            }
        }
        self.below.find(facts, values)
    }
}

impl Methods {
    fn insert(&mut self, methods: &[Box<str>], entry: Entry) {
        if methods.is_empty() {
            self.any.push(entry);
            return;
        }
        for method in methods {
            self.named.entry(method.clone()).or_default().push(entry.clone());
        }
    }

    fn sort(&mut self) {
        self.named.values_mut().chain([&mut self.any]).for_each(Candidates::sort);
    }

    fn find<'a>(
        &'a self,
        facts: &RequestFacts<'_>,
        values: &ParamValues<'a>,
    ) -> Result<Option<Match<'a>>, Unjudgeable<'a>> {
        let named = self.named.get(facts.method);
        for candidates in named.into_iter().chain([&self.any]) {
            if let Some(entry) = candidates.find(facts)? {
                let params = PathParams { names: &entry.parameters, values: values.clone() };
                return Ok(Some(Match { rule: &entry.rule, params }));
            }
        }
        Ok(None)
    }
}
