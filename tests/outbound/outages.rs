//! A provider that is down, slow, or lying: 503, in time, and never the caller's own token.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use tollgate::core::reason::Reason;
use tollgate::engine::Engine;

use crate::idp::{Idp, Reply, http};
use crate::world::{World, eventually, exchange, own, reason_of_denial};

/// Makes an endpoint fail.
type Begin = Box<dyn Fn(&Idp)>;

/// Every way in which an endpoint that can be reached fails; the answer's token would do.
fn faults(world: &World) -> Vec<(&'static str, Begin)> {
    let body = |mint: &crate::world::Mint, form: &crate::idp::Form| mint.grant(form).to_string();
    let fault = |make: fn(String) -> Reply| {
        let mint = Arc::clone(&world.mint);
        Box::new(move |idp: &Idp| {
            let mint = Arc::clone(&mint);
            idp.set(move |form| make(body(&mint, form)));
        }) as Begin
    };
    const JSON: &[&str] = &["Content-Type: application/json"];
    vec![
        ("500", fault(|body| Reply::Bytes(http(500, JSON, body)))),
        ("503", fault(|body| Reply::Bytes(http(503, JSON, body)))),
        ("429", fault(|body| Reply::Bytes(http(429, JSON, body)))),
        ("HTML", fault(|_| Reply::Bytes(http(200, &["Content-Type: text/html"], "<h1>It works!</h1>")))),
        ("HTML that calls itself JSON", fault(|_| Reply::Bytes(http(200, JSON, "<h1>It works!</h1>")))),
        ("wrong content type", fault(|body| Reply::Bytes(http(200, &["Content-Type: text/plain"], body)))),
        ("no content type", fault(|body| Reply::Bytes(http(200, &[], body)))),
        (
            "half a body",
            fault(|body| {
                let whole = http(200, JSON, body);
                Reply::Bytes(whole[..whole.len() - 40].to_vec())
            }),
        ),
        (
            "huge",
            fault(|_| {
                Reply::Endless(
                    http(200, &["Transfer-Encoding: chunked", JSON[0]], "")
                        .strip_prefix(b"HTTP/1.1 200 X\r\nContent-Length: 0\r\n")
                        .map(|rest| {
                            let mut head = b"HTTP/1.1 200 X\r\n".to_vec();
                            head.extend_from_slice(rest);
                            head
                        })
                        .unwrap(),
                    [b"4000\r\n".as_slice(), &[b' '; 0x4000], b"\r\n"].concat(),
                )
            }),
        ),
        (
            "50 MB by its own word",
            fault(|_| {
                Reply::Bytes(
                    b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: 52428800\r\n\r\n{".to_vec(),
                )
            }),
        ),
        ("redirect", fault(|body| Reply::Bytes(http(307, &["Location: http://127.0.0.1:1/token", JSON[0]], body)))),
        ("not HTTP", fault(|_| Reply::Bytes(b"220 mail.example ESMTP\r\n".to_vec()))),
        ("nothing", fault(|_| Reply::Bytes(Vec::new()))),
        (
            "duplicates",
            fault(|body| {
                let twice = body.replacen('{', "{\"access_token\":\"first\",", 1);
                Reply::Bytes(http(200, JSON, twice))
            }),
        ),
    ]
}

#[tokio::test]
async fn row_196_an_outage_is_a_503_and_never_the_callers_own_token() {
    let world = World::new(&[("payments", exchange())]).await;
    for (what, begin) in faults(&world) {
        begin(&world.idp);
        let (subject, before) = (world.subject(), world.idp.count());
        assert_eq!(world.denied(0, Some(&subject)).await, Reason::UpstreamTokenUnavailable, "{what}");
        assert_eq!(world.idp.count(), before + 1, "{what}: not tried again, and not elsewhere");
    }
}

#[tokio::test]
async fn row_196_a_killed_provider_is_a_503_until_it_comes_back() {
    let mut world = World::new(&[("payments", exchange()), ("own", own())]).await;
    let (exchanged, own) = (world.subject(), world.allowed(1, None).await);
    let kept = world.allowed(0, Some(&exchanged)).await;
    world.idp.kill().await;
    let subject = world.subject();
    assert_eq!(world.denied(0, Some(&subject)).await, Reason::UpstreamTokenUnavailable);
    assert_eq!(world.allowed(0, Some(&exchanged)).await, kept, "what was exchanged before serves");
    assert_eq!(world.allowed(1, None).await, own);
    world.idp.come_back().await;
    eventually("the provider is asked again", async || world.ask(0, Some(&subject)).await.reason == Reason::Allowed)
        .await;
}

#[tokio::test]
async fn row_196_a_provider_that_hangs_costs_a_call_its_deadline_and_no_more() {
    let world = World::new(&[("payments", exchange()), ("own", own())]).await;
    world.idp.set(|_| Reply::Hang);
    for token in [0, 1] {
        let (subject, began) = (world.subject(), Instant::now());
        let answer = world.ask_by(token, Some(&subject), began + Duration::from_millis(200)).await;
        let took = began.elapsed();
        if token == 1 && answer.reason.allows() {
            // Fetched before the provider began to hang.
            continue;
        }
        assert_eq!(reason_of_denial(&answer, Some(&subject)), Reason::UpstreamTokenUnavailable);
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

#[tokio::test]
async fn a_cold_start_without_the_provider_denies_and_recovers() {
    let mut world = World::new(&[("own", own())]).await;
    world.idp.kill().await;
    // A new engine of the same configuration, that never had a token.
    let setup = world.setup.lock().unwrap().clone();
    world.setup.lock().unwrap().tokens[0].client.id = "another".into();
    assert_eq!(setup.tokens.len(), 1);
    world.engine.reload().await.unwrap();
    let engine: &Arc<Engine> = &world.engine;
    let began = Instant::now();
    assert_eq!(world.denied(0, None).await, Reason::UpstreamTokenUnavailable);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(engine.status().tokens[0].last_error.is_some());
    world.idp.come_back().await;
    eventually("it recovers", async || world.ask(0, None).await.reason.allows()).await;
    assert_eq!(world.engine.status().tokens[0].last_error, None);
}

#[tokio::test]
async fn the_breaker_spares_a_provider_that_fails() {
    let world = World::with(&[("payments", exchange())], |setup| {
        let breaker = &mut setup.issuers[0].provider.as_mut().unwrap().breaker;
        (breaker.failures, breaker.open_for) = (3, Duration::from_secs(3600));
    })
    .await;
    world.idp.set(|_| Reply::Json(500, json!({})));
    for _ in 0..20 {
        assert_eq!(world.denied(0, Some(&world.subject())).await, Reason::UpstreamTokenUnavailable);
    }
    assert_eq!(world.idp.count(), 3);
}
