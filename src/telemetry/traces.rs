//! Traces: a span for each Check that is sampled, and for each call that the gate makes for it or by itself.
//!
//! Whether there is one is decided first, on the bytes of a `traceparent`: what is not sampled costs no more than reading
//! them. Spans are made when what they stand for has ended, of what the recorder is told anyhow. `docs/tracing.md` lists
//! them.

mod queue;
mod sampling;
mod spans;

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use opentelemetry::trace::TraceState;

use super::otlp::{OtlpError, Route, Signal, Variables, traces_wanted};
use crate::core::answer::Answer;
use crate::core::event::Event;
use crate::core::request::{Direction, RawRequest};
use crate::trace_context::{Origin, SpanRef, TraceParent, on_behalf_of};
pub(super) use queue::Counts;
use queue::Queue;
use sampling::Sampling;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// Longest `tracestate` that is continued: what everybody must be able to pass on (W3C Trace Context, §3.3.1.5).
const MAX_STATE_BYTES: usize = 512;

/// Whether a Check is traced.
#[derive(Clone, Debug, Default)]
pub enum Traced {
    /// That is not decided yet. Where nothing is traced it never is.
    #[default]
    Undecided,
    /// It is not.
    No,
    /// It is.
    Yes(Arc<OpenSpan>),
}

/// The span of a Check that has not ended.
#[derive(Debug)]
pub struct OpenSpan {
    at: SpanRef,
    /// The one that it is part of, with another process.
    parent: Option<u64>,
    state: TraceState,
    direction: Direction,
}

impl Traced {
    /// The span, where there is one.
    pub fn span(&self) -> Option<&OpenSpan> {
        match self {
            Self::Yes(span) => Some(span),
            Self::Undecided | Self::No => None,
        }
    }
}

impl OpenSpan {
    /// Its name.
    pub fn at(&self) -> SpanRef {
        self.at
    }

    /// Does work on behalf of it: what is called for it becomes part of its trace.
    pub fn cover<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        on_behalf_of(Some(Origin::Span(self.at)), work)
    }
}

/// Decides what is traced, makes spans, and has them sent.
#[derive(Debug)]
pub(super) struct Tracer {
    sampling: Sampling,
    queue: Queue,
}

impl Tracer {
    /// As the variables say; `None` where they do not ask for traces.
    ///
    /// # Errors
    /// They ask for them, and spans cannot be sent.
    pub(super) fn start(variables: &Variables<'_>, counts: &Counts) -> Result<Option<(Self, Route)>, OtlpError> {
        if !traces_wanted(variables) {
            return Ok(None);
        }
        let route = variables.route(Signal::Traces);
        let sampling = Sampling::of(variables);
        let queue = Queue::start(variables, &route, counts.clone())?;
        Ok(Some((Self { sampling, queue }, route)))
    }

    /// What a call's own metadata say: Envoy names the span there that stands for this call.
    pub(super) fn by_metadata(&self, metadata: &HeaderMap, direction: Direction) -> Traced {
        let mut values = metadata.get_all(TRACEPARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Traced::Undecided };
        let Some(parent) = TraceParent::parse(value.as_bytes()) else { return Traced::Undecided };
        self.decide(Some(parent), direction, || {
            let states = metadata.get_all(TRACESTATE).iter().map(|state| state.to_str().ok());
            states.collect::<Option<Vec<_>>>().map(|states| states.join(","))
        })
    }

    /// What the request's headers say, where the metadata said nothing; or chance, where those do not either.
    pub(super) fn by_request(&self, request: &RawRequest<'_>) -> Traced {
        let mut values = request.headers.values(TRACEPARENT);
        let parent = match (values.next(), values.next()) {
            (Some(value), None) => TraceParent::parse(value),
            // Of two nobody can tell which one it is.
            (None, _) | (Some(_), Some(_)) => None,
        };
        self.decide(parent, request.direction, || Some(request.headers.joined(TRACESTATE).ok()??.into_owned()))
    }

    fn decide(
        &self,
        parent: Option<TraceParent>,
        direction: Direction,
        state: impl FnOnce() -> Option<String>,
    ) -> Traced {
        let trace_id = parent.map_or_else(some_id, |parent| parent.span.trace_id);
        if !self.sampling.samples(parent.map(|parent| parent.sampled), trace_id) {
            return Traced::No;
        }
        // A state without a parent is nobody's.
        let state = parent.and_then(|_| state()).filter(|state| is_state(state));
        Traced::Yes(Arc::new(OpenSpan {
            at: SpanRef { trace_id, span_id: some_span_id() },
            parent: parent.map(|parent| parent.span.span_id),
            state: state.and_then(|state| TraceState::from_str(&state).ok()).unwrap_or_default(),
            direction,
        }))
    }

    /// Ends the span of a Check.
    pub(super) fn check(&self, span: &OpenSpan, answer: &Answer, took: Duration) {
        self.queue.push(|| spans::of_check(span, answer, took));
    }

    /// Makes a span of an event, where it is a call to a provider, and on behalf of something that is traced.
    pub(super) fn event(&self, event: Event<'_>) {
        let Some(call) = spans::Call::of(event) else { return };
        let (trace_id, parent) = match crate::trace_context::origin() {
            Some(Origin::Span(span)) => (span.trace_id, Some(span.span_id)),
            Some(Origin::Gate) => (some_id(), None),
            None => return,
        };
        if parent.is_some() || self.sampling.samples(None, trace_id) {
            let at = SpanRef { trace_id, span_id: some_span_id() };
            self.queue.push(|| call.span(at, parent));
        }
    }

    /// Has everything sent that waits, at most this long; how many spans were not.
    pub(super) fn close(&self, limit: Duration) -> u64 {
        self.queue.close(limit)
    }
}

/// Whether a `tracestate` can be passed on: it is not too long, and printable (W3C Trace Context, §3.3.1.3).
fn is_state(state: &str) -> bool {
    state.len() <= MAX_STATE_BYTES && state.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// A new trace's.
fn some_id() -> u128 {
    rand::random::<u128>().max(1)
}

fn some_span_id() -> u64 {
    rand::random::<u64>().max(1)
}

#[cfg(test)]
mod tests;
