//! From files to cases. Each fault is reported at its place; what has none is kept.

mod case;
mod expected;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Cases;
use super::file::{CaseFile, CasesFile, DefaultsFile, FILE_KEYS};
use crate::config;
use crate::config::decode::{decode, report_unknown};
use crate::config::place::{At, Sink};
use crate::config::read as read_config;
use crate::config::tree::{Node, Position, Value};

/// Reads files of cases.
pub fn files(paths: &[PathBuf]) -> Cases {
    let mut all = Cases::default();
    for path in paths {
        all.files.push(path.clone());
        match read_config::bytes(path) {
            Ok(bytes) => text(path, &bytes, &mut all),
            Err(message) => all.faults.push(read_config::whole_file(path, message)),
        }
    }
    all
}

/// Reads cases from a text, whose file this would be: others are named relative to it.
pub fn text(path: &Path, bytes: &[u8], all: &mut Cases) {
    let sink = Sink::default();
    let file: Arc<Path> = path.into();
    if let Some((_, root)) = read_config::map(&file, bytes, "split it", &sink) {
        let at = At::root(&file, &sink, &root);
        for entry in at.entries().iter().filter(|entry| !FILE_KEYS.contains(&entry.key.as_str())) {
            report_unknown(&at, entry, FILE_KEYS);
        }
        let base = path.parent().unwrap_or(Path::new(""));
        cases(&at, base, all);
    }
    all.faults.extend(sink.into_errors());
}

/// The JSON Schema (draft 2020-12) of a file of cases.
pub fn schema() -> serde_json::Value {
    config::schema_of::<CasesFile>()
}

fn cases(at: &At<'_>, base: &Path, all: &mut Cases) {
    let sink = at.sink();
    let before = sink.count();
    let defaults_at = at.key("defaults");
    let defaults = if defaults_at.node().is_some() { decode(&defaults_at) } else { Some(DefaultsFile::default()) };
    let defaults = defaults.filter(|_| defaults_at.node().is_none_or(|node| !repeats(node)));
    let list = at.key("cases");
    match list.node() {
        None => at.error("`cases` is missing"),
        Some(Node { value: Value::List(items), .. }) if items.is_empty() => list.error("there is no case"),
        Some(Node { value: Value::List(_), .. }) => {}
        // That this is no list is the error.
        Some(_) => drop(decode::<Vec<serde::de::IgnoredAny>>(&list)),
    }
    let reader = match defaults {
        Some(defaults) if sink.count() == before => case::Reader::new(defaults, &defaults_at, base),
        // Cases without what they build upon would be other cases.
        _ => return,
    };
    if sink.count() > before {
        return;
    }
    let mut names: HashMap<String, Position> = HashMap::new();
    for (index, node) in list.items().iter().enumerate() {
        let at = list.item(index, node);
        let before = sink.count();
        let Some(file) = decode::<CaseFile>(&at) else { continue };
        if let Some(name) = &file.name
            && let Some((line, column)) = names.insert(name.clone(), node.position)
        {
            at.key("name").error(format!("this name is already there, at {line}:{column}"));
        }
        let read = reader.cases(&at, &file, all);
        if sink.count() == before && !repeats(node) {
            all.cases.extend(read);
        }
    }
}

/// Whether a key is there twice in it: that is reported of the whole document at once.
fn repeats(node: &Node) -> bool {
    match &node.value {
        Value::Map(entries) => entries.iter().any(|entry| entry.duplicate_of.is_some() || repeats(&entry.value)),
        Value::List(items) => items.iter().any(repeats),
        _ => false,
    }
}

/// A file that a case names.
fn named(base: &Path, text: &str, all: &mut Cases) -> Result<std::fs::File, String> {
    let path = base.join(text);
    let opened = std::fs::File::open(&path).map_err(|error| {
        let reason = read_config::io_reason(&error);
        format!("the file `{}` cannot be read: {reason}; relative paths start at this file's directory", path.display())
    });
    all.named.push(path);
    opened
}
