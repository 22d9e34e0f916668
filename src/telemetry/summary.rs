//! Lets one log line stand for many events of the same kind.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::core::reason::Reason;

/// Says for each reason when it is time for a line again.
#[derive(Debug)]
pub(super) struct Summary {
    reasons: Box<[Pace]>,
}

/// Says when it is time for a line again.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    started: Instant,
    /// Milliseconds from the start at which the next line is due; zero at first.
    due: AtomicU64,
    /// Since the last line.
    count: AtomicU64,
}

impl Summary {
    /// At most one line in `interval` for each reason.
    pub(super) fn new(interval: Duration) -> Self {
        let started = Instant::now();
        Self { reasons: Reason::ALL.iter().map(|_| Pace::since(started, interval)).collect() }
    }

    /// Counts one; how many a line has to stand for, where one is due.
    pub(super) fn note(&self, reason: Reason, now: Instant) -> Option<u64> {
        self.reasons.get(reason as usize)?.note(1, now)
    }
}

impl Pace {
    /// At most one line in `interval`.
    pub(super) fn since(started: Instant, interval: Duration) -> Self {
        Self { interval, started, due: AtomicU64::new(0), count: AtomicU64::new(0) }
    }

    /// Counts so many; how many a line has to stand for, where one is due.
    pub(super) fn note(&self, number: u64, now: Instant) -> Option<u64> {
        self.count.fetch_add(number, Ordering::Relaxed);
        let elapsed = millis(now.saturating_duration_since(self.started));
        let due = self.due.load(Ordering::Relaxed);
        let next = elapsed.saturating_add(millis(self.interval));
        // Of several threads that find a line due, one writes it.
        let mine = elapsed >= due && self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        mine.then(|| self.count.swap(0, Ordering::Relaxed))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_stands_for_all_since_the_last() {
        let summary = Summary::new(Duration::from_secs(10));
        let start = summary.reasons[0].started;
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(summary.note(Reason::Overloaded, at(0)), Some(1));
        for _ in 0..1000 {
            assert_eq!(summary.note(Reason::Overloaded, at(9)), None);
        }
        assert_eq!(summary.note(Reason::KeysUnavailable, at(9)), Some(1), "reasons do not hide each other");
        assert_eq!(summary.note(Reason::Overloaded, at(10)), Some(1001));
        assert_eq!(summary.note(Reason::Overloaded, at(11)), None);
    }
}
