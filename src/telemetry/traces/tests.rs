use http::HeaderValue;
use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;
use prometheus_client::registry::Registry;

use super::*;
use crate::core::answer::DecisionId;
use crate::core::decide::refuse;
use crate::core::event::{CallOutcome, HttpCall, RefreshOutcome};
use crate::core::reason::Reason;
use crate::core::request::{Header, Headers};

const ONE: &str = "00-0000000000000000000000000000000a-000000000000000b-01";
const OTHER: &str = "00-0000000000000000000000000000000c-000000000000000d-01";
const UNSAMPLED: &str = "00-0000000000000000000000000000000a-000000000000000b-00";

/// One that would send to a collector on this machine. No test here makes it.
fn tracer() -> Tracer {
    let read = |name: &str| (name == "OTEL_TRACES_EXPORTER").then(|| "otlp".to_owned());
    let counts = Counts::register(&mut Registry::default());
    Tracer::start(&Variables(&read), &counts).unwrap().unwrap().0
}

fn metadata(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut metadata = HeaderMap::new();
    for (name, value) in lines {
        metadata.append(*name, HeaderValue::from_str(value).unwrap());
    }
    metadata
}

fn asked(lines: &[(&'static str, &'static str)]) -> RawRequest<'static> {
    let lines = lines.iter().map(|(name, value)| Header { name, value: value.as_bytes() });
    RawRequest {
        direction: Direction::Outbound,
        method: "GET",
        host: "a.internal",
        path: "/",
        headers: Headers::new(lines.collect()),
        principal: "",
        certificate: "",
        context_extensions: vec![],
    }
}

fn ids(traced: &Traced) -> Option<(u128, Option<u64>)> {
    traced.span().map(|span| (span.at.trace_id, span.parent))
}

#[test]
fn the_metadata_of_a_call_decide_where_they_say_anything() {
    let tracer = tracer();
    let by = |lines: &[(&'static str, &str)]| tracer.by_metadata(&metadata(lines), Direction::Inbound);
    assert_eq!(ids(&by(&[("traceparent", ONE)])), Some((10, Some(11))));
    assert!(matches!(by(&[("traceparent", UNSAMPLED)]), Traced::No));
    for nothing in [&[][..], &[("traceparent", ONE), ("traceparent", OTHER)], &[("traceparent", "00-x")]] {
        assert!(matches!(by(nothing), Traced::Undecided), "{nothing:?}");
    }
    let states = [("traceparent", ONE), ("tracestate", "a=1"), ("tracestate", "b=2")];
    assert_eq!(by(&states).span().unwrap().state.header(), "a=1,b=2");
}

#[test]
fn a_request_decides_where_the_metadata_did_not() {
    let tracer = tracer();
    let by = |lines: &[(&'static str, &'static str)]| tracer.by_request(&asked(lines));
    assert_eq!(ids(&by(&[("Traceparent", ONE)])), Some((10, Some(11))));
    assert!(matches!(by(&[("traceparent", UNSAMPLED)]), Traced::No));
    for begins in [&[][..], &[("traceparent", ONE), ("traceparent", OTHER)], &[("traceparent", "00-x")]] {
        let traced = by(begins);
        let (trace, parent) = ids(&traced).unwrap();
        assert!(trace > u128::from(u64::MAX) && parent.is_none(), "{begins:?}");
    }
    let state = |state: &'static str| by(&[("traceparent", ONE), ("tracestate", state)]).span().unwrap().state.header();
    assert_eq!(state("vendor=x"), "vendor=x");
    assert_eq!(state("no state"), "", "one that does not read");
    let long: &'static str = format!("a={}", "x".repeat(MAX_STATE_BYTES)).leak();
    assert_eq!(state(long), "", "one that is too long");
    let orphan = by(&[("tracestate", "vendor=x")]);
    assert_eq!(orphan.span().unwrap().state.header(), "", "a state without a parent");
}

fn said(span: &SpanData, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name);
    found.map(|attribute| attribute.value.to_string())
}

#[test]
fn a_check_is_an_error_where_it_is_not_the_callers() {
    let tracer = tracer();
    let traced = tracer.by_metadata(&metadata(&[("traceparent", ONE)]), Direction::Outbound);
    let span = |reason| {
        let answer = refuse(reason, false, DecisionId(7));
        spans::of_check(traced.span().unwrap(), &answer, Duration::from_millis(3))
    };
    let by_caller = span(Reason::MissingToken);
    assert_eq!((&by_caller.status, said(&by_caller, "error.type")), (&Status::Unset, None));
    assert_eq!((by_caller.span_kind.clone(), by_caller.parent_span_is_remote), (SpanKind::Server, true));
    assert_eq!(said(&by_caller, "tollgate.direction").as_deref(), Some("outbound"));
    assert_eq!(said(&by_caller, "tollgate.status").as_deref(), Some("401"));
    assert_eq!(by_caller.end_time.duration_since(by_caller.start_time).unwrap(), Duration::from_millis(3));
    let by_us = span(Reason::KeysUnavailable);
    assert_eq!(
        (by_us.status.clone(), said(&by_us, "error.type").as_deref()),
        (Status::error(""), Some("keys_unavailable"))
    );
}

#[test]
fn calls_are_named_by_what_they_are_for() {
    let took = Duration::from_millis(5);
    let http = |status| HttpCall { host: Some("idp.internal"), port: Some(443), status };
    let span = |event| spans::Call::of(event).unwrap().span(SpanRef { trace_id: 1, span_id: 2 }, Some(3));
    let call = |endpoint, outcome, status| Event::ProviderCall {
        provider: "idp",
        endpoint,
        outcome,
        took,
        http: http(status),
    };
    let key = |document| Event::KeyFetch {
        issuer: "shop",
        document,
        outcome: RefreshOutcome::Fresh,
        took,
        http: http(Some(200)),
    };
    for (event, name) in [
        (call("introspection", CallOutcome::Answered, Some(200)), "POST introspection"),
        (call("token_exchange", CallOutcome::Answered, Some(200)), "POST token_exchange"),
        (call("client_credentials", CallOutcome::Answered, Some(200)), "POST client_credentials"),
        (call("token", CallOutcome::Answered, Some(200)), "POST token"),
        (call("metadata", CallOutcome::Answered, Some(200)), "GET metadata"),
        (key("jwks"), "GET jwks"),
        (key("discovery"), "GET discovery"),
    ] {
        let span = span(event);
        assert_eq!((&*span.name, &span.status, span.span_kind.clone()), (name, &Status::Unset, SpanKind::Client));
        assert_eq!(said(&span, "http.request.method").as_deref(), name.split(' ').next());
        assert_eq!(
            (said(&span, "server.address"), said(&span, "server.port")),
            (Some("idp.internal".into()), Some("443".into()))
        );
        assert_eq!((span.parent_span_id, span.parent_span_is_remote), (3_u64.into(), false));
    }
    for (outcome, status, kind) in [
        (CallOutcome::Refused, Some(401), "401"),
        (CallOutcome::Failed, Some(503), "503"),
        (CallOutcome::Broken, None, "broken"),
        (CallOutcome::Open, None, "open"),
    ] {
        let span = span(call("introspection", outcome, status));
        assert_eq!((span.status.clone(), said(&span, "error.type").as_deref()), (Status::error(""), Some(kind)));
    }
    assert!(spans::Call::of(Event::Panic).is_none());
}

#[test]
fn the_documentation_lists_every_span_and_attribute() {
    let documentation = include_str!("../../../docs/tracing.md");
    let named =
        |name: &str| documentation.lines().any(|line| line.starts_with('|') && line.contains(&format!("`{name}`")));
    let traced = tracer().by_metadata(&metadata(&[("traceparent", ONE)]), Direction::Inbound);
    let (took, http) = (Duration::ZERO, HttpCall { host: Some("idp"), port: Some(443), status: Some(500) });
    let mut spans =
        vec![spans::of_check(traced.span().unwrap(), &refuse(Reason::Overloaded, false, DecisionId(7)), took)];
    let at = SpanRef { trace_id: 1, span_id: 2 };
    for endpoint in ["introspection", "token_exchange", "client_credentials", "token", "metadata"] {
        let call = Event::ProviderCall { provider: "idp", endpoint, outcome: CallOutcome::Failed, took, http };
        spans.push(spans::Call::of(call).unwrap().span(at, None));
    }
    for document in ["jwks", "discovery"] {
        let fetch = Event::KeyFetch { issuer: "shop", document, outcome: RefreshOutcome::Unreachable, took, http };
        spans.push(spans::Call::of(fetch).unwrap().span(at, None));
    }
    for span in &spans {
        assert!(named(&span.name), "{}", span.name);
        for attribute in &span.attributes {
            assert!(named(attribute.key.as_str()), "{}", attribute.key);
        }
    }
}

#[test]
fn the_documentation_lists_variables_that_are_read() {
    let documentation = include_str!("../../../docs/tracing.md");
    let ours = [include_str!("../otlp/variables.rs"), include_str!("sampling.rs"), include_str!("queue.rs")].concat();
    // These the exporters, or the SDK's resource, read themselves.
    let others = ["HEADERS", "COMPRESSION", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"];
    let rows = documentation.lines().filter(|line| line.starts_with("| `OTEL_"));
    let cells = rows.map(|line| line.split('|').nth(1).unwrap());
    let named: Vec<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(named.len() > 15, "{named:?}");
    for name in named {
        let exporters = name.strip_prefix("OTEL_EXPORTER_OTLP_").unwrap_or(name);
        let what = exporters.strip_prefix("TRACES_").unwrap_or(exporters);
        assert!(ours.contains(&format!("\"{what}\"")) || others.contains(&what), "{name}");
    }
}
