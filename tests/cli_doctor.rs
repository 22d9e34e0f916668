//! `tollgate doctor` against a scripted identity provider.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/http.rs"]
mod http;
mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{Answer, Request, Server, json as answer, status_json};
use serde_json::{Value, json};
use support::mint::Signer;
use tempfile::TempDir;

const SECRET: &str = "hunter2-s3cret";
const OPAQUE: &str = "0paque-t0ken-of-alice-0123456789";

const POLICY: &str = r#"
server: { check: [ { listen: "unix:SOCKET", direction: outbound } ] }
issuers:
  shop:
    issuer: BASE/shop
    keys: { discovery: true }
    algorithms: [ES256]
    tokens: both
    provider: { breaker: { failures: 1, open: 1m }, max_in_flight: 1 }
    introspection: { jwts: true, client: { id: gate, secret_file: secret } }
tokens:
  payments:
    exchange: { issuer: shop, client: { id: gate, secret_file: secret }, audience: payments, scopes: [payments.charge] }
  own:
    client_credentials: { issuer: shop, client: { id: gate, secret_file: secret }, scopes: [orders.read] }
rules:
  - name: pay
    match: { direction: outbound, hosts: [payments.internal] }
    require: { audience: { any: [orders] } }
    upstream_token: payments
  - name: own
    match: { direction: outbound, hosts: [orders.internal] }
    upstream_token: own
"#;

/// Answers a call to an endpoint, beside those that are always there.
type Script = dyn Fn(&Request) -> Option<Answer> + Send + Sync;

struct World {
    server: Server,
    folder: TempDir,
    signer: Arc<Signer>,
    issued: Arc<Mutex<Vec<String>>>,
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn token(signer: &Signer, base: &str, changes: &Value) -> String {
    let mut claims = json!({
        "iss": format!("{base}/shop"), "sub": "alice", "aud": "orders", "azp": "web", "scope": "orders.read",
        "iat": now(), "exp": now() + 600, "jti": format!("{:x}", rand::random::<u128>()),
    });
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    signer.sign(&signer.header("k1"), &claims)
}

impl World {
    /// A provider that behaves, but for what `script` answers.
    async fn new(script: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static) -> Self {
        Self::with(POLICY, Box::new(script)).await
    }

    async fn with(policy: &str, script: Box<Script>) -> Self {
        let (signer, issued) = (Arc::new(Signer::es256()), Arc::new(Mutex::new(Vec::new())));
        let server = Server::start(Answer::HangUp).await;
        let (base, keys, minted) = (server.url(""), Arc::clone(&signer), Arc::clone(&issued));
        let of_server = base.clone();
        server.set(Answer::Ask(Arc::new(move |request| {
            script(request).unwrap_or_else(|| behave(request, &of_server, &keys, &minted))
        })));
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        fs::write(&secret, format!("{SECRET}\n")).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let socket = folder.path().join("out.sock").display().to_string();
        fs::write(folder.path().join("policy.yaml"), policy.replace("SOCKET", &socket).replace("BASE", &base)).unwrap();
        Self { server, folder, signer, issued }
    }

    fn token(&self, changes: &Value) -> String {
        token(&self.signer, &self.server.url(""), changes)
    }

    fn file(&self, name: &str, content: &str) {
        fs::write(self.folder.path().join(name), content).unwrap();
    }

    async fn doctor(&self, arguments: &[&str], input: &str) -> Ran {
        let mut all = vec!["doctor".to_owned(), "--config".to_owned(), "policy.yaml".to_owned()];
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let (folder, input) = (self.folder.path().to_owned(), input.to_owned());
        let ran = tokio::task::spawn_blocking(move || run(&folder, &all, &input)).await.unwrap();
        for text in [&ran.out, &ran.err] {
            assert!(!text.contains(SECRET), "the secret is shown: {text}");
            assert!(!text.contains(OPAQUE), "a token is shown: {text}");
            for issued in self.issued.lock().unwrap().iter() {
                assert!(!text.contains(&**issued), "a token is shown: {text}");
                let signature = issued.rsplit('.').next().unwrap();
                assert!(!text.contains(signature), "a signature is shown: {text}");
            }
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        }
        ran
    }

    async fn json(&self, arguments: &[&str]) -> (i32, Vec<Value>) {
        let ran = self.doctor(&[&["--json"], arguments].concat(), "").await;
        let whole: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}{}", ran.out, ran.err));
        assert_eq!(whole["ok"], ran.code == 0);
        (ran.code, whole["findings"].as_array().unwrap().clone())
    }
}

fn run(folder: &Path, arguments: &[String], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("TOLLGATE_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input has closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let done = child.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
    Ran { code: done.status.code().unwrap(), out, err }
}

fn behave(request: &Request, base: &str, signer: &Signer, issued: &Mutex<Vec<String>>) -> Answer {
    match request.path() {
        "/shop/.well-known/openid-configuration" => answer(&json!({
            "issuer": format!("{base}/shop"), "jwks_uri": format!("{base}/keys"),
            "introspection_endpoint": format!("{base}/introspect"), "token_endpoint": format!("{base}/token"),
        })),
        "/keys" => answer(&json!({ "keys": [signer.jwk("k1")] })),
        "/introspect" if request.field("token").as_deref() == Some(OPAQUE) => answer(&json!({
            "active": true, "sub": "alice", "aud": "orders", "client_id": "web", "exp": now() + 60, "x": OPAQUE,
        })),
        "/introspect" => answer(&json!({ "active": request.field("token").unwrap().contains('.') })),
        "/token" => {
            let exchange = request.field("subject_token").is_some();
            let (sub, scope) = (if exchange { "alice" } else { "gate" }, request.field("scope").unwrap());
            let claims = json!({ "sub": sub, "aud": request.field("audience").unwrap_or("orders".into()), "azp": "gate", "scope": scope });
            let token = token(signer, base, &claims);
            issued.lock().unwrap().push(token.clone());
            let mut said = json!({ "access_token": token, "token_type": "Bearer", "expires_in": 300, "scope": scope });
            if exchange {
                said["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token".into();
            }
            answer(&said)
        }
        _ => Answer::Bytes(http::http(404, &[], "")),
    }
}

fn of<'f>(findings: &'f [Value], subject: &str, part: &str) -> &'f Value {
    let found = findings
        .iter()
        .find(|finding| finding["subject"] == subject && finding["text"].as_str().unwrap().contains(part));
    found.unwrap_or_else(|| panic!("{part}: {findings:#?}"))
}

#[tokio::test]
async fn everything_in_order_is_tried_and_shown() {
    let world = World::new(|_| None).await;
    world.file("alice", &world.token(&json!({})));
    let (code, findings) = world.json(&["--subject-token", "alice"]).await;
    assert_eq!(code, 0, "{findings:#?}");
    let issuer = "issuer `shop`";
    assert_eq!(of(&findings, issuer, "/.well-known/openid-configuration (")["mark"], "ok");
    assert_eq!(of(&findings, issuer, "introspection endpoint http")["mark"], "ok");
    assert_eq!(of(&findings, issuer, "token endpoint http")["mark"], "ok");
    assert_eq!(of(&findings, issuer, "introspection (")["mark"], "ok");
    assert_eq!(of(&findings, issuer, "client `gate` by client_secret_basic")["mark"], "ok");

    let exchanged = of(&findings, "token `payments` (exchange)", "obtained (");
    for part in
        ["verified with the keys of issuer `shop`", "aud payments", "azp gate", "scope payments.charge", "expires in"]
    {
        assert!(exchanged["text"].as_str().unwrap().contains(part), "{exchanged}");
    }
    assert_eq!((&exchanged["mark"], &exchanged["claims"]["sub"]), (&json!("ok"), &json!("alice")));
    let own = of(&findings, "token `own` (client_credentials)", "obtained (");
    assert_eq!((&own["mark"], &own["claims"]["sub"]), (&json!("ok"), &json!("gate")));

    let text = world.doctor(&["--subject-token", "alice"], "").await;
    for part in ["\ntoken `payments` (exchange)\n", "\"azp\": \"gate\"", "0 faults, 0 warnings"] {
        assert!(text.out.contains(part), "{}", text.out);
    }
}

#[tokio::test]
async fn an_exchange_needs_a_subject_token_that_the_gate_takes() {
    let world = World::new(|_| None).await;
    let exchange = "token `payments` (exchange)";
    let (code, findings) = world.json(&[]).await;
    let skipped = of(&findings, exchange, "not tried");
    assert_eq!((code, &skipped["mark"]), (0, &json!("skipped")));
    assert!(skipped["remedy"].as_str().unwrap().contains("--subject-token"), "{skipped}");

    world.file("old", &world.token(&json!({ "exp": 1_000_000_000, "iat": 999_999_000 })));
    let (_, findings) = world.json(&["--subject-token", "old"]).await;
    let refused = of(&findings, exchange, "refuses the subject token");
    assert!(refused["text"].as_str().unwrap().contains("token_expired"), "{refused}");
    assert!(!world.server.requests().iter().any(|request| request.body.contains("subject_token=")));
}

#[tokio::test]
async fn a_given_token_is_judged_and_what_its_issuer_says_is_shown() {
    let world = World::new(|_| None).await;
    let ran = world.doctor(&["--json", "--token", "-"], &format!("Bearer {OPAQUE}\n")).await;
    let whole: Value = serde_json::from_str(&ran.out).unwrap();
    let findings = whole["findings"].as_array().unwrap();
    let about = of(findings, "the token of --token", "accepted: issuer `shop` says");
    assert_eq!((&about["claims"]["sub"], &about["claims"]["x"]), (&json!("alice"), &json!("(the token)")));

    let ran = world.doctor(&["--token", "-"], "another-opaque-token-0123456789").await;
    assert_eq!(ran.code, 0, "the token's fault is none of the configuration: {}", ran.out);
    assert!(ran.out.contains("WARNING  refused: token_inactive"), "{}", ran.out);
}

#[tokio::test]
async fn what_the_provider_refuses_comes_with_a_remedy() {
    type Case = (&'static str, u16, Value, &'static str, &'static str, &'static str);
    let cases: [Case; 6] = [
        (
            "/introspect",
            401,
            json!({"error":"invalid_request","error_description":"Authentication failed."}),
            "issuer `shop`",
            "status 401",
            "client.id",
        ),
        ("/introspect", 403, json!({}), "issuer `shop`", "status 403", "let this client introspect"),
        ("/introspect", 200, json!({"active":true}), "issuer `shop`", "is said to be active", "do not use it"),
        (
            "/token",
            401,
            json!({"error":"unauthorized_client","error_description":"Invalid client or Invalid client credentials"}),
            "token `own` (client_credentials)",
            "`unauthorized_client`",
            "client.id",
        ),
        (
            "/token",
            400,
            json!({"error":"invalid_scope","error_description":"Invalid scopes: \u{1b}[31mnope"}),
            "token `own` (client_credentials)",
            "nope",
            "assign them",
        ),
        (
            "/token",
            403,
            json!({"error":"access_denied","error_description":"Client is not within the token audience"}),
            "token `payments` (exchange)",
            "access_denied",
            "audience mapper",
        ),
    ];
    for (path, status, body, subject, text, remedy) in cases {
        let said = body.clone();
        let world = World::new(move |request| (request.path() == path).then(|| status_json(status, &said))).await;
        world.file("alice", &world.token(&json!({})));
        // The subject token passes: its issuer is asked about JWTs, and this provider is the one that refuses.
        let policy =
            fs::read_to_string(world.folder.path().join("policy.yaml")).unwrap().replace("jwts: true", "jwts: false");
        world.file("policy.yaml", &policy);
        let (code, findings) = world.json(&["--subject-token", "alice"]).await;
        assert_eq!(code, 1, "{path} {status}");
        let fault = of(&findings, subject, text);
        assert_eq!(fault["mark"], "fault");
        assert!(fault["remedy"].as_str().unwrap().contains(remedy), "{fault}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_a_fault() {
    for (name, outage) in http::outages() {
        if name.starts_with("hanging") && name != "hanging up" || name == "one byte at a time" {
            continue;
        }
        let world = World::new(move |request| (request.path() == "/introspect").then(|| outage.clone())).await;
        let (code, findings) = world.json(&[]).await;
        let fault = of(&findings, "issuer `shop`", "introspection (");
        assert_eq!((code, &fault["mark"]), (1, &json!("fault")), "{name}: {fault}");
        assert!(!fault["remedy"].as_str().unwrap().is_empty(), "{name}");
        // One that is left alone for a minute after its first failure tells nothing about the next call.
        assert_eq!(of(&findings, "token `own` (client_credentials)", "obtained (")["mark"], "ok", "{name}");
    }
}

#[tokio::test]
async fn a_provider_that_hangs_is_told_with_what_to_raise() {
    let policy = POLICY.replace("provider: {", "provider: { timeout: 200ms,");
    let hang = |request: &Request| (request.path() == "/introspect").then(|| Answer::Stall(Vec::new()));
    let world = World::with(&policy, Box::new(hang)).await;
    let (code, findings) = world.json(&[]).await;
    let fault = of(&findings, "issuer `shop`", "no complete answer in time");
    assert!(fault["remedy"].as_str().unwrap().contains("provider.timeout"), "{fault}");
    assert_eq!(code, 1);
}

#[tokio::test]
async fn nothing_that_a_provider_repeats_gives_a_token_or_secret_away() {
    let world = World::new(|request| {
        if !matches!(request.path(), "/introspect" | "/token") {
            return None;
        }
        let heard = format!("{} {}", request.header("authorization").unwrap_or_default(), request.body);
        let text = format!("\u{1b}[2J{SECRET} {OPAQUE} {heard} {}", request.field("subject_token").unwrap_or_default());
        Some(status_json(400, &json!({ "error": format!("x{SECRET}"), "error_description": text })))
    })
    .await;
    let policy =
        fs::read_to_string(world.folder.path().join("policy.yaml")).unwrap().replace("jwts: true", "jwts: false");
    world.file("policy.yaml", &policy);
    let alice = world.token(&json!({}));
    world.issued.lock().unwrap().push(alice.clone());
    world.file("alice", &alice);
    world.file("opaque", OPAQUE);
    for arguments in [
        &["--subject-token", "alice", "--token", "opaque"][..],
        &["--json", "--subject-token", "alice", "--token", "opaque"],
    ] {
        let ran = world.doctor(arguments, "").await;
        assert_eq!(ran.code, 1);
        let basic = {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(format!("gate:{SECRET}"))
        };
        assert!(!ran.out.contains(&basic), "{}", ran.out);
        assert!(ran.out.contains("(the secret)") && ran.out.contains("(the token)"), "{}", ran.out);
    }
}

#[tokio::test]
async fn tokens_that_the_gate_would_not_send_are_shown_by_their_claims() {
    let base = Arc::new(Mutex::new((String::new(), None::<Arc<Signer>>)));
    let minting = Arc::clone(&base);
    let world = World::new(move |request| {
        let (base, signer) = minting.lock().unwrap().clone();
        (request.path() == "/token" && request.field("subject_token").is_some()).then(|| {
            let token =
                token(signer.as_deref().unwrap(), &base, &json!({ "aud": "elsewhere", "scope": "payments.charge" }));
            answer(&json!({
                "access_token": token, "token_type": "Bearer", "expires_in": 300,
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            }))
        })
    })
    .await;
    *base.lock().unwrap() = (world.server.url(""), Some(Arc::clone(&world.signer)));
    world.file("alice", &world.token(&json!({})));
    let (code, findings) = world.json(&["--subject-token", "alice"]).await;
    let fault = of(&findings, "token `payments` (exchange)", "not meant for");
    assert_eq!((code, &fault["claims"]["aud"]), (1, &json!("elsewhere")));
    assert!(fault["remedy"].as_str().unwrap().contains("expect_audience"), "{fault}");
}

#[tokio::test]
async fn opaque_and_short_lived_tokens_are_warned_about() {
    let world = World::new(|request| {
        (request.path() == "/token")
            .then(|| answer(&json!({ "access_token": OPAQUE, "token_type": "bearer", "expires_in": 90 })))
    })
    .await;
    let (code, findings) = world.json(&[]).await;
    assert_eq!(code, 0);
    let own = "token `own` (client_credentials)";
    let bytes = format!("opaque, {} bytes", OPAQUE.len());
    assert_eq!(of(&findings, own, &bytes)["claims"], Value::Null);
    assert_eq!(of(&findings, own, "refresh.ahead")["mark"], "warning");
    assert_eq!(of(&findings, own, "neither answer nor token names any")["mark"], "warning");
}

#[tokio::test]
async fn files_that_others_can_read_are_warned_about() {
    let world = World::new(|_| None).await;
    fs::set_permissions(world.folder.path().join("secret"), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, findings) = world.json(&[]).await;
    assert_eq!(code, 0);
    assert_eq!(of(&findings, "issuer `shop`", "can be read by every user")["mark"], "warning");
}

#[tokio::test]
async fn a_token_in_the_wrong_place_is_not_repeated() {
    let world = World::new(|_| None).await;
    let jwt = world.token(&json!({}));
    world.issued.lock().unwrap().push(jwt.clone());
    for (arguments, code) in [
        (vec![&*jwt], 2),
        (vec!["--token", &jwt], 3),
        (vec!["--subject-token", OPAQUE], 3),
        (vec!["--token", "-", "--subject-token", "-"], 2),
        (vec!["--issuer", "nobody"], 2),
    ] {
        let ran = world.doctor(&arguments, "").await;
        assert_eq!((ran.code, ran.err.is_empty()), (code, false), "{}", ran.err);
    }
}
