//! Who takes turns, and when: between those of others.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::task::yield_now;

use super::{Turns, as_nanos};

/// What calls that need no turn get of the time, as a multiple of what turns do …
pub(super) const OTHERS: u32 = 9;

/// … and what is refused in overload gets where there are none.
const REFUSED: u32 = 4;

/// For how long turns follow on each other where there was no call that needs none …
pub(super) const SLICE: Duration = Duration::from_millis(1);

/// … or, in overload, at least for this part of the time that decisions have where there are so many who wait …
const LONG_SLICE: u32 = 40;

/// … where there was none for so long.
pub(super) const LATELY: Duration = Duration::from_millis(5);

/// Most time for a look around, beside that of the tasks that are looked at last.
const ROUND: Duration = Duration::from_millis(2);

/// What it takes to see that no task is ready.
const NOTHING: Duration = Duration::from_micros(10);

/// Takes turns. However it ends, another may begin.
#[derive(Debug)]
pub(super) struct Taker {
    turns: Arc<Turns>,
    /// Until when turns follow on each other.
    slice_end: u64,
    /// How long others went first, the last time.
    pause: Duration,
    has_left: bool,
}

impl Taker {
    pub(super) fn new(turns: Arc<Turns>) -> Self {
        Self { turns, slice_end: 0, pause: Duration::ZERO, has_left: false }
    }

    /// Takes turns until nobody waits. Those of one slice follow on each other without a pause: tasks that have calls to
    /// refuse are always ready where there are too many of them, and each would have its time between two turns.
    pub(super) async fn take_turns(mut self) {
        let turns = Arc::clone(&self.turns);
        let mut took = Duration::ZERO;
        loop {
            let mut next = if self.may_go_on() { turns.next() } else { None };
            if next.is_none() {
                let nobody_waits = turns.queue().jobs.is_empty();
                let saw_all = self.let_others_go_first(std::mem::take(&mut took)).await;
                if nobody_waits && saw_all {
                    // Whoever was ready to has asked by now.
                    turns.pressure.looked(turns.now());
                }
                next = turns.next();
            }
            if let Some(job) = next {
                took += turns.take(job, self.pause);
                continue;
            }
            let mut queue = turns.queue();
            if queue.jobs.is_empty() {
                queue.takers -= 1;
                self.has_left = true;
                return;
            }
        }
    }

    /// Whether the next turn may follow on the last: the slice is not over, and nobody came who needs none.
    pub(super) fn may_go_on(&self) -> bool {
        let turns = &self.turns;
        let now = turns.now();
        now < self.slice_end
            && (turns.is_found_lately(now)
                || turns.others.load(Ordering::Relaxed) == turns.looked.load(Ordering::Relaxed))
    }

    /// After turns that took so long: lets calls go first that need no turn, round by round, until there was none in a round
    /// or they had the time that is owed to them; in overload those, too, that are still to be looked at. What is owed to
    /// nobody is not owed. Whether all that was ready had its time.
    pub(super) async fn let_others_go_first(&mut self, took: Duration) -> bool {
        let turns = &self.turns;
        let mut seen = turns.others.load(Ordering::Relaxed);
        let begun = turns.now();
        let (now, saw_all) = loop {
            let saw_all = turns.look_around().await;
            let now = turns.now();
            self.pause = Duration::from_nanos(now.saturating_sub(begun));
            let before = std::mem::replace(&mut seen, turns.others.load(Ordering::Relaxed));
            let owed = match (seen != before, saw_all) {
                (true, _) => OTHERS * took,
                (false, false) if turns.pressure.is_on(now) => REFUSED * took,
                (false, _) => Duration::ZERO,
            };
            if self.pause >= owed {
                break (now, saw_all);
            }
        };
        if turns.looked.fetch_max(seen, Ordering::Relaxed) < seen {
            turns.found_at.set(now);
        }
        let slice = if turns.is_found_lately(now) {
            self.pause / OTHERS
        } else if turns.pressure.is_on(now) {
            turns.pressure.part(LONG_SLICE).max(self.pause / REFUSED)
        } else {
            SLICE
        };
        self.slice_end = now.saturating_add(as_nanos(slice));
        saw_all
    }
}

impl Turns {
    /// Whether there was lately a call that needs no turn.
    fn is_found_lately(&self, now: u64) -> bool {
        self.found_at.is_within(LATELY, now)
    }

    /// Lets every task go on that is ready, and looks what came meanwhile. That all of them have nothing more to do, which
    /// is what [`yield_now`] waits for, may not come for long where there is too much of it. Whether it came.
    pub(super) async fn look_around(&self) -> bool {
        let begun = self.now();
        let mut last = begun;
        loop {
            once_each().await;
            let now = self.now();
            if now.saturating_sub(last) < as_nanos(NOTHING) {
                yield_now().await;
                return true;
            }
            if now.saturating_sub(begun) > as_nanos(ROUND) {
                return false;
            }
            last = now;
        }
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        if self.has_left {
            return;
        }
        // The runtime ends. Those who wait learn that nothing comes.
        let mut queue = self.turns.queue();
        queue.takers -= 1;
        let left = if queue.takers == 0 { std::mem::take(&mut queue.jobs) } else { VecDeque::new() };
        drop(queue);
        drop(left);
    }
}

/// Lets every task go on once that is ready.
pub(super) async fn once_each() {
    let mut is_over = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut is_over, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
