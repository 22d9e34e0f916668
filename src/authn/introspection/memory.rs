//! What is remembered of tokens beside the good ones: refusals for a short time, and which were ever good.
//!
//! Each has a room of its own, so that however many bad tokens come, they displace only each other.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use crate::authn::cache::{EARLIER, Key};
use crate::authn::error::AuthnError;
use crate::clock::Timestamp;
use crate::core::reason::Reason;

/// Refused tokens remembered at one time.
const MAX_REFUSED: u64 = 8 << 10;
/// Good tokens remembered at one time: only that they were good, which takes little room.
const MAX_ACTIVE: u64 = 32 << 10;
/// For how long after it was last called good a token is known.
const ACTIVE_FOR: Duration = Duration::from_secs(3600);

/// What is remembered.
#[derive(Debug)]
pub(super) struct Memory {
    /// `None` where nothing is to be remembered.
    refused: Option<Cache<Key, Arc<Refused>>>,
    refused_for: Duration,
    /// By the token alone.
    active: Cache<Key, ()>,
}

#[derive(Debug)]
struct Refused {
    error: AuthnError,
    at: Timestamp,
}

impl Memory {
    pub(super) fn new(refused_for: Duration) -> Self {
        let refused = (!refused_for.is_zero())
            .then(|| Cache::builder().max_capacity(MAX_REFUSED).time_to_live(refused_for).build());
        let active = Cache::builder().max_capacity(MAX_ACTIVE).time_to_live(ACTIVE_FOR).build();
        Self { refused, refused_for, active }
    }

    /// Why this token was refused lately.
    pub(super) fn refusal(&self, key: &Key, now: Timestamp) -> Option<AuthnError> {
        let refused = self.refused.as_ref()?.get(key)?;
        let fresh = refused.at <= now.saturating_add(EARLIER) && now.since(refused.at) < self.refused_for;
        fresh.then(|| refused.error.clone())
    }

    /// Remembers that the issuer's answer spoke against a token.
    pub(super) fn refuse(&self, key: Key, error: &AuthnError, now: Timestamp) {
        // What only its time speaks against may be good a moment later.
        if matches!(error.reason, Reason::TokenNotYetValid | Reason::TokenIssuedInFuture) {
            return;
        }
        if let Some(room) = &self.refused {
            room.insert(key, Arc::new(Refused { error: error.clone(), at: now }));
        }
    }

    /// Shares with another what the same issuer called active.
    pub(super) fn share_active(&mut self, other: &Self) {
        self.active = other.active.clone();
    }

    /// Whether the issuer called this token active, not long ago. Here and below `token` is its digest alone.
    pub(super) fn was_active(&self, token: &Key) -> bool {
        self.active.contains_key(token)
    }

    /// Remembers what the issuer called it.
    pub(super) fn called(&self, token: Key, active: bool) {
        if active {
            self.active.insert(token, ());
        } else {
            self.active.invalidate(&token);
        }
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> (u64, u64) {
        let refused = self.refused.as_ref().map(|room| {
            room.run_pending_tasks();
            room.entry_count()
        });
        self.active.run_pending_tasks();
        (refused.unwrap_or(0), self.active.entry_count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::cache::TokenDigest;

    fn key(number: u64) -> Key {
        TokenDigest::of(&number.to_string()).alone()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000 + seconds)
    }

    fn error(reason: Reason) -> AuthnError {
        AuthnError::new(reason, "on purpose")
    }

    #[test]
    fn row_171_a_flood_of_bad_tokens_displaces_bad_tokens_alone() {
        let memory = Memory::new(Duration::from_secs(5));
        for number in 0..100 {
            memory.called(key(number), true);
        }
        for number in 1_000..1_000 + 3 * MAX_REFUSED {
            memory.refuse(key(number), &error(Reason::TokenInactive), at(0));
            memory.called(key(number), false);
        }
        let (refused, active) = memory.counts();
        assert!((1..=MAX_REFUSED).contains(&refused), "{refused}");
        assert_eq!(active, 100);
        assert!((0..100).all(|number| memory.was_active(&key(number))));
        assert!(!memory.was_active(&key(1_000)));
        memory.called(key(1), false);
        assert!(!memory.was_active(&key(1)));
    }

    #[test]
    fn refusals_are_forgotten_in_time_and_those_for_a_time_are_not_remembered() {
        let memory = Memory::new(Duration::from_secs(5));
        memory.refuse(key(1), &error(Reason::TokenInactive), at(0));
        for (seconds, known) in [(0, true), (4, true), (5, false), (-1, false)] {
            assert_eq!(memory.refusal(&key(1), at(seconds)).is_some(), known, "{seconds}");
        }
        memory.refuse(key(2), &error(Reason::TokenNotYetValid), at(0));
        assert_eq!(memory.refusal(&key(2), at(0)), None);
        let none = Memory::new(Duration::ZERO);
        none.refuse(key(1), &error(Reason::TokenInactive), at(0));
        assert_eq!(none.refusal(&key(1), at(0)), None);
    }
}
