//! A scripted identity provider, a configuration that names it, and the program.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use tempfile::TempDir;

use crate::http::{self, Answer, Request, Server, json as answer};
use crate::support::mint::Signer;

pub(crate) const SECRET: &str = "hunter2-s3cret";
pub(crate) const OPAQUE: &str = "0paque-t0ken-of-alice-0123456789";

pub(crate) const POLICY: &str = r#"
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
pub(crate) type Script = dyn Fn(&Request) -> Option<Answer> + Send + Sync;

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) folder: TempDir,
    pub(crate) signer: Arc<Signer>,
    pub(crate) issued: Arc<Mutex<Vec<String>>>,
}

pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn token(signer: &Signer, base: &str, changes: &Value) -> String {
    let mut claims = json!({
        "iss": format!("{base}/shop"), "sub": "alice", "aud": "orders", "azp": "web", "scope": "orders.read",
        "iat": now(), "exp": now() + 600, "jti": format!("{:x}", rand::random::<u128>()),
    });
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    signer.sign(&signer.header("k1"), &claims)
}

impl World {
    /// A provider that behaves, but for what `script` answers.
    pub(crate) async fn new(script: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static) -> Self {
        Self::with(POLICY, Box::new(script)).await
    }

    pub(crate) async fn with(policy: &str, script: Box<Script>) -> Self {
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

    pub(crate) fn token(&self, changes: &Value) -> String {
        token(&self.signer, &self.server.url(""), changes)
    }

    pub(crate) fn file(&self, name: &str, content: &str) {
        fs::write(self.folder.path().join(name), content).unwrap();
    }

    pub(crate) async fn doctor(&self, arguments: &[&str], input: &str) -> Ran {
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

    pub(crate) async fn json(&self, arguments: &[&str]) -> (i32, Vec<Value>) {
        let ran = self.doctor(&[&["--json"], arguments].concat(), "").await;
        let whole: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}{}", ran.out, ran.err));
        assert_eq!(whole["ok"], ran.code == 0);
        (ran.code, whole["findings"].as_array().unwrap().clone())
    }
}

pub(crate) fn run(folder: &Path, arguments: &[String], input: &str) -> Ran {
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

pub(crate) fn behave(request: &Request, base: &str, signer: &Signer, issued: &Mutex<Vec<String>>) -> Answer {
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

pub(crate) fn of<'f>(findings: &'f [Value], subject: &str, part: &str) -> &'f Value {
    let found = findings
        .iter()
        .find(|finding| finding["subject"] == subject && finding["text"].as_str().unwrap().contains(part));
    found.unwrap_or_else(|| panic!("{part}: {findings:#?}"))
}
