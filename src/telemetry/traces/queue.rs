//! Spans on their way to the collector. The SDK's batch processor has the queue and the thread; here is what it does not
//! tell: how many there are, and what became of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry_otlp::SpanExporter as OtlpExporter;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor as _};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::telemetry::SUMMARY_INTERVAL;
use crate::telemetry::metrics::Labels;
use crate::telemetry::otlp::{self, Exporting, OtlpError, Route, Variables, Why};
use crate::telemetry::summary::Pace;

/// What holds where the variables say nothing: most spans that wait …
const MOST_WAITING: usize = 2048;
/// … most that are sent at once …
const MOST_AT_ONCE: usize = 512;
/// … and milliseconds that spans wait for others.
const DELAY: u64 = 5000;
/// Whatever they say: the queue has its memory from the start …
const MAX_WAITING: usize = 100_000;
/// … and nobody looks for spans more often.
const LEAST_DELAY: u64 = 10;

/// Counts spans by what became of them. Clones share their counts.
#[derive(Clone, Debug)]
pub(in crate::telemetry) struct Counts {
    sent: Counter,
    failed: Counter,
    dropped: Counter,
}

impl Counts {
    /// Counts into this registry.
    pub(in crate::telemetry) fn register(registry: &mut Registry) -> Self {
        let spans = Family::<Labels<1>, Counter>::default();
        registry.register("spans", "Spans of traces, by what became of them", spans.clone());
        let of = |outcome: &str| spans.get_or_create_owned(&[("outcome", Arc::from(outcome))]);
        Self { sent: of("sent"), failed: of("failed"), dropped: of("dropped") }
    }
}

/// Spans that wait to be sent, and what sends them.
#[derive(Debug)]
pub(super) struct Queue {
    processor: BatchSpanProcessor,
    shared: Arc<Shared>,
    /// After the processor, which needs it to the end.
    _exporting: Exporting,
}

#[derive(Debug)]
struct Shared {
    most: usize,
    /// In the queue.
    waiting: AtomicUsize,
    /// Those, and what is being sent.
    unsent: AtomicUsize,
    counts: Counts,
    drops: Pace,
    errors: Pace,
}

impl Queue {
    /// Starts it.
    ///
    /// # Errors
    /// The way to the collector is none.
    pub(super) fn start(variables: &Variables<'_>, route: &Route, counts: Counts) -> Result<Self, OtlpError> {
        let exporting = Exporting::start()?;
        let handle = exporting.handle().clone();
        // What follows starts tasks that only its own thread may run.
        let (mut inner, why) = {
            let _entered = handle.enter();
            otlp::span_exporter(route)?
        };
        inner.set_resource(&otlp::resource());
        let most = number(variables, "OTEL_BSP_MAX_QUEUE_SIZE", MOST_WAITING, MAX_WAITING);
        let at_once = number(variables, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", MOST_AT_ONCE, MAX_WAITING);
        // Without any the processor would look for spans without a pause.
        let delay = variables.read("OTEL_BSP_SCHEDULE_DELAY", DELAY, "milliseconds").max(LEAST_DELAY);
        let [drops, errors] = [(); 2].map(|()| Pace::since(Instant::now(), SUMMARY_INTERVAL));
        let (waiting, unsent) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let shared = Arc::new(Shared { most, waiting, unsent, counts, drops, errors });
        let exporter =
            Exporter { inner: Arc::new(inner), handle, limit: route.timeout, why, shared: Arc::clone(&shared) };
        let config = BatchConfigBuilder::default().with_max_queue_size(most).with_max_export_batch_size(at_once);
        let config = config.with_scheduled_delay(Duration::from_millis(delay)).build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        Ok(Self { processor, shared, _exporting: exporting })
    }

    /// Has a span sent, which is not even made where there is no room for it. Never waits.
    pub(super) fn push(&self, span: impl FnOnce() -> SpanData) {
        let more = |waiting| (waiting < self.shared.most).then_some(waiting + 1);
        if self.shared.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            self.shared.dropped(1);
            return;
        }
        self.shared.unsent.fetch_add(1, Ordering::Relaxed);
        self.processor.on_end(span());
    }

    /// Sends what waits, and takes no more from then on. At most this long; how many spans were not sent then.
    pub(super) fn close(&self, limit: Duration) -> u64 {
        // How it ended is told by what is left.
        let _ = self.processor.shutdown_with_timeout(limit);
        u64::try_from(self.shared.unsent.load(Ordering::Relaxed)).unwrap_or(u64::MAX)
    }
}

/// A number of spans, from one to `most`.
fn number(variables: &Variables<'_>, name: &str, default: usize, most: usize) -> usize {
    match variables.read(name, default, "a number of spans") {
        0 => default,
        number => number.min(most),
    }
}

impl Shared {
    /// Counts, and says so once in a while.
    fn dropped(&self, spans: u64) {
        self.counts.dropped.inc_by(spans);
        if let Some(spans) = self.drops.note(spans, Instant::now()) {
            tracing::warn!(spans, "spans were dropped: the collector does not take them, or not fast enough");
        }
    }

    fn sent(&self, spans: u64, result: &Result<(), String>) {
        match result {
            Ok(()) => _ = self.counts.sent.inc_by(spans),
            Err(error) => {
                self.counts.failed.inc_by(spans);
                if let Some(spans) = self.errors.note(spans, Instant::now()) {
                    tracing::warn!(spans, error, "the collector did not take spans");
                }
            }
        }
    }
}

/// Sends batches, on a thread that is not the processor's: there nothing drives connections and times.
struct Exporter {
    inner: Arc<OtlpExporter>,
    handle: Handle,
    limit: Duration,
    why: Why,
    shared: Arc<Shared>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What it holds may be credentials.
        f.debug_struct("Exporter").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.shared.waiting.fetch_sub(spans, Ordering::Relaxed);
        let (inner, why, limit) = (Arc::clone(&self.inner), self.why.clone(), self.limit);
        let sending = self.handle.spawn(async move { otlp::in_time(limit, &why, inner.export(batch)).await });
        let result = sending.await.unwrap_or_else(|error| {
            Err(if error.is_panic() { "its exporter panicked" } else { "it was given up at the end" }.to_owned())
        });
        self.shared.sent(u64::try_from(spans).unwrap_or(u64::MAX), &result);
        self.shared.unsent.fetch_sub(spans, Ordering::Relaxed);
        result.map_err(OTelSdkError::InternalFailure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_bounded_whatever_the_variables_say() {
        for (text, expected) in [("7", 7), ("0", 2048), ("-1", 2048), ("many", 2048), ("99999999999", 100_000)] {
            let read = |_: &str| Some(text.to_owned());
            assert_eq!(number(&Variables(&read), "X", MOST_WAITING, MAX_WAITING), expected, "{text}");
        }
    }
}
