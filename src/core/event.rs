//! What the parts below the recorder report to it. They know this trait and not who listens.

use std::fmt;

use crate::clock::Timestamp;

/// Something that happened outside of a decision, or inside it beside its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A validated token was found in an issuer's cache (`hit`), or was not.
    TokenCache {
        /// The issuer's name in the configuration.
        issuer: &'a str,
        /// Whether it was found.
        hit: bool,
    },
    /// An issuer's key set was read or fetched.
    KeyRefresh {
        /// The issuer's name in the configuration.
        issuer: &'a str,
        /// How it ended.
        outcome: RefreshOutcome,
        /// Usable keys afterwards.
        keys: usize,
    },
    /// A published key was not usable, or held a private part.
    KeyRefused {
        /// The issuer's name in the configuration.
        issuer: &'a str,
        /// What was wrong, as a fixed text: never the key's own words.
        why: &'static str,
    },
    /// A token named a key that the issuer's set does not hold.
    UnknownKid {
        /// The issuer's name in the configuration.
        issuer: &'a str,
        /// Whether the set was fetched again because of it (or the fetch was refused by the rate limit).
        refetched: bool,
    },
    /// A configuration was compiled and put into service, or was not.
    Reload {
        /// Whether it is in service.
        applied: bool,
        /// The generation in service afterwards, counted from one.
        generation: u64,
        /// When.
        at: Timestamp,
    },
    /// A decision panicked. It was answered with a denial.
    Panic,
}

/// How an attempt to get an issuer's keys ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefreshOutcome {
    /// New keys, or the same again.
    Fresh,
    /// The source could not be reached, or answered with an error.
    Unreachable,
    /// The source answered with something that is not a usable key set.
    Invalid,
}

impl RefreshOutcome {
    /// The label value used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Unreachable => "unreachable",
            Self::Invalid => "invalid",
        }
    }
}

/// Listens to events. Implementations must not block.
pub trait Events: fmt::Debug + Send + Sync {
    /// Called once for each event.
    fn report(&self, event: Event<'_>);
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Events for Silent {
    fn report(&self, _: Event<'_>) {}
}
