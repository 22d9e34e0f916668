//! The breaker, on the wire.

use std::time::Duration;

use serde_json::json;
use tollgate::core::event::BreakerState;
use tollgate::net::FetchError;
use tollgate::provider::CallError;

use crate::fixture::{Fixture, spec, status};
use crate::http::{Answer, Server, json, outages, status_json};

fn fixture(server: &Server, failures: u32, open_for: Duration) -> Fixture {
    let mut spec = spec(server);
    spec.breaker.failures = failures;
    spec.breaker.open_for = open_for;
    Fixture::new(spec)
}

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_provider_that_is_down_is_left_alone_and_found_again() {
    let server = Server::start(json(&json!({ "active": true }))).await;
    let fixture = fixture(&server, 3, Duration::from_millis(50));
    let client = fixture.basic();
    assert_eq!(status(&fixture.introspect(&client).await), 200);
    server.kill().await;
    for _ in 0..3 {
        let error = fixture.introspect(&client).await.unwrap_err();
        assert!(matches!(error, CallError::Fetch(FetchError::Connect(_))), "{error:?}");
    }
    assert_eq!(fixture.events.breaker(), ["Closed", "Open"]);
    // A probe fails and it stays open; both endpoints share it.
    let began = std::time::Instant::now();
    while !fixture.events.breaker().contains(&"HalfOpen".to_owned()) {
        assert!(fixture.token(&client).await.unwrap_err().is_outage());
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.provider.status().breaker, BreakerState::Open);
    server.revive().await;
    let began = std::time::Instant::now();
    while fixture.token(&client).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.provider.status().breaker, BreakerState::Closed);
    assert_eq!(fixture.events.breaker().last().unwrap(), "Closed");
    assert_eq!(status(&fixture.introspect(&client).await), 200);
    let seen = fixture.provider.status();
    assert!(seen.last_success.is_some() && seen.last_error.is_some());
}

#[tokio::test]
async fn an_open_breaker_sends_nothing() {
    let server = Server::start(status_json(500, &json!({}))).await;
    let fixture = fixture(&server, 5, LONG);
    let client = fixture.basic();
    for _ in 0..5 {
        assert_eq!(status(&fixture.introspect(&client).await), 500);
    }
    for _ in 0..100 {
        let error = fixture.introspect(&client).await.unwrap_err();
        assert_eq!(error, CallError::Open);
        assert!(error.is_outage());
        assert_eq!(fixture.token(&client).await.unwrap_err(), CallError::Open);
    }
    assert_eq!(server.count(), 5);
    let seen = fixture.provider.status();
    assert_eq!((seen.breaker, seen.in_flight), (BreakerState::Open, 0));
    assert_eq!(&*seen.last_error.unwrap().text, "answered with status 500");
}

/// What counts as a failure: no answer, 5xx, 429. Nothing else does, however often.
#[tokio::test]
async fn answers_never_open_it_and_failures_always_do() {
    let server = Server::start(Answer::HangUp).await;
    for (name, answer) in outages() {
        let mut spec = spec(&server);
        spec.timeout = Duration::from_millis(200);
        spec.breaker.failures = 2;
        let fixture = Fixture::new(spec);
        let client = fixture.basic();
        server.set(answer);
        let _ = (fixture.introspect(&client).await, fixture.introspect(&client).await);
        let answered = matches!(
            name,
            "html"
                | "wrong content type"
                | "redirect"
                | "gzip"
                | "50 MB declared"
                | "endless chunks"
                | "endless without length"
        );
        let wanted = if answered { BreakerState::Closed } else { BreakerState::Open };
        assert_eq!(fixture.provider.status().breaker, wanted, "{name}");
    }
    let fixture = fixture(&server, 1, LONG);
    let client = fixture.basic();
    let inactive = json(&json!({ "active": false }));
    let refusals = [400, 401, 403, 404, 408, 422].map(|status| status_json(status, &json!({ "error": "x" })));
    for answer in refusals.into_iter().chain([inactive]) {
        server.set(answer);
        assert!(fixture.introspect(&client).await.is_ok() && fixture.token(&client).await.is_ok());
    }
    assert_eq!(fixture.events.breaker(), ["Closed"]);
}

#[tokio::test]
async fn one_probe_at_a_time_and_one_that_is_dropped_frees_the_way() {
    let server = Server::start(Answer::HangUp).await;
    let fixture = fixture(&server, 1, Duration::ZERO);
    let client = fixture.basic();
    assert!(fixture.introspect(&client).await.is_err());
    assert_eq!(fixture.provider.status().breaker, BreakerState::Open);

    server.set(Answer::Stall(Vec::new()));
    let mut probe = Box::pin(fixture.introspect(&client));
    tokio::select! {
        _ = &mut probe => panic!("answered"),
        () = server.saw(2) => {}
    }
    assert_eq!(fixture.provider.status().breaker, BreakerState::HalfOpen);
    for _ in 0..10 {
        assert_eq!(fixture.introspect(&client).await.unwrap_err(), CallError::Open);
    }
    assert_eq!(server.count(), 2);

    drop(probe);
    assert_eq!(fixture.provider.status().breaker, BreakerState::Open);
    server.set(json(&json!({ "active": false })));
    assert_eq!(status(&fixture.introspect(&client).await), 200);
    assert_eq!(fixture.events.breaker(), ["Closed", "Open", "HalfOpen", "Open", "HalfOpen", "Closed"]);
}

#[tokio::test]
async fn a_probe_is_one_attempt_and_attempts_count_one_by_one() {
    let server = Server::start(Answer::HangUp).await;
    let mut spec = spec(&server);
    spec.retries = 5;
    spec.breaker.failures = 3;
    spec.breaker.open_for = Duration::ZERO;
    let fixture = Fixture::new(spec);
    let client = fixture.basic();
    // It opens with the third attempt. Its pause is over at once, so the fourth probes; there is no fifth.
    let error = fixture.introspect(&client).await.unwrap_err();
    assert_eq!(error, CallError::Fetch(FetchError::Broken), "what happened, not that it is left alone now");
    assert_eq!(server.count(), 4);
    assert_eq!(fixture.events.breaker(), ["Closed", "Open", "HalfOpen", "Open"]);
}
