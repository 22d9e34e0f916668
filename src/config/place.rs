//! Places in a configuration, and the errors found there.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::ConfigError;
use super::tree::{Entry, Node, Position, Value};

/// Collects errors, and remembers which nodes they were found in: what follows from a broken node is not
/// reported again.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    errors: RefCell<Vec<ConfigError>>,
    broken: RefCell<HashSet<*const Node>>,
}

impl Sink {
    /// Adds an error.
    pub(crate) fn push(&self, error: ConfigError) {
        self.errors.borrow_mut().push(error);
    }

    /// Everything found, by file and position; the same thing found twice is there once.
    pub(crate) fn into_errors(self) -> Vec<ConfigError> {
        let mut errors = self.errors.into_inner();
        errors.sort_by(|a, b| (&a.file, a.position, &a.path).cmp(&(&b.file, b.position, &b.path)));
        errors.dedup();
        errors
    }

    /// How many errors were found so far.
    pub(crate) fn count(&self) -> usize {
        self.errors.borrow().len()
    }

    /// Leaves a node out from now on.
    pub(crate) fn set_broken(&self, node: &Node) {
        self.broken.borrow_mut().insert(std::ptr::from_ref(node));
    }

    /// Whether a node is left out.
    pub(crate) fn is_broken(&self, node: &Node) -> bool {
        self.broken.borrow().contains(&std::ptr::from_ref(node))
    }
}

/// A node, the way to it, and where to report what is wrong with it.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    file: &'a Arc<Path>,
    sink: &'a Sink,
    parent: Option<&'a At<'a>>,
    segment: Segment<'a>,
    position: Position,
    node: Option<&'a Node>,
}

#[derive(Clone, Copy)]
enum Segment<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> At<'a> {
    /// The document as a whole.
    pub(crate) fn root(file: &'a Arc<Path>, sink: &'a Sink, node: &'a Node) -> Self {
        Self { file, sink, parent: None, segment: Segment::Root, position: node.position, node: Some(node) }
    }

    /// The place of a key; where the key is absent, its parent's position stands for it.
    pub(crate) fn key(&'a self, key: &'a str) -> At<'a> {
        let entry = self.entries().iter().find(|entry| entry.key == key && entry.duplicate_of.is_none());
        match entry {
            Some(entry) => self.entry(entry),
            None => At { parent: Some(self), segment: Segment::Key(key), node: None, ..*self },
        }
    }

    /// The place of an entry of this map.
    pub(crate) fn entry(&'a self, entry: &'a Entry) -> At<'a> {
        let node = Some(&entry.value);
        let position = if entry.value.position.0 > 0 { entry.value.position } else { entry.position };
        At { parent: Some(self), segment: Segment::Key(&entry.key), position, node, ..*self }
    }

    /// The place of the entry's key, for what is wrong with its name.
    pub(crate) fn entry_key(&'a self, entry: &'a Entry) -> At<'a> {
        At { position: entry.position, ..self.entry(entry) }
    }

    /// The place of the item that came out as the `index`th value: items left out before it count.
    pub(crate) fn index(&'a self, index: usize) -> At<'a> {
        let mut kept = self.items().iter().enumerate().filter(|(_, node)| !self.sink.is_broken(node));
        match kept.nth(index) {
            Some((actual, node)) => self.item(actual, node),
            None => At { parent: Some(self), segment: Segment::Index(index), node: None, ..*self },
        }
    }

    /// The place of an item of this list.
    pub(crate) fn item(&'a self, index: usize, node: &'a Node) -> At<'a> {
        let position = node.position;
        At { parent: Some(self), segment: Segment::Index(index), position, node: Some(node), ..*self }
    }

    /// The map's entries; none where it is no map.
    pub(crate) fn entries(&self) -> &'a [Entry] {
        match self.node.map(|node| &node.value) {
            Some(Value::Map(entries)) => entries,
            _ => &[],
        }
    }

    /// The list's items; none where it is no list.
    pub(crate) fn items(&self) -> &'a [Node] {
        match self.node.map(|node| &node.value) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }

    /// The node, where the key is there.
    pub(crate) fn node(&self) -> Option<&'a Node> {
        self.node
    }

    /// Where errors go.
    pub(crate) fn sink(&self) -> &'a Sink {
        self.sink
    }

    /// Reports that something is wrong here.
    pub(crate) fn error(&self, message: impl Into<String>) {
        self.error_at(self.position, message);
    }

    /// Reports that something is wrong here, pointing at a position of one's own.
    pub(crate) fn error_at(&self, position: Position, message: impl Into<String>) {
        self.sink.push(ConfigError {
            file: self.file.clone(),
            position: Some(position).filter(|at| at.0 > 0),
            path: self.to_string(),
            message: message.into(),
        });
    }

    /// Reports that something is missing here, unless what is here could not be read in the first place.
    pub(crate) fn missing(&self, message: impl Into<String>) {
        if !self.has_broken() {
            self.error(message);
        }
    }

    /// The value of a required key, or an error that says what it is for.
    pub(crate) fn required<T>(&self, key: &str, value: Option<T>, what: &str) -> Option<T> {
        if value.is_none() && self.key(key).node.is_none() {
            self.error(format!("`{key}` is missing: {what}"));
        }
        value
    }

    /// Whether this node or one directly in it could not be read.
    pub(crate) fn has_broken(&self) -> bool {
        let broken = |node: &Node| self.sink.is_broken(node);
        self.node.is_some_and(broken)
            || self.entries().iter().any(|entry| broken(&entry.value))
            || self.items().iter().any(broken)
    }

    /// Whether this node or any below it could not be read.
    pub(crate) fn is_broken_below(&self) -> bool {
        fn below(sink: &Sink, node: &Node) -> bool {
            sink.is_broken(node)
                || match &node.value {
                    Value::Map(entries) => entries.iter().any(|entry| below(sink, &entry.value)),
                    Value::List(items) => items.iter().any(|item| below(sink, item)),
                    _ => false,
                }
        }
        self.node.is_some_and(|node| below(self.sink, node))
    }

    /// File, position and path, for a place that is reported on later.
    pub(crate) fn kept(&self) -> Kept {
        Kept { file: self.file.clone(), position: self.position, path: self.to_string() }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            fmt::Display::fmt(parent, f)?;
        }
        match self.segment {
            Segment::Root => Ok(()),
            Segment::Index(index) => write!(f, "[{index}]"),
            Segment::Key(key) => write_key(f, key, self.parent.is_some_and(|parent| parent.parent.is_some())),
        }
    }
}

/// Writes a key as a part of a path; `inner` where something stands before it.
pub(crate) fn write_key(out: &mut impl fmt::Write, key: &str, inner: bool) -> fmt::Result {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if key.is_empty() || !key.bytes().all(plain) {
        return write!(out, "[\"{}\"]", super::names::shown(key));
    }
    if inner {
        out.write_char('.')?;
    }
    out.write_str(key)
}

/// A place that outlives the tree.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) file: Arc<Path>,
    pub(crate) position: Position,
    pub(crate) path: String,
}

impl Kept {
    /// `policy.yaml:12:5`, without the file's directory.
    pub(crate) fn in_short(&self) -> String {
        let file = self.file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let (line, column) = self.position;
        format!("{file}:{line}:{column}")
    }

    /// What is wrong there.
    pub(crate) fn error(&self, message: impl Into<String>) -> ConfigError {
        ConfigError {
            file: self.file.clone(),
            position: Some(self.position).filter(|at| at.0 > 0),
            path: self.path.clone(),
            message: message.into(),
        }
    }
}
