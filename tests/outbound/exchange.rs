//! Who gets which token, how often the provider is asked, and what it is asked for.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;
use tollgate::core::reason::Reason;
use tollgate::outbound::Subject;

use crate::idp::{LIMIT, Reply};
use crate::world::{World, allowed, exchange, exchange_of, own, read, reason_of_denial};

#[tokio::test]
async fn a_callers_token_becomes_one_for_the_next_hop() {
    let world = World::new(&[("payments", exchange())]).await;
    let subject = world.subject();
    let answer = world.ask(0, Some(&subject)).await;
    let allowed = allowed(&answer);
    let new = allowed.bearer().expect("a token").expose();
    let claims = read(new);
    assert_eq!((&claims["aud"], &claims["sub"]), (&json!(["payments"]), &json!("alice")));
    assert_ne!(new, subject);
    assert_eq!(answer.reason, Reason::Allowed);
    assert_eq!(answer.principal.as_ref().unwrap().subject(), Some("alice"));

    let form = world.idp.last();
    assert!(form.head.starts_with("POST /token "), "{}", form.head);
    assert_eq!(form.one("grant_type"), Some("urn:ietf:params:oauth:grant-type:token-exchange"));
    assert_eq!(form.one("subject_token"), Some(&*subject));
    assert_eq!(form.one("subject_token_type"), Some("urn:ietf:params:oauth:token-type:access_token"));
    assert_eq!((form.one("audience"), form.one("scope")), (Some("payments"), Some("payments.call")));
    assert_eq!(form.pairs.len(), 5, "{form:?}");

    assert_eq!(world.allowed(0, Some(&subject)).await, new, "the second time it is there");
    assert_eq!(world.idp.count(), 1);
    assert_eq!(world.events.count("ExchangeCache { token: \"payments\", hit: true }"), 1);
    assert_eq!(world.events.count("ExchangeCache { token: \"payments\", hit: false }"), 1);
    assert_eq!(world.events.count("TokenObtained { token: \"payments\", obtained: true"), 1);
}

#[tokio::test]
async fn only_a_judged_token_is_exchanged() {
    let world = World::new(&[("payments", exchange())]).await;
    let other_audience = world.mint.token(&json!({ "aud": "stock" }));
    let forged = world.mint.forged(&json!({}));
    let expired = world.mint.token(&json!({ "exp": world.now().as_unix_seconds() - 60 }));
    for (bearer, reason) in [
        (None, Reason::MissingToken),
        (Some("rubbish"), Reason::TokenMalformed),
        (Some(&*other_audience), Reason::WrongAudience),
        (Some(&*forged), Reason::TokenSignature),
        (Some(&*expired), Reason::TokenExpired),
    ] {
        assert_eq!(world.denied(0, bearer).await, reason);
    }
    assert_eq!(world.idp.count(), 0);
}

/// A rule that does without a token has nothing to exchange where none is sent.
#[tokio::test]
async fn without_a_token_there_is_nothing_to_exchange() {
    let world = World::new(&[("payments", exchange())]).await;
    let snapshot = world.engine.snapshot();
    let error = snapshot.tokens()[0].obtain(None, world.now()).await.unwrap_err();
    assert_eq!(error.reason, Reason::MissingToken);
    assert_eq!(world.idp.count(), 0);
}

/// The provider's places are few; who finds none is told so, and no token goes on unexchanged.
#[tokio::test]
async fn a_flood_of_different_tokens_is_bounded_at_the_provider() {
    let world = World::with(&[("payments", exchange())], |setup| {
        let provider = setup.issuers[0].provider.as_mut().unwrap();
        (provider.max_in_flight, provider.timeout) = (4, Duration::from_secs(2));
    })
    .await;
    world.idp.set(|_| Reply::Hang);
    let subjects: Vec<String> = (0..100).map(|_| world.subject()).collect();
    let answers = join_all(subjects.iter().map(|subject| world.ask(0, Some(subject)))).await;
    for (answer, subject) in answers.iter().zip(&subjects) {
        assert_eq!(reason_of_denial(answer, Some(subject)), Reason::UpstreamTokenUnavailable);
    }
    assert_eq!(world.idp.count(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_requests_with_one_new_token_cost_one_exchange() {
    let world = Arc::new(World::new(&[("payments", exchange())]).await);
    let subject: Arc<str> = world.subject().into();
    let ask = |_| {
        let (world, subject) = (Arc::clone(&world), Arc::clone(&subject));
        tokio::spawn(async move { world.allowed(0, Some(&subject)).await })
    };
    let tokens = join_all((0..1000).map(ask)).await.into_iter().map(Result::unwrap).collect::<HashSet<_>>();
    assert_eq!(tokens.len(), 1);
    assert_eq!(world.idp.count(), 1);
}

#[tokio::test]
async fn two_destinations_get_two_tokens() {
    let world = World::new(&[("payments", exchange()), ("stock", exchange())]).await;
    let subject = world.subject();
    for _ in 0..3 {
        assert_eq!(read(&world.allowed(0, Some(&subject)).await)["aud"], json!(["payments"]));
        assert_eq!(read(&world.allowed(1, Some(&subject)).await)["aud"], json!(["stock"]));
    }
    assert_eq!(world.idp.count(), 2);
}

#[tokio::test]
async fn row_198_an_exchange_is_shared_by_what_is_alike_in_everything() {
    let world = World::with(&[("payments", exchange()), ("payments", exchange())], |setup| {
        // The same audience, by name and scope.
        setup.tokens[1].name = "payments-too".into();
        setup.tokens[1].scopes.push("payments.refund".into());
    })
    .await;
    let alice = world.subject();
    let bob = world.mint.token(&json!({ "sub": "bob" }));
    let later = world.mint.token(&json!({ "exp": world.now().as_unix_seconds() + 7200 }));
    let mut tokens = HashSet::new();
    for _ in 0..2 {
        for subject in [&alice, &bob, &later] {
            for token in [0, 1] {
                let new = world.allowed(token, Some(subject)).await;
                assert_eq!(read(&new)["sub"], read(subject)["sub"]);
                tokens.insert(new);
            }
        }
    }
    assert_eq!((tokens.len(), world.idp.count()), (6, 6));
}

#[tokio::test]
async fn row_199_an_exchanged_token_does_not_outlive_its_subject_token() {
    let world = World::new(&[("payments", exchange())]).await;
    let now = world.now();
    let subject = world.mint.token(&json!({ "exp": now.as_unix_seconds() + 100 }));
    let first = world.allowed(0, Some(&subject)).await;
    assert!(read(&first)["exp"].as_i64().unwrap() > now.as_unix_seconds() + 200);
    world.clock.advance(Duration::from_secs(88));
    assert_eq!(world.allowed(0, Some(&subject)).await, first);
    world.clock.advance(Duration::from_secs(3));
    // Less than the margin is left of the subject token: what came before is not given out any more.
    assert_ne!(world.allowed(0, Some(&subject)).await, first);
    assert_eq!(world.idp.count(), 2);
    // Nor is what comes now kept.
    let _ = world.allowed(0, Some(&subject)).await;
    assert_eq!(world.idp.count(), 3);
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.denied(0, Some(&subject)).await, Reason::TokenExpired);
    assert_eq!(world.idp.count(), 3);
}

#[tokio::test]
async fn an_exchanged_token_serves_no_longer_than_it_lives_or_is_told_to() {
    let world = World::new(&[("payments", exchange())]).await;
    let (subject, mint) = (world.subject(), Arc::clone(&world.mint));
    // By the answer sooner than by the token.
    world.idp.set(move |form| {
        let mut answer = mint.grant(form);
        answer["expires_in"] = 60.into();
        Reply::Json(200, answer)
    });
    let first = world.allowed(0, Some(&subject)).await;
    world.clock.advance(Duration::from_secs(48));
    assert_eq!(world.allowed(0, Some(&subject)).await, first);
    world.clock.advance(Duration::from_secs(3));
    assert_ne!(world.allowed(0, Some(&subject)).await, first);
    // A clock that was set back: what was kept in its future is not used.
    let before = world.idp.count();
    world.clock.set(world.now().saturating_sub(Duration::from_secs(20)));
    let _ = world.allowed(0, Some(&subject)).await;
    assert_eq!(world.idp.count(), before + 1);
}

#[tokio::test]
async fn without_any_expiry_an_exchanged_token_is_not_kept_and_with_the_tokens_own_it_is() {
    for (opaque, exchanges) in [(true, 2), (false, 1)] {
        let world = World::new(&[("payments", exchange())]).await;
        let (subject, mint) = (world.subject(), Arc::clone(&world.mint));
        world.idp.set(move |form| {
            let mut answer = mint.grant(form);
            answer.as_object_mut().unwrap().remove("expires_in");
            if opaque {
                answer["access_token"] = "opaque".into();
            }
            Reply::Json(200, answer)
        });
        let _ = world.allowed(0, Some(&subject)).await;
        let _ = world.allowed(0, Some(&subject)).await;
        assert_eq!(world.idp.count(), exchanges, "opaque: {opaque}");
    }
}

#[tokio::test]
async fn without_room_nothing_is_kept() {
    let world = World::with(&[("payments", exchange())], |setup| {
        exchange_of(&mut setup.tokens[0]).cache.max_bytes = 0;
    })
    .await;
    let subject = world.subject();
    let _ = world.allowed(0, Some(&subject)).await;
    let _ = world.allowed(0, Some(&subject)).await;
    assert_eq!(world.idp.count(), 2);
}

#[tokio::test]
async fn row_203_a_caller_chooses_neither_audience_nor_scope() {
    let world = World::new(&[("payments", exchange())]).await;
    let bearer = format!("Bearer {}", world.subject());
    let headers = [
        ("authorization", &*bearer),
        ("audience", "root"),
        ("x-audience", "root"),
        ("scope", "admin"),
        ("resource", "https://root.internal"),
        ("x-forwarded-host", "root.internal"),
        ("x-tollgate-token", "root"),
    ];
    let answer = world.ask_with(0, &headers, Instant::now() + LIMIT).await;
    assert!(allowed(&answer).bearer().is_some());
    let form = world.idp.last();
    assert_eq!(form.all("audience"), ["payments"]);
    assert_eq!((form.one("scope"), form.one("resource")), (Some("payments.call"), None));
    assert!(!format!("{form:?}").contains("root"), "{form:?}");
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_the_exchange_running() {
    let world = World::new(&[("payments", exchange())]).await;
    let (subject, mint) = (world.subject(), Arc::clone(&world.mint));
    let (open, gate) = watch::channel(false);
    world.idp.set(move |form| Reply::When(gate.clone(), Box::new(Reply::Json(200, mint.grant(form)))));
    let began = Instant::now();
    let answer = world.ask_by(0, Some(&subject), began + Duration::from_millis(300)).await;
    assert_eq!(reason_of_denial(&answer, Some(&subject)), Reason::UpstreamTokenUnavailable);
    assert!(began.elapsed() < Duration::from_secs(5));
    open.send_replace(true);
    crate::world::eventually("the exchange lands", async || world.events.count("TokenObtained") == 1).await;
    let _ = world.allowed(0, Some(&subject)).await;
    assert_eq!(world.idp.count(), 1);
}

#[tokio::test]
async fn what_the_caller_sent_as_credentials_does_not_travel() {
    let world = World::with(&[("payments", exchange()), ("own", own())], |setup| {
        let mut other = setup.issuers[0].clone();
        other.name = "passport".into();
        other.issuer = tollgate::authn::spec::IssuerClaim::Absent;
        other.credential = tollgate::authn::spec::CredentialSource::Header("x-access-token".into());
        other.provider = None;
        setup.issuers.push(other);
    })
    .await;
    let subject = world.subject();
    let bearer = format!("Bearer {subject}");
    for token in [0, 1] {
        let headers = [
            ("authorization", &*bearer),
            ("x-access-token", "forged"),
            ("X_Access_Token", "forged"),
            ("proxy-authorization", "Basic Zm9yZ2Vk"),
            ("Proxy_Authorization", "Basic Zm9yZ2Vk"),
            ("cookie", "session=of-the-caller"),
        ];
        let answer = world.ask_with(token, &headers, Instant::now() + LIMIT).await;
        let allowed = allowed(&answer);
        assert!(allowed.bearer().is_some_and(|new| new.expose() != subject));
        for name in ["x-access-token", "x_access_token", "proxy-authorization", "proxy_authorization", "cookie"] {
            assert!(allowed.remove().any(|removed| removed == name), "{name}: {allowed:?}");
        }
        assert!(!allowed.remove().any(|name| name == "authorization"), "Envoy removes last");
    }
}

/// Of a thousand requests at once, many looked at their clock before the exchange that they share had ended.
#[tokio::test]
async fn who_came_before_the_exchange_ended_finds_its_token_afterwards() {
    let world = World::new(&[("payments", exchange())]).await;
    let subject = world.subject();
    let before = world.now();
    world.clock.advance(Duration::from_millis(20));
    let answer = world.ask(0, Some(&subject)).await;
    let new = allowed(&answer).bearer().cloned().unwrap();
    let snapshot = world.engine.snapshot();
    let (issuer, principal) = (&snapshot.issuers()[0], answer.principal.as_ref().unwrap());
    let asking = Subject { token: &subject, expires_at: principal.expires_at(), issuer, principal };
    assert_eq!(snapshot.tokens()[0].obtain(Some(asking), before).await.unwrap(), new);
    assert_eq!(world.allowed(0, Some(&subject)).await, new.expose());
    assert_eq!(world.idp.count(), 1);
}

#[tokio::test]
async fn a_reload_keeps_what_is_unchanged() {
    let world = World::new(&[("payments", exchange()), ("own", own())]).await;
    let subject = world.subject();
    let (exchanged, own) = (world.allowed(0, Some(&subject)).await, world.allowed(1, None).await);
    world.engine.reload().await.unwrap();
    assert_eq!(world.allowed(0, Some(&subject)).await, exchanged);
    assert_eq!(world.allowed(1, None).await, own);
    assert_eq!(world.idp.count(), 2);

    // A changed spec is another token.
    world.setup.lock().unwrap().tokens[0].scopes = vec!["payments.refund".into()];
    world.engine.reload().await.unwrap();
    assert_ne!(world.allowed(0, Some(&subject)).await, exchanged);
    assert_eq!(world.allowed(1, None).await, own);

    // An issuer that is judged in another way: what was exchanged before is forgotten, and the own token serves on.
    world.setup.lock().unwrap().issuers[0].leeway = Duration::from_secs(31);
    let exchanged = world.allowed(0, Some(&subject)).await;
    world.engine.reload().await.unwrap();
    assert_eq!(world.allowed(1, None).await, own);
    assert_ne!(world.allowed(0, Some(&subject)).await, exchanged);
}

#[tokio::test]
async fn status_tells_what_is_there() {
    let world = World::new(&[("payments", exchange()), ("own", own())]).await;
    let _ = world.allowed(1, None).await;
    world.idp.set(|_| Reply::Json(400, json!({ "error": "invalid_scope" })));
    assert_eq!(world.denied(0, Some(&world.subject())).await, Reason::ExchangeScope);
    let tokens = world.engine.status().tokens;
    assert_eq!((&*tokens[0].name, tokens[0].kind, tokens[0].expires_at), ("payments", "exchange", None));
    let error = "exchange_scope: the token endpoint answers with status 400 and `invalid_scope`";
    assert_eq!(tokens[0].last_error.as_deref(), Some(error));
    assert_eq!((&*tokens[1].name, tokens[1].kind), ("own", "client_credentials"));
    assert!(tokens[1].expires_at.is_some_and(|at| at > world.now()));
    assert_eq!(tokens[1].last_error, None);
}
