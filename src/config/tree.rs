//! A YAML document as a tree that knows where each of its values stands.

mod scalar;

use std::borrow::Cow;
use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag, options};

/// Line and column, from one; zeros where unknown.
pub(crate) type Position = (usize, usize);

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) position: Position,
    pub(crate) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    /// Below zero.
    Signed(i64),
    /// A number with a fraction or an exponent, or one too large for 64 bits.
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) position: Position,
    pub(crate) value: Node,
    /// Where the same key stood before, in the same map.
    pub(crate) duplicate_of: Option<Position>,
}

impl PartialEq for Node {
    /// Equal values, wherever they stand.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// Largest file that is read.
pub(crate) const MAX_BYTES: usize = 16 << 20;
/// Deepest nesting.
const MAX_DEPTH: usize = 48;
/// Most values of a file.
const MAX_NODES: usize = 2_000_000;
/// Most values that are kept for aliases, or put in for them.
const MAX_REPEATED: usize = 100_000;

/// Why a text is no document.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) position: Option<Position>,
    pub(crate) message: String,
}

/// Reads one YAML 1.2 document. Repeated keys are kept, and marked.
///
/// # Errors
/// Where the text is not one well-formed document, or outgrows the bounds on nesting, values and aliases.
pub(crate) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let options = options! {
        emit_comments: false,
        disallow_directives: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(scan_error)?;
        builder.take(event, position(&span))?;
    }
    builder.root.ok_or_else(|| SyntaxError { position: None, message: "the file is empty".to_owned() })
}

/// A comment, and the line that it speaks of: its own, or, where nothing else stands on that, the next one on which
/// something does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comment {
    pub(super) position: Position,
    pub(super) of_line: usize,
    /// What follows the `#`, trimmed.
    pub(super) text: String,
}

/// The comments of a document that begin with this word. The parser tells them from texts that look like one.
pub(super) fn comments(text: &str, word: &str) -> Vec<Comment> {
    if !text.contains(word) {
        return Vec::new();
    }
    let options = options! {
        emit_comments: true,
        disallow_directives: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let is_bare = |line: &str| line.trim_start().is_empty() || line.trim_start().starts_with('#');
    // Of each line, by number from zero, the next that is not bare, by number from one.
    let lines: Vec<&str> = text.lines().collect();
    let mut next_of = vec![None; lines.len()];
    let mut next = None;
    for ((at, line), of) in lines.iter().enumerate().zip(&mut next_of).rev() {
        *of = next;
        if !is_bare(line) {
            next = Some(at + 1);
        }
    }
    let mut found = Vec::new();
    for (event, span) in Parser::new_from_str_with_options(text, options).map_while(Result::ok) {
        let Event::Comment(comment, _) = event else { continue };
        let comment = comment.trim();
        if !comment.starts_with(word) {
            continue;
        }
        let (line, column) = position(&span);
        let at = line.saturating_sub(1);
        let alone = lines.get(at).is_some_and(|own| is_bare(own));
        let of_line = next_of.get(at).copied().flatten().filter(|_| alone).unwrap_or(line);
        found.push(Comment { position: (line, column), of_line, text: comment.to_owned() });
    }
    found
}

fn scan_error(error: ScanError) -> SyntaxError {
    let at = error.marker();
    let message = format!("not readable as YAML: {}", error.info());
    SyntaxError { position: Some((at.line(), at.col() + 1)).filter(|at| at.0 > 0), message }
}

fn position(span: &Span) -> Position {
    (span.start.line(), span.start.col() + 1)
}

fn error<T>(at: Position, message: impl Into<String>) -> Result<T, SyntaxError> {
    Err(SyntaxError { position: Some(at), message: message.into() })
}

/// Puts events together.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    anchored: HashMap<usize, Anchored>,
    nodes: usize,
    repeated: usize,
}

/// A list or map that is not complete.
struct Open {
    position: Position,
    anchor: usize,
    /// Values so far, itself included.
    size: usize,
    /// Levels below, itself included.
    depth: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(String, Position)>, seen: HashMap<String, Position> },
}

/// A node that aliases may stand for.
struct Anchored {
    node: Node,
    size: usize,
    depth: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), SyntaxError> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                error(at, "a second document starts here; a file is one document")
            }
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(at, tag)?;
                self.scalar(text, style, anchor, at)
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse_tag(at, tag)?;
                self.open(at, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse_tag(at, tag)?;
                self.open(at, anchor, Content::Map { entries: Vec::new(), key: None, seen: HashMap::new() })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, at),
            // Stream and document borders, and kinds of events that are not asked for.
            _ => Ok(()),
        }
    }

    fn open(&mut self, position: Position, anchor: usize, content: Content) -> Result<(), SyntaxError> {
        if self.awaits_key() {
            return error(position, "a key must be text, on one line");
        }
        self.count(position, 1)?;
        if self.open.len() >= MAX_DEPTH {
            return error(position, "nested too deeply");
        }
        self.open.push(Open { position, anchor, size: 1, depth: 1, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), SyntaxError> {
        let Some(Open { position, anchor, size, depth, content }) = self.open.pop() else { return Ok(()) };
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map { entries, .. } => Value::Map(entries),
        };
        self.add(Node { position, value }, anchor, size, depth)
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        anchor: usize,
        at: Position,
    ) -> Result<(), SyntaxError> {
        if let Some(Open { content: Content::Map { key: key @ None, .. }, .. }) = self.open.last_mut() {
            *key = Some((text.into_owned(), at));
            return Ok(());
        }
        self.count(at, 1)?;
        let value = match style {
            ScalarStyle::Plain => scalar::resolve(text),
            _ => Value::Text(text.into_owned()),
        };
        self.add(Node { position: at, value }, anchor, 1, 1)
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<(), SyntaxError> {
        if self.awaits_key() {
            return error(at, "a key must be text, on one line");
        }
        let Some((size, depth)) = self.anchored.get(&anchor).map(|anchored| (anchored.size, anchored.depth)) else {
            return error(at, "the alias stands for a key, or for what it is itself a part of");
        };
        self.repeat(at, size)?;
        if self.open.len() + depth > MAX_DEPTH {
            return error(at, "nested too deeply");
        }
        let value = self.anchored.get(&anchor).map_or(Value::Null, |anchored| anchored.node.value.clone());
        let node = Node { position: at, value };
        self.count(at, size)?;
        self.add(node, 0, size, depth)
    }

    /// Whether the next node is a map's key.
    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { content: Content::Map { key: None, .. }, .. }))
    }

    fn count(&mut self, at: Position, nodes: usize) -> Result<(), SyntaxError> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES { error(at, "too many values; split the file with `rules_dir`") } else { Ok(()) }
    }

    /// Counts values that are kept for aliases, or put in for one.
    fn repeat(&mut self, at: Position, nodes: usize) -> Result<(), SyntaxError> {
        self.repeated += nodes;
        if self.repeated > MAX_REPEATED {
            return error(
                at,
                "anchors and aliases stand for too much here; for rules, share a set under `requirements`",
            );
        }
        Ok(())
    }

    /// Puts a complete node where it belongs.
    fn add(&mut self, node: Node, anchor: usize, size: usize, depth: usize) -> Result<(), SyntaxError> {
        if anchor != 0 {
            self.repeat(node.position, size)?;
            self.anchored.insert(anchor, Anchored { node: node.clone(), size, depth });
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.size += size;
        open.depth = open.depth.max(depth + 1);
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, key, seen } => {
                let Some((key, position)) = key.take() else { return Ok(()) };
                let duplicate_of = earlier(entries, seen, &key, position);
                entries.push(Entry { key, position, value: node, duplicate_of });
            }
        }
        Ok(())
    }
}

/// Where a key stood before. Small maps are searched; large ones keep an index.
fn earlier(entries: &[Entry], seen: &mut HashMap<String, Position>, key: &str, position: Position) -> Option<Position> {
    const SMALL: usize = 16;
    if entries.len() < SMALL {
        return entries.iter().find(|entry| entry.key == key).map(|entry| entry.position);
    }
    if seen.is_empty() {
        for entry in entries {
            seen.entry(entry.key.clone()).or_insert(entry.position);
        }
    }
    let found = seen.get(key).copied();
    if found.is_none() {
        seen.insert(key.to_owned(), position);
    }
    found
}

fn refuse_tag(at: Position, tag: Option<Cow<'_, Tag>>) -> Result<(), SyntaxError> {
    match tag {
        None => Ok(()),
        Some(tag) => {
            error(at, format!("the tag `{}` has no meaning here; leave it out", super::names::shown(&tag.original())))
        }
    }
}

impl Node {
    /// What the node is, for "expected …, found …".
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(b) => format!("the boolean `{b}`"),
            Value::Unsigned(n) => format!("the number `{n}`"),
            Value::Signed(n) => format!("the number `{n}`"),
            Value::Float(n) => format!("the number `{n}`"),
            Value::Text(text) => format!("the text `{}`", super::names::shown(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }

    /// The node as JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            Value::Unsigned(n) => (*n).into(),
            Value::Signed(n) => (*n).into(),
            Value::Float(n) => (*n).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect(),
        }
    }
}
