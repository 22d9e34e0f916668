//! A configuration as it was written: what stands where, with the comments that speak to `tollgate lint`. Nothing of it
//! is needed to serve.

use std::path::Path;
use std::sync::Arc;

use super::place::write_key;
use super::tree::{Comment, Node, Position, Value};
use crate::core::table::RuleSpec;

/// What comments for lint begin with.
pub(super) const ALLOWANCE: &str = "tollgate:";

/// The files, and the rules that came of them.
#[derive(Debug, Default)]
pub struct Written {
    /// The rules in the table's order, before they were compiled.
    pub rules: Vec<RuleSpec>,
    places: Vec<RulePlace>,
    documents: Vec<Document>,
}

/// A file and what it holds.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) file: Arc<Path>,
    pub(super) root: Node,
    pub(super) comments: Vec<Comment>,
}

/// Where a rule stands: in which file, and at which position there.
#[derive(Clone, Copy, Debug)]
pub(super) struct RulePlace {
    pub(super) document: usize,
    pub(super) index: usize,
}

/// A comment that speaks to lint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Where it stands.
    pub place: Place,
    /// The line that it speaks of.
    pub of_line: usize,
    /// What follows `tollgate:`, trimmed.
    pub text: String,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// Line and column, from one; zeros where unknown.
    pub position: (usize, usize),
    /// `rules[3].match.paths[0]`; empty for the file as a whole.
    pub path: String,
}

/// A value where it stands, or the place where it is missing.
#[derive(Clone, Debug)]
pub struct Spot<'w> {
    file: &'w Arc<Path>,
    path: String,
    position: Position,
    node: Option<&'w Node>,
    /// How many keys and positions lead here.
    depth: usize,
    /// The lines on which this value and what holds it begin, up to the section's entry.
    lines: Vec<usize>,
}

impl Written {
    pub(super) fn new(main: Document, further: Vec<Document>, rules: Vec<(RuleSpec, RulePlace)>) -> Self {
        let (rules, places) = rules.into_iter().unzip();
        Self { rules, places, documents: std::iter::once(main).chain(further).collect() }
    }

    /// The first file as a whole. `None` where nothing was written.
    pub fn root(&self) -> Option<Spot<'_>> {
        self.documents.first().map(Document::root)
    }

    /// The rule at this position of the table.
    pub fn rule(&self, position: usize) -> Option<Spot<'_>> {
        let RulePlace { document, index } = self.places.get(position)?;
        let rules = self.documents.get(*document)?.root().find("rules")?;
        rules.item(*index)
    }

    /// Where a rule says this key of its requirements, be it in a set.
    pub fn required<'w>(&'w self, rule: &Spot<'w>, key: &str) -> Spot<'w> {
        let own = rule.key("require");
        if let Some(found) = own.find(key) {
            return found;
        }
        let set = own.text().or_else(|| own.find("use").and_then(|name| name.text()));
        let set = set.and_then(|name| self.root()?.find("requirements")?.find(name));
        match set {
            Some(set) => set.find(key).unwrap_or(if own.text().is_some() { set } else { own }),
            None => own,
        }
    }

    /// The comments that begin with `tollgate:`.
    pub fn remarks(&self) -> impl Iterator<Item = Remark> {
        self.documents.iter().flat_map(|document| {
            document.comments.iter().map(|comment| Remark {
                place: Place { file: Arc::clone(&document.file), position: comment.position, path: String::new() },
                of_line: comment.of_line,
                text: comment.text.strip_prefix(ALLOWANCE).unwrap_or_default().trim().to_owned(),
            })
        })
    }
}

impl Document {
    fn root(&self) -> Spot<'_> {
        let Node { position, .. } = self.root;
        let node = Some(&self.root);
        Spot { file: &self.file, path: String::new(), position, node, depth: 0, lines: Vec::new() }
    }
}

impl<'w> Spot<'w> {
    /// The value of a key; where there is none, the place of the map that lacks it.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.find(key).unwrap_or_else(|| self.clone())
    }

    /// The value of a key.
    pub fn find(&self, key: &str) -> Option<Self> {
        let Some(Value::Map(entries)) = self.node.map(|node| &node.value) else { return None };
        let entry = entries.iter().find(|entry| entry.key == key && entry.duplicate_of.is_none())?;
        let position = if entry.value.position.0 > 0 { entry.value.position } else { entry.position };
        let mut path = self.path.clone();
        // Writing to a string does not fail.
        let _ = write_key(&mut path, key, !self.path.is_empty());
        Some(self.inner(path, position, &entry.value, entry.position.0))
    }

    /// The item at this position of a list.
    pub fn item(&self, index: usize) -> Option<Self> {
        let Some(Value::List(items)) = self.node.map(|node| &node.value) else { return None };
        let node = items.get(index)?;
        Some(self.inner(format!("{}[{index}]", self.path), node.position, node, node.position.0))
    }

    /// The items of a list; none where it is no list.
    pub fn items(&self) -> impl Iterator<Item = Self> {
        (0..).map_while(|index| self.item(index))
    }

    /// The keys of a map; none where it is no map.
    pub fn keys(&self) -> impl Iterator<Item = &'w str> {
        let entries = match self.node.map(|node| &node.value) {
            Some(Value::Map(entries)) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|entry| entry.key.as_str())
    }

    /// The text, where it is one.
    pub fn text(&self) -> Option<&'w str> {
        match self.node.map(|node| &node.value) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether it is the boolean `true`.
    pub fn is_true(&self) -> bool {
        self.node.is_some_and(|node| node.value == Value::Bool(true))
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        Place { file: Arc::clone(self.file), position: self.position, path: self.path.clone() }
    }

    /// The lines on which it, and what holds it, begin: the rule or other entry of a section is the outermost.
    pub fn lines(&self) -> &[usize] {
        &self.lines
    }

    fn inner(&self, path: String, position: Position, node: &'w Node, line: usize) -> Self {
        let depth = self.depth + 1;
        // A whole section is not an entry: what is written above `rules` is not about each rule.
        let mut lines = if depth > 2 { self.lines.clone() } else { Vec::new() };
        lines.extend([line, position.0]);
        Self { file: self.file, path, position, node: Some(node), depth, lines }
    }
}
