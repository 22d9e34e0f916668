//! The file an operator writes, and what is made of it: specs and the policy table, or every error at once.
//!
//! A file is parsed once into a tree that knows its positions, read section by section into the types in `file`,
//! which also make the JSON Schema, and judged in `build`. None of these stops at the first error.

pub mod audit;
mod build;
pub(crate) mod decode;
mod file;
mod load;
pub(crate) mod names;
pub(crate) mod place;
pub(crate) mod read;
pub mod server;
pub(crate) mod tree;
pub(crate) mod value;
pub mod written;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::authn::spec::IssuerSpec;
use crate::core::table::PolicyTable;
use crate::outbound::spec::TokenSpec;
use audit::AuditSpec;
use build::Files;
use server::ServerSpec;
use written::Written;

/// A configuration that can be put into service.
#[derive(Debug)]
pub struct Config {
    /// Listeners and limits.
    pub server: ServerSpec,
    /// The audit log, where there is one.
    pub audit: Option<AuditSpec>,
    /// In the file's order; [`crate::core::rule::IssuerIndex`] counts here.
    pub issuers: Vec<IssuerSpec>,
    /// Tokens that the gate can obtain, in the file's order; [`crate::core::rule::TokenIndex`] counts here.
    pub tokens: Vec<TokenSpec>,
    /// The compiled rules.
    pub table: PolicyTable,
    /// The files it was read from, with the SHA-256 of their bytes.
    pub sources: Vec<Source>,
    /// The files, and the directories of files, whose changes may change it.
    pub watched: Vec<PathBuf>,
    /// The document as it was written; see [`Config::effective`].
    pub document: serde_json::Value,
    /// The rules before they were compiled, and where everything stands: for `tollgate lint`. A gate that serves drops it.
    pub written: Written,
}

impl Config {
    /// The configuration as it was written, rule files included, for people to look at. Secrets are not in it: a
    /// configuration names the files and variables that hold them.
    pub fn effective(&self) -> serde_json::Value {
        self.document.clone()
    }
}

/// A file of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where.
    pub path: PathBuf,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: Arc<Path>,
    /// Line and column, from one, where known.
    pub position: Option<(usize, usize)>,
    /// `rules[3].match.paths[0]`; empty for the file as a whole.
    pub path: String,
    /// What is wrong and what to do; lower case, no final period.
    pub message: String,
}

impl fmt::Display for ConfigError {
    /// `policy.yaml:12:5: rules[3].match.paths[0]: …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ConfigError {}

/// Everything that is wrong with a configuration; never empty. By file and position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    /// A line for each error, and their number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.0 {
            writeln!(f, "{error}")?;
        }
        match self.0.len() {
            1 => f.write_str("1 error in the configuration"),
            count => write!(f, "{count} errors in the configuration"),
        }
    }
}

impl std::error::Error for ConfigErrors {}

/// Reads a configuration file and the rule files beside it.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    load_file(path, Files::Here)
}

/// As [`load`], to look at what the policy says: the files of keys, secrets and certificates, and the environment
/// variables that it names, may be on the machine that serves it. What is made of this must not be put into service.
///
/// # Errors
/// Everything else that is wrong, at once.
pub fn load_elsewhere(path: &Path) -> Result<Config, ConfigErrors> {
    load_file(path, Files::Elsewhere)
}

fn load_file(path: &Path, files: Files) -> Result<Config, ConfigErrors> {
    let bytes = read::bytes(path).map_err(|message| read::whole(path, message))?;
    load::text(&bytes, path.parent().unwrap_or(Path::new("")), path, files)
}

/// Reads a configuration from a text. Files that it names are relative to `base_dir`; errors call the text `name`.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load_from(text: &str, base_dir: &Path, name: &Path) -> Result<Config, ConfigErrors> {
    load::text(text.as_bytes(), base_dir, name, Files::Here)
}

/// The JSON Schema (draft 2020-12) of the configuration file.
pub fn schema() -> serde_json::Value {
    schema_of::<file::ConfigFile>()
}

/// The JSON Schema of what is read as these types are.
pub(crate) fn schema_of<T: schemars::JsonSchema>() -> serde_json::Value {
    let mut schema = schemars::SchemaGenerator::default().into_root_schema_for::<T>().to_value();
    refuse_null(&mut schema);
    schema
}

/// Optional keys may be left out, but not be null: schemars cannot tell the two apart.
fn refuse_null(schema: &mut serde_json::Value) {
    use serde_json::Value;
    let null = Value::from("null");
    match schema {
        Value::Object(object) => {
            if let Some(Value::Array(kinds)) = object.get_mut("type") {
                kinds.retain(|kind| *kind != null);
                if let [only] = kinds.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = object.get_mut("enum") {
                choices.retain(|choice| !choice.is_null());
            }
            if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type") != Some(&null));
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    object.remove("anyOf");
                    for (keyword, operand) in only {
                        object.entry(keyword).or_insert(operand);
                    }
                }
            }
            object.retain(|keyword, operand| keyword != "default" || !operand.is_null());
            object.values_mut().for_each(refuse_null);
        }
        Value::Array(items) => items.iter_mut().for_each(refuse_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
