//! A file's bytes, and the map that they are: what files of every kind begin with.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

pub(crate) use super::build::io_reason;
use super::decode::report_duplicates;
use super::place::{At, Sink};
use super::tree::{self, Node, Value};
use super::{ConfigError, ConfigErrors};

/// Reads at most the largest size that is accepted, and a byte to tell that it is larger.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let limit = u64::try_from(tree::MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| format!("not readable: {}", io_reason(&error)))?;
    file.take(limit).read_to_end(&mut bytes).map_err(|error| format!("not readable: {}", io_reason(&error)))?;
    Ok(bytes)
}

/// An error about a file as a whole.
pub(super) fn whole(file: &Path, message: impl Into<String>) -> ConfigErrors {
    ConfigErrors(vec![whole_file(file, message)])
}

/// As [`whole`], one of several.
pub(crate) fn whole_file(file: &Path, message: impl Into<String>) -> ConfigError {
    ConfigError { file: file.into(), position: None, path: String::new(), message: message.into() }
}

/// Reads one document that is a map: its text, and its tree. `None`, and errors, where it is none; `remedy` is for a file
/// that is too large.
pub(crate) fn map<'b>(file: &Arc<Path>, bytes: &'b [u8], remedy: &str, sink: &Sink) -> Option<(&'b str, Node)> {
    if bytes.len() > tree::MAX_BYTES {
        sink.push(whole_file(file, format!("larger than {} MiB; {remedy}", tree::MAX_BYTES >> 20)));
        return None;
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        sink.push(whole_file(file, "not UTF-8 text"));
        return None;
    };
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#') || line.trim() == "---") {
        sink.push(whole_file(file, "the file is empty"));
        return None;
    }
    let root = match tree::parse(text) {
        Ok(root) => root,
        Err(error) => {
            let file = Arc::clone(file);
            sink.push(ConfigError { file, position: error.position, path: String::new(), message: error.message });
            return None;
        }
    };
    let at = At::root(file, sink, &root);
    if !matches!(root.value, Value::Map(_)) {
        at.error(format!("expected a map, found {}", root.describe()));
        return None;
    }
    report_duplicates(&at);
    Some((text, root))
}
