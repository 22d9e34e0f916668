//! Turns at work that costs much and that anybody can ask for: verifying signatures.
//!
//! A new token costs many times what a known one does, and whoever sends garbage makes the gate pay as much as for a
//! good token. So this work has a share of its own:
//!
//! * at most one turn at a time for each thread that answers;
//! * a turn begins when no call that needs none came in the meantime, or when so many came since the turn before that
//!   they had nine tenths of the time: under any flood they keep about nine tenths of their rate. While there are none,
//!   turns follow on each other, and one is looked for every half a millisecond;
//! * those that wait are served in the order in which they came. A queue in which nobody waits long may have any length:
//!   many callers who ask one after the other are no overload, and neither is a burst that is served quickly. Where
//!   everybody waits long, for some time, there is more work than time. From then on all but the first few are told so
//!   at once, until for a while nobody had to be. Whoever is let in is served soon, and the time is spent on answers
//!   that somebody still waits for.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::yield_now;
use tokio::time::Instant;

/// A wait that is long, as a part of a caller's patience.
const LONG: f32 = 0.25;

/// How long, as a part of it, everybody must have waited long before that is taken for more than a burst.
const LASTING: f32 = 0.12;

/// How many may wait for each place then …
const FEW: usize = 16;

/// … the part of its patience that a caller may have waited when its turn comes …
const STALE: f32 = 0.04;

/// … and the part of it for which nobody must have been refused before any number may wait again.
const QUIET: f32 = 0.5;

/// What calls that need no turn get of the time, as a multiple of what turns do.
const OTHERS: u64 = 9;

/// About what a call costs that needs no turn, in nanoseconds.
const CALL: u64 = 8_000;

/// For how long, in nanoseconds, turns follow on each other once there was no call that needs none. To look for one means to
/// ask the system, which costs as much as some turns do.
const SLICE: u64 = 500_000;

/// Most that a turn is taken to have cost, in nanoseconds: what is more was spent waiting for a processor.
const MOST: u64 = 250_000;

/// Work that is expensive, done by turns. There is one in a process.
#[derive(Debug)]
pub struct Turns {
    places: Semaphore,
    few: usize,
    waiting: AtomicUsize,
    begun: Instant,
    /// Since when everybody waited long, in nanoseconds since `begun`; 0 where that is not so.
    long_since: AtomicU64,
    /// When there was too much to do last, in nanoseconds since `begun`; 0 before that ever was.
    pressed_at: AtomicU64,
    /// About how long a turn takes, in nanoseconds.
    cost: AtomicU64,
    /// Calls that needed no turn, and how many of them there were at the end of the last turn.
    others: AtomicU64,
    others_before: AtomicU64,
    /// When it was seen last that there are no others, in nanoseconds since `begun`; 0 where there were some.
    alone_at: AtomicU64,
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
            waiting: AtomicUsize::new(0),
            begun: Instant::now(),
            long_since: AtomicU64::new(0),
            pressed_at: AtomicU64::new(0),
            cost: AtomicU64::new(0),
            others: AtomicU64::new(0),
            others_before: AtomicU64::new(0),
            alone_at: AtomicU64::new(0),
        }
    }

    /// A call was answered that needed no turn.
    pub fn another(&self) {
        self.others.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for a turn; the caller bounds the wait, and says here how long that is. Dropping the future gives the place
    /// in the queue up.
    ///
    /// # Errors
    /// There is no prospect of one.
    pub async fn take(&self, patience: Duration) -> Result<Turn<'_>, Overloaded> {
        // Off the connection's task, on which calls begin: the ones behind this one may need no turn.
        yield_now().await;
        let place = match self.places.try_acquire() {
            Ok(place) => {
                self.long_since.store(0, Ordering::Relaxed);
                place
            }
            Err(_) => self.queue(patience).await?,
        };
        self.let_others_go_first().await;
        Ok(Turn { turns: self, since: Instant::now(), _place: place })
    }

    /// How many wait for a turn.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    async fn queue(&self, patience: Duration) -> Result<SemaphorePermit<'_>, Overloaded> {
        let came = Instant::now();
        if self.waiting() >= self.few && self.is_pressed(came, patience) {
            return Err(self.refuse(came));
        }
        let waiting = Waiting::new(&self.waiting);
        // Never closed.
        let place = self.places.acquire().await.map_err(|_| Overloaded)?;
        drop(waiting);
        let now = Instant::now();
        let waited = now.duration_since(came);
        if waited > patience.mul_f32(STALE) && self.is_pressed(now, patience) {
            return Err(self.refuse(now));
        }
        self.note(now, waited, patience);
        Ok(place)
    }

    /// Somebody waited this long.
    fn note(&self, now: Instant, waited: Duration, patience: Duration) {
        if waited <= patience.mul_f32(LONG) {
            self.long_since.store(0, Ordering::Relaxed);
            return;
        }
        match self.long_since.load(Ordering::Relaxed) {
            0 => self.long_since.store(self.at(now), Ordering::Relaxed),
            since if Duration::from_nanos(self.at(now).saturating_sub(since)) > patience.mul_f32(LASTING) => {
                self.press(now);
            }
            _ => {}
        }
    }

    /// Lets calls go first that need no turn, round by round, until there was none in a round or they had their share.
    async fn let_others_go_first(&self) {
        let (before, came) = (self.others_before.load(Ordering::Relaxed), self.others.load(Ordering::Relaxed));
        let alone_at = self.alone_at.load(Ordering::Relaxed);
        if alone_at != 0 && came == before && self.at(Instant::now()).saturating_sub(alone_at) < SLICE {
            return;
        }
        let share = OTHERS * self.cost.load(Ordering::Relaxed) / CALL;
        let mut seen = came;
        loop {
            yield_now().await;
            let others = self.others.load(Ordering::Relaxed);
            if others == seen || others.wrapping_sub(self.others_before.load(Ordering::Relaxed)) >= share {
                let alone_at = if others == before { self.at(Instant::now()) } else { 0 };
                self.alone_at.store(alone_at, Ordering::Relaxed);
                return;
            }
            seen = others;
        }
    }

    fn refuse(&self, now: Instant) -> Overloaded {
        self.press(now);
        Overloaded
    }

    /// There is too much to do.
    fn press(&self, now: Instant) {
        self.pressed_at.store(self.at(now), Ordering::Relaxed);
    }

    fn is_pressed(&self, now: Instant, patience: Duration) -> bool {
        let pressed_at = self.pressed_at.load(Ordering::Relaxed);
        let since = Duration::from_nanos(self.at(now).saturating_sub(pressed_at));
        pressed_at != 0 && since < patience.mul_f32(QUIET)
    }

    /// A time as it is kept: never 0.
    fn at(&self, now: Instant) -> u64 {
        as_nanos(now.duration_since(self.begun)).max(1)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let (turns, took) = (self.turns, as_nanos(self.since.elapsed()).min(MOST));
        // The quicker ones tell more: nothing came between.
        let cost = turns.cost.load(Ordering::Relaxed);
        let cost = if cost == 0 || took < cost { took } else { cost + (took - cost) / 16 };
        turns.cost.store(cost, Ordering::Relaxed);
        turns.others_before.store(turns.others.load(Ordering::Relaxed), Ordering::Relaxed);
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
