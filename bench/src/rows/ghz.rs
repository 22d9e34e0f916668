//! The half of row 12 that another load generator confirms.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::load::on_this_thread;
use crate::mint::{Algorithm, Kind};
use crate::policy::HOST;
use crate::process::{LOAD_CORE, Server, on_core};
use crate::scene::Subject;
use crate::stats::Spread;
use crate::table::{Bench, Row, Verdict};

const RATE: u32 = 5_000;

/// ghz puts the data of each call together anew: more tokens slow it down, not the server.
const TOKENS: usize = 2_000;

const WHAT: &str = "p99 at 5,000/s by ghz";

pub(super) fn row(bench: &Bench) -> anyhow::Result<Row> {
    let Some(ghz) = program() else {
        return Ok(Row::new(12, WHAT, "≤ 1.20 × tuned", "ghz is not installed", Verdict::NotHeld));
    };
    let data = bench.scene.folder().join("ghz.json");
    let tokens = bench.scene.tokens(Algorithm::Rs256, Kind::Good, TOKENS)?;
    let messages: Vec<Value> = tokens.iter().enumerate().map(|(n, token)| message(n, token)).collect();
    std::fs::write(&data, serde_json::to_vec(&messages)?)?;
    let (mut gate, mut tuned) = (Vec::new(), Vec::new());
    for round in 0..bench.effort.rounds {
        for (subject, p99) in [(Subject::Gate, &mut gate), (Subject::Tuned, &mut tuned)] {
            let server = on_this_thread(bench.scene.start(subject))?;
            // Once for the tokens and the connections, once to be looked at.
            measure(&ghz, &server, &data, 2)?;
            let took = measure(&ghz, &server, &data, if bench.quick { 3 } else { 10 })?;
            eprintln!("round {}: {} by ghz: p99 {took:.0} us", round + 1, subject.name());
            p99.push(took);
        }
    }
    let median = |values: &[f64]| Spread::of(values).map_or(0.0, |spread| spread.median);
    let what = format!("{WHAT} ({:.0} µs against {:.0} µs)", median(&gate), median(&tuned));
    Ok(Row::ratio(12, what, 1.2, "tuned", Spread::of_ratios(&gate, &tuned)))
}

/// The one of the environment, of this project's tools, or of the search path.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("GHZ").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("ghz"));
    let go = std::env::var_os("HOME").map(|home| Path::new(&home).join("go/bin/ghz"));
    named.into_iter().chain([".tools/ghz".into()]).chain(found).chain(go).find(|program| program.is_file())
}

/// The p99 of a run, microseconds. Every call must be answered.
fn measure(ghz: &Path, server: &Server, data: &Path, seconds: u32) -> anyhow::Result<f64> {
    let target = server.endpoint().to_string();
    let mut command = Command::new(ghz);
    command
        .args(["--insecure", "--proto", "proto/envoy/service/auth/v3/external_auth.proto", "--import-paths", "proto"])
        .args(["--call", "envoy.service.auth.v3.Authorization.Check", "--connections", "4", "--concurrency", "50"])
        .args(["--rps", &RATE.to_string(), "--total", &(RATE * seconds).to_string(), "--cpus", "1", "--format", "json"])
        .arg("--data-file")
        .arg(data)
        .arg(target)
        .stdin(Stdio::null());
    let done = on_core(LOAD_CORE, || command.output())?.context("ghz cannot be started")?;
    ensure!(done.status.success(), "ghz: {}", String::from_utf8_lossy(&done.stderr));
    p99_us(&serde_json::from_slice(&done.stdout)?, u64::from(RATE * seconds))
}

fn p99_us(report: &Value, calls: u64) -> anyhow::Result<f64> {
    let statuses = &report["statusCodeDistribution"];
    ensure!(statuses["OK"].as_u64() == Some(calls), "{calls} calls came to {statuses}");
    let distribution = report["latencyDistribution"].as_array().context("ghz tells no latencies")?;
    for point in distribution {
        if point["percentage"].as_u64() == Some(99) {
            return Ok(point["latency"].as_f64().context("no latency")? / 1e3);
        }
    }
    bail!("ghz tells no p99")
}

fn message(nth: usize, token: &str) -> Value {
    let path = format!("/api/internal/payments/pay_{nth:08}");
    json!({ "attributes": {
        "source": { "principal": "spiffe://cluster.local/ns/shop/sa/order-service" },
        "request": { "http": {
            "id": nth.to_string(), "method": "GET", "host": HOST, "path": path, "scheme": "https", "protocol": "HTTP/2",
            "headers": {
                ":authority": HOST, ":method": "GET", ":path": path, ":scheme": "https",
                "accept": "application/json", "accept-encoding": "gzip, deflate, br", "content-type": "application/json",
                "authorization": format!("Bearer {token}"),
                "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                "user-agent": "order-service/4.12.0 (linux; x86_64) axios/1.7.9",
                "x-forwarded-for": "10.4.17.23", "x-forwarded-proto": "https", "x-request-id": nth.to_string(),
            },
        } },
    } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_read_and_calls_that_failed_are_not_overlooked() {
        let report = json!({
            "statusCodeDistribution": { "OK": 10 },
            "latencyDistribution": [{ "percentage": 95, "latency": 1000 }, { "percentage": 99, "latency": 250_000 }],
        });
        assert_eq!(p99_us(&report, 10).unwrap(), 250.0);
        assert!(p99_us(&report, 11).is_err());
        assert!(p99_us(&json!({ "statusCodeDistribution": { "OK": 10 } }), 10).is_err());
    }
}
