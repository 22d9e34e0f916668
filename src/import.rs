//! Policies of other systems, read and said in Tollgate's words.
//!
//! Access is never widened: what a request was refused before it is refused after. What cannot be said exactly becomes a
//! denial, with a comment in the policy and a [`Note`].
//!
//! A configuration becomes one formula over requests (`formula`). The requests are cut into cells by host, path and
//! method, so that Tollgate's most specific rule for a request is the rule of its cell (`cells`). In each cell the
//! formula is settled to what it asks of tokens (`decision`), and cells with the same answer are written as one rule
//! (`write`). So the order of rules, unions of alternatives and negations never have to be translated by themselves.

mod cells;
mod decision;
mod envoy;
mod formula;
mod model;
mod path;
mod plan;
mod quote;
mod read;
mod write;

use std::path::Path;

pub use envoy::{EnvoyOptions, envoy};
pub use model::{Effect, ImportError, Note};

/// A policy, and what has to be known about it.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The policy, with comments.
    pub policy: String,
    /// What is not as it was, and what is taken for granted.
    pub notes: Vec<Note>,
    /// Files that the policy names, beside it: name and content. Public keys that were part of the configuration.
    pub files: Vec<(String, String)>,
    /// How many rules it has.
    pub rules: usize,
}

impl Imported {
    /// Whether every request is decided as before, as far as the notes on what is taken for granted hold.
    pub fn is_exact(&self) -> bool {
        self.notes.iter().all(|note| note.effect == Effect::Assumed)
    }

    /// Loads the policy as `tollgate check` does, with its files beside it.
    ///
    /// # Errors
    /// What is wrong with it, or why its files cannot be written to a place aside.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let one = |error: std::io::Error| vec![format!("no place for the files of keys: {error}")];
        let aside = tempfile::tempdir().map_err(one)?;
        for (name, content) in &self.files {
            let path = aside.path().join(name);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(one)?;
            }
            std::fs::write(path, content).map_err(one)?;
        }
        match crate::config::load_from(&self.policy, aside.path(), Path::new("the imported policy")) {
            Ok(_) => Ok(()),
            Err(errors) => Err(errors.0.iter().map(ToString::to_string).collect()),
        }
    }
}
