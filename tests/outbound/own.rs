//! client_credentials: fetched once, refreshed ahead of need.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::watch;
use tollgate::authn::spec::IssuerClaim;
use tollgate::core::answer::Verdict;
use tollgate::core::reason::Reason;
use tollgate::core::rule::IssuerIndex;
use tollgate::outbound::spec::ProviderRef;

use crate::idp::Reply;
use crate::world::{World, eventually, own, read, token_spec};

#[tokio::test]
async fn the_gates_own_token_is_fetched_once_and_attached() {
    let world = World::new(&[("stock", own())]).await;
    let token = world.allowed(0, None).await;
    assert_eq!(read(&token)["aud"], json!(["stock"]));
    for _ in 0..20 {
        assert_eq!(world.allowed(0, None).await, token);
    }
    assert_eq!(world.idp.count(), 1);
    let form = world.idp.last();
    assert_eq!(form.one("grant_type"), Some("client_credentials"));
    assert_eq!((form.one("audience"), form.one("scope")), (Some("stock"), Some("stock.call")));
    assert_eq!(form.pairs.len(), 3, "{form:?}");
    assert!(form.head.to_ascii_lowercase().contains("authorization: basic "), "{}", form.head);
}

#[tokio::test]
async fn it_is_fetched_at_start_without_any_request() {
    let world = World::new(&[("stock", own())]).await;
    world.idp.saw(1).await;
    eventually("the token is there", async || world.engine.status().tokens[0].expires_at.is_some()).await;
    let _ = world.allowed(0, None).await;
    assert_eq!(world.idp.count(), 1);
}

/// Row 201: many requests that find none cost one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn row_201_a_thousand_requests_without_a_token_cost_one() {
    let world = Arc::new(World::new(&[("stock", own())]).await);
    let ask = |_| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.allowed(0, None).await })
    };
    let tokens = join_all((0..1000).map(ask)).await.into_iter().map(Result::unwrap).collect::<HashSet<_>>();
    assert_eq!((tokens.len(), world.idp.count()), (1, 1));
}

/// Row 201: the next token is fetched before the current one ends, by one flight, and nobody waits for it.
#[tokio::test]
async fn row_201_it_is_refreshed_ahead_and_nobody_waits() {
    let world = World::new(&[("stock", own())]).await;
    let first = world.allowed(0, None).await;
    let (open, gate) = watch::channel(false);
    let mint = Arc::clone(&world.mint);
    world.idp.set(move |form| Reply::When(gate.clone(), Box::new(Reply::Json(200, mint.grant(form)))));
    // It lives 299 s or a little more, and is refreshed between 72 s and 60 s before its end.
    world.clock.advance(Duration::from_secs(225));
    for _ in 0..20 {
        assert_eq!(world.allowed(0, None).await, first);
    }
    assert_eq!(world.idp.count(), 1, "not due");
    world.clock.advance(Duration::from_secs(16));
    eventually("the next one is asked for", async || {
        assert_eq!(world.allowed(0, None).await, first, "the current one serves meanwhile");
        world.idp.count() == 2
    })
    .await;
    for _ in 0..20 {
        assert_eq!(world.allowed(0, None).await, first);
    }
    open.send_replace(true);
    eventually("the next one serves", async || world.allowed(0, None).await != first).await;
    assert_eq!(world.idp.count(), 2);
}

/// Row 201: a failing refresh leaves the current token in service until it ends, and is not repeated without pause.
#[tokio::test]
async fn row_201_a_failing_refresh_backs_off_while_the_current_token_serves() {
    let world = World::new(&[("stock", own())]).await;
    let first = world.allowed(0, None).await;
    world.idp.set(|_| Reply::Json(500, json!({})));
    world.clock.advance(Duration::from_secs(250));
    let began = tokio::time::Instant::now();
    eventually("two attempts", async || {
        assert_eq!(world.allowed(0, None).await, first);
        world.idp.count() >= 3
    })
    .await;
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
    // Within its last seconds it is not sent any more.
    world.clock.advance(Duration::from_secs(41));
    assert_eq!(world.denied(0, None).await, Reason::UpstreamTokenUnavailable);
    // The reason is known: nobody waits for another attempt.
    let before = world.idp.count();
    let asked = tokio::time::Instant::now();
    for _ in 0..200 {
        assert_eq!(world.denied(0, None).await, Reason::UpstreamTokenUnavailable);
    }
    let attempts = world.idp.count() - before;
    assert!(attempts <= 2 + 2 * usize::try_from(asked.elapsed().as_secs()).unwrap(), "{attempts}");
    let mint = Arc::clone(&world.mint);
    world.idp.set(move |form| Reply::Json(200, mint.grant(form)));
    eventually("it recovers", async || world.ask(0, None).await.reason.allows()).await;
}

/// Row 201: tokens that become due together are not fetched together.
#[tokio::test]
async fn row_201_many_tokens_at_start_are_spread() {
    const TOKENS: usize = 40;
    let began = tokio::time::Instant::now();
    let times = Arc::new(std::sync::Mutex::new(Vec::new()));
    let world = World::with(&[("stock", own())], |setup| setup.tokens.clear()).await;
    let (seen, mint) = (Arc::clone(&times), Arc::clone(&world.mint));
    world.idp.set(move |form| {
        seen.lock().unwrap().push(began.elapsed());
        Reply::Json(200, mint.grant(form))
    });
    let specs = (0..TOKENS).map(|number| token_spec(&format!("t{number}"), own(), world.secret_file())).collect();
    world.setup.lock().unwrap().tokens = specs;
    world.engine.reload().await.unwrap();
    world.idp.saw(TOKENS).await;
    let times = times.lock().unwrap();
    let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    // Forty of them within 250 ms by chance: all within the first half has a chance of 1 in 2^39.
    assert!(*last - *first > Duration::from_millis(60), "{first:?} to {last:?}");
    assert_eq!(times.len(), TOKENS);
}

#[tokio::test]
async fn a_changed_secret_brings_a_new_token_while_the_old_one_serves() {
    let world = World::new(&[("stock", own())]).await;
    let first = world.allowed(0, None).await;
    let rejected = Arc::new(AtomicUsize::new(0));
    let (mint, count) = (Arc::clone(&world.mint), Arc::clone(&rejected));
    // `orders:new-secret`
    world.idp.set(move |form| {
        if form.head.contains("b3JkZXJzOm5ldy1zZWNyZXQ=") {
            Reply::Json(200, mint.grant(form))
        } else {
            count.fetch_add(1, Ordering::SeqCst);
            Reply::Json(401, json!({ "error": "invalid_client" }))
        }
    });
    let write = |secret: &str| {
        let aside = world.files.path().join("secret.new");
        std::fs::write(&aside, secret).unwrap();
        std::fs::rename(&aside, world.secret_file()).unwrap();
    };
    write("a typo");
    eventually("the wrong secret is tried", async || {
        assert_eq!(world.allowed(0, None).await, first, "the old token serves meanwhile");
        rejected.load(Ordering::SeqCst) >= 1
    })
    .await;
    assert_eq!(world.allowed(0, None).await, first);
    write("new-secret");
    eventually("a new token serves", async || world.allowed(0, None).await != first).await;
}

#[tokio::test]
async fn an_exchange_uses_a_changed_secret_at_once() {
    let world = World::new(&[("payments", crate::world::exchange())]).await;
    std::fs::write(world.secret_file(), "new-secret").unwrap();
    let _ = world.allowed(0, Some(&world.subject())).await;
    assert!(world.idp.last().head.contains("b3JkZXJzOm5ldy1zZWNyZXQ="));
}

#[tokio::test]
async fn what_the_client_is_refused_is_the_operators_fault() {
    for (status, code) in [(400, "invalid_scope"), (403, "access_denied"), (401, "invalid_client")] {
        let world = World::with(&[("stock", own())], |_| {}).await;
        world.idp.set(move |_| Reply::Json(status, json!({ "error": code })));
        eventually("the first token, where one came, is forgotten", async || {
            world.clock.advance(Duration::from_secs(300));
            let answer = world.ask(0, None).await;
            answer.reason == Reason::UpstreamTokenRefused
        })
        .await;
    }
}

#[tokio::test]
async fn a_token_without_expiry_is_renewed_from_time_to_time() {
    let world = World::new(&[("stock", own())]).await;
    world.idp.set(|_| Reply::Json(200, json!({ "access_token": "opaque-1", "token_type": "bearer" })));
    world.clock.advance(Duration::from_secs(400));
    // A token that was under way meanwhile came too late.
    let token = async || match world.ask(0, None).await.verdict {
        Verdict::Allow(allowed) => allowed.bearer().map(|token| token.expose().to_owned()),
        Verdict::Deny(_) => None,
    };
    eventually("one without expiry", async || token().await.as_deref() == Some("opaque-1")).await;
    world.idp.set(|_| Reply::Json(200, json!({ "access_token": "opaque-2", "token_type": "bearer" })));
    world.clock.advance(Duration::from_secs(230));
    let before = world.idp.count();
    for _ in 0..20 {
        assert_eq!(world.allowed(0, None).await, "opaque-1");
    }
    assert_eq!(world.idp.count(), before);
    world.clock.advance(Duration::from_secs(75));
    eventually("it is renewed", async || world.allowed(0, None).await == "opaque-2").await;
}

/// Specs count issuers by their places; a place says nothing about who gave the token.
#[tokio::test]
async fn a_token_serves_on_when_another_issuer_comes_before_its_own() {
    let world = World::new(&[("stock", own())]).await;
    let token = world.allowed(0, None).await;
    {
        let mut setup = world.setup.lock().unwrap();
        let mut other = setup.issuers[0].clone();
        (other.name, other.provider) = ("other".into(), None);
        other.issuer = IssuerClaim::Exact("https://other.example".into());
        setup.issuers.insert(0, other);
        setup.tokens[0].provider = ProviderRef::Issuer(IssuerIndex(1));
    }
    world.idp.set(|_| Reply::Json(500, json!({})));
    world.engine.reload().await.unwrap();
    assert_eq!(world.allowed(0, None).await, token);
    assert_eq!(world.idp.count(), 1);
}

#[tokio::test]
async fn a_token_that_is_dropped_is_not_refreshed_any_more() {
    let world = World::new(&[("stock", own())]).await;
    let _ = world.allowed(0, None).await;
    world.setup.lock().unwrap().tokens.clear();
    let source = Arc::downgrade(&world.engine.snapshot().tokens()[0]);
    world.engine.reload().await.unwrap();
    eventually("it is gone", async || source.upgrade().is_none()).await;
    let before = world.idp.count();
    world.clock.advance(Duration::from_secs(3600));
    // Another token's life goes on for a while.
    world.setup.lock().unwrap().tokens.push(token_spec("other", own(), world.secret_file()));
    world.engine.reload().await.unwrap();
    let _ = world.allowed(0, None).await;
    assert_eq!(world.idp.count(), before + 1);
    assert_eq!(world.idp.last().one("audience"), Some("other"));
}
