//! A YAML document as a tree that knows where each of its values stands.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Spanned};

/// Line and column, from one; zeros where unknown.
pub(super) type Position = (usize, usize);

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) position: Position,
    pub(super) value: Value,
}

/// What a node holds. Numbers that are no integers of 64 bits are floats.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) position: Position,
    pub(super) value: Node,
    /// Where the same key stood before, in the same map.
    pub(super) duplicate_of: Option<Position>,
}

/// Largest file that is read.
pub(super) const MAX_BYTES: usize = 16 << 20;

/// Why a text is no document.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) position: Option<Position>,
    pub(super) message: String,
}

/// Reads one YAML 1.2 document. Repeated keys are kept, and marked.
///
/// # Errors
/// Where the text is not one well-formed document, or outgrows the bounds on nesting, nodes and aliases.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_depth: 48,
            max_nodes: 2_000_000,
            max_events: 6_000_000,
            max_aliases: 2_000,
            max_anchors: 2_000,
            max_recorded_anchor_events: 100_000,
            max_recorded_anchor_bytes: 8 << 20,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        reject_unsupported_tags: true,
        with_snippet: false,
        emit_comments: false,
    };
    serde_saphyr::from_str_with_options::<Node>(text, options).map_err(|error| {
        let position = error.location().map(|at| position(&at)).filter(|at| at.0 > 0);
        SyntaxError { position, message: message(&error) }
    })
}

/// The parser's message without the position that it repeats, on one line.
fn message(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    use serde_saphyr::budget::BudgetBreach;
    let mut cause = error.without_snippet();
    while let Error::AliasError { error, .. } = cause {
        cause = error;
    }
    let bound = match cause {
        Error::Budget { breach: BudgetBreach::Documents { .. }, .. } | Error::MultipleDocuments { .. } => {
            Some("a second document starts here; a file is one document")
        }
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => Some("nested too deeply"),
        Error::Budget { breach: BudgetBreach::Events { .. } | BudgetBreach::Nodes { .. }, .. } => {
            Some("too many values; split the file with `rules_dir`")
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            Some("anchors and aliases stand for too much here; for rules, share a set under `requirements`")
        }
        _ => None,
    };
    if let Some(bound) = bound {
        return bound.to_owned();
    }
    let rendered = cause.to_string();
    let first = rendered.lines().next().unwrap_or("not YAML");
    let text = first.split(" at line ").next().unwrap_or(first).trim_end_matches('.');
    let text = text.strip_prefix("error: ").unwrap_or(text);
    format!("not readable as YAML: {text}")
}

fn position(at: &Location) -> Position {
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    (number(at.line()), number(at.column()))
}

impl Node {
    /// What the node is, for "expected …, found …".
    pub(super) fn describe(&self) -> String {
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
    pub(super) fn to_json(&self) -> serde_json::Value {
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

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { position: position(&spanned.referenced), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(n))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(u64::try_from(n).map_or(Value::Signed(n), Value::Unsigned))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Value, E> {
        Ok(Value::Float(n))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        let mut seen: HashMap<String, Position> = HashMap::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let value = entries.next_value()?;
            let at = position(&key.referenced);
            let duplicate_of = seen.get(&key.value).copied();
            if duplicate_of.is_none() {
                seen.insert(key.value.clone(), at);
            }
            map.push(Entry { key: key.value, position: at, value, duplicate_of });
        }
        Ok(Value::Map(map))
    }
}
