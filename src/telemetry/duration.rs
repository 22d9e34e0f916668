//! A histogram of durations that many threads may observe into without a lock.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// The name of the family, as it is written.
pub(super) const NAME: &str = "tollgate_decision_duration_seconds";

/// Counts durations of decisions by size, in seconds when encoded, for each kind of work. Clones share their counts.
#[derive(Clone, Debug, Default)]
pub(super) struct DecisionDurations(Arc<[Histogram; Work::ALL.len()]>);

#[derive(Debug, Default)]
struct Histogram {
    /// One a bound, and one for what exceeds them all.
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum_nanos: AtomicU64,
    /// The last decision in each that was traced.
    exemplars: [Mutex<Option<Exemplar>>; BOUNDS.len() + 1],
}

/// A decision that stands for those in its bucket.
#[derive(Clone, Copy, Debug)]
struct Exemplar {
    trace: u128,
    nanos: u64,
    at: SystemTime,
}

impl DecisionDurations {
    /// Counts one, which is part of this trace.
    pub(super) fn observe(&self, work: Work, duration: Duration, trace: Option<u128>) {
        let Some(histogram) = self.0.get(work as usize) else { return };
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < nanos);
        if let Some(count) = histogram.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        histogram.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
        let place = trace.zip(histogram.exemplars.get(bucket));
        // Of two that come at the same time one is enough.
        if let Some((trace, place)) = place
            && let Ok(mut exemplar) = place.try_lock()
        {
            *exemplar = Some(Exemplar { trace, nanos, at: SystemTime::now() });
        }
    }

    /// Whether any decision was traced.
    pub(super) fn has_exemplars(&self) -> bool {
        let all = self.0.iter().flat_map(|histogram| &histogram.exemplars);
        all.into_iter().any(|place| place.lock().is_ok_and(|exemplar| exemplar.is_some()))
    }

    /// Writes the exemplar of a bucket as OpenMetrics has it, where there is one. `labels` are the sample's.
    pub(super) fn write_exemplar(&self, out: &mut String, labels: &str, bucket: usize) -> fmt::Result {
        let works = Work::ALL.iter().zip(self.0.iter());
        let of_work = |work: &Work| labels.contains(&format!("work=\"{}\"", work.as_str()));
        let place = works.into_iter().find(|(work, _)| of_work(work)).and_then(|(_, of)| of.exemplars.get(bucket));
        let exemplar = place.and_then(|place| *place.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(Exemplar { trace, nanos, at }) = exemplar else { return Ok(()) };
        let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        write!(out, " # {{trace_id=\"{trace:032x}\"}} {} {at:.3}", seconds(nanos))
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
