//! Row 202: what is secret is in no error, no `Debug`, no log and no metric. A file of its own, since a process has one
//! log: it is there before anything could be logged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "provider/fixture.rs"]
mod fixture;
#[path = "support/http.rs"]
mod http;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tollgate::core::algorithm::Algorithm;
use tollgate::net::{FetchRequest, Form, HttpClient};
use tollgate::provider::spec::{ClientAuth, ClientSpec};
use tollgate::provider::{Deps, Endpoint, Provider};
use tollgate::secret::{Secret, SecretSource};
use tollgate::telemetry::{Exposition, Recorder};
use tracing_subscriber::fmt::MakeWriter;

use crate::fixture::{Fixture, SECRET, soon, spec};
use crate::http::{Server, json, outages};

/// Everything that is logged, by this program and by what it is made of.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// What must not be seen, in every form in which it is sent.
fn secrets() -> Vec<String> {
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("service-b:{SECRET}"));
    vec![SECRET.to_owned(), pair, "t0ken".to_owned(), "MII".to_owned(), "4nswer".to_owned()]
}

fn holds_none(what: &str, text: &str) {
    for secret in secrets() {
        assert!(!text.contains(&secret), "{what} holds `{secret}`: {text}");
    }
}

#[test]
fn row_202_secrets_and_tokens_are_in_no_error_log_or_metric() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    // For this thread alone: everything below runs on it.
    let _guard = tracing::subscriber::set_default(subscriber);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::start(json(&json!({ "active": true, "username": "4nswer" }))).await;
        let mut spec = spec(&server);
        spec.timeout = Duration::from_millis(150);
        spec.retries = 1;
        spec.breaker.failures = 20;
        let recorder = Arc::new(Recorder::default());
        let fixture = Fixture::new(spec.clone());
        let clock = Arc::clone(&fixture.clock) as Arc<_>;
        let deps = Deps::new(HttpClient::new(), clock, Arc::clone(&recorder) as Arc<_>);
        let provider = Provider::start(spec, &deps);
        let file = || fixture.file("secret", SECRET);
        let pair = rcgen::KeyPair::generate().unwrap();
        let key = fixture.file("key.pem", pair.serialize_pem());
        let algorithm = Algorithm::ES256;
        let clients = [
            ClientAuth::SecretBasic(SecretSource::File(file())),
            ClientAuth::SecretPost(SecretSource::File(file())),
            ClientAuth::AssertionFile(file()),
            ClientAuth::PrivateKeyJwt { key, algorithm, key_id: None, audience: None },
            // Not a key, and not a certificate.
            ClientAuth::PrivateKeyJwt { key: file(), algorithm, key_id: None, audience: None },
            ClientAuth::Tls { certificate: file(), key: file() },
        ]
        .map(|auth| ClientSpec { id: "service-b".into(), auth });
        let mut answers = outages();
        answers.push(("well", json(&json!({ "active": true, "username": "4nswer" }))));
        for client in &clients {
            holds_none("a client", &format!("{client:?}"));
            for (name, answer) in &answers {
                server.set(answer.clone());
                for endpoint in [Endpoint::Introspection, Endpoint::Token] {
                    let result = soon(provider.call(endpoint, client, &[("token", "t0ken")], 1000)).await;
                    holds_none(name, &format!("{result:?}"));
                    if let Err(error) = result {
                        holds_none(name, &error.to_string());
                    }
                }
                // It would be left alone otherwise.
                server.set(json(&json!({ "active": true })));
                let _ = soon(provider.call(Endpoint::Token, &clients[0], &[], 1000)).await;
            }
        }
        holds_none("the provider", &format!("{provider:?} {:?}", provider.status()));
        holds_none("the metrics", &recorder.exposition(Exposition::OpenMetrics));
    });
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("hyper"), "the client's own lines are there: {} bytes", log.len());
    holds_none("the log", &log);
}

#[test]
fn row_202_no_debug_shows_what_it_holds() {
    let mut form = Form::default();
    form.add("client_secret", SECRET);
    let mut request = FetchRequest::json("https://idp.test/".parse().unwrap(), Duration::from_secs(1), 1);
    request.bearer = Some(Secret::new(SECRET));
    holds_none("debug", &format!("{form:?} {request:?} {:?} {:#?}", Secret::new(SECRET), request));
}
