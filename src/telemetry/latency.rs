//! How long calls to providers took, for people: enough to say which is the slowest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::provider::BOUNDS;

/// Calls to one endpoint of one provider since the start.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderLatency {
    /// The provider's name in the configuration.
    pub provider: Arc<str>,
    /// What was called.
    pub endpoint: &'static str,
    /// How many calls were made.
    pub calls: u64,
    /// What they took on average.
    pub mean: Duration,
    /// Half of them took no longer than this, rounded up to a bound of the histogram; `None` where it was longer than the
    /// last bound.
    pub p50: Option<Duration>,
    /// All but one in a hundred took no longer than this.
    pub p99: Option<Duration>,
}

/// Durations by provider and endpoint. Calls to providers are few: a lock will do.
#[derive(Debug, Default)]
pub(super) struct Latencies(Mutex<BTreeMap<(Arc<str>, &'static str), Durations>>);

#[derive(Debug, Default)]
struct Durations {
    counts: [u64; BOUNDS.len()],
    calls: u64,
    sum: Duration,
}

impl Durations {
    /// The bound that this share of the calls did not exceed.
    fn within(&self, share: f64) -> Option<Duration> {
        let mut seen = 0;
        let enough = |count: &u64| {
            seen += count;
            seen as f64 >= share * self.calls as f64
        };
        let bound = self.counts.iter().position(enough)?;
        BOUNDS.get(bound).copied().map(Duration::from_secs_f64)
    }
}

impl Latencies {
    /// Counts one.
    pub(super) fn observe(&self, provider: &Arc<str>, endpoint: &'static str, took: Duration) {
        let mut all = self.lock();
        let durations = all.entry((Arc::clone(provider), endpoint)).or_default();
        let bucket = BOUNDS.partition_point(|bound| *bound < took.as_secs_f64());
        if let Some(count) = durations.counts.get_mut(bucket) {
            *count += 1;
        }
        durations.calls += 1;
        durations.sum += took;
    }

    /// All of them, the slowest on average first.
    pub(super) fn slowest(&self) -> Vec<ProviderLatency> {
        let one = |((provider, endpoint), durations): (&(Arc<str>, &'static str), &Durations)| ProviderLatency {
            provider: Arc::clone(provider),
            endpoint,
            calls: durations.calls,
            mean: durations.sum / u32::try_from(durations.calls.max(1)).unwrap_or(u32::MAX),
            p50: durations.within(0.5),
            p99: durations.within(0.99),
        };
        let mut all: Vec<ProviderLatency> = self.lock().iter().map(one).collect();
        all.sort_by_key(|latency| std::cmp::Reverse(latency.mean));
        all
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Arc<str>, &'static str), Durations>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_comes_first_with_what_most_of_its_calls_took() {
        let latencies = Latencies::default();
        let (fast, slow): (Arc<str>, Arc<str>) = ("fast".into(), "slow".into());
        for _ in 0..100 {
            latencies.observe(&fast, "introspection", Duration::from_millis(2));
        }
        for _ in 0..9 {
            latencies.observe(&slow, "token_exchange", Duration::from_millis(30));
        }
        latencies.observe(&slow, "token_exchange", Duration::from_secs(70));
        let [first, second] = &latencies.slowest()[..] else { panic!("two endpoints") };
        assert_eq!((&*first.provider, first.calls, first.p50), ("slow", 10, Some(Duration::from_millis(50))));
        assert_eq!(first.p99, None, "beyond the last bound");
        assert_eq!((&*second.provider, second.p99), ("fast", Some(Duration::from_micros(2500))));
    }
}
