//! An engine, the issuers that it asks, and tokens.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use tollgate::authn::Issuer;
use tollgate::clock::{Clock as _, ManualClock, Timestamp};
use tollgate::core::answer::{Answer, Verdict};
use tollgate::core::event::{Event, Events};
use tollgate::core::reason::Reason;
use tollgate::core::request::{Direction, Header, Headers, RawRequest};
use tollgate::engine::Engine;
use tollgate::net::HttpClient;
use tollgate::provider::Deps;

use crate::http::{self, DEADLINE, Request, Server, status_json};
use crate::support::mint::Signer;

pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const ISSUER: &str = "https://idp.example";
/// 43 characters of base64url, as a real provider's.
pub(crate) const TOKEN: &str = "PhYl63zTNmZ1PNeEj5Kq5tAxmTvQTyz_pGQ7UR4k1Cc";
pub(crate) const OTHER: &str = "QhYl63zTNmZ1PNeEj5Kq5tAxmTvQTyz_pGQ7UR4k1Cc";

/// A token of the usual length.
pub(crate) fn opaque(number: usize) -> String {
    format!("tok_{number:039}")
}

/// What a good token's answer says.
pub(crate) fn active(more: &Value) -> Value {
    let mut answer = json!({
        "active": true, "iss": ISSUER, "sub": "alice", "aud": "api", "client_id": "web", "scope": "foo",
        "exp": NOW + 600, "token_type": "Bearer",
    });
    for (name, value) in more.as_object().unwrap() {
        if value.is_null() {
            answer.as_object_mut().unwrap().remove(name);
        } else {
            answer[name] = value.clone();
        }
    }
    answer
}

pub(crate) fn inactive() -> Value {
    json!({ "active": false })
}

/// An issuer's introspection endpoint, that knows some tokens.
pub(crate) struct Idp {
    pub(crate) server: Server,
    known: Arc<Mutex<HashMap<String, Value>>>,
}

impl Idp {
    pub(crate) async fn start() -> Self {
        let known: Arc<Mutex<HashMap<String, Value>>> = Arc::default();
        let idp = Self { server: Server::start(http::Answer::HangUp).await, known };
        idp.mend();
        idp
    }

    /// Answers as it should, from now on.
    pub(crate) fn mend(&self) {
        let known = Arc::clone(&self.known);
        self.server.set(http::Answer::Ask(Arc::new(move |request: &Request| {
            assert_eq!((request.method(), request.path()), ("POST", "/introspect"));
            let known = known.lock().unwrap();
            status_json(200, known.get(&request.field("token").unwrap()).unwrap_or(&inactive()))
        })));
    }

    /// From now on, what it says of a token.
    pub(crate) fn says(&self, token: &str, answer: Value) {
        self.known.lock().unwrap().insert(token.to_owned(), answer);
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.server.count()
    }
}

/// Writes down what is reported about introspection.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<String>>);

impl Events for Recorder {
    fn report(&self, event: Event<'_>) {
        let text = match event {
            Event::Introspected { outcome, .. } => outcome.as_str().to_owned(),
            Event::IntrospectionCache { hit, .. } => format!("hit {hit}"),
            Event::TokenCache { hit, .. } => format!("jwt hit {hit}"),
            _ => return,
        };
        self.0.lock().unwrap().push(text);
    }
}

impl Recorder {
    /// What was reported since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    pub(crate) fn count(&self, text: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|event| *event == text).count()
    }
}

/// An issuer as a configuration has it.
pub(crate) struct Named<'s> {
    pub(crate) name: &'s str,
    pub(crate) idp: &'s Idp,
    /// Lines of YAML under the issuer: what is not introspection.
    pub(crate) issuer: &'s str,
    /// Members of `introspection`, of `provider`.
    pub(crate) introspection: &'s str,
    pub(crate) provider: &'s str,
}

impl<'s> Named<'s> {
    /// An issuer of opaque tokens with long times.
    pub(crate) fn new(idp: &'s Idp) -> Self {
        Self { name: "idp", idp, issuer: "tokens: opaque", introspection: "", provider: "" }
    }

    /// An issuer of JWTs that are introspected, whose key is `KEY`.
    pub(crate) fn jwts(idp: &'s Idp) -> Self {
        Self { issuer: "keys: { jwks_file: jwks.json }", introspection: "jwts: true", ..Self::new(idp) }
    }
}

pub(crate) struct Gate {
    pub(crate) engine: Arc<Engine>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) events: Arc<Recorder>,
    pub(crate) signer: Signer,
    directory: tempfile::TempDir,
}

impl Gate {
    /// With one rule for all issuers, and one for each under its name.
    pub(crate) async fn start(issuers: &[Named<'_>]) -> Self {
        Self::with(&policy(issuers)).await
    }

    /// With one rule for each issuer, under its name.
    pub(crate) async fn start_apart(issuers: &[Named<'_>]) -> Self {
        let policy = policy(issuers);
        let (head, rules) = policy.split_once("rules:\n").unwrap();
        let (_, apart) = rules.split_once("  - name: only-").unwrap();
        Self::with(&format!("{head}rules:\n  - name: only-{apart}")).await
    }

    async fn with(policy: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let signer = Signer::es256();
        let jwks = json!({ "keys": [signer.jwk("k1")] });
        std::fs::write(directory.path().join("jwks.json"), jwks.to_string()).unwrap();
        std::fs::write(directory.path().join("secret"), "hunter2-s3cret\n").unwrap();
        std::fs::write(directory.path().join("policy.yaml"), policy).unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_seconds(NOW)));
        let events = Arc::new(Recorder::default());
        let deps = Deps::new(HttpClient::new(), Arc::clone(&clock) as Arc<_>, events.clone());
        let engine = Engine::load(&directory.path().join("policy.yaml"), deps).await;
        let engine = engine.unwrap_or_else(|error| panic!("{:#?}\n{policy}", error.messages()));
        Self { engine, clock, events, signer, directory }
    }

    /// Writes another configuration and loads it.
    pub(crate) async fn reload(&self, issuers: &[Named<'_>], more_rules: &str) {
        self.write("policy.yaml", &(policy(issuers) + more_rules));
        self.engine.reload().await.unwrap();
    }

    /// Puts a file beside the configuration.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.directory.path().join(name);
        std::fs::write(path.with_extension("new"), text).unwrap();
        std::fs::rename(path.with_extension("new"), path).unwrap();
    }

    /// Where a file of the configuration is.
    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn issuer(&self, index: usize) -> Arc<Issuer> {
        Arc::clone(&self.engine.snapshot().issuers()[index])
    }

    /// The whole answer to a request with this token.
    pub(crate) async fn answer(&self, path: &str, token: &str, patience: Duration) -> Answer {
        self.send(path, token, "", patience).await
    }

    /// The outcome of a request whose sender has this certificate.
    pub(crate) async fn with_certificate(&self, token: &str, certificate: &str) -> Reason {
        self.send("/", token, certificate, DEADLINE).await.reason
    }

    async fn send(&self, path: &str, token: &str, certificate: &str, patience: Duration) -> Answer {
        let bearer = format!("Bearer {token}");
        let request = RawRequest {
            direction: Direction::Inbound,
            method: "GET",
            host: "api.example.com",
            path,
            headers: Headers::new(vec![Header { name: "authorization", value: bearer.as_bytes() }]),
            principal: "",
            certificate,
            context_extensions: Vec::new(),
        };
        self.engine.check(request, Instant::now() + patience).await
    }

    /// The outcome of a request that waits no longer than this. A machine that is too busy to answer in time is asked
    /// again.
    pub(crate) async fn ask_within(&self, patience: Duration, token: &str) -> Reason {
        let end = Instant::now() + DEADLINE;
        loop {
            let reason = self.answer("/", token, patience).await.reason;
            if reason != Reason::DeadlineExceeded || Instant::now() > end {
                return reason;
            }
        }
    }

    pub(crate) async fn at(&self, path: &str, token: &str) -> Reason {
        self.answer(path, token, DEADLINE).await.reason
    }

    /// The outcome of a request with this token, on the rule for all issuers.
    pub(crate) async fn ask(&self, token: &str) -> Reason {
        self.at("/", token).await
    }

    /// The header that names whom an allowed request speaks for.
    pub(crate) async fn user(&self, token: &str) -> Option<String> {
        let answer = self.answer("/", token, DEADLINE).await;
        let Verdict::Allow(allowed) = answer.verdict else { panic!("{:?}", answer.reason) };
        allowed.set().find(|(name, _)| *name == "x-user").map(|(_, value)| value.to_owned())
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A signed token of these claims.
    pub(crate) fn jwt(&self, claims: &Value) -> String {
        self.signer.sign(&self.signer.header("k1"), claims)
    }
}

/// Claims of a token that passes every check, with these on top; `null` removes one.
pub(crate) fn claims(more: &Value) -> Value {
    let mut claims = active(&json!({ "active": null, "token_type": null, "jti": "t-1", "iat": NOW - 5 }));
    for (name, value) in more.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn policy(issuers: &[Named<'_>]) -> String {
    let mut text = "server: { check: [ { listen: \"127.0.0.1:0\", direction: inbound } ] }\nissuers:\n".to_owned();
    for Named { name, idp, issuer, introspection, provider } in issuers {
        let endpoint = idp.server.url("/introspect");
        let claimed = if issuer.contains("issuer:") { String::new() } else { format!("    issuer: {ISSUER}\n") };
        write!(text, "  {name}:\n{claimed}").unwrap();
        for line in issuer.lines() {
            writeln!(text, "    {line}").unwrap();
        }
        let bounds = ["timeout", "retries", "breaker"].map(|key| {
            let default = match key {
                "timeout" => "timeout: 10s",
                "retries" => "retries: 0",
                _ => "breaker: { failures: 1000, open: 5s }",
            };
            if provider.contains(key) { String::new() } else { format!(", {default}") }
        });
        let provider = if provider.is_empty() { String::new() } else { format!(", {provider}") };
        writeln!(text, "    provider: {{ introspection_endpoint: \"{endpoint}\"{}{provider} }}", bounds.concat())
            .unwrap();
        let introspection = if introspection.is_empty() { String::new() } else { format!(", {introspection}") };
        writeln!(text, "    introspection: {{ client: {{ id: gate, secret_file: secret }}{introspection} }}").unwrap();
    }
    let names: Vec<&str> = issuers.iter().map(|issuer| issuer.name).collect();
    write!(
        text,
        "rules:
  - name: all
    match: {{ hosts: [api.example.com], paths: [\"/\"] }}
    require: {{ issuers: [{}], audience: {{ any: [api] }} }}
    inject: {{ x-user: \"{{subject}}\", x-client: \"{{client}}\" }}
  - name: bar
    match: {{ hosts: [api.example.com], paths: [/bar] }}
    require: {{ issuers: [{}], audience: {{ any: [api] }}, scopes: {{ all: [bar] }} }}
",
        names.join(", "),
        names.join(", "),
    )
    .unwrap();
    for name in names {
        write!(
            text,
            "  - name: only-{name}
    match: {{ hosts: [api.example.com], paths: [/{name}] }}
    require: {{ issuers: [{name}], audience: {{ any: [api] }} }}
"
        )
        .unwrap();
    }
    text
}

pub(crate) use crate::wait::until;
