//! The administrative listeners, asked with bare HTTP/1.1.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod specs;
#[path = "support/wait.rs"]
mod wait;

use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use specs::{broken, config, deps, marked_rule, request, soon};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tollgate::admin::{Control, Probes};
use tollgate::config::Source;
use tollgate::config::server::{Address, ControlListener};
use tollgate::core::event::Events;
use tollgate::engine::Engine;
use tollgate::listen::BindError;
use tollgate::outbound::spec::{ClientCredentialsSpec, Grant, ProviderRef, TokenSpec};
use tollgate::provider::spec::{BreakerSpec, ClientAuth, ClientSpec, ProviderSpec};
use tollgate::secret::{Secret, SecretSource};
use tollgate::telemetry::{LogLevel, Recorder};

const PATIENCE: Duration = Duration::from_secs(20);
const TOKEN: &str = "correct-horse-battery-staple";

type Filtering = tracing_subscriber::reload::Layer<tracing_subscriber::EnvFilter, tracing_subscriber::Registry>;

struct Running {
    engine: Arc<Engine>,
    recorder: Arc<Recorder>,
    fault: Arc<Mutex<Option<&'static str>>>,
    probes: SocketAddr,
    control: SocketAddr,
    level: LogLevel,
    /// What `level` changes, as long as it is there.
    filtering: Filtering,
    draining: CancellationToken,
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

fn control_on(address: Address) -> ControlListener {
    ControlListener { address, token: Secret::new(TOKEN) }
}

async fn running() -> Running {
    running_with(Vec::new()).await
}

async fn running_with(tokens: Vec<TokenSpec>) -> Running {
    let fault = Arc::new(Mutex::new(None::<&'static str>));
    let recorder = Arc::new(Recorder::default());
    let (mut deps, _) = deps();
    deps.events = recorder.clone() as Arc<dyn Events>;
    let load = {
        let fault = Arc::clone(&fault);
        move || match *fault.lock().unwrap() {
            Some(message) => Err(broken(message)),
            None => {
                let mut config = config(vec![marked_rule("everything")], Vec::new());
                config.tokens = tokens.clone();
                config.sources = vec![Source { path: "/etc/tollgate/policy.yaml".into(), sha256: "c0ffee".into() }];
                Ok(config)
            }
        }
    };
    let engine = Engine::start(load, deps).await.unwrap();
    let (draining, stop) = (CancellationToken::new(), CancellationToken::new());
    let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let probes = Probes::bind(free).await.unwrap();
    let control = Control::bind(&control_on(Address::Tcp(free))).await.unwrap();
    let addresses = (probes.bound().tcp_address().unwrap(), control.bound().tcp_address().unwrap());
    let (filtering, level) = LogLevel::new("info").unwrap();
    let tasks = vec![
        tokio::spawn(probes.serve(engine.clone(), recorder.clone(), draining.clone(), stop.clone())),
        tokio::spawn(control.serve(engine.clone(), recorder.clone(), level.clone(), stop.clone())),
    ];
    let (probes, control) = addresses;
    Running { engine, recorder, fault, probes, control, level, filtering, draining, stop, tasks }
}

/// Status, head and body of the answer to these bytes, read until the peer closes.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> (u16, String, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end").unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

async fn ask(address: SocketAddr, method: &str, path: &str, headers: &[&str]) -> (u16, String, String) {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let request = format!("{method} {path} HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
    exchange(TcpStream::connect(address).await.unwrap(), &request).await
}

async fn probe(running: &Running, path: &str) -> (u16, String, String) {
    ask(running.probes, "GET", path, &["host: pod"]).await
}

async fn command(running: &Running, method: &str, path: &str) -> (u16, Value) {
    let token = format!("authorization: Bearer {TOKEN}");
    let (status, head, body) = ask(running.control, method, path, &["host: localhost", &token]).await;
    assert!(head.contains("cache-control: no-store"), "{head}");
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn probes_answer_and_readiness_ends_with_the_drain() {
    let running = running().await;
    assert_eq!(probe(&running, "/healthz").await.0, 200);
    let (status, head, body) = probe(&running, "/readyz").await;
    assert_eq!(status, 200, "{body}");
    assert!(head.contains("content-type: application/json"), "{head}");
    let detail: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&detail["ready"], &detail["generation"]), (&Value::from(true), &Value::from(1)));

    running.draining.cancel();
    let (status, _, body) = probe(&running, "/readyz").await;
    assert_eq!(status, 503);
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["draining"], true);
    assert_eq!(probe(&running, "/healthz").await.0, 200, "alive as long as it answers");
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let running = running().await;
    let answer = running.engine.check(request("/"), soon()).await;
    running.recorder.decision(&answer, Duration::from_micros(5), None);
    let sample = r#"tollgate_decisions_total{rule="everything",outcome="allow",reason="allowed_anonymous"} 1"#;
    let (_, head, body) = probe(&running, "/metrics").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains(sample) && body.contains("# TYPE tollgate_decisions_total counter\n"), "{body}");
    let accept = "accept: application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.3";
    let (_, head, body) = ask(running.probes, "GET", "/metrics", &["host: pod", accept]).await;
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.contains(sample) && body.ends_with("# EOF\n"), "{body}");
}

/// Row 223: a broken file shows, the old policy serves, readiness stays.
#[tokio::test]
async fn row_223_a_broken_reload_shows_and_stays_ready() {
    let running = running().await;
    *running.fault.lock().unwrap() = Some("unknown key `hunter2`");
    let (status, body) = command(&running, "POST", "/reload").await;
    assert_eq!(status, 422, "{body}");
    let said = "/etc/tollgate/policy.yaml:3:7: rules[0].match: unknown key `hunter2`";
    assert_eq!(body["last_reload"]["errors"][0], said);
    assert_eq!((&body["last_reload"]["applied"], &body["generation"]), (&Value::from(false), &Value::from(1)));

    for accept in ["accept: text/html", "accept: application/json"] {
        let (status, _, body) = ask(running.control, "GET", "/status", &["host: localhost", accept]).await;
        assert_eq!(status, 200);
        assert!(body.contains("/etc/tollgate/policy.yaml:3:7"), "{body}");
        assert!(!body.contains("hunter2"), "who shows no token learns where, not what: {body}");
    }

    let (status, _, body) = probe(&running, "/readyz").await;
    assert_eq!(status, 200);
    assert!(!body.contains("hunter2"), "what a file holds is not for strangers: {body}");
    let detail: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(detail["last_reload"]["errors_at"][0], "/etc/tollgate/policy.yaml:3:7");
    assert!(probe(&running, "/metrics").await.2.contains("tollgate_reloads_total{applied=\"false\"} 1\n"));

    *running.fault.lock().unwrap() = None;
    let (status, body) = command(&running, "POST", "/reload").await;
    assert_eq!((status, &body["generation"]), (200, &Value::from(2)), "{body}");
    let metrics = probe(&running, "/metrics").await.2;
    assert!(metrics.contains("\ntollgate_config_generation 2\n"), "{metrics}");
}

#[tokio::test]
async fn control_tells_what_serves() {
    let running = running().await;
    let (status, body) = command(&running, "GET", "/status").await;
    assert_eq!(status, 200);
    assert_eq!(body["sources"][0]["sha256"], "c0ffee");
    assert_eq!(
        (&body["rules"], &body["ready"], &body["last_reload"]),
        (&Value::from(1), &Value::from(true), &Value::Null)
    );
    let (status, body) = command(&running, "GET", "/config").await;
    assert_eq!((status, &body["sources"][0]["path"]), (200, &Value::from("/etc/tollgate/policy.yaml")));
    assert_eq!(body["config"]["made"], "in place", "as it was written");
    assert_eq!(command(&running, "GET", "/reload").await.0, 405);
    assert_eq!(command(&running, "GET", "/nothing").await.0, 404);
}

const BROWSER: &str = "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

#[tokio::test]
async fn browsers_get_a_page_and_programs_json() {
    let running = running().await;
    for _ in 0..3 {
        let answer = running.engine.check(request("/"), soon()).await;
        running.recorder.decision(&answer, Duration::from_micros(5), None);
    }
    let (status, head, body) = ask(running.control, "GET", "/status", &["host: localhost", BROWSER]).await;
    assert_eq!(status, 200);
    for part in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'; style-src 'sha256-",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "vary: accept",
    ] {
        assert!(head.contains(part), "{part} in {head}");
    }
    for part in ["<title>Tollgate status</title>", "allowed_anonymous", "c0ffee", "/etc/tollgate/policy.yaml"] {
        assert!(body.contains(part), "{part} in {body}");
    }
    assert!(!body.contains("<script") && !body.contains("src=") && !body.contains("href="), "{body}");
    for accept in ["accept: */*", "accept: application/json, text/html", "accept: application/json", "x-none: 1"] {
        let (_, head, body) = ask(running.control, "GET", "/status", &["host: localhost", accept]).await;
        assert!(head.contains("content-type: application/json"), "{accept}: {head}");
        let told: Value = serde_json::from_str(&body).unwrap();
        let top = &told["reasons"]["top"][0];
        assert_eq!((&top["reason"], &top["since_start"]), (&"allowed_anonymous".into(), &3.into()), "{told}");
        assert_eq!(told["log_level"]["filter"], "info");
    }
}

#[tokio::test]
async fn what_a_file_says_cannot_speak_html() {
    let running = running().await;
    *running.fault.lock().unwrap() = Some("unknown key `</pre><script>alert(1)</script>`");
    assert_eq!(command(&running, "POST", "/reload").await.0, 422);
    let token = format!("authorization: Bearer {TOKEN}");
    let (_, _, body) = ask(running.control, "GET", "/status", &["host: localhost", BROWSER, &token]).await;
    assert!(body.contains("&lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt;"), "{body}");
    assert!(!body.contains("<script"), "{body}");
}

#[tokio::test]
async fn the_log_level_changes_while_it_runs() {
    let running = running().await;
    let (_, _, body) = ask(running.control, "GET", "/log-level", &["host: localhost"]).await;
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["filter"], "info");
    let (status, body) = command(&running, "PUT", "/log-level?filter=info,tollgate::authn%3Ddebug").await;
    assert_eq!((status, &body["filter"], &body["then"]), (200, &"info,tollgate::authn=debug".into(), &Value::Null));
    let (status, body) = command(&running, "PUT", "/log-level?filter=trace&for=10m").await;
    assert_eq!((status, &body["then"]), (200, &"info,tollgate::authn=debug".into()), "{body}");
    assert!((590..=600).contains(&body["seconds_left"].as_u64().unwrap()), "{body}");
    for (query, said) in [
        ("?filter=tollgate%3Dloud", "`filter` is not a log filter"),
        ("?filter=", "empty"),
        ("", "write `?filter=FILTER`"),
        ("?filter=info&fro=10m", "write `?filter=FILTER`"),
        ("?filter=info&for=soon", "`for` is not a time"),
        ("?filter=info&for=0s", "more than nothing"),
        ("?filter=info&for=2days", "at most a day"),
    ] {
        let (status, body) = command(&running, "PUT", &format!("/log-level{query}")).await;
        assert_eq!(status, 400, "{query}");
        assert!(body["error"].as_str().unwrap().contains(said), "{query}: {body}");
    }
    assert_eq!(running.level.status().filter, "trace", "what is refused changes nothing");
    drop(running.filtering);
}

/// Debian's Chromium, where it is on the PATH: it must find nothing to complain of and show the page to its end. CI
/// installs it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_browser_shows_the_page() {
    let Some(chromium) = chromium() else {
        assert!(std::env::var_os("TOLLGATE_NEEDS_CHROMIUM").is_none(), "chromium is not on the PATH");
        return;
    };
    let running = running().await;
    *running.fault.lock().unwrap() = Some("unknown key `<img src=x onerror=document.title=7>`");
    assert_eq!(command(&running, "POST", "/reload").await.0, 422);
    let folder = tempfile::tempdir().unwrap();
    let mut browser = tokio::process::Command::new(chromium);
    browser.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
    browser.args(["--enable-logging=stderr", "--v=0", "--window-size=360,740", "--dump-dom"]);
    browser.arg(format!("--user-data-dir={}", folder.path().display()));
    browser.arg(format!("http://{}/status", running.control)).kill_on_drop(true);
    let done = timeout(Duration::from_secs(60), browser.output()).await.expect("an end").unwrap();
    let (page, said) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8_lossy(&done.stderr).into_owned());
    assert!(page.contains("<title>Tollgate status</title>") && page.contains("Files</h2>"), "{page}\n{said}");
    assert!(page.contains("/etc/tollgate/policy.yaml:3:7") && !page.contains("<img"), "{page}");
    assert!(!said.contains("Content Security Policy"), "the page does not break its own policy: {said}");
}

fn chromium() -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("chromium")).find(|file| file.is_file())
}

/// One token by client_credentials, whose provider refuses connections.
fn unreachable_token(secret: &std::path::Path) -> TokenSpec {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let provider = ProviderSpec {
        name: "own".into(),
        issuer: None,
        metadata: None,
        allowed_hosts: Vec::new(),
        introspection_endpoint: None,
        token_endpoint: Some(format!("http://{gone}/token").parse().unwrap()),
        transport: Default::default(),
        timeout: Duration::from_secs(2),
        max_in_flight: 8,
        retries: 0,
        breaker: BreakerSpec { failures: 1, open_for: Duration::from_secs(3600) },
    };
    let auth = ClientAuth::SecretBasic(SecretSource::File(secret.to_owned()));
    TokenSpec {
        name: "own".into(),
        provider: ProviderRef::Own(Box::new(provider)),
        client: ClientSpec { id: "gate".into(), auth },
        grant: Grant::ClientCredentials(ClientCredentialsSpec { refresh_ahead: Duration::from_secs(60) }),
        audience: Vec::new(),
        scopes: Vec::new(),
        resources: Vec::new(),
        max_token_bytes: 8192,
        also_granted: Vec::new(),
        expect_audience: None,
    }
}

#[tokio::test]
async fn providers_and_tokens_are_told_to_operators_whole_and_to_strangers_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "hunter2").unwrap();
    let running = running_with(vec![unreachable_token(&secret)]).await;
    wait::until("an attempt fails", || running.engine.status().tokens[0].last_error.is_some()).await;

    let (status, body) = command(&running, "GET", "/status").await;
    let (provider, token) = (&body["providers"][0], &body["tokens"][0]);
    assert_eq!((status, &provider["name"], &provider["breaker"]), (200, &Value::from("own"), &Value::from("open")));
    assert_eq!((&provider["in_flight"], &provider["last_success"]), (&Value::from(0), &Value::Null));
    assert!(provider["last_error"]["text"].as_str().unwrap().contains("could not connect"), "{provider}");
    assert!(provider["last_error"]["at"].as_str().unwrap().ends_with('Z'), "{provider}");
    assert_eq!((&token["kind"], &token["expires_at"]), (&Value::from("client_credentials"), &Value::Null));
    assert!(token["last_error"].is_string(), "{token}");
    assert!(!body.to_string().contains("hunter2"), "{body}");

    let (status, _, body) = probe(&running, "/readyz").await;
    let detail: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200, "a token that does not come keeps no replica out of service: {body}");
    assert_eq!(
        (&detail["providers"][0]["breaker"], &detail["tokens"][0]["last_attempt_failed"]),
        (&"open".into(), &true.into())
    );
    assert!(!body.contains("connect"), "no message is for strangers: {body}");
}

#[tokio::test]
async fn control_wants_the_token_for_the_policy_and_for_whatever_changes_something() {
    let running = running().await;
    let right = format!("authorization: Bearer {TOKEN}");
    let longer = format!("authorization: Bearer {TOKEN}x");
    let shorter = format!("authorization: Bearer {}", &TOKEN[1..]);
    let basic = format!("authorization: Basic {TOKEN}");
    let bare = format!("authorization: {TOKEN}");
    let wrong: [&[&str]; 8] = [
        &[],
        &["authorization: Bearer "],
        &["authorization: Bearer"],
        &[&longer],
        &[&shorter],
        &[&basic],
        &[&bare],
        &[&right, &right],
    ];
    for (method, path) in [
        ("GET", "/config"),
        ("POST", "/reload"),
        ("PUT", "/log-level?filter=trace"),
        ("POST", "/status"),
        ("GET", "/nothing"),
        ("GET", "/status/"),
        ("GET", "/%73tatus"),
        ("PUT", "/"),
    ] {
        for headers in wrong {
            let headers = [&["host: 127.0.0.1"], headers].concat();
            let (status, head, body) = ask(running.control, method, path, &headers).await;
            assert_eq!(status, 401, "{method} {path} {headers:?}");
            assert!(head.contains("www-authenticate: bearer ") && head.contains("www-authenticate: basic "), "{head}");
            assert!(!body.contains(TOKEN) && !body.contains("c0ffee"), "{body}");
        }
    }
    assert_eq!(running.engine.snapshot().generation(), 1, "nothing was reloaded");
    assert_eq!(running.level.status().filter, "info", "nothing was changed");
    let lower_case = format!("authorization: bearer {TOKEN}");
    assert_eq!(ask(running.control, "GET", "/config", &["host: [::1]:9", &lower_case]).await.0, 200);
    for headers in wrong.iter().skip(1) {
        let headers = [&["host: 127.0.0.1"], *headers].concat();
        assert_eq!(
            ask(running.control, "GET", "/status", &headers).await.0,
            401,
            "a wrong one is no none: {headers:?}"
        );
    }
    for path in ["/status", "/log-level"] {
        assert_eq!(ask(running.control, "GET", path, &["host: 127.0.0.1"]).await.0, 200, "{path}");
    }
}

/// Browsers ask for a name and a password, and send both.
#[tokio::test]
async fn a_browser_may_send_the_token_as_a_password() {
    let running = running().await;
    let basic = |pair: String| format!("authorization: Basic {}", STANDARD.encode(pair));
    for (credentials, want) in [
        (basic(format!("anybody:{TOKEN}")), 200),
        (basic(format!(":{TOKEN}")), 200),
        (basic(format!("{TOKEN}:")), 401),
        (basic(TOKEN.to_owned()), 401),
        (basic(format!("anybody:{TOKEN}x")), 401),
        ("authorization: Basic %%%".to_owned(), 401),
    ] {
        let headers = ["host: localhost", &credentials];
        assert_eq!(ask(running.control, "GET", "/config", &headers).await.0, want, "{credentials}");
    }
}

#[tokio::test]
async fn control_is_not_for_web_pages() {
    let running = running().await;
    let token = format!("authorization: Bearer {TOKEN}");
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1:9101", "127.8.8.8", "[::1]", "[::1]:9101"] {
        let host = format!("host: {host}");
        assert_eq!(ask(running.control, "GET", "/status", &[&host, &token]).await.0, 200, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost@evil.example",
        "0.0.0.0",
        "10.0.0.1",
        "[::]",
        "",
    ] {
        let host = format!("host: {host}");
        assert_eq!(ask(running.control, "POST", "/reload", &[&host, &token]).await.0, 403, "{host}");
    }
    let two_hosts: &[&str] = &["host: localhost", "host: evil.example", &token];
    let no_host: &[&str] = &[&token];
    let origin: &[&str] = &["host: localhost", "origin: http://localhost", &token];
    let null_origin: &[&str] = &["host: localhost", "origin: null", &token];
    let cross_site: &[&str] = &["host: localhost", "sec-fetch-site: cross-site", &token];
    let same_site: &[&str] = &["host: localhost", "sec-fetch-site: same-site", &token];
    for headers in [two_hosts, no_host, origin, null_origin, cross_site, same_site] {
        assert_eq!(ask(running.control, "POST", "/reload", headers).await.0, 403, "{headers:?}");
        assert_eq!(ask(running.control, "GET", "/status", headers).await.0, 403, "reading as well: {headers:?}");
    }
    for typed in ["none", "same-origin"] {
        let headers = ["host: localhost", &format!("sec-fetch-site: {typed}")];
        assert_eq!(ask(running.control, "GET", "/status", &headers).await.0, 200, "{typed}");
    }
    let absolute = ask(running.control, "POST", "http://evil.example/reload", &["host: localhost", &token]).await;
    assert_eq!(absolute.0, 403);
    assert_eq!(running.engine.snapshot().generation(), 1, "nothing was reloaded");
}

/// Row 232: probes show nothing of control.
#[tokio::test]
async fn row_232_probes_know_neither_control_nor_secrets() {
    let running = running().await;
    let token = format!("authorization: Bearer {TOKEN}");
    for (method, path) in
        [("GET", "/status"), ("GET", "/config"), ("POST", "/reload"), ("GET", "/debug/pprof"), ("GET", "/")]
    {
        assert_eq!(ask(running.probes, method, path, &["host: localhost", &token]).await.0, 404, "{path}");
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        let (_, head, body) = probe(&running, path).await;
        assert!(!head.contains(TOKEN) && !body.contains(TOKEN) && !body.contains("c0ffee"), "{path}: {body}");
        assert_eq!(ask(running.probes, "POST", path, &["host: pod"]).await.0, 405, "{path}");
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(ask(running.control, "GET", path, &["host: localhost", &token]).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn requests_are_bounded() {
    let running = running().await;
    let big = format!("x-big: {}", "x".repeat(32 * 1024));
    assert_eq!(ask(running.probes, "GET", "/healthz", &["host: pod", &big]).await.0, 431);
    for body in ["content-length: 1000000000", "transfer-encoding: chunked"] {
        assert_eq!(ask(running.probes, "GET", "/healthz", &["host: pod", body]).await.0, 413, "{body}");
        assert_eq!(ask(running.control, "POST", "/reload", &["host: localhost", body]).await.0, 413, "{body}");
    }
    assert_eq!(probe(&running, "/healthz").await.0, 200);
}

/// A peer that opens connections and says nothing loses them, and others get through after that at the latest.
#[tokio::test]
async fn silent_connections_end() {
    let running = running().await;
    let mut silent = Vec::new();
    for _ in 0..70 {
        silent.push(TcpStream::connect(running.probes).await.unwrap());
    }
    assert_eq!(probe(&running, "/healthz").await.0, 200);
    let mut rest = Vec::new();
    timeout(PATIENCE, silent[0].read_to_end(&mut rest)).await.expect("an end").unwrap();
}

#[tokio::test]
async fn control_listens_where_nobody_else_reaches_it() {
    let open: SocketAddr = "0.0.0.0:0".parse().unwrap();
    assert!(matches!(Control::bind(&control_on(Address::Tcp(open))).await, Err(BindError::NotLocal(_))));
    let local = Address::Tcp("127.0.0.1:0".parse().unwrap());
    let empty = ControlListener { address: local, token: Secret::new("") };
    assert!(matches!(Control::bind(&empty).await, Err(BindError::NoToken)));

    let running = running().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    std::fs::write(&path, "precious").unwrap();
    let unix = control_on(Address::Unix { path: path.clone(), mode: 0o600 });
    assert!(matches!(Control::bind(&unix).await, Err(BindError::Occupied(_))));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    std::fs::remove_file(&path).unwrap();
    drop(Control::bind(&unix).await.unwrap());
    let control = Control::bind(&unix).await.expect("a socket that was left over is replaced");
    let found = std::fs::metadata(&path).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    let (recorder, level) = (running.recorder.clone(), running.level.clone());
    tokio::spawn(control.serve(running.engine.clone(), recorder, level, running.stop.clone()));
    for (token, want) in [(TOKEN, 200), ("wrong", 401)] {
        let request = format!(
            "GET /status HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(exchange(UnixStream::connect(&path).await.unwrap(), &request).await.0, want);
    }
}

#[tokio::test]
async fn stopping_closes_listeners_and_idle_connections() {
    let running = running().await;
    let mut idle = TcpStream::connect(running.probes).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: pod\r\n\r\n").await.unwrap();
    let mut first = [0; 15];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    running.stop.cancel();
    for task in running.tasks {
        timeout(PATIENCE, task).await.expect("an end").unwrap();
    }
    let mut rest = Vec::new();
    timeout(PATIENCE, idle.read_to_end(&mut rest)).await.expect("an end").unwrap();
    assert!(TcpStream::connect(running.probes).await.is_err());
}
