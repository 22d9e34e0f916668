//! Looking into a document whose keys are protobuf's: `provider_name`, or `providerName` as its JSON form has it.

use std::rc::Rc;

use crate::config::names::shown;
use crate::config::tree::{Entry, Node, Value};

/// A value and the way to it.
#[derive(Clone, Debug)]
pub(super) struct View<'d> {
    pub(super) node: &'d Node,
    file: Rc<str>,
    path: String,
}

impl<'d> View<'d> {
    pub(super) fn root(file: &str, node: &'d Node) -> Self {
        Self { node, file: file.into(), path: String::new() }
    }

    /// `envoy.yaml:12:5: http_filters[0].name`
    pub(super) fn place(&self) -> String {
        let path = if self.path.is_empty() { String::new() } else { format!(": {}", self.path) };
        format!("{}{path}", self.spot())
    }

    /// `envoy.yaml:12:5`
    pub(super) fn spot(&self) -> String {
        let (line, column) = self.node.position;
        format!("{}:{line}:{column}", self.file)
    }

    fn below(&self, node: &'d Node, step: &str) -> Self {
        let dot = if self.path.is_empty() || step.starts_with('[') { "" } else { "." };
        Self { node, file: Rc::clone(&self.file), path: format!("{}{dot}{}", self.path, shown(step)) }
    }

    fn raw_entries(&self) -> &'d [Entry] {
        match &self.node.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The map's keys as they are written, with their values.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'d str, View<'d>)> + '_ {
        self.raw_entries().iter().map(|entry| (entry.key.as_str(), self.below(&entry.value, &entry.key)))
    }

    /// The list's items; a value that is no list has none.
    pub(super) fn items(&self) -> Vec<View<'d>> {
        match &self.node.value {
            Value::List(items) => {
                items.iter().enumerate().map(|(index, node)| self.below(node, &format!("[{index}]"))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The value of a field, by its protobuf name.
    pub(super) fn field(&self, name: &str) -> Option<View<'d>> {
        let entry = self.raw_entries().iter().find(|entry| snake(&entry.key) == name)?;
        (entry.value.value != Value::Null).then(|| self.below(&entry.value, &entry.key))
    }

    /// The items of a field that is a list. One value by itself is a list of it, as protobuf's JSON form has it in Envoy.
    pub(super) fn list(&self, name: &str) -> Vec<View<'d>> {
        match self.field(name) {
            None => Vec::new(),
            Some(view) if view.is_list() => view.items(),
            Some(view) => vec![view],
        }
    }

    /// The text of a field.
    pub(super) fn text_of(&self, name: &str) -> Option<&'d str> {
        self.field(name)?.text()
    }

    /// Whether a field is `true`. What [`faults`] passes is one of the two.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.field(name).is_some_and(|view| truth(view.node) == Some(true))
    }

    pub(super) fn text(&self) -> Option<&'d str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    /// The first field that is none of these, or is there twice.
    pub(super) fn unknown(&self, known: &[&str]) -> Option<&'d str> {
        let strange = |entry: &&Entry| entry.duplicate_of.is_some() || !known.contains(&snake(&entry.key).as_str());
        let twice = |entry: &&Entry| {
            self.raw_entries().iter().filter(|other| snake(&other.key) == snake(&entry.key)).count() > 1
        };
        self.raw_entries().iter().find(|entry| strange(entry) || twice(entry)).map(|entry| entry.key.as_str())
    }

    /// The only field of a `oneof`: its protobuf name and its value.
    pub(super) fn only(&self) -> Option<(String, View<'d>)> {
        match self.raw_entries() {
            [entry] => Some((snake(&entry.key), self.below(&entry.value, &entry.key))),
            _ => None,
        }
    }
}

/// Fields that are true or false.
const FLAGS: [&str; 13] = [
    "any",
    "bypass_cors_preflight",
    "case_sensitive",
    "disabled",
    "forward",
    "ignore_case",
    "invert",
    "invert_match",
    "merge_slashes",
    "normalize_path",
    "present_match",
    "require_expiration",
    "treat_missing_header_as_empty",
];

/// A truth value as Envoy reads it: YAML 1.1 has more words for them than YAML 1.2, and texts will do.
fn truth(node: &Node) -> Option<bool> {
    match &node.value {
        Value::Bool(value) => Some(*value),
        Value::Text(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => Some(true),
            "false" | "no" | "off" | "n" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// What nobody may guess the meaning of: a key that is there twice, of which Envoy takes the last, in whichever spelling,
/// and a flag that is neither true nor false. Where, and what.
pub(super) fn faults(node: &Node) -> Vec<((usize, usize), String)> {
    let mut found = Vec::new();
    look(node, &mut found);
    found
}

fn look(node: &Node, found: &mut Vec<((usize, usize), String)>) {
    match &node.value {
        Value::Map(entries) => {
            let mut seen = std::collections::BTreeSet::new();
            for Entry { key, value, position, .. } in entries {
                if !seen.insert(snake(key)) {
                    found.push((*position, format!("`{}` is there twice; Envoy takes the last one", shown(key))));
                }
                let is_scalar = !matches!(value.value, Value::Map(_) | Value::List(_) | Value::Null);
                if is_scalar && FLAGS.contains(&snake(key).as_str()) && truth(value).is_none() {
                    found.push((value.position, format!("`{}` is neither true nor false", shown(key))));
                }
                look(value, found);
            }
        }
        Value::List(items) => items.iter().for_each(|item| look(item, found)),
        _ => {}
    }
}

/// `providerName` as `provider_name`. Names with `@` and the like stay as they are.
fn snake(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 4);
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
            out.push(c.to_ascii_lowercase());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_field_are_read_and_places_are_told() {
        let node = crate::config::tree::parse("a:\n  providerName: x\n  other_field: [1]\n").unwrap();
        let view = View::root("e.yaml", &node).field("a").unwrap();
        assert_eq!(view.text_of("provider_name"), Some("x"));
        assert_eq!(view.field("provider_name").unwrap().place(), "e.yaml:2:17: a.providerName");
        assert_eq!(view.unknown(&["provider_name"]), Some("other_field"));
        assert_eq!(view.unknown(&["provider_name", "other_field"]), None);
        assert_eq!(view.list("other_field").len(), 1);
    }

    #[test]
    fn a_field_in_both_spellings_is_told() {
        let node = crate::config::tree::parse("{providerName: x, provider_name: y}").unwrap();
        assert!(View::root("e", &node).unknown(&["provider_name"]).is_some());
    }
}
