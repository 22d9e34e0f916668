//! Gates come and go without a failed request.

use tollgate::demo::envoy::{Envoy, Gate, Shipped};
use tollgate::demo::gate::LocalGate;
use tollgate::demo::issuer::{CLIENTS, DevIssuer};
use tollgate::demo::passport::Passport;
use tollgate::demo::upstream::Upstream;
use tollgate::telemetry::Exposition;

use crate::support::{Files, Load, Stage, binary, eventually};

/// How many decisions a gate has made.
fn decisions(gate: &LocalGate) -> u64 {
    let text = gate.recorder().exposition(Exposition::OpenMetrics);
    let lines = text.lines().filter(|line| line.starts_with("tollgate_decisions_total{"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

async fn member(envoy: &Envoy, healthy: bool, of: usize) -> bool {
    let members = envoy.admin("/clusters?format=json").await.unwrap().json();
    let members = members["cluster_statuses"].as_array().unwrap();
    let gates = members.iter().find(|cluster| cluster["name"] == "tollgate").unwrap();
    let hosts = gates["host_statuses"].as_array().unwrap();
    let count = hosts.iter().filter(|host| host["health_status"]["failed_active_health_check"] != true).count();
    (count == of) == healthy
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
        addresses.push(gate.addresses()[0].unwrap());
        gates.push(gate);
        places.push(files);
    }
    let config = Shipped::inbound().between(0, 0, upstream.address(), &Gate::Tcp(addresses)).unwrap();
    let config = config.replace(" timeout: 0.25s\n", " timeout: 10s\n").unwrap();
    let envoy = Envoy::start(&binary(), config.text()).await.unwrap();
    eventually("both gates are healthy", async || member(&envoy, true, 2).await).await;

    let load = Load::start(envoy.address(), &issuer.token(&CLIENTS[0]).unwrap());
    eventually("both gates decide", async || gates.iter().all(|gate| decisions(gate) > 20)).await;
    let (stays, leaves) = (gates.pop().unwrap(), gates.pop().unwrap());
    let recorder = std::sync::Arc::clone(leaves.recorder());
    let before_drain = decisions(&leaves);
    leaves.drain().await;
    assert!(!member(&envoy, true, 2).await, "Envoy knows that one of them has left");
    let after_drain = decisions(&stays);
    load.goes_on(100).await;
    assert!(decisions(&stays) > after_drain, "the other one goes on");
    let total = load.done();
    assert_eq!(load.end().await, Vec::<String>::new(), "of {total} requests");
    let text = recorder.exposition(Exposition::OpenMetrics);
    assert!(text.contains("tollgate_decisions_total{") && before_drain > 20);
}

/// One gate is replaced by another on the same socket, as a restart in a sidecar does it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_is_replaced_on_its_socket_under_load_and_no_request_fails() {
    let mut stage = Stage::new().await;
    let load = Load::start(stage.envoy.address(), &stage.token(&["read:orders"]));
    load.goes_on(50).await;
    for _ in 0..2 {
        let next = LocalGate::start(&stage.files.policy).await.unwrap();
        let old = std::mem::replace(&mut stage.gate, next);
        load.goes_on(20).await;
        old.drain().await;
        load.goes_on(50).await;
        assert!(decisions(&stage.gate) > 0, "the new gate decides");
        assert!(stage.files.socket.exists(), "the old gate leaves the new one's socket alone");
    }
    let total = load.done();
    assert_eq!(load.end().await, Vec::<String>::new(), "of {total} requests");
}
