//! Turns at work that costs much and that anybody can ask for: verifying signatures.
//!
//! A new token costs many times what a known one does, and whoever sends garbage makes the gate pay as much as for a
//! good token. So this work has a share of its own:
//!
//! * at most one turn at a time for each thread that answers;
//! * a turn begins when nothing else is ready to run, or when everything else has had nine tenths of the time since the
//!   turn before: calls that need no turn keep nine tenths of their rate under any flood;
//! * those that wait are served in the order in which they came. A queue that empties now and then is a burst and may
//!   grow; one that does not for [`STANDING`] is more work than there is room for. Then all but the first few are told
//!   so at once: whoever is let in is served soon, and the time is spent on answers that somebody still waits for.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::yield_now;
use tokio::time::Instant;

/// For how long a queue may last before it is taken for more than a burst.
const STANDING: Duration = Duration::from_millis(100);

/// How many may wait for each place then …
const FEW: usize = 8;

/// … and for how long one may have waited by the time its turn comes.
const STALE: Duration = Duration::from_millis(5);

/// What everything else gets of the time while it has work, as a multiple of what a turn took.
const OTHERS: u32 = 9;

/// Longest time that a turn is taken to have cost: more of it was spent waiting for a processor.
const MOST: Duration = Duration::from_micros(250);

/// A round of everything else that took no longer found nothing to do, however quick other rounds are …
const IDLE: Duration = Duration::from_micros(3);

/// … and so did one that took no longer than this many times the quickest ever.
const NEARLY: u64 = 3;

/// Work that is expensive, done by turns. There is one in a process.
#[derive(Debug)]
pub struct Turns {
    places: Semaphore,
    few: usize,
    standing: Duration,
    stale: Duration,
    waiting: AtomicUsize,
    begun: Instant,
    /// When nobody waited last, in nanoseconds since `begun`.
    empty_at: AtomicU64,
    /// How long the last turn took, in nanoseconds.
    cost: AtomicU64,
    /// The quickest round of everything else, in nanoseconds.
    quickest: AtomicU64,
}

/// There is more to do than time to do it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more signatures wait to be verified than there is time for")]
pub struct Overloaded;

/// A turn. It ends when the value is dropped: do the work, and nothing that waits.
#[derive(Debug)]
pub struct Turn<'t> {
    turns: &'t Turns,
    since: Instant,
    _place: SemaphorePermit<'t>,
}

impl Default for Turns {
    /// One place for each thread of the runtime that this is called on; one where there is none.
    fn default() -> Self {
        let threads = tokio::runtime::Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        Self::new(threads)
    }
}

impl Turns {
    /// With so many places, at least one.
    pub fn new(places: usize) -> Self {
        let places = places.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Semaphore::new(places),
            few: places.saturating_mul(FEW),
            standing: STANDING,
            stale: STALE,
            waiting: AtomicUsize::new(0),
            begun: Instant::now(),
            empty_at: AtomicU64::new(0),
            cost: AtomicU64::new(0),
            quickest: AtomicU64::new(u64::MAX),
        }
    }

    /// Waits for a turn. Dropping the future gives the place in the queue up.
    ///
    /// # Errors
    /// There is no prospect of one.
    pub async fn take(&self) -> Result<Turn<'_>, Overloaded> {
        // Off the connection's task, on which calls begin: the ones behind this one may need no turn.
        yield_now().await;
        let place = match self.places.try_acquire() {
            Ok(place) => {
                self.nobody_waits(Instant::now());
                place
            }
            Err(_) => self.queue().await?,
        };
        self.let_others_go_first().await;
        Ok(Turn { turns: self, since: Instant::now(), _place: place })
    }

    /// How many wait for a turn.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    async fn queue(&self) -> Result<SemaphorePermit<'_>, Overloaded> {
        let came = Instant::now();
        if self.waiting() >= self.few && self.is_standing(came) {
            return Err(Overloaded);
        }
        let waiting = Waiting::new(&self.waiting);
        // Never closed.
        let place = self.places.acquire().await.map_err(|_| Overloaded)?;
        drop(waiting);
        let now = Instant::now();
        if self.is_standing(now) && now.duration_since(came) > self.stale {
            return Err(Overloaded);
        }
        if self.waiting() == 0 {
            self.nobody_waits(now);
        }
        Ok(place)
    }

    /// Lets everything that is ready run, round by round, until a round finds nothing or the others had their share.
    async fn let_others_go_first(&self) {
        let share = Duration::from_nanos(self.cost.load(Ordering::Relaxed)) * OTHERS;
        let since = Instant::now();
        let mut before = since;
        loop {
            yield_now().await;
            let after = Instant::now();
            if self.was_idle(after.duration_since(before)) || after.duration_since(since) >= share {
                return;
            }
            before = after;
        }
    }

    fn was_idle(&self, round: Duration) -> bool {
        let nanos = as_nanos(round);
        let quickest = self.quickest.fetch_min(nanos, Ordering::Relaxed).min(nanos);
        round <= IDLE || nanos <= quickest.saturating_mul(NEARLY)
    }

    fn nobody_waits(&self, now: Instant) {
        self.empty_at.store(as_nanos(now.duration_since(self.begun)), Ordering::Relaxed);
    }

    fn is_standing(&self, now: Instant) -> bool {
        let empty_at = Duration::from_nanos(self.empty_at.load(Ordering::Relaxed));
        now.duration_since(self.begun).saturating_sub(empty_at) > self.standing
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.cost.store(as_nanos(self.since.elapsed().min(MOST)), Ordering::Relaxed);
    }
}

fn as_nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// One more that waits, until it is dropped.
struct Waiting<'w>(&'w AtomicUsize);

impl<'w> Waiting<'w> {
    fn new(count: &'w AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
