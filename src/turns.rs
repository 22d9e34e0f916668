//! Turns at work that costs much and that anybody can ask for: verifying signatures.
//!
//! A new token costs many times what a known one does, and whoever sends garbage makes the gate pay as much as for a
//! good token. So this work has a share of its own:
//!
//! * at most one turn at a time for each thread that answers;
//! * what turns took is owed to the calls that need none: while those come, the next turn begins when nine times as much time
//!   went by. Under any flood, of cheap and dear garbage in any order, they have about nine tenths of the time. To look
//!   for one costs as much as some turns do, so where none came lately turns follow on each other for a slice of a
//!   millisecond. What they come to is answered after it, together;
//! * those that wait are served in the order in which they came. A queue in which nobody waits long may have any length:
//!   many callers who ask one after the other are no overload, and neither is a burst that is served quickly. Where
//!   everybody waits long in a long queue, for some time, there is more work than time; so there is, sooner, where the queue
//!   grew with every few turns. That it grew while the machine stood still says nothing. In overload all but the first few
//!   are told so at once, until there was a while in which nobody had to be. Whoever is let in is served soon, and the time
//!   is spent on answers that somebody still waits for. From time to time more are let in, to see whether all could be
//!   served after all;
//! * to refuse costs time, too, and there may be any number to refuse. The few that wait have a fifth of the time then, or
//!   what refusing leaves, as far as they fill it: where many connections have much to say, one look around takes longer
//!   than all their turns. They have a tenth where calls come that need no turn;
//! * to find out what a call needs costs more than to refuse it. Where no place is free in overload, and of the calls that
//!   were read lately none was of those that need no turn, most are refused unread.
//!
//! What is long is the same for all, a part of the time that decisions have as configured: a caller who has little time
//! says nothing about how much there is to do.

mod growth;
mod pressure;
mod taker;
mod trial;

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use growth::Growth;
use pressure::{Moment, Pressure, STALE, Wait};
use taker::Taker;
use trial::{Trial, Trials};

/// How many may wait for each place in overload.
const FEW: usize = 24;

/// A queue of no more than this for each place is none that grew for want of time: the machine may have been slow for a
/// moment.
const SHORT: usize = 4 * FEW;

/// Of so many calls that would be refused unread one is read.
const SAMPLE: usize = 128;

/// What is known of how fast it goes is of about so many turns.
const SMOOTH: u64 = 16;

/// Most that a turn is taken to have cost: what is more was spent waiting for a processor.
const MOST: Duration = Duration::from_millis(1);

/// Work that is expensive, done by turns. There is one in a process.
#[derive(Debug)]
pub struct Turns {
    queue: Mutex<Queue>,
    /// How many may be taken at a time.
    places: usize,
    waiting: AtomicUsize,
    begun: Instant,
    pressure: Pressure,
    /// Calls that needed no turn.
    others: AtomicU64,
    /// How many there were when they were looked for, and when some were found.
    looked: AtomicU64,
    found_at: Moment,
    /// Calls that would have been refused unread; some of them are read.
    unread: AtomicUsize,
    trials: Trials,
    /// Nanoseconds between one turn and the next, lately, while somebody waits; and when the last one was.
    interval: AtomicU64,
    turn_at: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    growth: Growth,
    /// Tasks that take turns one after the other.
    takers: usize,
}

/// A turn that somebody waits for.
struct Job {
    place: Place,
    work: Box<dyn FnOnce(Result<(), Overloaded>) + Send>,
}

/// The turn that comes next.
struct Next {
    job: Job,
    /// Whether the queue grew with every few of those before it.
    grows: bool,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("since", &self.place.since).finish_non_exhaustive()
    }
}

/// There is more to do than time to do it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more signatures wait to be verified than there is time for")]
pub struct Overloaded;

/// A place among those that wait for a turn, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Place {
    turns: Arc<Turns>,
    since: u64,
    /// In overload, beside the few.
    trial: Option<Trial>,
}

impl Place {
    /// Has the work done in its turn; the caller bounds the wait. Where the future is dropped before, it is not done.
    ///
    /// # Errors
    /// There was no prospect of a turn any more.
    ///
    /// # Panics
    /// Where `work` does.
    pub async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Overloaded> {
        let (tell, told) = oneshot::channel();
        let turns = Arc::clone(&self.turns);
        let work = Box::new(move |admitted: Result<(), Overloaded>| {
            if !tell.is_closed() {
                // Whoever asked may be gone by now.
                let _ = tell.send(admitted.map(|()| catch_unwind(AssertUnwindSafe(work))));
            }
        });
        turns.push(Job { place: self, work });
        match told.await {
            Ok(Ok(Ok(done))) => Ok(done),
            Ok(Ok(Err(panic))) => resume_unwind(panic),
            Ok(Err(overloaded)) => Err(overloaded),
            // Nobody takes turns any more: the process ends.
            Err(_) => Err(Overloaded),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.turns.waiting.fetch_sub(1, Ordering::Relaxed);
    }
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
        Self {
            queue: Mutex::default(),
            places: places.max(1),
            waiting: AtomicUsize::new(0),
            begun: Instant::now(),
            pressure: Pressure::default(),
            others: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            found_at: Moment::default(),
            unread: AtomicUsize::new(0),
            trials: Trials::default(),
            interval: AtomicU64::new(0),
            turn_at: AtomicU64::new(0),
        }
    }

    /// Decisions have this long, as configured. 150 ms until that is said.
    pub fn expect(&self, patience: Duration) {
        self.pressure.expect(patience);
    }

    /// A call was answered that needed no turn.
    pub fn another(&self) {
        self.others.fetch_add(1, Ordering::Relaxed);
    }

    /// A place among those that wait for a turn.
    ///
    /// # Errors
    /// There is no prospect of one.
    pub fn admit(self: &Arc<Self>) -> Result<Place, Overloaded> {
        let (now, waiting, mut trial) = (self.now(), self.waiting(), None);
        if waiting >= self.most() && self.pressure.is_on(now) {
            trial = self.trials.ask(waiting, self.room(), self.pressure.part(trial::PAUSE), now);
            if trial.is_none() {
                return Err(self.pressure.refuse(now));
            }
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Ok(Place { turns: Arc::clone(self), since: now, trial })
    }

    /// Whether a call is to be refused before it is known whether it needs a turn: it would find no place, and for as long
    /// as decisions may take none was seen that needs none. That they come is seen among the calls that find a place, and
    /// among a few that are read all the same, whoever takes the places. In a trial all are read.
    pub fn is_flooded(&self, now: Instant) -> bool {
        if self.waiting() < self.most() {
            return false;
        }
        let now = self.at(now);
        if !self.pressure.is_on(now)
            || self.found_at.is_within(self.pressure.part(1), now)
            || self.trials.is_possible(now)
        {
            return false;
        }
        if self.unread.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAMPLE) {
            return false;
        }
        // It is one that was refused.
        let _ = self.pressure.refuse(now);
        true
    }

    /// How many may wait in overload.
    fn most(&self) -> usize {
        FEW.saturating_mul(self.places)
    }

    /// How many may wait in a trial: those who can be served before they waited for long, as fast as it went lately, or
    /// some more than the few.
    fn room(&self) -> usize {
        let interval = self.interval.load(Ordering::Relaxed).max(1);
        let soon = usize::try_from(as_nanos(self.pressure.part(STALE)) / interval).unwrap_or(usize::MAX);
        soon.max(self.most().saturating_mul(2))
    }

    /// Takes in how fast it goes: a turn begins that was waited for since then.
    fn note_turn(&self, since: u64, now: u64) {
        let last = self.turn_at.swap(now, Ordering::Relaxed);
        if since < last {
            let (before, one) = (self.interval.load(Ordering::Relaxed), now.saturating_sub(last));
            self.interval.store(before - before / SMOOTH + one / SMOOTH, Ordering::Relaxed);
        }
    }

    /// How many have a place.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn push(self: &Arc<Self>, job: Job) {
        let mut queue = self.queue();
        queue.jobs.push_back(job);
        if queue.takers < self.places {
            if queue.takers == 0 {
                self.pressure.free(self.now());
            }
            tokio::spawn(Taker::new(Arc::clone(self)).take_turns());
            queue.takers += 1;
        }
    }

    /// Has a turn, before which others went first for so long. How long it took.
    fn take(&self, Next { job, grows }: Next, pause: Duration) -> Duration {
        let Job { place, work } = job;
        let now = self.now();
        let wait = Wait {
            took: Duration::from_nanos(now.saturating_sub(place.since)),
            for_others: pause,
            grows,
            many: self.waiting() > SHORT.saturating_mul(self.places),
            on_trial: place.trial.is_some(),
        };
        let admitted = match place.trial {
            Some(trial) if self.trials.has_failed(trial) => Err(self.pressure.refuse(now)),
            Some(_) | None => self.pressure.judge(&wait, now),
        };
        match (admitted, place.trial) {
            (Ok(()), _) => self.note_turn(place.since, now),
            (Err(Overloaded), Some(trial)) => self.trials.fail(trial, self.pressure.part(trial::PAUSE), now),
            (Err(Overloaded), None) => {}
        }
        drop(place);
        let since = Instant::now();
        work(admitted);
        since.elapsed().min(MOST)
    }

    fn next(&self) -> Option<Next> {
        let mut queue = self.queue();
        let job = queue.jobs.pop_front()?;
        let waiting = queue.jobs.len();
        Some(Next { job, grows: queue.growth.turn(waiting, self.places) })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nanoseconds since the beginning, never 0.
    fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    fn at(&self, now: Instant) -> u64 {
        as_nanos(now.saturating_duration_since(self.begun)).max(1)
    }
}

fn as_nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
