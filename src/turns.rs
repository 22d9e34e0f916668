//! Turns at work that costs much and that anybody can ask for: verifying signatures.
//!
//! A new token costs many times what a known one does, and whoever sends garbage makes the gate pay as much as for a
//! good token. So this work has a share of its own:
//!
//! * at most one turn at a time for each thread that answers;
//! * what a turn took is owed to the calls that need none: the next one begins when nine times as much was spent on
//!   them, or when none of them comes. Under any flood, of cheap and dear garbage in any order, they keep about nine
//!   tenths of the time. To look for one costs as much as some turns do, so where none came lately turns follow on each
//!   other, and one is looked for every half a millisecond;
//! * those that wait are served in the order in which they came. A queue in which nobody waits long may have any length:
//!   many callers who ask one after the other are no overload, and neither is a burst that is served quickly. Where
//!   everybody waits long, for some time, there is more work than time. From then on all but the first few are told so
//!   at once, until the queue did not last for a while. Whoever is let in is served soon, and the time is spent on
//!   answers that somebody still waits for.
//!
//! What is long is the same for all, a part of the time that decisions have as configured: a caller who has little time
//! says nothing about how much there is to do.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::yield_now;
use tokio::time::Instant;

/// The time that decisions have, until it is said.
const PATIENCE: Duration = Duration::from_millis(150);

/// A wait that is long, as a part of that time.
const LONG: u32 = 4;

/// For which part everybody must have waited long before that is taken for more than a burst. So long must the queue last,
/// too, for a refusal to say that it still is.
const LASTING: u32 = 8;

/// How many may wait for each place then …
const FEW: usize = 16;

/// … the part for which a caller may have waited when its turn comes …
const STALE: u32 = 25;

/// … and the part for which there must be no sign of too much to do before any number may wait again.
const QUIET: u32 = 2;

/// What calls that need no turn get of the time, as a multiple of what turns do.
const OTHERS: u64 = 9;

/// About what a call costs that needs no turn, in nanoseconds.
const CALL: u64 = 8_000;

/// Most that a turn is taken to have cost, in nanoseconds: what is more was spent waiting for a processor.
const MOST: u64 = 1_000_000;

/// For how long turns follow on each other once there was no call that needs none …
const SLICE: Duration = Duration::from_micros(500);

/// … where there was none for so long.
const LATELY: Duration = Duration::from_millis(5);

/// Work that is expensive, done by turns. There is one in a process.
#[derive(Debug)]
pub struct Turns {
    places: Semaphore,
    few: usize,
    waiting: AtomicUsize,
    begun: Instant,
    /// Nanoseconds that decisions have.
    patience: AtomicU64,
    /// When a place was free.
    free_at: Moment,
    /// Since when everybody waited long; cleared when somebody did not.
    long_since: Moment,
    /// When there was too much to do.
    pressed_at: Moment,
    /// Calls that needed no turn.
    others: AtomicU64,
    /// How many of them there must be before the next turn.
    due: AtomicU64,
    /// How many there were when they were looked for.
    looked: AtomicU64,
    /// When some were found, and when none was.
    found_at: Moment,
    none_at: Moment,
}

/// When something was so last, in nanoseconds since the beginning; 0 where it never was.
#[derive(Debug, Default)]
struct Moment(AtomicU64);

impl Moment {
    fn set(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }

    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    fn is_within(&self, time: Duration, now: u64) -> bool {
        let then = self.0.load(Ordering::Relaxed);
        then != 0 && Duration::from_nanos(now.saturating_sub(then)) < time
    }
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
            patience: AtomicU64::new(as_nanos(PATIENCE)),
            free_at: Moment::default(),
            long_since: Moment::default(),
            pressed_at: Moment::default(),
            others: AtomicU64::new(0),
            due: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            found_at: Moment::default(),
            none_at: Moment::default(),
        }
    }

    /// Decisions have this long, as configured. 150 ms until that is said.
    pub fn expect(&self, patience: Duration) {
        self.patience.store(as_nanos(patience), Ordering::Relaxed);
    }

    /// A call was answered that needed no turn.
    pub fn another(&self) {
        self.others.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for a turn; the caller bounds the wait. Dropping the future gives the place in the queue up.
    ///
    /// # Errors
    /// There is no prospect of one.
    pub async fn take(&self) -> Result<Turn<'_>, Overloaded> {
        // Off the connection's task, on which calls begin: the ones behind this one may need no turn.
        yield_now().await;
        let place = match self.places.try_acquire() {
            Ok(place) => {
                self.free_at.set(self.now());
                self.long_since.clear();
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
        let came = self.now();
        if self.waiting() >= self.few && self.is_pressed(came) {
            return Err(self.refuse(came));
        }
        let waiting = Waiting::new(&self.waiting);
        // Never closed.
        let place = self.places.acquire().await.map_err(|_| Overloaded)?;
        drop(waiting);
        let now = self.now();
        let waited = Duration::from_nanos(now.saturating_sub(came));
        if waited > self.part(STALE) && self.is_pressed(now) {
            return Err(self.refuse(now));
        }
        if waited <= self.part(LONG) {
            self.long_since.clear();
        } else if !self.long_since.is_set() {
            self.long_since.set(now);
        } else if !self.long_since.is_within(self.part(LASTING), now) {
            self.pressed_at.set(now);
        }
        Ok(place)
    }

    fn is_pressed(&self, now: u64) -> bool {
        self.pressed_at.is_within(self.part(QUIET), now)
    }

    /// That one is refused says that there is too much to do only where the queue lasts: a burst may be more than a few.
    fn refuse(&self, now: u64) -> Overloaded {
        if !self.free_at.is_within(self.part(LASTING), now) {
            self.pressed_at.set(now);
        }
        Overloaded
    }

    /// Lets calls go first that need no turn, round by round, until there was none in a round or they had what is due.
    async fn let_others_go_first(&self) {
        let mut seen = self.others.load(Ordering::Relaxed);
        let now = self.now();
        if seen == self.looked.load(Ordering::Relaxed)
            && self.none_at.is_within(SLICE, now)
            && !self.found_at.is_within(LATELY, now)
        {
            return;
        }
        loop {
            yield_now().await;
            let others = self.others.load(Ordering::Relaxed);
            if others == seen {
                // What is owed to nobody is not owed.
                self.due.store(others, Ordering::Relaxed);
                self.none_at.set(self.now());
                break;
            }
            seen = others;
            if others >= self.due.load(Ordering::Relaxed) {
                // Nor is anything saved up.
                self.due.fetch_max(others, Ordering::Relaxed);
                break;
            }
        }
        if self.looked.swap(seen, Ordering::Relaxed) != seen {
            self.found_at.set(self.now());
        }
    }

    /// The time that decisions have, divided.
    fn part(&self, by: u32) -> Duration {
        Duration::from_nanos(self.patience.load(Ordering::Relaxed) / u64::from(by))
    }

    /// Nanoseconds since the beginning, never 0.
    fn now(&self) -> u64 {
        as_nanos(self.begun.elapsed()).max(1)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let took = as_nanos(self.since.elapsed()).min(MOST);
        self.turns.due.fetch_add(OTHERS * took / CALL, Ordering::Relaxed);
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
