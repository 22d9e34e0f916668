//! The audit log of a whole gate: which lines there are, where they go, and that nobody waits for them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/mint.rs"]
mod mint;
#[path = "support/wait.rs"]
mod wait;

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use mint::Signer;
use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate::authn::store::Deps;
use tollgate::clock::SystemClock;
use tollgate::engine::Engine;
use tollgate::grpc::{Health, Running, Server};
use tollgate::net::HttpClient;
use tollgate::telemetry::{Exposition, Recorder};
use tonic::transport::{Channel, Endpoint};

/// `O_NONBLOCK` as `open` takes it.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

struct Gate {
    folder: TempDir,
    signer: Signer,
    recorder: Arc<Recorder>,
    engine: Arc<Engine>,
    client: AuthorizationClient<Channel>,
    _running: Running,
}

fn policy(folder: &Path, audit: &str) -> String {
    format!(
        "
server:
  check: [{{ listen: 'unix:{}', direction: inbound }}]
  drain: {{ delay: 0s, grace: 1s }}
audit: {audit}
issuers:
  shop: {{ issuer: 'https://idp.internal', keys: {{ jwks_file: keys.jwks }}, algorithms: [EdDSA] }}
rules:
  - {{ name: open, match: {{ paths: ['/open/**'] }}, allow: anonymous }}
  - name: orders
    match: {{ paths: ['/orders/**'] }}
    require: {{ issuers: [shop], audience: {{ any: [orders] }}, scopes: {{ any: [read] }} }}
",
        folder.join("gate.sock").display()
    )
}

/// A folder with keys and a policy.
fn prepared(audit: &str) -> (TempDir, Signer) {
    let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::ed25519());
    fs::write(folder.path().join("keys.jwks"), json!({ "keys": [signer.jwk("k")] }).to_string()).unwrap();
    fs::write(folder.path().join("policy.yaml"), policy(folder.path(), audit)).unwrap();
    (folder, signer)
}

async fn client(folder: &Path) -> Option<AuthorizationClient<Channel>> {
    let uri = format!("unix:{}", folder.join("gate.sock").display());
    Some(AuthorizationClient::new(Endpoint::from_shared(uri).unwrap().connect().await.ok()?))
}

impl Gate {
    async fn start(audit: &str) -> Self {
        let (folder, signer) = prepared(audit);
        let recorder = Arc::new(Recorder::default());
        let events = Arc::<Recorder>::clone(&recorder);
        let deps = Deps::new(HttpClient::new(), Arc::new(SystemClock), events);
        let engine = Engine::load(&folder.path().join("policy.yaml"), deps).await.unwrap();
        recorder.open_audit(engine.audit().unwrap()).unwrap();
        let server = Server::bind(engine.server()).await.unwrap();
        let health = Health::new();
        let running = server.run(Arc::clone(&engine), Arc::clone(&recorder), health.clone());
        health.set_serving(true);
        let client = client(folder.path()).await.unwrap();
        Self { folder, signer, recorder, engine, client, _running: running }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("audit.jsonl")
    }

    fn token(&self, scope: &str) -> String {
        let exp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 600;
        let claims = json!({ "iss": "https://idp.internal", "aud": "orders", "sub": "alice", "client_id": "web", "scope": scope, "exp": exp });
        self.signer.sign(&self.signer.header("k"), &claims)
    }

    async fn ask(&mut self, request: CheckRequest) -> i32 {
        self.client.check(request).await.unwrap().into_inner().status.unwrap().code
    }

    fn metric(&self, start: &str) -> u64 {
        let text = self.recorder.exposition(Exposition::Prometheus);
        let samples = text.lines().filter(|line| line.starts_with(start));
        samples.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() as u64).sum()
    }

    fn written(&self) -> u64 {
        self.metric("tollgate_audit_lines_total{outcome=\"written\"}")
    }

    fn dropped(&self) -> u64 {
        self.metric("tollgate_audit_lines_total{outcome=\"dropped\"}")
    }

    /// All lines, once there are so many.
    async fn lines(&self, count: u64) -> Vec<Value> {
        wait::until(format!("{count} lines"), || self.written() >= count).await;
        lines_of(&self.log())
    }
}

fn lines_of(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn asking(path: &str, headers: &[(&str, &str)]) -> CheckRequest {
    let headers: HashMap<String, String> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let http = HttpRequest {
        method: "GET".to_owned(),
        host: "shop.example.com".to_owned(),
        path: path.to_owned(),
        headers,
        ..Default::default()
    };
    let source = Peer { principal: "spiffe://mesh/ns/shop/sa/web".to_owned(), ..Default::default() };
    let request = Request { http: Some(http), ..Default::default() };
    CheckRequest {
        attributes: Some(AttributeContext { source: Some(source), request: Some(request), ..Default::default() }),
    }
}

#[tokio::test]
async fn every_decision_has_a_line_that_says_what_was_known() {
    let mut gate = Gate::start("{ to: { file: audit.jsonl, mode: \"0600\" } }").await;
    let (good, poor, forged) = (gate.token("read"), gate.token("write"), format!("{}x", gate.token("read")));
    let bearer = |token: &str| format!("Bearer {token}");
    let headers = |token: String| [("authorization".to_owned(), token), ("x-request-id".to_owned(), "r-1".to_owned())];
    for (token, code) in [(&good, 0), (&good, 0), (&poor, 7), (&forged, 16)] {
        let headers = headers(bearer(token));
        let mut headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (&**n, &**v)).collect();
        headers.push(("traceparent", TRACEPARENT));
        assert_eq!(gate.ask(asking("/orders/1?access_token=query-secret#x", &headers)).await, code);
    }
    gate.ask(asking("/nowhere", &[])).await;
    gate.ask(asking("/a//b", &[])).await;
    gate.ask(CheckRequest { attributes: None }).await;

    let lines = gate.lines(7).await;
    let column = |field: &str| lines.iter().map(|line| line[field].clone()).collect::<Vec<_>>();
    let reasons = [
        "allowed",
        "allowed",
        "insufficient_scope",
        "token_signature",
        "no_rule",
        "ambiguous_path",
        "malformed_request",
    ];
    assert_eq!(column("reason")[..3], reasons.map(Value::from)[..3]);
    assert_eq!(column("reason")[4..], reasons.map(Value::from)[4..]);
    assert_eq!(lines[3]["outcome"], "deny");
    assert_eq!(lines[0]["work"], "verified");
    assert_eq!(lines[1]["work"], "cached");
    let allowed = &lines[1];
    for (field, value) in [
        ("v", json!(1)),
        ("request_id", json!("r-1")),
        ("trace_id", json!("4bf92f3577b34da6a3ce929d0e0e4736")),
        ("generation", json!(1)),
        ("direction", json!("inbound")),
        ("method", json!("GET")),
        ("host", json!("shop.example.com")),
        ("path", json!("/orders/1")),
        ("caller", json!("spiffe://mesh/ns/shop/sa/web")),
        ("rule", json!("orders")),
        ("outcome", json!("allow")),
        ("issuer", json!("shop")),
        ("subject", json!("alice")),
        ("client", json!("web")),
        ("audience", json!(["orders"])),
        ("scopes", json!(["read"])),
        ("wanted_scopes", json!([{ "any": ["read"] }])),
        ("status", Value::Null),
    ] {
        assert_eq!(allowed[field], value, "{field}");
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, good.as_bytes());
    let digest: String = digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(allowed["token"], digest);
    assert!(lines[3]["token"].is_string() && lines[3].get("subject").is_none(), "{}", lines[3]);
    assert_eq!((&lines[2]["status"], &lines[2]["subject"]), (&json!(403), &json!("alice")));
    assert_eq!((&lines[4]["path"], lines[4].get("rule")), (&json!("/nowhere"), None));
    assert_eq!((&lines[6]["direction"], lines[6].get("path")), (&json!("inbound"), None));

    let text = fs::read_to_string(gate.log()).unwrap();
    for secret in [&*good, &*poor, &*forged, "query-secret", good.rsplit('.').next().unwrap()] {
        assert!(!text.contains(secret));
    }
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(gate.log()).unwrap().permissions().mode() & 0o177, 0);
}

#[tokio::test]
async fn what_a_client_sends_stays_on_its_line() {
    let mut gate = Gate::start("{ to: { file: audit.jsonl } }").await;
    let path = "/open/\"},{\"outcome\":\"allow\"\n\u{2028}{\u{1b}[2J";
    let id = "a\r\n{\"v\":1}";
    gate.ask(asking(path, &[("x-request-id", id), ("traceparent", "00-zz")])).await;
    let line = gate.lines(1).await.remove(0);
    assert_eq!((&line["path"], &line["request_id"], line.get("trace_id")), (&json!(path), &json!(id), None));
    assert_eq!(fs::read_to_string(gate.log()).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn denials_are_written_whatever_is_sampled_and_a_reload_changes_that() {
    let mut gate = Gate::start("{ to: { file: audit.jsonl }, sample_allows: 0 }").await;
    for _ in 0..50 {
        gate.ask(asking("/open/x", &[])).await;
    }
    gate.ask(asking("/nowhere", &[])).await;
    assert_eq!(gate.lines(1).await.len(), 1);

    let half = "{ to: { file: audit.jsonl }, sample_allows: 0.5, mask: { path: omit } }";
    fs::write(gate.folder.path().join("policy.yaml"), policy(gate.folder.path(), half)).unwrap();
    gate.engine.reload().await.unwrap();
    assert!(!gate.engine.status().last_reload.unwrap().restart_needed);
    for _ in 0..200 {
        gate.ask(asking("/open/x", &[])).await;
    }
    gate.ask(asking("/nowhere", &[])).await;
    let lines = async || -> Vec<Value> {
        wait::until("the last line", || lines_of(&gate.log()).iter().filter(|l| l["outcome"] == "deny").count() == 2)
            .await;
        lines_of(&gate.log()).split_off(1)
    };
    let lines = lines().await;
    let allows: Vec<&Value> = lines.iter().filter(|line| line["outcome"] == "allow").collect();
    assert!((40..160).contains(&allows.len()), "{}", allows.len());
    for allow in allows {
        assert!(allow["decision_id"].as_str().unwrap() < "8", "{allow}");
        assert_eq!((allow.get("path"), &allow["generation"]), (None, &json!(2)));
    }

    fs::write(gate.folder.path().join("policy.yaml"), policy(gate.folder.path(), "{ to: stdout }")).unwrap();
    gate.engine.reload().await.unwrap();
    assert!(gate.engine.status().last_reload.unwrap().restart_needed);
}

#[tokio::test]
async fn a_file_is_put_aside_by_size() {
    let mut gate = Gate::start("{ to: { file: audit.jsonl, rotate: { size: 4KiB, keep: 2 } } }").await;
    for number in 0..100 {
        gate.ask(asking(&format!("/open/{number}"), &[])).await;
    }
    wait::until("all lines", || gate.written() == 100).await;
    let older = |number| gate.folder.path().join(format!("audit.jsonl.{number}"));
    let mut all = lines_of(&older(2));
    all.extend(lines_of(&older(1)));
    all.extend(lines_of(&gate.log()));
    for path in [older(2), older(1), gate.log()] {
        assert!(fs::metadata(path).unwrap().len() <= 4096);
    }
    assert!(!older(3).exists());
    let last: Vec<String> = all.iter().map(|line| line["path"].as_str().unwrap().to_owned()).collect();
    let wanted: Vec<String> = (100 - last.len()..100).map(|number| format!("/open/{number}")).collect();
    assert_eq!(last, wanted, "without gaps up to the last");
}

#[tokio::test]
async fn a_full_disk_is_no_reason_to_deny() {
    let mut gate = Gate::start("{ to: { file: /dev/full } }").await;
    for _ in 0..20 {
        assert_eq!(gate.ask(asking("/open/x", &[])).await, 0);
    }
    wait::until("all are counted", || gate.dropped() == 20).await;
    assert_eq!(gate.written(), 0);
    assert!(gate.metric("tollgate_audit_errors_total") >= 1);
}

#[tokio::test]
async fn nobody_waits_for_a_pipe_that_nobody_reads() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Open for both, so that the writer's end opens, and never read. It is full: nothing the gate writes finds room.
    let mut held = OpenOptions::new().read(true).write(true).custom_flags(NONBLOCK).open(&pipe).unwrap();
    while held.write(&[b'\n'; 4096]).is_ok() {}
    let mut gate = Gate::start(&format!("{{ to: {{ file: '{}' }}, buffer: 64KiB }}", pipe.display())).await;
    let path = format!("/open/{}", "x".repeat(1500));
    let mut asked = 0_u64;
    while gate.dropped() == 0 {
        assert_eq!(gate.ask(asking(&path, &[])).await, 0);
        asked += 1;
        assert!(asked < 1000, "nothing is dropped");
    }
    assert_eq!(gate.metric("tollgate_decisions_total"), asked);
    let begun = std::time::Instant::now();
    let unwritten = gate.recorder.close_audit(Duration::from_millis(50));
    assert!(unwritten > 0 && begun.elapsed() < wait::LATE, "{unwritten}");
}

#[tokio::test]
async fn a_refusal_without_a_look_has_a_line() {
    let mut gate = Gate::start("{ to: { file: audit.jsonl } }").await;
    let mut hopeless = tonic::Request::new(asking("/open/x", &[]));
    hopeless.set_timeout(Duration::from_micros(1));
    // The client may give up before the answer comes.
    let _ = gate.client.check(hopeless).await;
    let line = gate.lines(1).await.remove(0);
    assert_eq!((&line["reason"], &line["status"]), (&json!("deadline_exceeded"), &json!(503)));
    assert_eq!((&line["direction"], line.get("path")), (&json!("inbound"), None));
}

/// The program.
struct Process {
    folder: TempDir,
    child: Child,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(audit: &str) -> Self {
        Self::start_with(audit, program().stdout(Stdio::piped()))
    }

    fn start_with(audit: &str, program: &mut Command) -> Self {
        let (folder, _) = prepared(audit);
        let child = program.current_dir(folder.path()).spawn().unwrap();
        Self { folder, child }
    }

    /// Waits for its end; its exit code.
    async fn end(&mut self) -> Option<i32> {
        let mut looks = wait::Looks::at("it ends");
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status.code(),
                None => looks.again().await,
            }
        }
    }

    async fn client(&self) -> AuthorizationClient<Channel> {
        let mut looks = wait::Looks::at("it serves");
        loop {
            if let Some(client) = client(self.folder.path()).await {
                return client;
            }
            looks.again().await;
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    program.env_remove("TOLLGATE_CONFIG").env_remove("TOLLGATE_LOG");
    program.args(["serve", "--threads", "1", "--config", "policy.yaml"]).stderr(Stdio::null());
    program
}

#[tokio::test]
async fn a_file_that_was_moved_is_opened_anew_and_what_waits_is_written_at_the_end() {
    let mut process = Process::start("{ to: { file: audit.jsonl } }");
    let (log, moved) = (process.folder.path().join("audit.jsonl"), process.folder.path().join("moved"));
    let mut client = process.client().await;
    client.check(asking("/open/1", &[])).await.unwrap();
    wait::until("the first line", || lines_of(&log).len() == 1).await;
    fs::rename(&log, &moved).unwrap();
    client.check(asking("/open/2", &[])).await.unwrap();
    wait::until("the second line", || lines_of(&moved).len() == 2).await;
    process.signal("USR1");
    wait::until("a new file", || log.exists()).await;
    client.check(asking("/open/3", &[])).await.unwrap();
    process.signal("TERM");
    drop(client);
    assert_eq!(process.end().await, Some(0));
    let lines = lines_of(&log);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["path"], "/open/3");
}

#[tokio::test]
async fn standard_output_holds_lines_and_nothing_else() {
    let mut process = Process::start("{ to: stdout }");
    let mut client = process.client().await;
    for number in 0..3 {
        client.check(asking(&format!("/open/{number}"), &[])).await.unwrap();
    }
    process.signal("TERM");
    drop(client);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut process.child.stdout.take().unwrap(), &mut text).unwrap();
    let paths = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["path"].clone());
    assert_eq!(paths.collect::<Vec<_>>(), ["/open/0", "/open/1", "/open/2"]);
}

/// What is logged of dropped lines would go where they could not.
#[tokio::test]
async fn nobody_waits_for_outputs_that_nobody_reads() {
    let (_unread, both) = std::io::pipe().unwrap();
    let mut started = program();
    started.stdout(both.try_clone().unwrap()).stderr(both);
    let mut process = Process::start_with("{ to: stdout, buffer: 64KiB }", &mut started);
    drop(started);
    let mut client = process.client().await;
    let path = format!("/open/{}", "x".repeat(1500));
    for _ in 0..300 {
        tokio::time::timeout(wait::LATE, client.check(asking(&path, &[]))).await.unwrap().unwrap();
    }
    process.signal("TERM");
    drop(client);
    assert_eq!(process.end().await, Some(0));
}

#[test]
fn a_file_that_cannot_be_opened_is_told_at_the_start() {
    let (folder, _) = prepared("{ to: { file: nowhere/audit.jsonl } }");
    let done = program().current_dir(folder.path()).stderr(Stdio::piped()).output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(3), "{told}");
    for part in ["error: audit.to.file: `", "nowhere/audit.jsonl", "its directory must be there"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}
