//! Who may make the keys be fetched again, and who waits for which fetch.
//!
//! A flight is one fetch. It is flown by the store's own task; those who wait for it only watch it land.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::trace_context::{Origin, origin};

/// Key ids remembered at one time.
const MAX_REMEMBERED: usize = 1024;

/// One fetch at a time, and at most one for unknown key ids in each cooldown.
#[derive(Debug)]
pub(super) struct Flights {
    cooldown: Duration,
    state: Mutex<State>,
    landed: watch::Sender<u64>,
    called: Notify,
    hasher: RandomState,
}

#[derive(Debug)]
struct State {
    /// Flights that have landed.
    landed: u64,
    /// Who boarded a flight that somebody else had called for, or that was in the air.
    followers: u64,
    /// Whether one is in the air or called for.
    pending: bool,
    /// Whether one is called for that has not taken off.
    called: bool,
    /// For whom that one is.
    caller: Option<Origin>,
    /// Whether the last one brought no keys, so that the next is due soon anyhow.
    failing: bool,
    /// When one was last called for because of an unknown id.
    last_call: Option<Instant>,
    /// Ids that somebody waited or waits for, oldest first.
    remembered: VecDeque<Remembered>,
}

#[derive(Debug)]
struct Remembered {
    kid: u64,
    /// The flight that should have brought it.
    flight: u64,
    /// When that flight landed.
    landed: Option<Instant>,
}

/// A flight to wait for.
#[derive(Debug)]
pub(super) struct Flight {
    number: u64,
    landed: watch::Receiver<u64>,
}

impl Flight {
    /// Waits until it has landed, with new keys or without.
    pub(super) async fn landed(mut self) {
        // The sender goes when the store does.
        let _ = self.landed.wait_for(|landed| *landed >= self.number).await;
    }
}

impl Flights {
    pub(super) fn new(cooldown: Duration) -> Self {
        let state = State {
            landed: 0,
            followers: 0,
            pending: true,
            called: false,
            caller: None,
            failing: false,
            last_call: None,
            remembered: VecDeque::new(),
        };
        Self {
            cooldown,
            state: Mutex::new(state),
            landed: watch::Sender::new(0),
            called: Notify::new(),
            hasher: RandomState::new(),
        }
    }

    /// The flight to wait for because of an unknown id; it is called for where none is in the air. `None` where the
    /// last one did not bring this id, or the cooldown is on.
    pub(super) fn board(&self, kid: &str) -> Option<Flight> {
        let kid = self.hasher.hash_one(kid);
        let now = Instant::now();
        let mut state = self.state();
        let cooled = |since: Instant| now.duration_since(since) >= self.cooldown;
        state.remembered.retain(|entry| entry.landed.is_none_or(|landed| !cooled(landed)));
        let known = state.remembered.iter().find(|entry| entry.kid == kid).map(|entry| (entry.landed, entry.flight));
        match known {
            Some((Some(_), _)) => return None,
            Some((None, number)) => {
                state.followers += 1;
                return Some(Flight { number, landed: self.landed.subscribe() });
            }
            None => {}
        }
        if state.pending {
            state.followers += 1;
        } else {
            if state.last_call.is_some_and(|last| !cooled(last)) {
                return None;
            }
            self.call(&mut state, now);
        }
        let flight = state.landed + 1;
        if state.remembered.len() >= MAX_REMEMBERED {
            state.remembered.pop_front();
        }
        state.remembered.push_back(Remembered { kid, flight, landed: None });
        Some(Flight { number: flight, landed: self.landed.subscribe() })
    }

    /// How many boarded a flight that they had not called for.
    pub(super) fn followers(&self) -> u64 {
        self.state().followers
    }

    /// Calls for a flight because keys have run out while nobody was looking, as rarely as for an unknown id. Where
    /// flights fail, the pauses between them are kept.
    pub(super) fn nudge(&self) {
        let now = Instant::now();
        let mut state = self.state();
        if !state.pending
            && !state.failing
            && state.last_call.is_none_or(|last| now.duration_since(last) >= self.cooldown)
        {
            self.call(&mut state, now);
        }
    }

    /// Waits until a flight is called for.
    pub(super) async fn called(&self) {
        // A call that the refresh timer was faster than to answer has left its notification behind.
        while !self.state().called {
            self.called.notified().await;
        }
    }

    /// Takes off, called for or not; on whose behalf.
    pub(super) fn take_off(&self) -> Option<Origin> {
        let mut state = self.state();
        state.pending = true;
        let caller = state.caller.take();
        if std::mem::take(&mut state.called) { caller } else { Some(Origin::Gate) }
    }

    /// Lands, with keys or without; everybody who waits goes on.
    pub(super) fn land(&self, with_keys: bool) {
        let now = Instant::now();
        let mut state = self.state();
        state.pending = false;
        state.failing = !with_keys;
        state.landed += 1;
        let number = state.landed;
        for entry in &mut state.remembered {
            if entry.landed.is_none() && entry.flight <= number {
                entry.landed = Some(now);
            }
        }
        drop(state);
        self.landed.send_replace(number);
    }

    fn call(&self, state: &mut State, now: Instant) {
        state.last_call = Some(now);
        state.pending = true;
        state.called = true;
        state.caller = origin();
        self.called.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::trace_context::{SpanRef, on_behalf_of};

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let flights = Flights::new(HOUR);
        // The first flight is in the air: everybody boards it.
        for number in 0..10 * MAX_REMEMBERED {
            assert!(flights.board(&number.to_string()).is_some());
        }
        assert_eq!(flights.state().remembered.len(), MAX_REMEMBERED);
        assert_eq!(flights.followers(), 10 * MAX_REMEMBERED as u64);
    }

    #[tokio::test]
    async fn a_flight_that_took_off_by_itself_uses_up_the_call() {
        let flights = Flights::new(Duration::ZERO);
        flights.land(true);
        let flight = flights.board("kid").unwrap();
        // The refresh timer is faster than the call.
        flights.take_off();
        flights.land(true);
        assert!(flight.landed().now_or_never().is_some());
        assert!(flights.called().now_or_never().is_none());
        assert!(flights.board("kid").is_some());
        assert!(flights.called().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_flight_is_on_behalf_of_who_called_for_it() {
        let flights = Flights::new(Duration::ZERO);
        assert_eq!(flights.take_off(), Some(Origin::Gate));
        flights.land(true);
        let span = Some(Origin::Span(SpanRef { trace_id: 7, span_id: 8 }));
        let board = || async { flights.board("kid").is_some() };
        assert!(on_behalf_of(span, board()).await);
        // Who boards later is taken along.
        assert!(on_behalf_of(Some(Origin::Gate), board()).await);
        assert_eq!(flights.take_off(), span);
        flights.land(true);
        assert!(flights.board("another").is_some());
        assert_eq!(flights.take_off(), None, "for a call that is not traced");
        flights.land(true);
        assert_eq!(flights.take_off(), Some(Origin::Gate));
    }

    #[tokio::test]
    async fn a_missed_kid_and_a_new_one_are_turned_away_during_the_cooldown() {
        let flights = Flights::new(HOUR);
        flights.land(true);
        assert!(flights.board("one").is_some());
        flights.take_off();
        flights.land(true);
        assert!(flights.board("one").is_none());
        assert!(flights.board("two").is_none());
        // A refresh is in the air: it may bring the second, and is known not to be awaited for the first.
        flights.take_off();
        assert!(flights.board("one").is_none());
        assert!(flights.board("two").is_some());
    }

    #[tokio::test]
    async fn keys_that_ran_out_call_once_in_a_cooldown() {
        let flights = Flights::new(HOUR);
        flights.land(true);
        flights.nudge();
        assert!(flights.called().now_or_never().is_some());
        flights.take_off();
        flights.land(true);
        flights.nudge();
        assert!(flights.called().now_or_never().is_none());
    }

    #[tokio::test]
    async fn requests_do_not_shorten_the_pauses_after_failures() {
        let flights = Flights::new(Duration::ZERO);
        flights.land(false);
        flights.nudge();
        assert!(flights.called().now_or_never().is_none());
    }
}
