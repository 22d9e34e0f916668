//! What came back, counted by kind, and how long it took.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::answer::Outcome;

/// Longest time that is told apart from longer ones, in nanoseconds.
const LONGEST: u64 = 120_000_000_000;

/// The answers to one stream of calls in one phase.
#[derive(Clone, Debug)]
pub struct Tally {
    counts: BTreeMap<Outcome, u64>,
    allowed: Histogram<u64>,
    answered: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        // These bounds are constants that the histogram accepts.
        let empty = Histogram::new_with_bounds(1, LONGEST, 3).unwrap_or_else(|_| unreachable!("constant bounds"));
        Self { counts: BTreeMap::new(), allowed: empty.clone(), answered: empty }
    }
}

impl Tally {
    /// Counts one call and the time from when it was due to when it was answered or given up.
    pub(super) fn record(&mut self, outcome: Outcome, took: Duration) {
        *self.counts.entry(outcome).or_default() += 1;
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(LONGEST).clamp(1, LONGEST);
        self.answered.saturating_record(nanoseconds);
        if outcome == Outcome::Allow {
            self.allowed.saturating_record(nanoseconds);
        }
    }

    /// Calls of all kinds.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Calls that came to this.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.counts.get(&outcome).copied().unwrap_or(0)
    }

    /// Calls that came to anything else. What must be 0 where one thing is expected.
    pub fn other_than(&self, outcome: Outcome) -> u64 {
        self.total() - self.count(outcome)
    }

    /// All kinds that came, with their numbers.
    pub const fn counts(&self) -> &BTreeMap<Outcome, u64> {
        &self.counts
    }

    /// A quantile (0.99) of the time of all calls, microseconds.
    pub fn quantile_us(&self, quantile: f64) -> f64 {
        self.answered.value_at_quantile(quantile) as f64 / 1e3
    }

    /// A quantile of the time of those that were allowed, microseconds.
    pub fn allowed_quantile_us(&self, quantile: f64) -> f64 {
        self.allowed.value_at_quantile(quantile) as f64 / 1e3
    }

    /// Takes in another tally.
    pub fn add(&mut self, other: &Self) {
        for (outcome, count) in &other.counts {
            *self.counts.entry(*outcome).or_default() += count;
        }
        // Both have the same bounds.
        let _ = self.allowed.add(&other.allowed);
        let _ = self.answered.add(&other.answered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_counted_and_times_are_kept_apart() {
        let mut tally = Tally::default();
        for n in 1..=100 {
            tally.record(Outcome::Allow, Duration::from_micros(n));
        }
        tally.record(Outcome::Denied(503), Duration::from_secs(1));
        tally.record(Outcome::Transport, Duration::from_secs(500));
        assert_eq!((tally.total(), tally.count(Outcome::Allow), tally.other_than(Outcome::Allow)), (102, 100, 2));
        assert!((tally.allowed_quantile_us(0.5) - 50.0).abs() < 0.2, "{}", tally.allowed_quantile_us(0.5));
        assert!(tally.allowed_quantile_us(1.0) < 101.0);
        assert!(tally.quantile_us(1.0) > 100e6, "longer than the bounds is counted as the longest");
    }

    #[test]
    fn sums_hold_what_both_held() {
        let mut one = Tally::default();
        one.record(Outcome::Allow, Duration::from_micros(10));
        let mut other = one.clone();
        other.record(Outcome::Rpc(14), Duration::from_micros(30));
        one.add(&other);
        assert_eq!((one.total(), one.count(Outcome::Allow), one.count(Outcome::Rpc(14))), (3, 2, 1));
        assert!((one.quantile_us(1.0) - 30.0).abs() < 0.1);
    }
}
