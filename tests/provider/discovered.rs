//! Endpoints by metadata: believed, kept, fetched once for many.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tollgate::net::FetchError;
use tollgate::provider::CallError;
use tollgate::provider::spec::{ClientAuth, ProviderSpec};

use crate::fixture::{Fixture, ISSUER, bare, status};
use crate::http::{Answer, Server, http, json, outages, status_json};

const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// A provider that is found by metadata at a server.
fn spec(server: &Server) -> ProviderSpec {
    let mut spec = bare();
    spec.metadata = Some(server.url(WELL_KNOWN).parse().unwrap());
    spec
}

fn document(server: &Server) -> Value {
    json!({
        "issuer": ISSUER,
        "introspection_endpoint": server.url("/introspect"),
        "token_endpoint": server.url("/token"),
    })
}

/// Answers with this metadata, and with `active` elsewhere.
fn route(metadata: Answer) -> Answer {
    Answer::Route(Arc::new(move |path| match path {
        WELL_KNOWN => metadata.clone(),
        _ => json(&json!({ "active": true })),
    }))
}

#[tokio::test]
async fn endpoints_are_found_once_for_many_calls() {
    let server = Server::start(Answer::HangUp).await;
    let (open, gate) = tokio::sync::watch::channel(false);
    let body = document(&server).to_string();
    server.set(route(Answer::When(gate, http(200, &["Content-Type: application/json"], body))));
    let mut spec = spec(&server);
    spec.max_in_flight = 200;
    let fixture = Fixture::new(spec);
    let client = fixture.basic();
    let calls = join_all((0..100).map(|_| fixture.introspect(&client)));
    let (calls, ()) = tokio::join!(calls, async {
        server.saw(1).await;
        open.send_replace(true);
    });
    assert!(calls.iter().all(|call| status(call) == 200));
    assert_eq!(status(&fixture.token(&client).await), 200);
    assert_eq!((server.count_of(WELL_KNOWN), server.count_of("/introspect"), server.count_of("/token")), (1, 100, 1));
    let metadata = &server.requests()[0];
    assert_eq!((metadata.method(), metadata.header("authorization")), ("GET", None));
    assert_eq!(fixture.events.outcomes("metadata"), ["Answered"]);
}

#[tokio::test]
async fn an_endpoint_that_is_given_needs_no_metadata() {
    let server = Server::start(json(&json!({}))).await;
    let mut spec = spec(&server);
    spec.token_endpoint = Some(server.url("/given").parse().unwrap());
    let fixture = Fixture::new(spec);
    assert_eq!(status(&fixture.token(&fixture.basic()).await), 200);
    assert_eq!(server.seen().len(), server.count_of("/given"));
}

#[tokio::test]
async fn a_flood_of_calls_is_no_flood_of_fetches_while_there_are_no_metadata() {
    let server = Server::start(status_json(503, &json!({}))).await;
    let fixture = Fixture::new(spec(&server));
    let client = fixture.basic();
    let began = std::time::Instant::now();
    for _ in 0..200 {
        let error = fixture.introspect(&client).await.unwrap_err();
        assert_eq!(error, CallError::Fetch(FetchError::Status(503)));
        assert!(error.is_outage());
    }
    let most = 2 + began.elapsed().as_secs() as usize;
    assert!(server.count() <= most, "{} fetches", server.count());
    // It comes back, and is found without anything else being done.
    server.set(route(json(&document(&server))));
    let began = std::time::Instant::now();
    while fixture.introspect(&client).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
    assert!(fixture.provider.status().last_error.is_some());
}

/// Rows 190 and 191: what is not believed, and what is an outage.
#[tokio::test]
async fn row_190_metadata_of_somebody_else_lead_nowhere() {
    let server = Server::start(Answer::HangUp).await;
    let elsewhere = Server::start(json(&json!({ "active": true }))).await;
    let with = |name: &str, value: Value| {
        let mut document = document(&server);
        document[name] = value;
        document
    };
    for document in [
        with("issuer", json!("https://idp.example.com/realms/shop/")),
        with("issuer", json!("https://evil.example")),
        with("issuer", Value::Null),
        with("introspection_endpoint", json!("https://evil.example/introspect")),
        with("introspection_endpoint", json!("http://idp.example.com/introspect")),
        with("introspection_endpoint", json!("https://169.254.169.254/latest")),
        with("introspection_endpoint", json!("file:///etc/passwd")),
        with("introspection_endpoint", json!("https://a:b@idp.example.com/")),
        with("introspection_endpoint", json!(elsewhere.url("/x").replace("127.0.0.1", "localhost"))),
        with("introspection_endpoint", json!(17)),
        with("introspection_endpoint", Value::Null),
        json!([]),
    ] {
        server.set(route(json(&document)));
        let fixture = Fixture::new(spec(&server));
        let client = fixture.basic();
        let error = fixture.introspect(&client).await.unwrap_err();
        assert!(matches!(error, CallError::Metadata(_)) && !error.is_outage(), "{document}: {error:?}");
        assert!(!error.to_string().contains("evil.example"), "{error}");
    }
    // One endpoint that is not there does not take the other with it.
    server.set(route(json(&with("introspection_endpoint", Value::Null))));
    let fixture = Fixture::new(spec(&server));
    let client = fixture.basic();
    assert!(fixture.introspect(&client).await.is_err());
    assert_eq!(status(&fixture.token(&client).await), 200);
    assert_eq!((server.count_of("/introspect"), elsewhere.connections()), (0, 0));
}

#[tokio::test]
async fn row_187_metadata_from_a_provider_in_trouble() {
    let server = Server::start(Answer::HangUp).await;
    for (name, answer) in outages() {
        server.set(answer);
        let mut spec = spec(&server);
        spec.timeout = Duration::from_millis(200);
        let fixture = Fixture::new(spec);
        let error = fixture.introspect(&fixture.basic()).await.unwrap_err();
        let outage = match name {
            "html" | "wrong content type" | "redirect" | "gzip" => false,
            // More than a metadata document may be; where it is not sent in time, that counts.
            "50 MB declared" => false,
            "endless chunks" | "endless without length" => error.is_outage(),
            "429" => false,
            _ => true,
        };
        assert_eq!(error.is_outage(), outage, "{name}: {error:?}");
        assert!(!error.to_string().contains("Bad gateway"), "{error}");
        // Nothing of this is the endpoint's fault.
        assert_eq!(fixture.events.breaker(), ["Closed"], "{name}");
    }
}

#[tokio::test]
async fn a_certificate_goes_to_the_endpoint_for_certificates() {
    let server = Server::start(Answer::HangUp).await;
    let mut with_alias = document(&server);
    with_alias["mtls_endpoint_aliases"] = json!({ "token_endpoint": "https://127.0.0.1:1/mtls/token" });
    server.set(route(json(&with_alias)));
    let fixture = Fixture::new(spec(&server));
    let auth = ClientAuth::Tls { certificate: fixture.file("c", "x"), key: fixture.file("k", "x") };
    let client = tollgate::provider::spec::ClientSpec { id: "b".into(), auth };
    // Neither file is a certificate: had the plain endpoint been chosen, `https:` would have been missed first.
    assert!(matches!(fixture.token(&client).await.unwrap_err(), CallError::Credentials(_)));
    let error = fixture.introspect(&client).await.unwrap_err();
    assert!(matches!(error, CallError::Fetch(FetchError::Request(_))), "{error:?}");
}

/// A document that is larger than any that is read.
#[tokio::test]
async fn row_193_metadata_are_bounded() {
    let server = Server::start(Answer::HangUp).await;
    let mut seen = Vec::new();
    for padding in [(1 << 20) - 400, 1 << 20] {
        let mut document = document(&server);
        document["padding"] = json!("x".repeat(padding));
        server.set(route(json(&document)));
        let fixture = Fixture::new(spec(&server));
        seen.push(fixture.introspect(&fixture.basic()).await.map(|answer| answer.status.as_u16()));
    }
    assert_eq!(seen, [Ok(200), Err(CallError::Fetch(FetchError::TooLarge(1 << 20)))]);
}
