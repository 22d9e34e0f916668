//! Garbage in masses: it costs the issuer little, and those who are known nothing.

use futures_util::future::join_all;
use serde_json::json;
use tollgate::core::reason::Reason;

use crate::fixture::{Gate, Idp, Named, TOKEN, active, claims, opaque};
use crate::http::{Answer, http};

#[tokio::test]
async fn row_171_a_flood_of_bad_tokens_displaces_nothing() {
    let idp = Idp::start().await;
    idp.says(TOKEN, active(&json!({})));
    let introspection = "unknown: { per_second: 100000, burst: 100000, max_in_flight: 512 }";
    let issuer = "tokens: opaque\ncache: { max_bytes: 64KiB }";
    let provider = "max_in_flight: 1024";
    let gate = Gate::start(&[Named { introspection, issuer, provider, ..Named::new(&idp) }]).await;
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    for start in (0..2_000).step_by(100) {
        let tokens: Vec<String> = (start..start + 100).map(opaque).collect();
        for reason in join_all(tokens.iter().map(|token| gate.ask(token))).await {
            assert!(matches!(reason, Reason::TokenInactive | Reason::IntrospectionUnavailable), "{reason}");
        }
        assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    }
    let asked = idp.server.requests();
    let count = asked.iter().filter(|request| request.field("token").as_deref() == Some(TOKEN)).count();
    assert_eq!(count, 1, "it was in the cache all the time");
}

#[tokio::test]
async fn row_172_a_flood_of_unknown_tokens_has_a_budget_and_known_ones_need_none() {
    let idp = Idp::start().await;
    idp.says(TOKEN, active(&json!({})));
    let introspection = "unknown: { per_second: 1, burst: 10, max_in_flight: 100 }, cache: { active: 10s }";
    let gate = Gate::start(&[Named { introspection, ..Named::new(&idp) }]).await;
    let began = std::time::Instant::now();
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    let tokens: Vec<String> = (0..1_000).map(opaque).collect();
    let reasons = join_all(tokens.iter().map(|token| gate.ask(token))).await;
    let limited = reasons.iter().filter(|reason| **reason == Reason::IntrospectionLimited).count();
    let refused = reasons.iter().filter(|reason| **reason == Reason::TokenInactive).count();
    assert_eq!(limited + refused, 1_000, "{reasons:?}");
    let earned = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    assert!(idp.asked() <= 10 + earned, "{} calls", idp.asked());
    assert_eq!(gate.events.count("limited"), limited);
    assert_eq!(Reason::IntrospectionLimited.http_status(), 503);
    // Known, from the cache and beyond it.
    for _ in 0..3 {
        assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
        gate.advance(11);
        assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    }
}

#[tokio::test]
async fn row_172_unknown_tokens_take_up_few_places() {
    flood("unknown: { per_second: 1000, burst: 1000, max_in_flight: 3 }", "", 3).await;
}

/// However few places the provider has, and however many the budget would allow.
#[tokio::test]
async fn row_172_unknown_tokens_leave_places_for_known_ones() {
    flood("unknown: { per_second: 1000, burst: 1000, max_in_flight: 16 }", "max_in_flight: 4", 2).await;
}

/// Twenty unknown tokens at once, of which so many may be asked about, while a known one has to be asked about again.
async fn flood(budget: &str, provider: &str, places: usize) {
    let idp = Idp::start().await;
    let (open, gate_open) = tokio::sync::watch::channel(false);
    idp.says(TOKEN, active(&json!({})));
    let introspection = &format!("{budget}, cache: {{ active: 10s }}");
    let gate = Gate::start(&[Named { introspection, provider, ..Named::new(&idp) }]).await;
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    gate.advance(10);
    let body = active(&json!({})).to_string();
    idp.server.set(Answer::When(gate_open, http(200, &["Content-Type: application/json"], body)));
    let tokens: Vec<String> = (0..20).map(opaque).collect();
    let flood = join_all(tokens.iter().map(|token| gate.ask(token)));
    let known = async {
        // The one before, and the unknown ones that may be; then the known one.
        idp.server.saw(1 + places).await;
        tokio::join!(gate.ask(TOKEN), async {
            idp.server.saw(2 + places).await;
            open.send(true).unwrap();
        })
    };
    let (flood, (known, ())) = tokio::join!(flood, known);
    assert_eq!(known, Reason::Allowed);
    assert_eq!(flood.iter().filter(|reason| **reason == Reason::IntrospectionLimited).count(), 20 - places);
    assert_eq!(idp.asked(), 2 + places);
}

/// Whoever holds the issuer's key may sign as much as it likes; whoever does not gets no further than its signature.
#[tokio::test]
async fn row_172_verified_jwts_need_no_budget_and_others_are_never_shown() {
    let idp = Idp::start().await;
    let issuer = "tokens: both\nkeys: { jwks_file: jwks.json }\nalgorithms: [ES256]";
    let introspection = "jwts: true, unknown: { per_second: 1, burst: 1, max_in_flight: 1 }";
    let gate = Gate::start(&[Named { issuer, introspection, ..Named::new(&idp) }]).await;
    for number in 0..50 {
        let jwt = gate.jwt(&claims(&json!({ "jti": number.to_string() })));
        idp.says(&jwt, active(&json!({})));
        assert_eq!(gate.ask(&jwt).await, Reason::Allowed);
    }
    assert_eq!(idp.asked(), 50);
    let forger = crate::support::mint::Signer::es256();
    for number in 0..50 {
        let forged = forger.sign(&forger.header("k1"), &claims(&json!({ "jti": number.to_string() })));
        idp.says(&forged, active(&json!({})));
        assert_eq!(gate.ask(&forged).await, Reason::TokenSignature);
    }
    assert_eq!(idp.asked(), 50);
}

#[tokio::test]
async fn what_no_issuer_could_have_issued_costs_nothing() {
    let idp = Idp::start().await;
    let introspection = "opaque: { min_bytes: 20, max_bytes: 60, prefix: tok_, alphabet: alphanumeric }, unknown: { per_second: 1, burst: 1 }";
    let gate = Gate::start(&[Named { introspection, ..Named::new(&idp) }]).await;
    let long = format!("tok_{}", "a".repeat(57));
    for token in [
        "tok_short",
        &long,
        "tokxaaaaaaaaaaaaaaaaaaaa",
        "TOK_aaaaaaaaaaaaaaaaaaaa",
        "tok_aaaaaaaaaaaaaaaa-aaa",
        "tok_aaaaaaaaaaaaaaaaaaa=",
        "a.b.c",
    ] {
        for _ in 0..5 {
            assert_eq!(gate.ask(token).await, Reason::TokenMalformed, "{token}");
        }
    }
    assert_eq!(gate.ask(&"a".repeat(9_000)).await, Reason::TokenTooLarge);
    assert_eq!(idp.asked(), 0);
    assert_eq!(gate.ask("tok_aaaaaaaaaaaaaaaaaaaa").await, Reason::TokenInactive, "the budget is untouched");
}
