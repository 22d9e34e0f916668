//! Bounds: time, size, places, attempts; and what a provider in trouble does to a call.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::watch;
use tollgate::core::event::BreakerState;
use tollgate::net::FetchError;
use tollgate::provider::CallError;

use crate::fixture::{Fixture, spec, status};
use crate::http::{Answer, Server, http, json, kept_json, outages, status_json};
use crate::wait::until;

/// Every kind of trouble ends in time, in the error that says what it was, or as the answer that it is.
#[tokio::test]
async fn row_177_a_provider_in_trouble_ends_in_an_error_in_time() {
    let server = Server::start(Answer::HangUp).await;
    let mut spec = spec(&server);
    spec.timeout = Duration::from_millis(300);
    let fixture = Fixture::new(spec);
    let client = fixture.basic();
    for (name, answer) in outages() {
        server.set(answer);
        let began = Instant::now();
        let result = fixture.introspect(&client).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{name}");
        let wanted = match name {
            "hanging" | "hanging after its headers" | "one byte at a time" => Err(FetchError::Timeout),
            "50 MB declared" | "endless chunks" | "endless without length" => Err(FetchError::TooLarge(1000)),
            "half a body" | "not http" | "hanging up" => Err(FetchError::Broken),
            "gzip" => Err(FetchError::Compressed),
            "500" => Ok(500),
            "503" => Ok(503),
            "429" => Ok(429),
            "redirect" => Ok(302),
            "html" | "wrong content type" => Ok(200),
            _ => panic!("what is wanted of `{name}`"),
        };
        let outage = matches!(wanted, Err(FetchError::Timeout | FetchError::Broken));
        match (result, wanted) {
            (Ok(answer), Ok(status)) => assert_eq!(answer.status.as_u16(), status, "{name}"),
            (Err(error), Err(wanted)) => {
                assert_eq!(error, CallError::Fetch(wanted), "{name}");
                assert_eq!(error.is_outage(), outage, "{name}");
            }
            (result, wanted) => panic!("{name}: {result:?} instead of {wanted:?}"),
        }
    }
    server.kill().await;
    let error = fixture.introspect(&client).await.unwrap_err();
    assert!(matches!(error, CallError::Fetch(FetchError::Connect(_))) && error.is_outage(), "{error:?}");
    server.revive().await;
    server.set(json(&json!({ "active": true })));
    assert_eq!(status(&fixture.introspect(&client).await), 200);
    assert_eq!(fixture.provider.status().in_flight, 0);
    assert_eq!(server.count(), outages().len() + 1, "no attempt more than was asked for");
}

#[tokio::test]
async fn row_178_a_redirect_is_not_followed_and_takes_no_credentials_elsewhere() {
    let elsewhere = Server::start(json(&json!({ "active": true }))).await;
    let server = Server::start(Answer::HangUp).await;
    let fixture = Fixture::new(spec(&server));
    let client = fixture.basic();
    for code in [301, 302, 303, 307, 308] {
        for place in [elsewhere.url("/introspect"), "/introspect".to_owned(), "//evil.example/".to_owned()] {
            server.set(Answer::Bytes(http(code, &[&format!("Location: {place}")], "")));
            assert_eq!(status(&fixture.introspect(&client).await), code);
        }
    }
    assert_eq!((server.count(), elsewhere.connections()), (15, 0));
}

#[tokio::test]
async fn row_193_nothing_larger_than_the_limit_is_read_and_the_limit_itself_is() {
    let server = Server::start(Answer::HangUp).await;
    let fixture = Fixture::new(spec(&server));
    let client = fixture.basic();
    let chunked = |bytes: usize| {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".to_vec();
        for _ in 0..bytes {
            answer.extend(b"1\r\nx\r\n");
        }
        answer.extend(b"0\r\n\r\n");
        Answer::Bytes(answer)
    };
    for (answer, fits) in [
        (Answer::Bytes(http(200, &[], vec![b'x'; 1000])), true),
        (Answer::Bytes(http(200, &[], vec![b'x'; 1001])), false),
        (chunked(1000), true),
        (chunked(1001), false),
    ] {
        server.set(answer);
        match fixture.token(&client).await {
            Ok(answer) if fits => assert_eq!(answer.body.len(), 1000),
            Err(error) if !fits => assert_eq!(error, CallError::Fetch(FetchError::TooLarge(1000))),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn introspection_is_tried_again_and_tokens_are_not() {
    let server = Server::start(Answer::HangUp).await;
    let mut spec = spec(&server);
    spec.retries = 2;
    let fixture = Fixture::new(spec);
    let client = fixture.basic();
    for (answer, attempts) in [
        (Answer::HangUp, 3),
        (Answer::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), 3),
        (status_json(502, &json!({})), 3),
        (status_json(503, &json!({})), 3),
        (status_json(504, &json!({})), 3),
        (status_json(500, &json!({})), 1),
        (status_json(429, &json!({})), 1),
        (status_json(400, &json!({})), 1),
        (status_json(401, &json!({})), 1),
        (status_json(302, &json!({})), 1),
        (json(&json!({ "active": false })), 1),
        (Answer::Bytes(http(200, &[], vec![b'x'; 2000])), 1),
    ] {
        server.set(answer.clone());
        let before = server.count();
        let _ = fixture.introspect(&client).await;
        assert_eq!(server.count() - before, attempts, "{answer:?}");
        let before = server.count();
        let _ = fixture.token(&client).await;
        assert_eq!(server.count() - before, 1, "{answer:?}");
    }
    // One event for a call, however many attempts.
    assert_eq!(fixture.events.outcomes("introspection").len(), 12);
}

#[tokio::test]
async fn a_second_attempt_that_succeeds_is_a_success() {
    let server = Server::start(Answer::HangUp).await;
    let mut spec = spec(&server);
    spec.retries = 1;
    let fixture = Fixture::new(spec);
    let client = fixture.basic();
    let first = std::sync::atomic::AtomicBool::new(true);
    server.set(Answer::Ask(std::sync::Arc::new(move |_| {
        if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            Answer::HangUp
        } else {
            json(&json!({ "active": true }))
        }
    })));
    assert_eq!(status(&fixture.introspect(&client).await), 200);
    assert_eq!(server.count(), 2);
    assert_eq!(fixture.events.outcomes("introspection"), ["Answered"]);
    assert!(fixture.provider.status().last_success.is_some());
}

#[tokio::test]
async fn all_attempts_together_end_within_twice_the_timeout() {
    let server = Server::start(Answer::Stall(Vec::new())).await;
    let mut spec = spec(&server);
    spec.timeout = Duration::from_millis(200);
    spec.retries = 5;
    let fixture = Fixture::new(spec);
    let began = Instant::now();
    let error = fixture.introspect(&fixture.basic()).await.unwrap_err();
    assert_eq!(error, CallError::Fetch(FetchError::Timeout));
    let took = began.elapsed();
    assert!((Duration::from_millis(200)..Duration::from_secs(2)).contains(&took), "{took:?}");
    assert!((1..=3).contains(&server.count()), "{}", server.count());
}

#[tokio::test]
async fn who_finds_no_place_is_told_so_and_places_are_free_again() {
    let (open, gate) = watch::channel(false);
    let ok = http(200, &["Content-Type: application/json"], r#"{"active":true}"#);
    let server = Server::start(Answer::When(gate, ok)).await;
    let mut spec = spec(&server);
    spec.max_in_flight = 2;
    spec.timeout = Duration::from_secs(1);
    let fixture = Fixture::new(spec);
    let client = fixture.basic();
    let mut first = Box::pin(fixture.introspect(&client));
    let mut second = Box::pin(fixture.introspect(&client));
    tokio::select! {
        _ = &mut first => panic!("answered"),
        _ = &mut second => panic!("answered"),
        () = server.saw(2) => {}
    }
    assert_eq!(fixture.provider.status().in_flight, 2);
    let error = fixture.introspect(&client).await.unwrap_err();
    assert_eq!(error, CallError::Busy);
    assert!(error.is_outage());
    assert_eq!(server.count(), 2);
    assert!(fixture.provider.status().last_error.is_none());

    // Who gives up frees a place at once.
    drop(first);
    assert_eq!(fixture.provider.status().in_flight, 1);
    open.send_replace(true);
    assert_eq!(status(&second.await), 200);
    assert_eq!(fixture.provider.status().in_flight, 0);
    let many = join_all((0..20).map(|_| fixture.introspect(&client))).await;
    assert!(many.iter().all(Result::is_ok), "they wait for each other");
    assert_eq!(fixture.events.outcomes("introspection").len(), 22, "one that was dropped is not counted");
    let calls: Vec<_> = fixture.events.all().into_iter().filter(|event| event.contains("InFlight")).collect();
    assert!(calls.last().unwrap().ends_with("calls: 0 }"), "{calls:?}");
    assert!(!calls.iter().any(|event| event.contains("calls: 3")), "{calls:?}");
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::start(kept_json(&json!({ "active": true }))).await;
    let fixture = Fixture::new(spec(&server));
    let client = fixture.basic();
    for _ in 0..20 {
        assert_eq!(status(&fixture.introspect(&client).await), 200);
        assert_eq!(status(&fixture.token(&client).await), 200);
    }
    assert_eq!((server.count(), server.connections()), (40, 1));
}

/// Row 176: our own credentials are wrong. That opens nothing and is there for the operator to see.
#[tokio::test]
async fn row_176_a_refused_client_is_seen_and_opens_nothing() {
    let server = Server::start(status_json(401, &json!({ "error": "invalid_client" }))).await;
    let mut spec = spec(&server);
    spec.breaker.failures = 1;
    let fixture = Fixture::new(spec);
    let client = fixture.basic();
    for _ in 0..3 {
        assert_eq!(status(&fixture.introspect(&client).await), 401);
    }
    let seen = fixture.provider.status();
    assert_eq!((seen.breaker, seen.last_success), (BreakerState::Closed, None));
    assert!(seen.last_error.unwrap().text.contains("client's credentials"));
    assert_eq!(fixture.events.outcomes("introspection"), ["Refused"; 3]);
    until("the recorder has seen the calls end", || fixture.events.count("InFlight") == 6).await;
}
