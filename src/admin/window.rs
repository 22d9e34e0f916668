//! What was decided lately: totals are looked at from time to time, and compared.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::core::reason::Reason;
use crate::telemetry::Recorder;

/// How often totals are looked at.
const EVERY: Duration = Duration::from_secs(5);
/// What "lately" is.
const LENGTH: Duration = Duration::from_secs(60);

type Totals = Vec<(Reason, u64)>;

/// The decisions of the last minute, by reason.
#[derive(Debug)]
pub(super) struct Window {
    recorder: Arc<Recorder>,
    /// Oldest first; never empty.
    samples: Mutex<VecDeque<(Instant, Totals)>>,
}

/// How often something was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) reason: Reason,
    pub(super) lately: u64,
    pub(super) in_all: u64,
}

impl Window {
    pub(super) fn new(recorder: Arc<Recorder>) -> Self {
        let first = (Instant::now(), recorder.reasons());
        Self { recorder, samples: Mutex::new([first].into()) }
    }

    /// Looks at totals for as long as it is polled.
    pub(super) async fn follow(self: Arc<Self>) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.sample(Instant::now());
        }
    }

    fn sample(&self, now: Instant) {
        let totals = self.recorder.reasons();
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        // The newest of those that are old enough stays: it is what the present is compared with.
        while samples.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= LENGTH) {
            samples.pop_front();
        }
        samples.push_back((now, totals));
    }

    /// Reasons that were seen, most frequent first, and over which time "lately" is.
    pub(super) fn reasons(&self, now: Instant) -> (Vec<Seen>, Duration) {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let old = samples
            .iter()
            .rev()
            .find(|(at, _)| now.saturating_duration_since(*at) >= LENGTH)
            .or_else(|| samples.front());
        let before = |reason: Reason| {
            let of_reason = |(known, count): &(Reason, u64)| (*known == reason).then_some(*count);
            old.and_then(|(_, totals)| totals.iter().find_map(of_reason)).unwrap_or_default()
        };
        let seen = self.recorder.reasons().into_iter().filter(|(_, count)| *count > 0);
        let seen = seen.map(|(reason, in_all)| Seen { reason, lately: in_all.saturating_sub(before(reason)), in_all });
        let mut seen: Vec<Seen> = seen.collect();
        seen.sort_by_key(|seen| std::cmp::Reverse((seen.lately, seen.in_all)));
        (seen, old.map_or(Duration::ZERO, |(at, _)| now.saturating_duration_since(*at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::answer::DecisionId;
    use crate::core::decide::refuse;

    #[test]
    fn the_last_minute_is_told_apart_from_all_time() {
        let (recorder, start) = (Arc::new(Recorder::default()), Instant::now());
        let decide = |reason| recorder.decision(&refuse(reason, false, DecisionId(7)), Duration::ZERO, None);
        let window = Window::new(Arc::clone(&recorder));
        (0..3).for_each(|_| decide(Reason::NoRule));
        decide(Reason::MissingToken);
        (1..=100).for_each(|turn| window.sample(start + turn * EVERY));
        decide(Reason::MissingToken);
        let (seen, length) = window.reasons(start + 100 * EVERY + Duration::from_secs(1));
        let of = |reason, lately, in_all| Seen { reason, lately, in_all };
        assert_eq!(seen, [of(Reason::MissingToken, 1, 2), of(Reason::NoRule, 0, 3)]);
        assert!((LENGTH..=LENGTH + 2 * EVERY).contains(&length), "{length:?}");
        let kept = window.samples.lock().unwrap().len();
        assert!(kept <= 14, "{kept}");
    }
}
