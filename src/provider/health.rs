//! How a provider fares: its breaker, and what was seen last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::breaker::{Breaker, Ticket, Verdict};
use super::spec::BreakerSpec;
use crate::clock::{Clock, Timestamp};
use crate::core::event::{BreakerState, Event, Events};

/// Longest text that is kept of an error.
const MAX_ERROR_CHARS: usize = 300;

/// How a provider fares.
#[derive(Debug)]
pub(super) struct Health {
    provider: Arc<str>,
    events: Arc<dyn Events>,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    breaker: Breaker,
    last_success: Option<Timestamp>,
    last_error: Option<Fault>,
}

/// What went wrong last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When.
    pub at: Timestamp,
    /// What; a short text without secrets, tokens or words of the provider's.
    pub text: Box<str>,
}

/// Leave for one call. Dropped without a verdict, it was given up.
#[derive(Debug)]
pub(super) struct Pass<'h> {
    health: &'h Health,
    ticket: Option<Ticket>,
    probes: bool,
}

impl Health {
    pub(super) fn new(provider: Arc<str>, spec: BreakerSpec, events: Arc<dyn Events>, clock: Arc<dyn Clock>) -> Self {
        // One of the same name may have ended with its breaker open.
        events.report(Event::Breaker { provider: &provider, state: BreakerState::Closed });
        let seen = Seen { breaker: Breaker::new(spec), last_success: None, last_error: None };
        Self { provider, events, clock, seen: Mutex::new(seen) }
    }

    /// Whether a call would be let through.
    pub(super) fn admits(&self) -> bool {
        self.lock().breaker.admits(Instant::now())
    }

    /// Lets a call through, or does not.
    pub(super) fn admit(&self) -> Option<Pass<'_>> {
        let (ticket, state) = self.change(|breaker| (breaker.admit(Instant::now()), breaker.state()));
        Some(Pass { health: self, ticket: Some(ticket?), probes: state == BreakerState::HalfOpen })
    }

    /// Keeps what went wrong.
    pub(super) fn failed(&self, why: &str) {
        let fault = Fault { at: self.clock.now(), text: why.chars().take(MAX_ERROR_CHARS).collect() };
        self.lock().last_error = Some(fault);
    }

    /// Keeps that a call was answered as it should be.
    pub(super) fn succeeded(&self) {
        let now = self.clock.now();
        self.lock().last_success = Some(now);
    }

    /// Breaker, last success, last error.
    pub(super) fn seen(&self) -> (BreakerState, Option<Timestamp>, Option<Fault>) {
        let seen = self.lock();
        (seen.breaker.state(), seen.last_success, seen.last_error.clone())
    }

    fn change<T>(&self, change: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut seen = self.lock();
        let before = seen.breaker.state();
        let result = change(&mut seen.breaker);
        let after = seen.breaker.state();
        if before == after {
            return result;
        }
        // Told under the lock, so that the last state told is the right one.
        self.events.report(Event::Breaker { provider: &self.provider, state: after });
        let why = seen.last_error.as_ref().map(|fault| fault.text.clone());
        drop(seen);
        let (provider, why) = (&*self.provider, why.as_deref());
        match (before, after) {
            (BreakerState::Closed, BreakerState::Open) => {
                tracing::warn!(provider, why, "a provider failed repeatedly and is left alone for a while");
            }
            (_, BreakerState::Closed) => tracing::info!(provider, "a provider answers again"),
            // Again and again, until it answers.
            (_, BreakerState::HalfOpen | BreakerState::Open) => {
                tracing::debug!(provider, state = after.as_str(), why, "a provider is probed");
            }
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// Whether it decides what the breaker does next.
    pub(super) fn is_probe(&self) -> bool {
        self.probes
    }

    /// Says how the call ended.
    pub(super) fn settle(mut self, verdict: Verdict) {
        self.hand_back(verdict);
    }

    fn hand_back(&mut self, verdict: Verdict) {
        if let Some(ticket) = self.ticket.take() {
            self.health.change(|breaker| breaker.settle(ticket, verdict, Instant::now()));
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.hand_back(Verdict::Unknown);
    }
}
