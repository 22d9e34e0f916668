//! Traces and the audit log over OTLP, by both of its ways, to a collector of our own that looks at every byte; and to
//! some that are none. `make test-otel` says the same to the real one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "otel/checks.rs"]
mod checks;
#[path = "otel/fake.rs"]
mod fake;
#[path = "support/http.rs"]
mod http_server;
#[path = "support/mint.rs"]
mod mint;
#[path = "support/wait.rs"]
mod wait;
#[path = "otel/world.rs"]
mod world;

use std::process::Command;
use std::time::{Duration, Instant};

use fake::{Fake, Way};
use http_server::{Answer, Server};
use world::{Collector as _, World, set};

const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_over_grpc() {
    checks::spans_continue_traces_and_tell_no_secrets(&Fake::start(Way::Grpc).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_over_http() {
    checks::spans_continue_traces_and_tell_no_secrets(&Fake::start(Way::Http).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_over_grpc() {
    checks::the_audit_log_arrives_as_records(&Fake::start(Way::Grpc).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_over_http() {
    checks::the_audit_log_arrives_as_records(&Fake::start(Way::Http).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_are_sent_and_answers_over_tls_are_believed_of_the_authority_that_is_named_alone() {
    for way in [Way::Grpc, Way::Http] {
        let collector = Fake::start_tls(way).await;
        let mut variables = collector.variables();
        variables.push(set("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2"));
        variables.push(set("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"));
        let mut gate = World::start(&variables, "").await;
        assert_eq!(gate.ask("/open/x", &[("traceparent", SAMPLED)]).await, 0);
        let (_, log) = gate.end().await;
        assert!(collector.spans().iter().any(|span| span["traceId"] == checks::TRACE), "{way:?}: {log}");
        assert_eq!(collector.header("api-key"), Some("hunter2".to_owned()), "{way:?}");
        assert!(!log.contains("hunter2"), "{log}");

        variables.retain(|(name, _)| name != "OTEL_EXPORTER_OTLP_CERTIFICATE");
        variables.push(set("OTEL_EXPORTER_OTLP_TIMEOUT", 1000));
        let before = collector.spans().len();
        let mut gate = World::start(&variables, "").await;
        assert_eq!(gate.ask("/open/x", &[("traceparent", SAMPLED)]).await, 0);
        let (_, log) = gate.end().await;
        assert!(log.contains("the collector did not take spans"), "{way:?}: {log}");
        assert_eq!(collector.spans().len(), before, "{way:?}");
    }
}

/// Nothing is traced unless the variables say so.
#[tokio::test]
async fn without_variables_nothing_is_traced() {
    for variables in [vec![], vec![set("OTEL_TRACES_EXPORTER", "otlp"), set("OTEL_SDK_DISABLED", "true")]] {
        let mut gate = World::start(&variables, "").await;
        assert_eq!(gate.ask("/open/x", &[("traceparent", SAMPLED)]).await, 0);
        assert_eq!(gate.metric("tollgate_spans_total").await, 0);
        assert!(!gate.metrics("application/openmetrics-text").await.contains("trace_id"));
        let (_, log) = gate.end().await;
        assert!(!log.contains("collector"), "{log}");
    }
}

/// Which of those that begin here, or come sampled, are recorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sampler_is_obeyed() {
    let collector = Fake::start(Way::Grpc).await;
    let mut variables = collector.variables();
    variables.push(set("OTEL_TRACES_SAMPLER", "parentbased_always_off"));
    let mut gate = World::start(&variables, "").await;
    for _ in 0..20 {
        assert_eq!(gate.ask("/open/x", &[]).await, 0);
    }
    assert_eq!(gate.ask("/open/x", &[("traceparent", SAMPLED)]).await, 0);
    gate.end().await;
    let spans = collector.spans();
    assert!(spans.len() == 1 && spans[0]["traceId"] == checks::TRACE, "{spans:#?}");
}

/// A collector that is not there, and one that takes connections and says nothing: nobody notices but the counters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_down_or_hangs_changes_no_decision() {
    let hangs = Server::start(Answer::Stall(Vec::new())).await;
    let down = Server::start(Answer::HangUp).await;
    down.kill().await;
    for (what, at) in [("hangs", hangs.url("")), ("is down", down.url(""))] {
        for protocol in ["grpc", "http/protobuf"] {
            let variables = [
                set("OTEL_EXPORTER_OTLP_ENDPOINT", &at),
                set("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                set("OTEL_BSP_MAX_QUEUE_SIZE", 16),
                set("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 8),
                set("OTEL_BSP_SCHEDULE_DELAY", 10),
            ];
            let audit = "audit: { to: otlp, buffer: 64KiB }";
            let mut gate = World::start(&variables, audit).await;
            let path = format!("/open/{}", "x".repeat(1500));
            let (mut slowest, mut asked) = (Duration::ZERO, 0_u64);
            // Until both were dropped, and some hundred times at least.
            let dropped = async |gate: &World| {
                let spans = gate.metric("tollgate_spans_total{outcome=\"dropped\"}").await
                    + gate.metric("tollgate_spans_total{outcome=\"failed\"}").await;
                let lines = gate.metric("tollgate_audit_lines_total{outcome=\"dropped\"}").await;
                spans > 0 && lines > 0
            };
            let mut looks = wait::Looks::at(format!("{what}: {protocol}: something is dropped"));
            while asked < 300 || !dropped(&gate).await {
                for _ in 0..100 {
                    let begun = Instant::now();
                    assert_eq!(gate.ask(&path, &[("traceparent", SAMPLED)]).await, 0, "{what}: {protocol}");
                    slowest = slowest.max(begun.elapsed());
                    asked += 1;
                }
                looks.again().await;
            }
            // The way to a collector is given ten seconds: who waited for it would take as long.
            assert!(slowest < Duration::from_secs(5), "{what}: {protocol}: {slowest:?}");
            assert_eq!(gate.metric("tollgate_decisions_total").await, asked, "{what}: {protocol}");
            let (took, log) = gate.end().await;
            // Two seconds, and not the ten that a batch has.
            assert!(took < Duration::from_secs(8), "{what}: {protocol}: it ends in its time: {took:?}\n{log}");
        }
    }
}

/// One that refuses: what it does not take is counted and told, and not without end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_collector_refuses_is_counted_and_told() {
    let refuses = Fake::start(Way::Refusing).await;
    let mut variables = refuses.variables();
    variables.push(set("OTEL_BSP_SCHEDULE_DELAY", 10));
    variables.push(set("OTEL_TRACES_SAMPLER", "parentbased_always_off"));
    let mut gate = World::start(&variables, "audit: { to: otlp }").await;
    for _ in 0..10 {
        assert_eq!(gate.ask("/open/x", &[("traceparent", SAMPLED)]).await, 0);
    }
    wait::eventually("all are counted", async || {
        gate.metric("tollgate_spans_total{outcome=\"failed\"}").await == 10
            && gate.metric("tollgate_audit_lines_total{outcome=\"dropped\"}").await == 10
    })
    .await;
    let (_, log) = gate.end().await;
    let told = log.lines().filter(|line| line.contains("the collector did not take spans") && line.contains("400"));
    assert!((1..=2).contains(&told.count()), "{log}");
}

/// An endpoint may hold a secret, and so may headers: what is wrong with them is told by the names of the variables.
#[tokio::test]
async fn what_does_not_read_is_told_without_what_it_says() {
    for protocol in ["grpc", "http/protobuf"] {
        for endpoint in ["https://user:hunter2@a collector:1", "://hunter2", "http://[hunter2"] {
            let variables = [
                set("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
                set("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                set("OTEL_EXPORTER_OTLP_HEADERS", "api-key: hunter2"),
                set("OTEL_EXPORTER_OTLP_TIMEOUT", 500),
            ];
            let mut gate = World::start(&variables, "").await;
            assert_eq!(gate.ask("/open/x", &[("traceparent", SAMPLED)]).await, 0);
            let (_, log) = gate.end().await;
            assert!(!log.contains("hunter2"), "{log}");
            assert!(log.contains("OTEL_EXPORTER_OTLP_HEADERS"), "{log}");
            let told =
                ["`OTEL_EXPORTER_OTLP_ENDPOINT` is no address of a collector", "the collector did not take spans"];
            assert!(told.iter().any(|told| log.contains(told)), "{protocol}, {endpoint}: {log}");
        }
    }
}

/// What cannot be: said at the start, with the variable that it is about.
#[tokio::test]
async fn an_audit_log_that_cannot_be_sent_is_refused_at_the_start() {
    for (variables, said) in [
        (vec![set("OTEL_LOGS_EXPORTER", "none")], "OTEL_LOGS_EXPORTER"),
        (vec![set("OTEL_SDK_DISABLED", "true")], "OTEL_SDK_DISABLED"),
        (
            vec![
                set("OTEL_EXPORTER_OTLP_ENDPOINT", "https://localhost:1"),
                set("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                set("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem"),
            ],
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let policy =
            "server: { check: [{ listen: '127.0.0.1:0', direction: inbound }] }\naudit: { to: otlp }\nrules: []\n";
        std::fs::write(folder.path().join("policy.yaml"), policy).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.args(["serve", "--config", "policy.yaml"]).current_dir(&folder);
        let done = command.envs(variables).output().unwrap();
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(3), "{text}");
        assert!(text.contains(said) && text.contains("audit.to"), "{text}");
    }
}
