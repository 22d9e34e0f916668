//! The search structure: hosts by hash, paths by tree, methods by number, and then candidates in order.
//!
//! Of many rules each is seldom in the processor's cache, so that a search costs as much as it touches memory: what it
//! passes on its way is kept small and close together.

use std::cmp::Reverse;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::super::condition::ConditionError;
use super::super::path::{ParamValues, PathParams};
use super::super::request::RequestFacts;
use super::super::rule::Rule;
use super::candidates::Candidates;
use super::pattern::{HostPattern, PathPattern, Segment};
use super::{HeaderCondition, Match, Matcher, Unjudgeable};

/// A hash table without a secret key. That is safe where, as here, only the operator chooses what is in it: a request
/// chooses what is looked up, and one that meets many collisions has to find them among the operator's few.
pub(super) type Map<T> = FxHashMap<SmolStr, T>;

/// A rule at one place of the index.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) rule: Arc<Rule>,
    /// The names of its path's parameters.
    parameters: Arc<[Box<str>]>,
    pub(super) conditions: Arc<Conditions>,
    /// Whether it has conditions: most have none.
    is_conditional: bool,
}

/// What settles which of the rules of one place answers.
#[derive(Debug)]
pub(super) struct Conditions {
    /// The rule's position in the file.
    pub(super) position: usize,
    pub(super) context: Vec<(Box<str>, Box<str>)>,
    pub(super) headers: Vec<HeaderCondition>,
    pub(super) priority: i32,
    pub(super) fallback: bool,
}

impl Entry {
    pub(super) fn new(position: usize, rule: &Arc<Rule>, matcher: &Matcher, priority: &i32, fallback: bool) -> Self {
        let (context, headers) = matcher.conditions();
        let is_conditional = !context.is_empty() || !headers.is_empty();
        let conditions = Arc::new(Conditions { position, context, headers, priority: *priority, fallback });
        Self { rule: Arc::clone(rule), parameters: Arc::default(), conditions, is_conditional }
    }

    /// Whether it is the same rule at the same place.
    pub(super) fn is_twin(&self, other: &Self) -> bool {
        self.conditions.position == other.conditions.position
            && self.conditions.headers == other.conditions.headers
            && self.parameters == other.parameters
    }

    /// Most specific first.
    pub(super) fn rank(&self) -> (Reverse<usize>, Reverse<usize>, Reverse<i32>, usize) {
        let Conditions { position, context, headers, priority, .. } = &*self.conditions;
        (Reverse(context.len()), Reverse(headers.len()), Reverse(*priority), *position)
    }

    /// Judges the conditions, `context_extensions` first, each kind by name; what follows one that does not hold is not
    /// looked at.
    pub(super) fn holds(&self, facts: &RequestFacts<'_>) -> Result<bool, ConditionError> {
        if !self.is_conditional {
            return Ok(true);
        }
        for (key, want) in &self.conditions.context {
            let mut values = facts.context(key);
            let (value, another) = (values.next(), values.next());
            if another.is_some() {
                return Err(ConditionError);
            }
            if value != Some(&**want) {
                return Ok(false);
            }
        }
        for condition in &self.conditions.headers {
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
    /// Every method that a rule names.
    methods: Map<Method>,
    exact: Map<Box<Node>>,
    suffix: Map<Box<Node>>,
    any: Box<Node>,
}

/// A place in the tree of paths: what the segments so far lead to.
#[derive(Debug, Default)]
struct Node {
    /// The segments that come before anything else here, each after a slash; [`PARAMETER`] for any. Where one way leads on
    /// from a place without a rule, that place is no node of its own.
    stem: SmolStr,
    /// At most nodes there are none.
    literals: Option<Box<Map<Box<Node>>>>,
    parameter: Option<Box<Node>>,
    here: Place,
    below: Place,
}

/// What stands for any segment in a stem: no canonical path holds it.
const PARAMETER: &str = "\0";

/// The number that a method has in an [`Index`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Method(u32);

/// The rules at one place by method, last those for any. Most places have rules for one.
type Groups = SmallVec<[(Option<Method>, Candidates); 1]>;

/// At most nodes of the tree there is no rule.
#[derive(Debug, Default)]
struct Place(Option<Box<Groups>>);

/// What is searched for.
#[derive(Clone, Copy, Debug)]
struct Sought<'a> {
    facts: &'a RequestFacts<'a>,
    method: Option<Method>,
}

impl Index {
    pub(super) fn insert(&mut self, matcher: &Matcher, make: impl Fn() -> Entry) {
        let entry = make();
        let everywhere = PathPattern { segments: Vec::new(), open: true };
        let paths = if matcher.paths.is_empty() { std::slice::from_ref(&everywhere) } else { &matcher.paths };
        let mut methods: Vec<Option<Method>> = Vec::new();
        for name in &matcher.methods {
            let next = Method(u32::try_from(self.methods.len()).unwrap_or(u32::MAX));
            methods.push(Some(*self.methods.entry(SmolStr::new(name)).or_insert(next)));
        }
        if methods.is_empty() {
            methods.push(None);
        }
        if matcher.hosts.is_empty() {
            self.any.insert_all(paths, &methods, &entry);
        }
        for host in &matcher.hosts {
            let tree = match host {
                HostPattern::Exact(name) => self.exact.entry(SmolStr::new(name)).or_default(),
                HostPattern::Suffix(suffix) => self.suffix.entry(SmolStr::new(suffix)).or_default(),
            };
            tree.insert_all(paths, &methods, &entry);
        }
    }

    pub(super) fn sort(&mut self) {
        let trees = self.exact.values_mut().chain(self.suffix.values_mut());
        trees.chain([&mut self.any]).for_each(|tree| tree.sort());
    }

    /// Calls for the rules of each place and method: those that only conditions tell apart.
    pub(super) fn for_each_group(&self, call: &mut impl FnMut(&[Entry])) {
        let trees = self.exact.values().chain(self.suffix.values());
        trees.chain([&self.any]).for_each(|tree| tree.for_each_group(call));
    }

    pub(super) fn find<'a>(&'a self, facts: &'a RequestFacts<'_>) -> Result<Option<Match<'a>>, Unjudgeable<'a>> {
        let host = facts.host.as_str();
        let sought = Sought { facts, method: self.methods.get(facts.method).copied() };
        if let Some(found) = self.exact.get(host).map_or(Ok(None), |tree| tree.find(sought))? {
            return Ok(Some(found));
        }
        if !self.suffix.is_empty() && !host.starts_with('[') {
            for (dot, _) in host.match_indices('.') {
                let suffix = host.get(dot..).unwrap_or_default();
                if let Some(found) = self.suffix.get(suffix).map_or(Ok(None), |tree| tree.find(sought))? {
                    return Ok(Some(found));
                }
            }
        }
        self.any.find(sought)
    }
}

impl Node {
    fn insert_all(&mut self, paths: &[PathPattern], methods: &[Option<Method>], entry: &Entry) {
        for path in paths {
            let mut entry = entry.clone();
            entry.parameters = path.parameters().map(Into::into).collect();
            let node = path.segments.iter().fold(&mut *self, |node, segment| match segment {
                Segment::Literal(text) => node.literals.get_or_insert_default().entry(SmolStr::new(text)).or_default(),
                Segment::Parameter(_) => node.parameter.get_or_insert_default(),
            });
            let place = if path.open { &mut node.below } else { &mut node.here };
            methods.iter().for_each(|method| place.push(*method, entry.clone()));
        }
    }

    fn sort(&mut self) {
        self.here.sort();
        self.below.sort();
        self.literals.iter_mut().flat_map(|literals| literals.values_mut()).for_each(|node| node.sort());
        self.parameter.as_deref_mut().into_iter().for_each(Self::sort);
        self.pack();
    }

    /// Joins this place and the next, where nothing else is here.
    fn pack(&mut self) {
        if !self.here.is_empty() || !self.below.is_empty() {
            return;
        }
        let ways = self.literals.as_ref().map_or(0, |literals| literals.len()) + usize::from(self.parameter.is_some());
        if ways != 1 {
            return;
        }
        let literal = self.literals.take().and_then(|literals| literals.into_iter().next());
        let parameter = self.parameter.take().map(|node| (SmolStr::new_static(PARAMETER), node));
        if let Some((segment, node)) = literal.or(parameter) {
            let stem = format!("{}/{segment}{}", self.stem, node.stem).into();
            *self = Self { stem, ..*node };
        }
    }

    fn for_each_group(&self, call: &mut impl FnMut(&[Entry])) {
        for place in [&self.here, &self.below] {
            place.groups().iter().for_each(|(_, group)| call(group.entries()));
        }
        self.literals.iter().flat_map(|literals| literals.values()).for_each(|node| node.for_each_group(call));
        self.parameter.as_deref().into_iter().for_each(|node| node.for_each_group(call));
    }

    fn find<'a>(&'a self, sought: Sought<'a>) -> Result<Option<Match<'a>>, Unjudgeable<'a>> {
        self.search(sought, Some(sought.facts.path.joined()), &mut ParamValues::new())
    }

    /// What is found here. `path` is what remains of it, `None` after its last segment; `values` holds the segments that
    /// parameters took on the way here, before and after.
    fn search<'a>(
        &'a self,
        sought: Sought<'a>,
        mut path: Option<&'a str>,
        values: &mut ParamValues<'a>,
    ) -> Result<Option<Match<'a>>, Unjudgeable<'a>> {
        let before = values.len();
        for wanted in self.stem.split('/').skip(1) {
            let Some((segment, rest)) = path.map(next_segment) else {
                values.truncate(before);
                return Ok(None);
            };
            if wanted == PARAMETER && !segment.is_empty() {
                values.push(segment);
            } else if wanted != segment {
                values.truncate(before);
                return Ok(None);
            }
            path = rest;
        }
        let found = self.branch(sought, path, values);
        values.truncate(before);
        found
    }

    /// Depth first, the more specific branch first, so that the first match is the most specific one.
    fn branch<'a>(
        &'a self,
        sought: Sought<'a>,
        path: Option<&'a str>,
        values: &mut ParamValues<'a>,
    ) -> Result<Option<Match<'a>>, Unjudgeable<'a>> {
        match path {
            None => {
                if let Some(found) = self.here.find(sought, values)? {
                    return Ok(Some(found));
                }
            }
            Some(path) => {
                let (segment, rest) = next_segment(path);
                if let Some(node) = self.literals.as_ref().and_then(|literals| literals.get(segment))
                    && let Some(found) = node.search(sought, rest, values)?
                {
                    return Ok(Some(found));
                }
                if let Some(node) = &self.parameter
                    && !segment.is_empty()
                {
                    values.push(segment);
                    let found = node.search(sought, rest, values)?;
                    values.pop();
                    if found.is_some() {
                        return Ok(found);
                    }
                }
            }
        }
        self.below.find(sought, values)
    }
}

fn next_segment(path: &str) -> (&str, Option<&str>) {
    match path.split_once('/') {
        Some((segment, rest)) => (segment, Some(rest)),
        None => (path, None),
    }
}

impl Place {
    fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn groups(&self) -> &[(Option<Method>, Candidates)] {
        self.0.as_deref().map_or(&[], |groups| groups)
    }

    fn push(&mut self, method: Option<Method>, entry: Entry) {
        let groups = self.0.get_or_insert_default();
        if let Some((_, group)) = groups.iter_mut().find(|(of, _)| *of == method) {
            group.push(entry);
            return;
        }
        let mut group = Candidates::default();
        group.push(entry);
        // Whichever came first, those for any method stay last.
        let at = if method.is_some() { groups.partition_point(|(of, _)| of.is_some()) } else { groups.len() };
        groups.insert(at, (method, group));
    }

    fn sort(&mut self) {
        self.0.iter_mut().flat_map(|groups| groups.iter_mut()).for_each(|(_, group)| group.sort());
    }

    fn find<'a>(&'a self, sought: Sought<'a>, values: &ParamValues<'a>) -> Result<Option<Match<'a>>, Unjudgeable<'a>> {
        for (_, group) in self.groups().iter().filter(|(of, _)| of.is_none() || *of == sought.method) {
            if let Some(entry) = group.find(sought.facts)? {
                let params = PathParams { names: &entry.parameters, values: values.clone() };
                return Ok(Some(Match { rule: &entry.rule, params }));
            }
        }
        Ok(None)
    }
}
