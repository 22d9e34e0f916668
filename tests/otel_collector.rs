//! Traces and the audit log over OTLP to the real OpenTelemetry collector, and behind a real Envoy that traces, too:
//! `make test-otel`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "otel/checks.rs"]
mod checks;
#[path = "otel/collector.rs"]
mod collector;
#[path = "support/http.rs"]
mod http_server;
#[path = "support/mint.rs"]
mod mint;
#[path = "support/wait.rs"]
mod wait;
#[path = "otel/world.rs"]
mod world;

use collector::Real;
use serde_json::Value;
use tollgate::demo::client::Call;
use tollgate::demo::envoy::{Envoy, find};
use tollgate::demo::upstream::Upstream;
use world::{Collector as _, World, attribute, set};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_over_grpc() {
    checks::spans_continue_traces_and_tell_no_secrets(&Real::start("grpc").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_over_http() {
    checks::spans_continue_traces_and_tell_no_secrets(&Real::start("http/protobuf").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_over_grpc() {
    checks::the_audit_log_arrives_as_records(&Real::start("grpc").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_over_http() {
    checks::the_audit_log_arrives_as_records(&Real::start("http/protobuf").await).await;
}

/// One that stops and goes on, and one that ends while it is used: no decision changes, and what comes later arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_hangs_and_then_ends_changes_no_decision() {
    let mut collector = Real::start("grpc").await;
    let mut variables = collector.variables();
    variables.push(set("OTEL_BSP_SCHEDULE_DELAY", 10));
    variables.push(set("OTEL_EXPORTER_OTLP_TIMEOUT", 500));
    let mut gate = World::start(&variables, "audit: { to: otlp }").await;
    let traceparent = format!("00-{}-00f067aa0ba902b7-01", checks::TRACE);
    let sampled = [("traceparent", traceparent.as_str())];
    assert_eq!(gate.ask("/open/x", &sampled).await, 0);
    wait::eventually("one was sent", async || gate.metric("tollgate_spans_total{outcome=\"sent\"}").await > 0).await;
    collector.signal("STOP");
    wait::eventually("what is not taken is counted", async || {
        assert_eq!(gate.ask("/open/x", &sampled).await, 0);
        gate.metric("tollgate_spans_total{outcome=\"failed\"}").await > 0
            && gate.metric("tollgate_audit_lines_total{outcome=\"dropped\"}").await > 0
    })
    .await;
    collector.signal("CONT");
    wait::eventually("it takes them again", async || {
        assert_eq!(gate.ask("/open/x", &sampled).await, 0);
        gate.metric("tollgate_spans_total{outcome=\"sent\"}").await > 1
    })
    .await;
    collector.end().await;
    let failed = gate.metric("tollgate_spans_total{outcome=\"failed\"}").await;
    wait::eventually("what nobody takes is counted", async || {
        assert_eq!(gate.ask("/open/x", &sampled).await, 0);
        gate.metric("tollgate_spans_total{outcome=\"failed\"}").await > failed
    })
    .await;
    gate.end().await;
}

fn envoy_config(gate: &str, upstream: u16, collector: u16) -> String {
    format!(
        r#"
admin: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }} }}
static_resources:
  listeners:
    - name: inbound
      address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: inbound
                tracing:
                  random_sampling: {{ value: 100 }}
                  provider:
                    name: envoy.tracers.opentelemetry
                    typed_config:
                      "@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig
                      service_name: envoy-of-the-test
                      grpc_service: {{ envoy_grpc: {{ cluster_name: collector }}, timeout: 1s }}
                route_config:
                  virtual_hosts:
                    - {{ name: all, domains: ["*"], routes: [{{ match: {{ prefix: / }}, route: {{ cluster: upstream }} }}] }}
                http_filters:
                  - name: envoy.filters.http.ext_authz
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
                      transport_api_version: V3
                      grpc_service: {{ envoy_grpc: {{ cluster_name: gate }}, timeout: 10s }}
                  - name: envoy.filters.http.router
                    typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters:
    - name: upstream
      type: STATIC
      load_assignment: {{ cluster_name: upstream, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {upstream} }} }} }} }}] }}] }}
    - name: gate
      type: STATIC
      typed_extension_protocol_options: &http2
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {{ http2_protocol_options: {{}} }}
      load_assignment: {{ cluster_name: gate, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ pipe: {{ path: {gate} }} }} }} }}] }}] }}
    - name: collector
      type: STATIC
      typed_extension_protocol_options: *http2
      load_assignment: {{ cluster_name: collector, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {collector} }} }} }} }}] }}] }}
"#
    )
}

/// Envoy begins the trace, and its span for the call to the gate is the parent of the gate's: Envoy writes it into the
/// call's own metadata, while the request that it asks about has no `traceparent` yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_goes_from_a_real_envoy_through_the_gate() {
    let collector = Real::start("grpc").await;
    let mut variables = collector.variables();
    variables.push(set("OTEL_SERVICE_NAME", "gate-of-the-test"));
    // Nothing begins here: what is there came from Envoy.
    variables.push(set("OTEL_TRACES_SAMPLER", "parentbased_always_off"));
    let mut gate = World::start(&variables, "").await;
    let upstream = Upstream::start(0).await.unwrap();
    let socket = gate.folder.path().join("in.sock");
    let config = envoy_config(&socket.display().to_string(), upstream.address().port(), collector.port());
    let binary = find().unwrap().expect("no envoy binary: `make envoy` fetches it, or name one in TOLLGATE_ENVOY");
    let envoy = Envoy::start(&binary, &config).await.unwrap();
    let reply = Call::get("shop.internal", "/open/x").send(envoy.address()).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    gate.end().await;
    let of = |spans: &[Value], service: &str| -> Vec<Value> {
        spans.iter().filter(|span| attribute(&span["resource"], "service.name") == service).cloned().collect()
    };
    let mut spans = Vec::new();
    wait::until("both have sent their spans", || {
        spans = collector.spans();
        !of(&spans, "gate-of-the-test").is_empty() && of(&spans, "envoy-of-the-test").len() >= 2
    })
    .await;
    let (ours, theirs) = (of(&spans, "gate-of-the-test"), of(&spans, "envoy-of-the-test"));
    let [check] = &ours[..] else { panic!("one span: {ours:#?}") };
    let parent = theirs.iter().find(|span| span["spanId"] == check["parentSpanId"]);
    let parent = parent.unwrap_or_else(|| panic!("{check:#} is of none of {theirs:#?}"));
    assert_eq!((&parent["traceId"], &parent["kind"]), (&check["traceId"], &3.into()), "Envoy's call: {parent:#}");
    let seen = upstream.take_seen();
    let onward = seen[0].header("traceparent").unwrap();
    assert!(onward.contains(check["traceId"].as_str().unwrap()), "one trace to the end: {onward}");
}
