//! What holds whichever collector it is.

use serde_json::Value;

use crate::wait;
use crate::world::{Collector, SECRETS, World, attribute, set};

pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A `traceparent` of a trace of this number.
fn traceparent(number: u8, sampled: bool) -> String {
    format!("00-{number:02x}{}-{PARENT}-0{}", &TRACE[2..], u8::from(sampled))
}

fn trace_id(number: u8) -> String {
    format!("{number:02x}{}", &TRACE[2..])
}

fn spans_of(spans: &[Value], number: u8) -> Vec<Value> {
    spans.iter().filter(|span| span["traceId"] == trace_id(number)).cloned().collect()
}

fn is_check(span: &Value) -> bool {
    span["name"] == "envoy.service.auth.v3.Authorization/Check"
}

/// The variables for a collector, and those that have spans sent at the end alone.
fn variables(collector: &impl Collector) -> Vec<(String, String)> {
    let mut variables = collector.variables();
    variables.push(set("OTEL_BSP_SCHEDULE_DELAY", 3_600_000));
    variables.push(set("OTEL_SERVICE_NAME", "gate-of-the-test"));
    variables.push(set("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"));
    variables
}

/// Every kind of span there is: where it hangs, what it says, and what it does not.
pub(crate) async fn spans_continue_traces_and_tell_no_secrets(collector: &impl Collector) {
    let mut gate = World::start(&variables(collector), "").await;
    let (good, unknown) = (gate.token("k"), gate.token("unknown"));
    // The first keys must be there, or they would be what the first request waits for.
    wait::eventually("the gate has asked for its own token", async || {
        gate.metric("tollgate_tokens_obtained_total{token=\"own\"").await > 0
    })
    .await;
    let path = "/orders/path-of-the-request?token=hunter2";
    wait::eventually("keys are there", async || {
        gate.ask(path, &[("authorization", &good), ("traceparent", &traceparent(0xa0, false))]).await == 0
    })
    .await;

    let (one, state) = (traceparent(1, true), "vendor=opaque,other=1");
    let headers = [("authorization", good.as_str()), ("traceparent", &one), ("tracestate", state)];
    assert_eq!(gate.ask(path, &headers).await, 0);
    // The call's own metadata count more, also where they say that it is not to be recorded.
    let (two, three) = (traceparent(2, true), traceparent(3, true));
    let header = [("authorization", good.as_str()), ("traceparent", three.as_str())];
    assert_eq!(gate.ask_with(path, &header, &[("traceparent", &two)]).await, 0);
    assert_eq!(gate.ask_with(path, &header, &[("traceparent", &traceparent(4, false))]).await, 0);
    // Of two nobody can tell which it is, and one that does not read is none: the request's holds.
    let twice = [("traceparent", two.as_str()), ("traceparent", one.as_str())];
    let five = [("authorization", good.as_str()), ("traceparent", &traceparent(5, true))];
    assert_eq!(gate.ask_with(path, &five, &twice).await, 0);
    // Not sampled.
    let unsampled = traceparent(6, false);
    assert_eq!(gate.ask("/opaque/x", &[("x-opaque", "opaque-hunter2-token"), ("traceparent", &unsampled)]).await, 0);
    // A denial, and calls to providers.
    assert_eq!(gate.ask("/nowhere", &[("traceparent", &traceparent(7, true))]).await, 7);
    let eight = traceparent(8, true);
    assert_eq!(gate.ask("/opaque/x", &[("x-opaque", "another-hunter2-token"), ("traceparent", &eight)]).await, 0);
    let nine = traceparent(9, true);
    assert_ne!(gate.ask(path, &[("authorization", &unknown), ("traceparent", &nine)]).await, 0);
    let ten = traceparent(10, true);
    assert_eq!(gate.ask_to_pay(&[("authorization", &good), ("traceparent", &ten)]).await, 0);
    // A trace that begins here.
    assert_eq!(gate.ask("/open/x", &[]).await, 0);

    let metrics = gate.metrics("application/openmetrics-text").await;
    // Each bucket has the last of those that fell into it.
    let exemplars = [8, 9, 10].map(|number| format!(" # {{trace_id=\"{}\"}} ", trace_id(number)));
    let buckets = metrics.lines().filter(|line| line.contains("work=\"called_out\"") && line.contains("_bucket"));
    assert!(buckets.into_iter().any(|line| exemplars.iter().any(|exemplar| line.contains(exemplar))), "{metrics}");
    assert!(!gate.metrics("text/plain").await.contains("trace_id"));

    let (_, log) = gate.end().await;
    assert!(log.contains("traces go to a collector"), "{log}");
    assert!(!log.contains("spans were not sent"), "{log}");
    let mut spans = Vec::new();
    wait::until("spans arrive", || {
        spans = collector.spans();
        spans.iter().any(|span| attribute(span, "tollgate.rule") == "open")
    })
    .await;

    let [check] = &spans_of(&spans, 1)[..] else { panic!("one span: {spans:#?}") };
    assert!(is_check(check), "{check:#}");
    assert_eq!((&check["parentSpanId"], &check["kind"]), (&PARENT.into(), &2.into()), "{check:#}");
    assert_eq!(check["traceState"], state);
    for (name, value) in [
        ("rpc.system.name", "grpc"),
        ("rpc.method", "envoy.service.auth.v3.Authorization/Check"),
        ("tollgate.rule", "orders"),
        ("tollgate.outcome", "allow"),
        ("tollgate.reason", "allowed"),
        ("tollgate.direction", "inbound"),
        ("tollgate.work", "cached"),
        ("tollgate.generation", "1"),
    ] {
        assert_eq!(attribute(check, name), value, "{name}: {check:#}");
    }
    assert_eq!(attribute(&check["resource"], "service.name"), "gate-of-the-test");
    assert_eq!(attribute(&check["resource"], "deployment.environment.name"), "test");
    assert_eq!(attribute(&check["resource"], "service.version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(check["scope"]["name"], "tollgate");
    let times =
        ["startTimeUnixNano", "endTimeUnixNano"].map(|name| check[name].as_str().unwrap().parse::<u64>().unwrap());
    assert!(times[0] < times[1] && times[1] - times[0] < 20_000_000_000, "{times:?}");

    assert_eq!(spans_of(&spans, 2).len(), 1, "the call's own metadata");
    for none in [3, 4, 6, 0xa0] {
        assert_eq!(spans_of(&spans, none), Vec::<Value>::new(), "{none}");
    }
    assert_eq!(spans_of(&spans, 5).len(), 1);

    let denied = &spans_of(&spans, 7)[0];
    assert_eq!(
        (attribute(denied, "tollgate.reason"), attribute(denied, "tollgate.status")),
        ("no_rule".into(), "403".into())
    );
    assert!(!is_error(denied), "a caller's fault is none of the service: {denied:#}");

    let child = |number: u8, name: &str| -> Value {
        let spans = spans_of(&spans, number);
        let check = spans.iter().find(|span| is_check(span)).unwrap_or_else(|| panic!("{name}: {spans:#?}"));
        let child = spans.iter().find(|span| span["name"] == name);
        let child = child.unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
        assert_eq!((&child["parentSpanId"], &child["kind"]), (&check["spanId"], &3.into()), "{child:#}");
        assert_eq!(attribute(check, "tollgate.work"), "called_out", "{check:#}");
        assert_eq!(attribute(child, "server.address"), "127.0.0.1");
        assert_eq!(attribute(child, "server.port"), gate.provider.address.port().to_string());
        assert_eq!(attribute(child, "http.response.status_code"), "200");
        assert!(!is_error(child), "{child:#}");
        child.clone()
    };
    let asked = child(8, "POST introspection");
    assert_eq!(attribute(&asked, "tollgate.provider"), "opaque");
    assert_eq!(attribute(&asked, "http.request.method"), "POST");
    assert_eq!(attribute(&child(9, "GET jwks"), "tollgate.issuer"), "shop");
    child(10, "POST token_exchange");

    let roots: Vec<&Value> =
        spans.iter().filter(|span| span["parentSpanId"].as_str().is_none_or(str::is_empty)).collect();
    assert!(
        roots.iter().any(|span| attribute(span, "tollgate.rule") == "open"),
        "a trace that begins here: {roots:#?}"
    );
    for own in ["GET jwks", "POST client_credentials"] {
        assert!(roots.iter().any(|span| span["name"] == own), "what the gate does by itself: {own}: {roots:#?}");
    }
    assert!(
        !roots.iter().any(|span| span["name"] == "POST introspection"),
        "of a call that is not sampled: {roots:#?}"
    );

    let text = serde_json::to_string(&spans).unwrap();
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    // Nor is a provider told of traces.
    assert!(gate.provider.requests().iter().all(|request| request.header("traceparent").is_none()));
}

fn is_error(span: &Value) -> bool {
    !matches!(span["status"]["code"].as_u64(), None | Some(0)) && span["status"]["code"] == 2
}

/// The audit log as log records, tied to the spans.
pub(crate) async fn the_audit_log_arrives_as_records(collector: &impl Collector) {
    let mut gate = World::start(&variables(collector), "audit: { to: otlp, mask: { path: omit } }").await;
    let (eleven, twelve) = (traceparent(11, true), traceparent(12, false));
    assert_eq!(gate.ask("/open/x", &[("traceparent", &eleven), ("x-request-id", "r-1")]).await, 0);
    assert_eq!(gate.ask("/nowhere", &[("traceparent", &twelve)]).await, 7);
    assert_eq!(gate.ask("/open/y", &[("x-request-id", "began-here")]).await, 0);
    wait::eventually("records are taken", async || {
        gate.metric("tollgate_audit_lines_total{outcome=\"written\"}").await == 3
    })
    .await;
    gate.end().await;
    let mut records = Vec::new();
    wait::until("records arrive", || {
        records = collector.records();
        records.len() >= 3
    })
    .await;
    wait::until("spans arrive", || !spans_of(&collector.spans(), 11).is_empty()).await;

    let of = |number: u8| records.iter().find(|record| record["traceId"] == trace_id(number)).unwrap();
    let (allowed, denied) = (of(11), of(12));
    assert_eq!(allowed["spanId"], spans_of(&collector.spans(), 11)[0]["spanId"], "the decision's own span");
    assert_eq!(denied["spanId"], PARENT, "of a decision that is not sampled, the span that it came with");
    let line: Value = serde_json::from_str(allowed["body"]["stringValue"].as_str().unwrap()).unwrap();
    assert_eq!((&line["rule"], &line["reason"]), (&"open".into(), &"allowed_anonymous".into()));
    assert_eq!((&line["trace_id"], &line["span_id"]), (&allowed["traceId"], &allowed["spanId"]));
    assert_eq!(line.get("path"), None, "what is masked");
    assert_eq!(allowed["eventName"], "tollgate.decision");
    for (name, value) in [("tollgate.rule", "open"), ("tollgate.outcome", "allow"), ("tollgate.request_id", "r-1")] {
        assert_eq!(attribute(allowed, name), value, "{name}: {allowed:#}");
    }
    assert_eq!(attribute(denied, "tollgate.reason"), "no_rule");
    assert_eq!(attribute(&allowed["resource"], "service.name"), "gate-of-the-test");
    let began =
        records.iter().find(|record| record["body"]["stringValue"].as_str().unwrap().contains("\"began-here\""));
    let began = began.unwrap_or_else(|| panic!("{records:#?}"));
    wait::until("its span arrives", || collector.spans().iter().any(|span| span["spanId"] == began["spanId"])).await;
}
