//! The file an operator writes, and what is made of it: specs and the policy table, or every error at once.

pub mod server;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::authn::spec::IssuerSpec;
use crate::core::table::PolicyTable;
use server::ServerSpec;

/// A configuration that can be put into service.
#[derive(Debug)]
pub struct Config {
    /// Listeners and limits.
    pub server: ServerSpec,
    /// In the file's order; [`crate::core::rule::IssuerIndex`] counts here.
    pub issuers: Vec<IssuerSpec>,
    /// The compiled rules.
    pub table: PolicyTable,
    /// The files it was read from, with the SHA-256 of their bytes.
    pub sources: Vec<Source>,
    /// The files, and the directories of files, whose changes may change it.
    pub watched: Vec<PathBuf>,
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

/// Everything that is wrong with a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} in the configuration", if self.0.len() == 1 { "1 error".to_owned() } else { format!("{} errors", self.0.len()) })]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// Reads a configuration file and the rule files beside it.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    let message = "not readable".to_owned();
    Err(ConfigErrors(vec![ConfigError { file: path.into(), position: None, path: String::new(), message }]))
}
