//! Whether all who ask in overload could be served after all.
//!
//! In overload few may wait, and whoever else asks is told so at once. Callers who ask again as soon as they are told keep
//! that up for ever, even where they are so few that each would be served soon, were all of them let in. So all of them are,
//! on trial, as long as no more come than can be served soon. Where more come the trial is over, and whoever still waits on
//! trial is told so when it is their turn. The next one comes after a while, each time a longer one.

use std::num::NonZero;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::as_nanos;
use super::pressure::Moment;

/// The pause after a failed trial grows from one of these, as a part of the time that decisions have, to …
pub(super) const PAUSE: u32 = 2;

/// … so many of them.
pub(super) const LONGEST: u64 = 32;

/// Trials, one after the other. A trial that never fails lasts until there is no overload any more, and beyond.
#[derive(Debug, Default)]
pub(super) struct Trials {
    /// Odd while there is a trial; counts up when one begins and when it fails.
    current: AtomicU32,
    begun_at: Moment,
    /// From when on there may be one.
    next_at: AtomicU64,
    /// How many failed, one soon after the other, as a power of two.
    pauses: AtomicU64,
}

/// One of the trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trial(NonZero<u32>);

impl Trials {
    /// Whether somebody may wait on trial, and on which, where so many wait already and so many can be served soon.
    /// `pause` is the shortest between two trials.
    pub(super) fn ask(&self, waiting: usize, room: usize, pause: Duration, now: u64) -> Option<Trial> {
        let mut current = self.current.load(Ordering::Acquire);
        if lasting(current).is_none() {
            if now < self.next_at.load(Ordering::Relaxed) {
                return None;
            }
            // Another may begin it at the same time.
            self.begun_at.set(now);
            let begun =
                self.current.compare_exchange(current, current.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
            current = match begun {
                Ok(_) => current.wrapping_add(1),
                Err(other) => other,
            };
        }
        let trial = lasting(current)?;
        if waiting < room {
            return Some(trial);
        }
        self.fail(trial, pause, now);
        None
    }

    /// Whether one might be let in on trial.
    pub(super) fn is_possible(&self, now: u64) -> bool {
        lasting(self.current.load(Ordering::Relaxed)).is_some() || now >= self.next_at.load(Ordering::Relaxed)
    }

    /// Whether it failed.
    pub(super) fn has_failed(&self, trial: Trial) -> bool {
        self.current.load(Ordering::Relaxed) != trial.0.get()
    }

    /// Too many came.
    pub(super) fn fail(&self, trial: Trial, pause: Duration, now: u64) {
        if self.has_failed(trial) {
            return;
        }
        // Where it lasted, there was no overload any more, and this is another one.
        let lasted = !self.begun_at.is_within(2 * pause, now);
        let pauses = if lasted { 1 } else { self.pauses.load(Ordering::Relaxed).max(1) };
        let (current, next_at) = (trial.0.get(), now.saturating_add(as_nanos(pause).saturating_mul(pauses)));
        // Before the trial ends: whoever sees that it did must not begin the next.
        self.next_at.store(next_at, Ordering::Relaxed);
        let ended =
            self.current.compare_exchange(current, current.wrapping_add(1), Ordering::Release, Ordering::Relaxed);
        if ended.is_ok() {
            self.pauses.store((pauses * 2).min(LONGEST), Ordering::Relaxed);
        }
    }
}

fn lasting(current: u32) -> Option<Trial> {
    NonZero::new(current).filter(|current| current.get() % 2 == 1).map(Trial)
}
