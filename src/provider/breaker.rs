//! A circuit breaker: failures in a row open it, after a while one probe decides. Pure: it is told the time.

use tokio::time::Instant;

use super::spec::BreakerSpec;
use crate::core::event::BreakerState;

/// The breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    spec: BreakerSpec,
    state: State,
    /// Counts changes of state, so that calls which were let through before one have no say after it.
    epoch: u64,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen,
}

/// Leave for one call. It must be handed back, one way or another.
#[derive(Debug)]
pub(super) struct Ticket {
    epoch: u64,
}

/// How a call ended, as far as a breaker cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The provider answered.
    Up,
    /// It did not, or said that it cannot.
    Down,
    /// The call told nothing about it: it was given up, or never sent.
    Unknown,
}

impl Breaker {
    pub(super) fn new(spec: BreakerSpec) -> Self {
        Self { spec, state: State::Closed { failures: 0 }, epoch: 0 }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen => BreakerState::HalfOpen,
        }
    }

    /// Whether a call would be let through.
    pub(super) fn admits(&self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until } => now >= until,
            State::HalfOpen => false,
        }
    }

    /// Lets a call through, or does not. Who comes first after the pause probes, alone.
    pub(super) fn admit(&mut self, now: Instant) -> Option<Ticket> {
        if !self.admits(now) {
            return None;
        }
        if matches!(self.state, State::Open { .. }) {
            self.enter(State::HalfOpen);
        }
        Some(Ticket { epoch: self.epoch })
    }

    /// Takes a ticket back.
    pub(super) fn settle(&mut self, ticket: Ticket, verdict: Verdict, now: Instant) {
        if ticket.epoch != self.epoch {
            return;
        }
        // A sum that the platform cannot represent is as good as never; the bounds of the configuration keep it away.
        let later = now.checked_add(self.spec.open_for).unwrap_or(now);
        match (&mut self.state, verdict) {
            (State::Closed { failures }, Verdict::Up) => *failures = 0,
            (State::Closed { failures }, Verdict::Down) => {
                *failures = failures.saturating_add(1);
                if *failures >= self.spec.failures {
                    self.enter(State::Open { until: later });
                }
            }
            (State::Closed { .. }, Verdict::Unknown) => {}
            (State::HalfOpen, Verdict::Up) => self.enter(State::Closed { failures: 0 }),
            (State::HalfOpen, Verdict::Down) => self.enter(State::Open { until: later }),
            // The next one probes, at once.
            (State::HalfOpen, Verdict::Unknown) => self.enter(State::Open { until: now }),
            // No ticket is of such an epoch.
            (State::Open { .. }, _) => {}
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.epoch = self.epoch.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    fn breaker(failures: u32) -> (Breaker, Instant) {
        (Breaker::new(BreakerSpec { failures, open_for: PAUSE }), Instant::now())
    }

    fn call(breaker: &mut Breaker, verdict: Verdict, now: Instant) -> BreakerState {
        let ticket = breaker.admit(now).expect("let through");
        breaker.settle(ticket, verdict, now);
        breaker.state()
    }

    #[test]
    fn failures_in_a_row_open_it_and_others_do_not() {
        let (mut breaker, now) = breaker(3);
        for _ in 0..10 {
            assert_eq!(call(&mut breaker, Verdict::Down, now), BreakerState::Closed);
            assert_eq!(call(&mut breaker, Verdict::Unknown, now), BreakerState::Closed);
            assert_eq!(call(&mut breaker, Verdict::Down, now), BreakerState::Closed);
            assert_eq!(call(&mut breaker, Verdict::Up, now), BreakerState::Closed);
        }
        call(&mut breaker, Verdict::Down, now);
        call(&mut breaker, Verdict::Down, now);
        assert_eq!(call(&mut breaker, Verdict::Down, now), BreakerState::Open);
        assert!(breaker.admit(now).is_none());
        assert!(breaker.admit(now + PAUSE - Duration::from_nanos(1)).is_none());
    }

    #[test]
    fn one_probe_decides() {
        for (verdict, after) in [(Verdict::Up, BreakerState::Closed), (Verdict::Down, BreakerState::Open)] {
            let (mut breaker, now) = breaker(1);
            call(&mut breaker, Verdict::Down, now);
            let later = now + PAUSE;
            let probe = breaker.admit(later).unwrap();
            assert_eq!(breaker.state(), BreakerState::HalfOpen);
            assert!(breaker.admit(later + PAUSE).is_none(), "one at a time, however long it takes");
            breaker.settle(probe, verdict, later);
            assert_eq!(breaker.state(), after);
            assert_eq!(breaker.admits(later), after == BreakerState::Closed);
            assert!(breaker.admits(later + PAUSE));
        }
    }

    #[test]
    fn a_probe_that_is_given_up_leaves_its_place_to_the_next() {
        let (mut breaker, now) = breaker(1);
        call(&mut breaker, Verdict::Down, now);
        let later = now + PAUSE;
        assert_eq!(call(&mut breaker, Verdict::Unknown, later), BreakerState::Open);
        assert_eq!(call(&mut breaker, Verdict::Up, later), BreakerState::Closed);
    }

    #[test]
    fn calls_from_before_a_change_have_no_say_after_it() {
        let (mut breaker, now) = breaker(1);
        let (slow, slower) = (breaker.admit(now).unwrap(), breaker.admit(now).unwrap());
        call(&mut breaker, Verdict::Down, now);
        breaker.settle(slow, Verdict::Up, now);
        assert_eq!(breaker.state(), BreakerState::Open);
        let probe = breaker.admit(now + PAUSE).unwrap();
        breaker.settle(slower, Verdict::Down, now + PAUSE);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        breaker.settle(probe, Verdict::Up, now + PAUSE);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
