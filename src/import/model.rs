//! What a configuration of another system says, once it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::formula::Formula;

/// What an import has to say about its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where the original says it: `envoy.yaml:12:5: http_filters[0]`.
    pub place: String,
    /// What was made of it.
    pub effect: Effect,
    /// What it is about; lower case, no final period.
    pub message: String,
    /// The rules of the policy that are stricter for it.
    pub rules: Vec<String>,
}

/// What was made of something that Tollgate cannot say as the original does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Some requests that were allowed are refused.
    Narrowed,
    /// It was left out; it lets nobody in that was refused before.
    LeftOut,
    /// It is as it was, if something holds that cannot be seen from here.
    Assumed,
}

impl Effect {
    /// As reports have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Narrowed => "narrowed",
            Self::LeftOut => "left out",
            Self::Assumed => "assumed",
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        write!(f, "{}: {}", self.effect.as_str(), self.message)?;
        if !self.rules.is_empty() {
            write!(f, " (rules: {})", self.rules.join(", "))?;
        }
        Ok(())
    }
}

/// Why nothing was imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ImportError {
    /// File, line, column, and the way there.
    pub place: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// Notes as they come up. A note about something unsayable counts only if a rule is stricter for it.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) all: Vec<Note>,
    /// Those that count whatever the rules are.
    fixed: Vec<usize>,
}

impl Notes {
    /// A note that counts in any case.
    pub(super) fn add(&mut self, place: String, effect: Effect, message: impl Into<String>) {
        let index = self.unsayable(place, message);
        if let Some(note) = self.all.get_mut(index) {
            note.effect = effect;
        }
        self.fixed.push(index);
    }

    /// A note on something that Tollgate cannot say; its number.
    pub(super) fn unsayable(&mut self, place: String, message: impl Into<String>) -> usize {
        self.all.push(Note { place, effect: Effect::Narrowed, message: message.into(), rules: Vec::new() });
        self.all.len() - 1
    }

    /// That a rule is stricter because of this note.
    pub(super) fn blame(&mut self, index: usize, rule: &str) {
        if let Some(note) = self.all.get_mut(index)
            && !note.rules.iter().any(|known| known == rule)
        {
            note.rules.push(rule.to_owned());
        }
    }

    /// Those that count.
    pub(super) fn into_counting(self) -> Vec<Note> {
        let counts = |(index, note): &(usize, Note)| self.fixed.contains(index) || !note.rules.is_empty();
        let mut kept: Vec<Note> = Vec::new();
        for (_, note) in self.all.into_iter().enumerate().filter(counts) {
            if !kept.contains(&note) {
                kept.push(note);
            }
        }
        kept
    }
}

/// Whose tokens are accepted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Provider {
    /// The issuer's name in the policy.
    pub(super) name: String,
    /// Where it was said.
    pub(super) place: String,
    /// `iss`.
    pub(super) issuer: String,
    pub(super) keys: Keys,
    /// A header that holds the bare token; `Authorization: Bearer` where there is none.
    pub(super) header: Option<String>,
    /// It reads tokens from places where Tollgate does not look, by the note on that: then a request that seems to have
    /// no token may have a bad one.
    pub(super) looks_elsewhere: Option<usize>,
    pub(super) leeway_seconds: u64,
    pub(super) max_lifetime_seconds: Option<u64>,
    /// Under which key its claims are seen by rules.
    pub(super) claims_key: Option<String>,
    /// The token is removed from requests.
    pub(super) removes_token: bool,
    /// Headers for the upstream, with the value's template.
    pub(super) inject: Vec<(String, String)>,
    /// Claims that templates name.
    pub(super) extra: BTreeMap<String, Vec<String>>,
}

/// Where keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// A JWKS at this URL.
    Url(String),
    /// A JWKS in this file.
    File(String),
    /// A JWKS that was part of the configuration.
    Inline(String),
}

/// One filter's say.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// What passes.
    pub(super) passes: Formula,
    /// What it is made of, for comments: a name with its place, and the requests that it is for.
    pub(super) origins: Vec<(String, Formula)>,
    /// Only the first origin that is for a request counts.
    pub(super) first_counts: bool,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) providers: Vec<Provider>,
    /// All must pass.
    pub(super) parts: Vec<Part>,
    pub(super) notes: Notes,
    /// Hosts in conditions are meant whatever port is asked for, and in any case.
    pub(super) any_port: bool,
    /// Keys in metadata that hold something else than the payload of a provider that is said.
    pub(super) lost_claims: BTreeSet<String>,
    /// Headers that any provider sets for the upstream. A client's own never get there.
    pub(super) set_headers: BTreeSet<String>,
    /// What makes a policy a guess.
    pub(super) errors: Vec<ImportError>,
}
