//! Whether there is more to do than time to do it in, told from how long callers waited.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::{Overloaded, as_nanos};

/// The time that decisions have, until it is said.
pub(super) const PATIENCE: Duration = Duration::from_millis(150);

/// A wait that is long, as a part of that time.
pub(super) const LONG: u32 = 2;

/// A wait that is long where the queue grows.
pub(super) const LONG_AND_MORE: u32 = 12;

/// For which part everybody must have waited long before that is taken for more than a burst. So long must the queue last,
/// too, for a refusal to say that it still is.
pub(super) const LASTING: u32 = 8;

/// For which part a caller may have waited then, beside what others took meanwhile; on trial, longer; …
pub(super) const STALE: u32 = 12;

/// … for this part …
const STALE_ON_TRIAL: u32 = 4;

/// … and for which part there must be no sign of too much to do before it is over.
const QUIET: u32 = 2;

/// A wait that is over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wait {
    /// From when a place was taken.
    pub(super) took: Duration,
    /// Of that, what was for others.
    pub(super) for_others: Duration,
    /// Whether the queue grew with every few turns before.
    pub(super) grows: bool,
    /// Whether many wait now.
    pub(super) many: bool,
    /// It is to be seen whether it is too long.
    pub(super) on_trial: bool,
}

/// What is known of the waits so far. Times are nanoseconds since the same beginning, never 0.
#[derive(Debug)]
pub(super) struct Pressure {
    /// Nanoseconds that decisions have.
    patience: AtomicU64,
    /// When all who wanted had a turn.
    free_at: Moment,
    /// Since when everybody waited long; cleared when somebody did not.
    long_since: Moment,
    /// When there was too much to do.
    pressed_at: Moment,
    /// Whether somebody was refused since it was looked.
    refused: AtomicBool,
}

impl Default for Pressure {
    fn default() -> Self {
        Self {
            patience: AtomicU64::new(as_nanos(PATIENCE)),
            free_at: Moment::default(),
            long_since: Moment::default(),
            pressed_at: Moment::default(),
            refused: AtomicBool::new(false),
        }
    }
}

impl Pressure {
    /// Decisions have this long.
    pub(super) fn expect(&self, patience: Duration) {
        self.patience.store(as_nanos(patience), Ordering::Relaxed);
    }

    /// That time, divided.
    pub(super) fn part(&self, by: u32) -> Duration {
        Duration::from_nanos(self.patience.load(Ordering::Relaxed) / u64::from(by))
    }

    /// Whether there is too much to do.
    pub(super) fn is_on(&self, now: u64) -> bool {
        self.pressed_at.is_within(self.part(QUIET), now)
    }

    /// All who wanted had a turn.
    pub(super) fn free(&self, now: u64) {
        self.free_at.set(now);
        self.long_since.clear();
    }

    /// Everybody who was waited for has had a turn, and whoever was ready to has asked for the next.
    pub(super) fn looked(&self, now: u64) {
        if !self.refused.swap(false, Ordering::Relaxed) {
            self.free(now);
        }
    }

    /// Judges a wait that is over.
    pub(super) fn judge(&self, wait: &Wait, now: u64) -> Result<(), Overloaded> {
        let stale = self.part(if wait.on_trial { STALE_ON_TRIAL } else { STALE });
        if wait.took > stale + wait.for_others && self.is_on(now) {
            return Err(self.refuse(now));
        }
        if !wait.many || wait.took <= self.part(if wait.grows { LONG_AND_MORE } else { LONG }) {
            self.long_since.clear();
        } else if wait.grows {
            self.pressed_at.set(now);
        } else if !self.long_since.is_set() {
            self.long_since.set(now);
        } else if !self.long_since.is_within(self.part(LASTING), now) {
            self.pressed_at.set(now);
        }
        Ok(())
    }

    /// That one is refused says that there is too much to do only where the queue lasts: a burst may be more than a few.
    pub(super) fn refuse(&self, now: u64) -> Overloaded {
        self.refused.store(true, Ordering::Relaxed);
        if !self.free_at.is_within(self.part(LASTING), now) {
            self.pressed_at.set(now);
        }
        Overloaded
    }

    #[cfg(test)]
    pub(super) fn all_wait_long(&self) -> bool {
        self.long_since.is_set()
    }
}

/// When something was so last; 0 where it never was.
#[derive(Debug, Default)]
pub(super) struct Moment(AtomicU64);

impl Moment {
    pub(super) fn set(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }

    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    pub(super) fn is_within(&self, time: Duration, now: u64) -> bool {
        let then = self.0.load(Ordering::Relaxed);
        then != 0 && Duration::from_nanos(now.saturating_sub(then)) < time
    }
}
