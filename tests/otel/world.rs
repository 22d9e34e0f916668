//! A running program with a provider of its own, and the collectors that it may be told to send to.
#![allow(dead_code, reason = "each suite uses a part")]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::http_server::{Answer, Server};
use crate::mint::Signer;
use crate::wait;

/// What every test's requests carry somewhere, and no span may.
pub(crate) const SECRETS: [&str; 4] = ["alice-the-subject", "path-of-the-request", "hunter2", "Bearer"];

/// Where spans and records go.
pub(crate) trait Collector {
    /// The variables that lead a program to it.
    fn variables(&self) -> Vec<(String, String)>;
    /// The spans that came, as OTLP's JSON has them, each with its `resource`.
    fn spans(&self) -> Vec<Value>;
    /// The log records that came.
    fn records(&self) -> Vec<Value>;
}

/// A running gate. Ended when dropped.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) provider: Server,
    signer: Signer,
    child: Option<Child>,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    pub(crate) inbound: AuthorizationClient<Channel>,
    outbound: AuthorizationClient<Channel>,
}

fn policy(folder: &Path, provider: &str, audit: &str) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    format!(
        "
server:
  check:
    - {{ listen: 'unix:{inbound}', direction: inbound }}
    - {{ listen: 'unix:{outbound}', direction: outbound }}
  probes: {{ listen: '127.0.0.1:0' }}
  deadline: 20s
  drain: {{ delay: 0s, grace: 5s }}
{audit}
issuers:
  shop:
    issuer: https://idp.internal
    keys: {{ jwks: '{provider}/jwks', unknown_kid_cooldown: 1s }}
    algorithms: [EdDSA]
    provider: {{ token_endpoint: '{provider}/token', timeout: 10s }}
  opaque:
    issuer: https://opaque.internal
    tokens: opaque
    credential: {{ header: x-opaque }}
    provider: {{ introspection_endpoint: '{provider}/introspect', timeout: 10s, retries: 0 }}
    introspection: {{ client: {{ id: gate, secret_file: secret }} }}
tokens:
  payments:
    exchange:
      issuer: shop
      client: {{ id: gate, secret_file: secret }}
      audience: payments
  own:
    client_credentials: {{ issuer: shop, client: {{ id: gate, secret_file: secret }} }}
rules:
  - {{ name: open, match: {{ paths: ['/open/**'] }}, allow: anonymous }}
  - name: orders
    match: {{ paths: ['/orders/**'] }}
    require: {{ issuers: [shop], audience: {{ any: [orders] }} }}
  - name: opaque
    match: {{ paths: ['/opaque/**'] }}
    require: {{ issuers: [opaque], audience: unchecked }}
  - name: pay
    match: {{ direction: outbound, hosts: [payments.internal] }}
    require: {{ issuers: [shop], audience: unchecked }}
    upstream_token: payments
",
        inbound = at("in.sock"),
        outbound = at("out.sock"),
    )
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims(audience: &str) -> Value {
    json!({ "iss": "https://idp.internal", "aud": audience, "sub": SECRETS[0], "exp": now() + 600 })
}

async fn client(socket: &Path) -> Option<AuthorizationClient<Channel>> {
    let uri = format!("unix:{}", socket.display());
    Some(AuthorizationClient::new(Endpoint::from_shared(uri).unwrap().connect().await.ok()?))
}

/// The variables that would lead to a collector, of whoever runs the tests.
fn is_ours(name: &str) -> bool {
    name.starts_with("OTEL_") || name.starts_with("TOLLGATE_")
}

impl World {
    /// Starts one with these variables, and this section `audit`.
    pub(crate) async fn start(variables: &[(String, String)], audit: &str) -> Self {
        let (folder, signer) = (tempfile::tempdir().unwrap(), Arc::new(Signer::ed25519()));
        let jwks = json!({ "keys": [signer.jwk("k")] }).to_string();
        let exchanged = json!({
            "access_token": signer.sign(&signer.header("k"), &claims("payments")), "token_type": "Bearer",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "expires_in": 300,
        });
        let active = json!({ "active": true, "sub": SECRETS[0], "iss": "https://opaque.internal", "exp": now() + 600 });
        let provider = Server::start(Answer::Route(Arc::new(move |path| {
            let body = match path {
                "/jwks" => jwks.clone(),
                "/token" => exchanged.to_string(),
                "/introspect" => active.to_string(),
                _ => return Answer::Bytes(b"HTTP/1.1 404 x\r\ncontent-length: 0\r\n\r\n".to_vec()),
            };
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json";
            Answer::Bytes(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())
        })))
        .await;
        fs::write(folder.path().join("secret"), "hunter2-of-the-client").unwrap();
        fs::write(folder.path().join("policy.yaml"), policy(folder.path(), &provider.url(""), audit)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        for (name, _) in std::env::vars().filter(|(name, _)| is_ours(name)) {
            command.env_remove(name);
        }
        command.args(["serve", "--threads", "2", "--config", "policy.yaml"]).current_dir(&folder);
        let variables = variables.iter().map(|(name, value)| (name, value));
        let mut child = command.envs(variables).stderr(Stdio::piped()).spawn().unwrap();
        let (log, lines) = (Arc::<Mutex<String>>::default(), BufReader::new(child.stderr.take().unwrap()).lines());
        let kept = Arc::clone(&log);
        let reader = thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| *kept.lock().unwrap() += &format!("{line}\n"));
        });
        let (mut inbound, mut outbound) = (None, None);
        wait::eventually("the gate listens", async || {
            inbound = client(&folder.path().join("in.sock")).await;
            outbound = client(&folder.path().join("out.sock")).await;
            inbound.is_some() && outbound.is_some() && log.lock().unwrap().contains("probes listener")
        })
        .await;
        let signer = Arc::into_inner(signer).unwrap();
        let (child, reader) = (Some(child), Some(reader));
        Self { folder, provider, signer, child, log, reader, inbound: inbound.unwrap(), outbound: outbound.unwrap() }
    }

    /// A good token of the issuer `shop`, whose key has this name.
    pub(crate) fn token(&self, kid: &str) -> String {
        format!("Bearer {}", self.signer.sign(&self.signer.header(kid), &claims("orders")))
    }

    /// Asks about a request with these headers; the answer's code, and where it is a denial its HTTP status.
    pub(crate) async fn ask(&mut self, path: &str, headers: &[(&str, &str)]) -> i32 {
        answered(self.inbound.check(asking("shop.internal", path, headers)).await)
    }

    /// As [`World::ask`], with metadata on the call itself.
    pub(crate) async fn ask_with(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        metadata: &[(&'static str, &str)],
    ) -> i32 {
        let mut request = tonic::Request::new(asking("shop.internal", path, headers));
        for (name, value) in metadata {
            request.metadata_mut().append(*name, value.parse().unwrap());
        }
        answered(self.inbound.check(request).await)
    }

    /// Asks about a request on its way out, which gets a token of its own.
    pub(crate) async fn ask_to_pay(&mut self, headers: &[(&str, &str)]) -> i32 {
        answered(self.outbound.check(asking("payments.internal", "/path-of-the-request", headers)).await)
    }

    /// What `/metrics` says, as this format.
    pub(crate) async fn metrics(&self, accept: &str) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let log = self.log.lock().unwrap().clone();
        let line = log.lines().find(|line| line.contains("probes listener")).unwrap_or_else(|| panic!("{log}"));
        let line: Value = serde_json::from_str(line).unwrap();
        let mut stream = tokio::net::TcpStream::connect(line["address"].as_str().unwrap()).await.unwrap();
        let request =
            format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    /// The sum of the samples that begin so.
    pub(crate) async fn metric(&self, start: &str) -> u64 {
        let text = self.metrics("text/plain").await;
        let samples = text.lines().filter(|line| line.starts_with(start));
        samples.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() as u64).sum()
    }

    /// Has it end as a process manager does; how long that took, and what it logged.
    pub(crate) async fn end(&mut self) -> (Duration, String) {
        let mut child = self.child.take().unwrap();
        let begun = std::time::Instant::now();
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        let status = {
            let mut status = None;
            wait::until("the gate ends", || {
                status = child.try_wait().unwrap();
                status.is_some()
            })
            .await;
            status.unwrap()
        };
        let took = begun.elapsed();
        self.reader.take().unwrap().join().unwrap();
        let log = self.log.lock().unwrap().clone();
        assert!(status.success(), "{log}");
        (took, log)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn asking(host: &str, path: &str, headers: &[(&str, &str)]) -> CheckRequest {
    let headers: HashMap<String, String> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let (method, host, path) = ("GET".to_owned(), host.to_owned(), path.to_owned());
    let http = HttpRequest { method, host, path, headers, ..Default::default() };
    let request = Request { http: Some(http), ..Default::default() };
    CheckRequest { attributes: Some(AttributeContext { request: Some(request), ..Default::default() }) }
}

type Answered = Result<tonic::Response<envoy_types::pb::envoy::service::auth::v3::CheckResponse>, tonic::Status>;

fn answered(response: Answered) -> i32 {
    response.unwrap().into_inner().status.unwrap().code
}

/// `name=value` as variables are.
pub(crate) fn set(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

/// What comes in one of OTLP's JSON documents: the items of `inner` in `outer`, each with its `resource`.
pub(crate) fn items(document: &Value, [outer, scope, inner]: [&str; 3]) -> Vec<Value> {
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for of_resource in list(document, outer) {
        for of_scope in list(&of_resource, scope) {
            for mut item in list(&of_scope, inner) {
                item["resource"] = of_resource["resource"].clone();
                item["scope"] = of_scope["scope"].clone();
                found.push(item);
            }
        }
    }
    found
}

pub(crate) const SPANS: [&str; 3] = ["resourceSpans", "scopeSpans", "spans"];
pub(crate) const RECORDS: [&str; 3] = ["resourceLogs", "scopeLogs", "logRecords"];

/// An attribute, as text whatever its kind is; none is empty.
pub(crate) fn attribute(item: &Value, name: &str) -> String {
    let attributes = item["attributes"].as_array().into_iter().flatten();
    let found = attributes.into_iter().find(|attribute| attribute["key"] == name);
    let value = found.and_then(|attribute| attribute["value"].as_object()?.values().next().cloned());
    value.map_or_else(String::new, |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}
