//! A histogram of durations that many threads may observe into without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

use crate::core::trail::Work;

/// Upper bounds, in nanoseconds. Cached tokens are decided on in the first few; the default deadline is 150 ms.
const BOUNDS: [u64; 15] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    1_000_000_000,
];

/// Counts durations of decisions by size, in seconds when encoded, for each kind of work. Clones share their counts.
#[derive(Clone, Debug, Default)]
pub(super) struct DecisionDurations(Arc<[Histogram; Work::ALL.len()]>);

#[derive(Debug, Default)]
struct Histogram {
    /// One a bound, and one for what exceeds them all.
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum_nanos: AtomicU64,
}

impl DecisionDurations {
    /// Counts one.
    pub(super) fn observe(&self, work: Work, duration: Duration) {
        let Some(histogram) = self.0.get(work as usize) else { return };
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < nanos);
        if let Some(count) = histogram.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        histogram.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let bounds = BOUNDS.iter().map(|nanos| seconds(*nanos)).chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        // Of what was read above, so that the last bucket and the count cannot differ.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = seconds(self.sum_nanos.load(Ordering::Relaxed));
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

impl TypedMetric for DecisionDurations {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for DecisionDurations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (work, histogram) in Work::ALL.iter().zip(self.0.iter()) {
            histogram.encode(encoder.encode_family(&[("work", work.as_str())])?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}
