//! An issuer that cannot be asked: what is served all the same, and for how long.

use std::time::{Duration, Instant};

use serde_json::json;
use tollgate::core::reason::Reason;

use crate::fixture::{Gate, Idp, NOW, Named, OTHER, TOKEN, active, claims, inactive, until};
use crate::http::{Answer, outages};
use crate::wait::eventually;

const STALE: &str = "tokens: opaque\noutage: { stale_introspection: 60s }";
const SHORT: &str = "cache: { active: 10s, inactive: 1s }";

/// An issuer that called `TOKEN` active, 10 seconds ago: its word is over.
async fn aged<'i>(idp: &'i Idp, named: Named<'i>) -> Gate {
    idp.says(TOKEN, active(&json!({})));
    let gate = Gate::start(&[Named { introspection: SHORT, ..named }]).await;
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    gate.advance(10);
    gate
}

#[tokio::test]
async fn by_default_nothing_is_served_stale() {
    let idp = Idp::start().await;
    let gate = aged(&idp, Named::new(&idp)).await;
    idp.server.kill().await;
    assert_eq!(gate.ask(TOKEN).await, Reason::IntrospectionUnavailable);
    idp.server.revive().await;
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
}

/// Transport faults and 5xx let an older answer serve; an issuer that is there and talks nonsense does not.
#[tokio::test]
async fn stale_answers_serve_in_an_outage_alone() {
    let idp = Idp::start().await;
    let outage = [
        "hanging",
        "hanging after its headers",
        "500",
        "503",
        "half a body",
        "one byte at a time",
        "not http",
        "hanging up",
    ];
    let nonsense = [
        "429",
        "html",
        "50 MB declared",
        "endless chunks",
        "endless without length",
        "wrong content type",
        "redirect",
        "gzip",
    ];
    let named = || Named { issuer: STALE, provider: "timeout: 3s", ..Named::new(&idp) };
    for (name, answer) in outages() {
        idp.mend();
        let gate = aged(&idp, named()).await;
        idp.server.set(answer);
        let want = if outage.contains(&name) { Reason::Allowed } else { Reason::IntrospectionUnavailable };
        assert_eq!(gate.ask(TOKEN).await, want, "{name}");
        assert!(outage.contains(&name) != nonsense.contains(&name), "{name}: which is it?");
        assert_eq!(gate.ask(OTHER).await, Reason::IntrospectionUnavailable, "{name}: it was never called active");
        assert_eq!(gate.events.count("stale"), usize::from(outage.contains(&name)), "{name}");
    }
    idp.mend();
    let gate = aged(&idp, named()).await;
    idp.server.set(crate::http::status_json(401, &json!({ "error": "invalid_client" })));
    assert_eq!(gate.ask(TOKEN).await, Reason::IntrospectionRefused);
    idp.server.kill().await;
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed, "killed");
    idp.server.revive().await;
    idp.mend();
    idp.says(TOKEN, inactive());
    assert_eq!(gate.ask(TOKEN).await, Reason::TokenInactive, "back");
}

#[tokio::test]
async fn a_stale_answer_serves_for_as_long_as_configured_and_within_exp() {
    let idp = Idp::start().await;
    let gate = aged(&idp, Named { issuer: STALE, ..Named::new(&idp) }).await;
    idp.says(OTHER, active(&json!({ "exp": NOW + 30 })));
    assert_eq!(gate.ask(OTHER).await, Reason::Allowed);
    idp.server.kill().await;
    for (now, token, other) in [
        (29, Reason::Allowed, Reason::Allowed),
        (30, Reason::Allowed, Reason::IntrospectionUnavailable),
        (69, Reason::Allowed, Reason::IntrospectionUnavailable),
        (70, Reason::IntrospectionUnavailable, Reason::IntrospectionUnavailable),
    ] {
        gate.clock.set(tollgate::clock::Timestamp::from_unix_seconds(NOW + now));
        assert_eq!((gate.ask(TOKEN).await, gate.ask(OTHER).await), (token, other), "{now}");
    }
}

#[tokio::test]
async fn no_stale_answer_serves_after_one_that_was_not_active() {
    let idp = Idp::start().await;
    let gate = aged(&idp, Named { issuer: STALE, ..Named::new(&idp) }).await;
    idp.says(TOKEN, inactive());
    assert_eq!(gate.ask(TOKEN).await, Reason::TokenInactive);
    gate.advance(1);
    idp.server.kill().await;
    assert_eq!(gate.ask(TOKEN).await, Reason::IntrospectionUnavailable);
    // Nor after one that speaks against it otherwise.
    idp.server.revive().await;
    idp.says(TOKEN, active(&json!({})));
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    gate.advance(10);
    idp.says(TOKEN, active(&json!({ "iss": "https://other.example" })));
    assert_eq!(gate.ask(TOKEN).await, Reason::UnknownIssuer);
    gate.advance(1);
    idp.server.kill().await;
    assert_eq!(gate.ask(TOKEN).await, Reason::IntrospectionUnavailable);
}

#[tokio::test]
async fn an_open_breaker_lets_stale_answers_serve_without_a_call() {
    let idp = Idp::start().await;
    let provider = "breaker: { failures: 2, open: 1m }";
    let gate = aged(&idp, Named { issuer: STALE, provider, ..Named::new(&idp) }).await;
    idp.server.set(Answer::HangUp);
    for _ in 0..10 {
        assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
        assert_eq!(gate.ask(OTHER).await, Reason::IntrospectionUnavailable);
    }
    assert_eq!(idp.asked(), 3, "the first, and two that failed");
}

/// An issuer that says that it is asked too often is there, also once it is left alone for that.
#[tokio::test]
async fn row_177_a_breaker_that_429_opened_lets_no_stale_answer_serve() {
    let idp = Idp::start().await;
    let provider = "breaker: { failures: 2, open: 1m }";
    let gate = aged(&idp, Named { issuer: STALE, provider, ..Named::new(&idp) }).await;
    idp.server.set(crate::http::status_json(429, &json!({})));
    for _ in 0..10 {
        assert_eq!(gate.ask(TOKEN).await, Reason::IntrospectionUnavailable);
    }
    assert_eq!(idp.asked(), 3, "the first, and two that failed");
    assert_eq!(gate.events.count("stale"), 0);
}

/// `active: false` is an answer, however often it is given.
#[tokio::test]
async fn tokens_that_are_not_active_open_no_breaker() {
    let idp = Idp::start().await;
    idp.says(TOKEN, active(&json!({})));
    let gate = Gate::start(&[Named { provider: "breaker: { failures: 1, open: 1m }", ..Named::new(&idp) }]).await;
    for number in 0..50 {
        assert_eq!(gate.ask(&crate::fixture::opaque(number)).await, Reason::TokenInactive);
    }
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
}

/// An issuer that hangs costs the first request its patience. Once that is known, older answers serve within it.
#[tokio::test]
async fn an_issuer_that_hangs_is_found_out_once() {
    let idp = Idp::start().await;
    let gate = aged(&idp, Named { issuer: STALE, provider: "timeout: 2s", ..Named::new(&idp) }).await;
    idp.server.set(Answer::Stall(Vec::new()));
    // Less than the call has, and so much that a busy machine keeps to it.
    let ask = || gate.ask_within(Duration::from_millis(1500), TOKEN);
    assert_eq!(ask().await, Reason::IntrospectionUnavailable, "it may be slow, for all that is known");
    until("the call ends", || gate.events.count("failed") == 1).await;
    for _ in 0..3 {
        let began = Instant::now();
        assert_eq!(ask().await, Reason::Allowed);
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    idp.says(TOKEN, inactive());
    idp.mend();
    eventually("it is believed as soon as it talks", async || ask().await == Reason::TokenInactive).await;
}

/// A JWT is good by itself, and still not without a word from its issuer, where that is asked for.
#[tokio::test]
async fn jwts_that_are_to_be_introspected_wait_for_their_issuer() {
    let idp = Idp::start().await;
    let issuer = "keys: { jwks_file: jwks.json }\nalgorithms: [ES256]\noutage: { stale_introspection: 60s }";
    let introspection = "jwts: true, cache: { active: 10s }";
    let gate = Gate::start(&[Named { issuer, introspection, ..Named::jwts(&idp) }]).await;
    let (known, new) = (gate.jwt(&claims(&json!({}))), gate.jwt(&claims(&json!({ "jti": "new" }))));
    idp.says(&known, active(&json!({})));
    assert_eq!(gate.ask(&known).await, Reason::Allowed);
    idp.server.kill().await;
    gate.advance(10);
    assert_eq!(gate.ask(&known).await, Reason::Allowed);
    assert_eq!(gate.ask(&new).await, Reason::IntrospectionUnavailable);
    gate.advance(600);
    assert_eq!(gate.ask(&known).await, Reason::IntrospectionUnavailable);
}

#[tokio::test]
async fn a_cold_start_without_the_issuer_refuses_its_tokens_until_it_is_there() {
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named::new(&idp)]).await;
    idp.server.kill().await;
    assert!(matches!(gate.engine.readiness(), tollgate::engine::Readiness::Ready), "opaque tokens need no keys");
    assert_eq!(gate.ask(TOKEN).await, Reason::IntrospectionUnavailable);
    idp.server.revive().await;
    idp.says(TOKEN, active(&json!({})));
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
}
