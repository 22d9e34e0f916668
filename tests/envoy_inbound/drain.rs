//! Gates come and go without a failed request.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;
use tollgate::demo::envoy::{Envoy, Gate, Shipped};
use tollgate::demo::gate::LocalGate;
use tollgate::demo::issuer::{CLIENTS, DevIssuer};
use tollgate::demo::passport::Passport;
use tollgate::demo::upstream::Upstream;
use tollgate::telemetry::Exposition;

use crate::support::{Files, Load, binary, eventually, get};

/// How many decisions a gate has made.
fn decisions(gate: &LocalGate) -> u64 {
    let text = gate.recorder().exposition(Exposition::OpenMetrics);
    let lines = text.lines().filter(|line| line.starts_with("tollgate_decisions_total{"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// How many gates Envoy's health checks find well.
async fn healthy(envoy: &Envoy) -> usize {
    let clusters = envoy.admin("/clusters?format=json").await.unwrap().json();
    let clusters = clusters["cluster_statuses"].as_array().unwrap();
    let gates = clusters.iter().find(|cluster| cluster["name"] == "tollgate").unwrap();
    let gates = gates["host_statuses"].as_array().unwrap();
    gates.iter().filter(|gate| gate["health_status"]["failed_active_health_check"] != true).count()
}

/// Two gates, as two endpoints of Envoy's cluster: one is told to stop while requests come in as fast as they can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_drains_under_load_and_no_request_fails() {
    let issuer = DevIssuer::start(0).await.unwrap();
    let upstream = Upstream::start(0).await.unwrap();
    let (mut gates, mut addresses, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..2 {
        let files = Files::new();
        Passport::new().unwrap().write_public_key(&files.public_key).unwrap();
        let socket = format!("unix:{}", files.socket.display());
        files.write_policy(issuer.url(), |policy| policy.replace(&socket, "127.0.0.1:0"));
        let gate = LocalGate::start(&files.policy).await.unwrap();
        addresses.push(Gate::Tcp(gate.addresses()[0].unwrap()));
        gates.push(gate);
        places.push(files);
    }
    let config = Shipped::inbound().between(0, 0, upstream.address(), &addresses).unwrap();
    let config = config.replace(" timeout: 0.25s\n", " timeout: 10s\n").unwrap();
    let envoy = Envoy::start(&binary(), config.text()).await.unwrap();
    eventually("both gates are healthy", async || healthy(&envoy).await == 2).await;

    let load = Load::start(envoy.address(), &issuer.token(&CLIENTS[0]).unwrap());
    eventually("both gates decide", async || gates.iter().all(|gate| decisions(gate) > 20)).await;
    let (stays, leaves) = (gates.pop().unwrap(), gates.pop().unwrap());
    let recorder = std::sync::Arc::clone(leaves.recorder());
    let before_drain = decisions(&leaves);
    leaves.drain().await;
    assert_eq!(healthy(&envoy).await, 1, "Envoy knows that one of them has left");
    let after_drain = decisions(&stays);
    load.goes_on(100).await;
    assert!(decisions(&stays) > after_drain, "the other one goes on");
    let total = load.done();
    assert_eq!(load.end().await, Vec::<String>::new(), "of {total} requests");
    let text = recorder.exposition(Exposition::OpenMetrics);
    assert!(text.contains("tollgate_decisions_total{") && before_drain > 20);
}

/// `tollgate serve`, as a process of its own.
struct Serve {
    process: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Serve {
    async fn start(policy: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(["serve", "--config"])
            .arg(policy)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut serve = Self { process, log };
        serve.logs("\"ready\"").await;
        serve
    }

    async fn logs(&mut self, part: &str) {
        let found = async {
            while let Some(line) = self.log.next_line().await.unwrap() {
                if line.contains(part) {
                    return;
                }
            }
            panic!("the log ended before {part}");
        };
        timeout(Duration::from_secs(30), found).await.unwrap();
    }

    /// As Kubernetes and systemd do it. The exit code.
    async fn terminate(mut self) -> Option<i32> {
        let id = self.process.id().unwrap().to_string();
        assert!(Command::new("sh").args(["-c", "kill -TERM \"$0\"", &id]).status().await.unwrap().success());
        // The log is read on, so that the process never waits for a reader.
        let rest = async { while self.log.next_line().await.unwrap().is_some() {} };
        timeout(Duration::from_secs(30), rest).await.unwrap();
        self.process.wait().await.unwrap().code()
    }
}

/// The real program, twice: each is told to end with SIGTERM and started again, as in a rolling update, while
/// requests come in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_behind_envoy_fails_no_request() {
    let issuer = DevIssuer::start(0).await.unwrap();
    let upstream = Upstream::start(0).await.unwrap();
    let (mut places, mut serving) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let files = Files::new();
        Passport::new().unwrap().write_public_key(&files.public_key).unwrap();
        files.write_policy(issuer.url(), |policy| policy);
        serving.push(Serve::start(&files.policy).await);
        places.push(files);
    }
    let gates: Vec<Gate> = places.iter().map(|files| Gate::Unix(files.socket.clone())).collect();
    let config = Shipped::inbound().between(0, 0, upstream.address(), &gates).unwrap();
    let config = config.replace(" timeout: 0.25s\n", " timeout: 10s\n").unwrap();
    let envoy = Envoy::start(&binary(), config.text()).await.unwrap();
    eventually("both gates are healthy", async || healthy(&envoy).await == 2).await;
    let load = Load::start(envoy.address(), &issuer.token(&CLIENTS[0]).unwrap());
    load.goes_on(50).await;
    for files in &places {
        assert_eq!(serving.remove(0).terminate().await, Some(0));
        assert!(!files.socket.exists());
        load.goes_on(50).await;
        serving.push(Serve::start(&files.policy).await);
        eventually("the gate that is back is healthy", async || healthy(&envoy).await == 2).await;
        load.goes_on(50).await;
    }
    let total = load.done();
    assert_eq!(load.end().await, Vec::<String>::new(), "of {total} requests");
    for serve in serving {
        assert_eq!(serve.terminate().await, Some(0));
    }
    // Without any there is no way in.
    assert_eq!(get("/healthz").send(envoy.address()).await.unwrap().status, 503);
}
