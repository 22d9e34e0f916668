//! The one recorder: metrics, logs and traces of decisions and of everything reported as an event.
//!
//! Labels are names from the configuration and closed sets from the code, never a caller's words: no token,
//! subject, path, host or key id. `docs/metrics.md` lists every family.

mod audit;
mod calls;
mod decisions;
mod duration;
mod exposition;
mod latency;
mod level;
mod logging;
mod metrics;
mod names;
mod otlp;
mod panics;
mod provider;
mod seen;
mod summary;
mod traces;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use crate::config::audit::AuditSpec;
use crate::core::answer::{Answer, DecisionId};
use crate::core::event::{Event, Events};
use crate::core::reason::{Fault, Reason};
use crate::core::request::{Direction, RawRequest};
use crate::core::trail::Work;
use crate::engine::Status;
pub use audit::{Asked, AuditError, FIELDS as AUDIT_FIELDS};
use audit::{Audit, Facts};
pub use exposition::Exposition;
pub use latency::ProviderLatency;
pub use level::{FilterError, LevelStatus, LogLevel};
pub use logging::{LogLines, LoggingError, init_logging};
pub use metrics::InFlight;
use metrics::Metrics;
pub use otlp::OtlpError;
use otlp::Variables;
pub use panics::log_panics;
use summary::Summary;
use traces::Tracer;
pub use traces::{OpenSpan, Traced};

/// Least time between two log lines about denials for the same reason.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(10);

/// Records every decision once, and every event. There is one in a process.
#[derive(Debug)]
pub struct Recorder {
    metrics: Metrics,
    faults: Summary,
    audit: Audit,
    /// Where anything is traced.
    tracer: Option<Tracer>,
}

impl Default for Recorder {
    fn default() -> Self {
        let faults = Summary::new(SUMMARY_INTERVAL);
        Self { metrics: Metrics::default(), faults, audit: Audit::default(), tracer: None }
    }
}

impl Recorder {
    /// One that traces where the standard variables of the environment (`OTEL_*`) ask for it. Where they do and spans
    /// cannot be sent, the log says so, and nothing is traced. Blocks: files are read.
    pub fn of_environment() -> Self {
        let mut recorder = Self::default();
        let read = |name: &str| std::env::var(name).ok();
        match Tracer::start(&Variables(&read), recorder.metrics.spans()) {
            Ok(None) => {}
            Ok(Some((tracer, route))) => {
                tracing::info!(collector = route.shown, protocol = ?route.protocol, "traces go to a collector");
                recorder.tracer = Some(tracer);
            }
            Err(error) => tracing::error!(%error, "nothing is traced: spans cannot be sent to a collector"),
        }
        recorder
    }

    /// Whether a call is traced, by its own metadata. Envoy names there the span that stands for the call, and has decided
    /// whether its trace is recorded; that counts more than what a client sent. Where nothing is traced it is not looked at.
    pub fn trace_call(&self, metadata: &HeaderMap, direction: Direction) -> Traced {
        let tracer = self.tracer.as_ref();
        tracer.map_or(Traced::Undecided, |tracer| tracer.by_metadata(metadata, direction))
    }

    /// Decides whether a call is traced whose metadata did not tell, by the request that it asks about.
    pub fn trace_request(&self, traced: &mut Traced, request: &RawRequest<'_>) {
        if let (Some(tracer), Traced::Undecided) = (&self.tracer, &*traced) {
            *traced = tracer.by_request(request);
        }
    }

    /// Sends the spans that wait, and no more from then on. Blocks, at most this long; how many were still not sent then.
    pub fn close_traces(&self, limit: Duration) -> u64 {
        self.tracer.as_ref().map_or(0, |tracer| tracer.close(limit))
    }

    /// Records a decision that is not traced; see [`Recorder::traced_decision`].
    pub fn decision(&self, answer: &Answer, took: Duration, asked: Option<&Asked<'_>>) {
        self.traced_decision(answer, took, asked, &Traced::Undecided);
    }

    /// Records a decision: called once for each Check that was answered.
    ///
    /// Logged at `debug`; a denial that is the provider's, the operator's or our fault at `warn`, at most once in ten
    /// seconds for each reason, with the number of those that were passed over.
    ///
    /// Where there is an audit log, it gets a line, with what is known of the request. Where the decision is traced, its
    /// span ends.
    pub fn traced_decision(&self, answer: &Answer, took: Duration, asked: Option<&Asked<'_>>, traced: &Traced) {
        let (id, reason, span) = (answer.decision_id, answer.reason, traced.span());
        let (rule, at) = (answer.rule.as_deref().map(|rule| &rule.name), span.map(OpenSpan::at));
        self.metrics.calls.count(answer);
        self.metrics.decision(rule, reason, answer.trail.work, took, at.map(|at| at.trace_id));
        self.log(id, rule, reason, took, Instant::now);
        self.audit.write(id, reason, || Facts::of_answer(answer, took, asked, at));
        if let (Some(tracer), Some(span)) = (&self.tracer, span) {
            tracer.check(span, answer, took);
        }
    }

    /// Records the refusal of a Check that was not looked at, as [`Recorder::decision`] does a decision. It came at `since`,
    /// on a listener of this direction. It is never traced: where many are refused, that would cost what there is too
    /// little of.
    pub fn refusal(&self, id: DecisionId, reason: Reason, direction: Direction, since: Instant, now: Instant) {
        let took = now.saturating_duration_since(since);
        self.metrics.decision(None, reason, Work::None, took, None);
        self.log(id, None, reason, took, || now);
        self.audit.write(id, reason, || Facts::of_refusal(id, reason, direction, took));
    }

    /// Whether there is an audit log. Without one nobody needs to tell what was asked.
    pub fn audits(&self) -> bool {
        self.audit.is_open()
    }

    /// Opens the audit log and starts its writer. A later call changes nothing. Blocks: not for a thread that must not.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open_audit(&self, spec: &AuditSpec) -> Result<(), AuditError> {
        self.audit.open(spec, self.metrics.audit())
    }

    /// Opens the audit log's file anew, by its name, since it was moved away. The writer does that, soon.
    pub fn reopen_audit(&self) {
        self.audit.reopen();
    }

    /// Writes what waits to be written, and no more from then on. Blocks, at most this long; how many lines were still not
    /// written then.
    pub fn close_audit(&self, limit: Duration) -> u64 {
        self.audit.close(limit)
    }

    fn log(
        &self,
        id: DecisionId,
        rule: Option<&Arc<str>>,
        reason: Reason,
        took: Duration,
        now: impl FnOnce() -> Instant,
    ) {
        let rule = rule.map(|name| &**name);
        tracing::debug!(
            decision = %id,
            rule,
            reason = reason.code(),
            took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "decided"
        );
        match reason.fault() {
            Fault::None | Fault::Caller => {}
            fault @ (Fault::Provider | Fault::Operator | Fault::Gate) => {
                if let Some(denials) = self.faults.note(reason, now()) {
                    tracing::warn!(
                        reason = reason.code(),
                        fault = fault.as_str(),
                        denials,
                        last_rule = rule,
                        last_decision = %id,
                        "denied, and not by the caller's fault"
                    );
                }
            }
        }
    }

    /// Counts a Check as in flight until the value is dropped.
    pub fn in_flight(&self) -> InFlight {
        self.metrics.in_flight()
    }

    /// Every metric, as text.
    pub fn exposition(&self, format: Exposition) -> String {
        exposition::encode(&[self.metrics.registry()], &self.metrics.durations, format)
    }

    /// As [`Recorder::exposition`], with what is to be seen of an engine at the moment: its caches, keys and providers.
    pub fn exposition_with(&self, engine: &Status, format: Exposition) -> String {
        exposition::encode(&[self.metrics.registry(), &seen::registry(engine)], &self.metrics.durations, format)
    }

    /// How many decisions there were for each reason, since the start.
    pub fn reasons(&self) -> Vec<(Reason, u64)> {
        self.metrics.decisions.by_reason()
    }

    /// How long calls to providers took since the start, the slowest first.
    pub fn latencies(&self) -> Vec<ProviderLatency> {
        self.metrics.providers.latencies.slowest()
    }
}

impl Events for Recorder {
    fn report(&self, event: Event<'_>) {
        self.metrics.event(event);
        if let Some(tracer) = &self.tracer {
            tracer.event(event);
        }
        match event {
            Event::Audit { selection } => self.audit.select(selection),
            Event::Panic => tracing::error!("a decision panicked and was answered with a denial"),
            // A published key that is for something else is no fault, and is there at each refresh.
            Event::KeyRefused { issuer, why } => tracing::debug!(issuer, why, "a published key is not used"),
            // Too frequent, or logged with more detail where it happens.
            Event::ProviderCall { .. }
            | Event::ProviderInFlight { .. }
            | Event::Breaker { .. }
            | Event::IntrospectionCache { .. }
            | Event::Introspected { .. }
            | Event::ExchangeCache { .. }
            | Event::TokenObtained { .. } => {}
            Event::TokenCache { .. }
            | Event::KeyRefresh { .. }
            | Event::KeyFetch { .. }
            | Event::UnknownKid { .. }
            | Event::Reload { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests;
