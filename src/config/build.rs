//! From the file's types to specs and the policy table: what the parts mean, and whether they fit together.

mod alike;
pub(super) mod audit;
pub(super) mod claims;
pub(super) mod client;
pub(super) mod denial;
pub(super) mod fetch;
pub(super) mod grants;
pub(super) mod headers;
pub(super) mod inject;
pub(super) mod introspection;
pub(super) mod issuer;
pub(super) mod kept;
pub(super) mod matching;
pub(super) mod preset;
pub(super) mod provider;
pub(super) mod require;
pub(super) mod rule;
pub(super) mod server;
pub(super) mod token;
pub(super) mod transport;
pub(super) mod trust;
pub(super) mod upstream;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::names::shown;
use super::place::At;
use super::value::Time;

/// What reading values needs beside the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    /// Relative paths start here.
    pub(super) base_dir: &'a Path,
    /// Whether this is the machine that will serve.
    pub(super) files: Files,
}

/// What is expected of the files and variables that a configuration names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Files {
    /// They are there.
    Here,
    /// They may be on another machine: what cannot be opened is left to that one.
    Elsewhere,
}

impl Surroundings<'_> {
    /// A path as written, relative to the configuration file.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        self.base_dir.join(text)
    }

    /// A file that must be there, where files are.
    pub(super) fn file(&self, at: &At<'_>, text: &str) -> Option<PathBuf> {
        if text.is_empty() || text.contains('\0') {
            at.error("expected the path of a file");
            return None;
        }
        let path = self.path(text);
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Some(path),
            Ok(_) => {
                at.error(format!("`{}` is not a file", shown(&path.to_string_lossy())));
                None
            }
            Err(_) if self.files == Files::Elsewhere => Some(path),
            Err(error) => {
                at.error(format!(
                    "the file `{}` cannot be read: {}; relative paths start at the configuration file's directory",
                    shown(&path.to_string_lossy()),
                    io_reason(&error)
                ));
                None
            }
        }
    }
}

/// Why a file cannot be read, without the operating system's numbers.
pub(crate) fn io_reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "it does not exist".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        kind => kind.to_string(),
    }
}

/// A duration within bounds, or its default.
pub(super) fn time(
    at: &At<'_>,
    key: &str,
    value: Option<Time>,
    default: Duration,
    (least, most): (Duration, Duration),
) -> Duration {
    let Some(Time(value)) = value else { return default };
    if value < least || value > most {
        at.key(key).error(format!(
            "`{}` is out of range: at least `{}`, at most `{}`",
            humantime::format_duration(value),
            humantime::format_duration(least),
            humantime::format_duration(most)
        ));
    }
    value
}

/// A number within bounds, or its default.
pub(super) fn number(at: &At<'_>, key: &str, value: Option<u64>, default: u64, (least, most): (u64, u64)) -> u64 {
    let Some(value) = value else { return default };
    if value < least || value > most {
        at.key(key).error(format!("`{value}` is out of range: at least {least}, at most {most}"));
    }
    value
}

/// Milliseconds, for bounds.
pub(super) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Seconds, for bounds.
pub(super) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Whether a name can be shown and be a metric label: 1 to 128 visible characters of ASCII, and spaces inside.
pub(super) fn is_label(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.trim() == name && name.bytes().all(|b| (b' '..=b'~').contains(&b))
}
