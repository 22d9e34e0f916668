//! What spans say. Names and attributes are names of the configuration, words from closed lists, numbers, and hosts of
//! providers: nothing that a caller sent.

use std::borrow::Cow;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::OpenSpan;
use crate::core::answer::{Answer, Verdict};
use crate::core::event::{CallOutcome, Event, HttpCall, RefreshOutcome};
use crate::core::reason::Fault;
use crate::core::request::Direction;
use crate::trace_context::SpanRef;

/// The name of a Check's span, as that of any RPC.
const CHECK: &str = "envoy.service.auth.v3.Authorization/Check";

/// The version of the semantic conventions that names follow.
const CONVENTIONS: &str = "https://opentelemetry.io/schemas/1.42.0";

static SCOPE: LazyLock<InstrumentationScope> = LazyLock::new(|| {
    let scope = InstrumentationScope::builder("tollgate").with_version(env!("CARGO_PKG_VERSION"));
    scope.with_schema_url(CONVENTIONS).build()
});

/// A Check's, which ends now.
pub(super) fn of_check(span: &OpenSpan, answer: &Answer, took: Duration) -> SpanData {
    let mut attributes = Vec::with_capacity(13);
    let mut say = |name: &'static str, value: opentelemetry::Value| attributes.push(KeyValue::new(name, value));
    say("rpc.system.name", "grpc".into());
    say("rpc.method", CHECK.into());
    say("rpc.response.status_code", "OK".into());
    say("tollgate.decision_id", answer.decision_id.hex().as_str().to_owned().into());
    say("tollgate.direction", direction(span.direction).into());
    if let Some(rule) = answer.rule.as_deref() {
        say("tollgate.rule", std::sync::Arc::clone(&rule.name).into());
    }
    say("tollgate.outcome", if answer.reason.allows() { "allow" } else { "deny" }.into());
    say("tollgate.reason", answer.reason.code().into());
    say("tollgate.work", answer.trail.work.as_str().into());
    if answer.trail.generation > 0 {
        say("tollgate.generation", i64::try_from(answer.trail.generation).unwrap_or(i64::MAX).into());
    }
    if let Some(obtained) = &answer.trail.obtained {
        say("tollgate.obtained", std::sync::Arc::clone(&obtained.token).into());
    }
    if let Verdict::Deny(denied) = &answer.verdict {
        say("tollgate.status", i64::from(denied.http_status()).into());
    }
    // A caller who is refused rightly is no error of this service.
    let status = match answer.reason.fault() {
        Fault::None | Fault::Caller => Status::Unset,
        Fault::Provider | Fault::Operator | Fault::Gate => {
            say("error.type", answer.reason.code().into());
            Status::error("")
        }
    };
    let parent = span.parent.map(|parent| (parent, true));
    Shape { at: span.at, parent, state: span.state.clone(), kind: SpanKind::Server, name: CHECK.into(), took, status }
        .with(attributes)
}

/// A call to a provider that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    name: &'static str,
    method: &'static str,
    /// Whose, as a name of the configuration.
    whose: (&'static str, &'a str),
    outcome: &'static str,
    failed: bool,
    took: Duration,
    http: HttpCall<'a>,
}

impl<'a> Call<'a> {
    /// Of an event, where it is one.
    pub(super) fn of(event: Event<'a>) -> Option<Self> {
        match event {
            Event::ProviderCall { provider, endpoint, outcome, took, http } => {
                let (name, method) = match endpoint {
                    "introspection" => ("POST introspection", "POST"),
                    "token_exchange" => ("POST token_exchange", "POST"),
                    "client_credentials" => ("POST client_credentials", "POST"),
                    "metadata" => ("GET metadata", "GET"),
                    _ => ("POST token", "POST"),
                };
                let failed = outcome != CallOutcome::Answered;
                let (whose, outcome) = (("tollgate.provider", provider), outcome.as_str());
                Some(Self { name, method, whose, outcome, failed, took, http })
            }
            Event::KeyFetch { issuer, document, outcome, took, http } => {
                let name = if document == "discovery" { "GET discovery" } else { "GET jwks" };
                let failed = outcome != RefreshOutcome::Fresh;
                let (whose, outcome) = (("tollgate.issuer", issuer), outcome.as_str());
                Some(Self { name, method: "GET", whose, outcome, failed, took, http })
            }
            Event::TokenCache { .. }
            | Event::KeyRefresh { .. }
            | Event::KeyRefused { .. }
            | Event::UnknownKid { .. }
            | Event::Reload { .. }
            | Event::Audit { .. }
            | Event::ProviderInFlight { .. }
            | Event::Breaker { .. }
            | Event::IntrospectionCache { .. }
            | Event::Introspected { .. }
            | Event::ExchangeCache { .. }
            | Event::TokenObtained { .. }
            | Event::Panic => None,
        }
    }

    /// Its span, which ends now.
    pub(super) fn span(self, at: SpanRef, parent: Option<u64>) -> SpanData {
        let HttpCall { host, port, status } = self.http;
        let mut attributes = Vec::with_capacity(7);
        let mut say = |name: &'static str, value: opentelemetry::Value| attributes.push(KeyValue::new(name, value));
        say("http.request.method", self.method.into());
        say(self.whose.0, self.whose.1.to_owned().into());
        say("tollgate.outcome", self.outcome.into());
        if let Some(host) = host {
            say("server.address", host.to_owned().into());
        }
        if let Some(port) = port {
            say("server.port", i64::from(port).into());
        }
        if let Some(status) = status {
            say("http.response.status_code", i64::from(status).into());
        }
        let status = if self.failed {
            let kind = status.filter(|status| *status >= 400);
            say("error.type", kind.map_or_else(|| self.outcome.into(), |status| status.to_string().into()));
            Status::error("")
        } else {
            Status::Unset
        };
        let (state, took) = (TraceState::default(), self.took);
        let parent = parent.map(|parent| (parent, false));
        Shape { at, parent, state, kind: SpanKind::Client, name: self.name.into(), took, status }.with(attributes)
    }
}

/// A span but for its attributes.
struct Shape {
    at: SpanRef,
    /// With whether it is another process's.
    parent: Option<(u64, bool)>,
    state: TraceState,
    kind: SpanKind,
    name: Cow<'static, str>,
    took: Duration,
    status: Status,
}

impl Shape {
    fn with(self, attributes: Vec<KeyValue>) -> SpanData {
        let Self { at: SpanRef { trace_id, span_id }, parent, state, kind, name, took, status } = self;
        let end_time = SystemTime::now();
        SpanData {
            span_context: SpanContext::new(trace_id.into(), span_id.into(), TraceFlags::SAMPLED, false, state),
            parent_span_id: parent.map_or(SpanId::INVALID, |(parent, _)| parent.into()),
            parent_span_is_remote: parent.is_some_and(|(_, remote)| remote),
            span_kind: kind,
            name,
            start_time: end_time.checked_sub(took).unwrap_or(end_time),
            end_time,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: SCOPE.clone(),
        }
    }
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}
