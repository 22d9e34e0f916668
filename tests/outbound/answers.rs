//! What a provider may answer, and what becomes of the request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tollgate::authn::spec::{IntrospectionSpec, IssuerClaim, KeySource, OpaqueAlphabet, OpaqueFilter, UnknownBudget};
use tollgate::core::reason::Reason;
use tollgate::outbound::Subject;

use crate::idp::{Form, Reply};
use crate::world::{Mint, World, exchange, own, read};

fn error(status: u16, code: &str) -> Reply {
    Reply::Json(status, json!({ "error": code, "error_description": "nobody needs to know" }))
}

/// Row 195: each error answer has its reason, and none is tried again.
#[tokio::test]
async fn row_195_error_answers_have_their_reasons_and_are_not_retried() {
    let world = World::new(&[("payments", exchange())]).await;
    for (status, code, reason) in [
        (403, "access_denied", Reason::ExchangeDenied),
        (400, "invalid_target", Reason::ExchangeTarget),
        (400, "invalid_scope", Reason::ExchangeScope),
        (401, "invalid_client", Reason::UpstreamTokenRefused),
        (401, "unauthorized_client", Reason::UpstreamTokenRefused),
        (400, "invalid_request", Reason::UpstreamTokenUnavailable),
        (400, "invalid_grant", Reason::UpstreamTokenUnavailable),
        (500, "access_denied", Reason::UpstreamTokenUnavailable),
    ] {
        let before = world.idp.count();
        world.idp.set(move |_| error(status, code));
        let subject = world.subject();
        assert_eq!(world.denied(0, Some(&subject)).await, reason, "{status} {code}");
        assert_eq!(world.idp.count(), before + 1, "{status} {code}");
    }
    for (reason, status) in [
        (Reason::ExchangeDenied, 403),
        (Reason::ExchangeTarget, 403),
        (Reason::ExchangeScope, 403),
        (Reason::UpstreamTokenRefused, 503),
        (Reason::UpstreamTokenUnavailable, 503),
    ] {
        assert_eq!(reason.http_status(), status);
    }
}

/// Row 195: where the subject token has ended meanwhile, that is the answer: 401.
#[tokio::test]
async fn row_195_a_subject_token_that_ended_is_what_the_answer_names() {
    for (status, code) in
        [(400, "invalid_request"), (400, "invalid_grant"), (403, "access_denied"), (400, "invalid_scope")]
    {
        let world = World::new(&[("payments", exchange())]).await;
        let subject = world.mint.token(&json!({ "exp": world.now().as_unix_seconds() + 5 }));
        let clock = Arc::clone(&world.clock);
        world.idp.set(move |_| {
            clock.advance(Duration::from_secs(60));
            error(status, code)
        });
        assert_eq!(world.denied(0, Some(&subject)).await, Reason::TokenExpired, "{status} {code}");
        assert_eq!(world.idp.count(), 1);
    }
}

/// Row 195: where its issuer says that the subject token is no longer good, that is the answer: 401.
#[tokio::test]
async fn row_195_a_subject_token_that_was_revoked_is_what_the_answer_names() {
    for (revoked, reason) in [(true, Reason::TokenInactive), (false, Reason::UpstreamTokenUnavailable)] {
        let world = World::with(&[("payments", exchange())], |setup| {
            let client = setup.tokens[0].client.clone();
            let issuer = &mut setup.issuers[0];
            let provider = issuer.provider.as_mut().unwrap();
            let endpoint = provider.token_endpoint.as_ref().unwrap().join("/introspect").unwrap();
            provider.introspection_endpoint = Some(endpoint);
            issuer.introspection = Some(IntrospectionSpec {
                jwts: true,
                client,
                active_for: Duration::from_secs(30),
                inactive_for: Duration::from_secs(5),
                filter: OpaqueFilter {
                    min_bytes: 16,
                    max_bytes: 1024,
                    prefix: "".into(),
                    alphabet: OpaqueAlphabet::Token68,
                },
                unknown: UnknownBudget { per_second: 50, burst: 100, max_in_flight: 16 },
                stale_for: Duration::ZERO,
            });
        })
        .await;
        let exchanged = Arc::new(AtomicBool::new(false));
        world.idp.set(move |form| {
            if form.head.starts_with("POST /introspect ") {
                let active = !(revoked && exchanged.load(Ordering::SeqCst));
                return Reply::Json(200, json!({ "active": active }));
            }
            exchanged.store(true, Ordering::SeqCst);
            // What Keycloak says of a user who has logged out.
            error(400, "invalid_request")
        });
        let subject = world.subject();
        assert_eq!(world.denied(0, Some(&subject)).await, reason, "revoked: {revoked}");
        let paths: Vec<bool> = world.idp.seen().iter().map(|form| form.head.starts_with("POST /token ")).collect();
        assert_eq!(paths, [false, true, false], "introspected, exchanged, introspected anew");
    }
}

#[tokio::test]
async fn a_denied_exchange_is_remembered_for_a_moment_and_for_its_caller_only() {
    let world = World::new(&[("payments", exchange())]).await;
    world.idp.set(|_| error(403, "access_denied"));
    let (alice, bob) = (world.subject(), world.mint.token(&json!({ "sub": "bob" })));
    let began = tokio::time::Instant::now();
    for _ in 0..50 {
        assert_eq!(world.denied(0, Some(&alice)).await, Reason::ExchangeDenied);
    }
    let moments = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    assert!(world.idp.count() <= moments, "{} in {moments} s", world.idp.count());
    let mint = Arc::clone(&world.mint);
    world.idp.set(move |form| Reply::Json(200, mint.grant(form)));
    let _ = world.allowed(0, Some(&bob)).await;
    crate::world::eventually("the refusal is forgotten", async || {
        world.ask(0, Some(&alice)).await.reason == Reason::Allowed
    })
    .await;
}

type Change = fn(&Mint, &Form, &mut Value);

/// Row 197: a token that cannot be used as it was asked for is none.
#[tokio::test]
async fn row_197_unusable_answers_are_refused() {
    let changes: [(&str, Change, Reason); 9] = [
        ("N_A", |_, _, answer| answer["token_type"] = "N_A".into(), Reason::UpstreamTokenUnavailable),
        ("no token", |_, _, answer| answer["access_token"] = Value::Null, Reason::UpstreamTokenUnavailable),
        ("no issued type", |_, _, answer| answer["issued_token_type"] = Value::Null, Reason::UpstreamTokenUnavailable),
        ("expires in 0", |_, _, answer| answer["expires_in"] = 0.into(), Reason::UpstreamTokenUnavailable),
        ("expires in -1", |_, _, answer| answer["expires_in"] = (-1).into(), Reason::UpstreamTokenUnavailable),
        ("expires in \"300\"", |_, _, answer| answer["expires_in"] = "300".into(), Reason::UpstreamTokenUnavailable),
        ("expires in 1e99", |_, _, answer| answer["expires_in"] = 1e99.into(), Reason::UpstreamTokenUnavailable),
        ("wider", |_, _, answer| answer["scope"] = "payments.call admin".into(), Reason::UpstreamTokenUnavailable),
        ("narrower", |_, _, answer| answer["scope"] = "profile".into(), Reason::ExchangeScope),
    ];
    for (what, change, reason) in changes {
        let world = World::new(&[("payments", exchange())]).await;
        let mint = Arc::clone(&world.mint);
        world.idp.set(move |form| {
            let mut answer = mint.grant(form);
            change(&mint, form, &mut answer);
            Reply::Json(200, answer)
        });
        assert_eq!(world.denied(0, Some(&world.subject())).await, reason, "{what}");
    }
}

type Claims = fn(&Mint, &Form, Value) -> String;

fn with(mint: &Mint, mut claims: Value, name: &str, value: Value) -> String {
    claims[name] = value;
    mint.token(&claims)
}

/// Row 197: a new JWT of an issuer that the gate knows is judged by that issuer's keys and rules.
#[tokio::test]
async fn row_197_a_new_jwt_is_verified() {
    let bad: [(&str, Claims); 14] = [
        ("another audience", |mint, _, claims| with(mint, claims, "aud", json!(["stock"]))),
        ("no audience", |mint, _, claims| with(mint, claims, "aud", Value::Null)),
        ("expired", |mint, _, claims| with(mint, claims, "exp", json!(1_600_000_000))),
        ("no expiry", |mint, _, claims| with(mint, claims, "exp", Value::Null)),
        ("not yet", |mint, _, claims| with(mint, claims, "nbf", json!(9_000_000_000_u64))),
        ("an ID token", |mint, _, claims| with(mint, claims, "typ", json!("ID"))),
        ("another user", |mint, _, claims| with(mint, claims, "sub", json!("mallory"))),
        ("more scopes", |mint, _, claims| with(mint, claims, "scope", json!("payments.call admin"))),
        ("every scope", |mint, _, claims| with(mint, claims, "scope", json!("payments.call everything"))),
        ("fewer scopes", |mint, _, claims| with(mint, claims, "scope", json!("profile"))),
        ("bound", |mint, _, claims| with(mint, claims, "cnf", json!({ "x5t#S256": "A".repeat(43) }))),
        ("forged", |mint, _, claims| mint.forged(&claims)),
        ("the subject token", |_, form, _| form.one("subject_token").unwrap().to_owned()),
        ("cut", |mint, _, claims| {
            let token = mint.token(&claims);
            format!("{}.{}.x", token.split('.').next().unwrap(), "AAAA")
        }),
    ];
    for (what, make) in bad {
        let world = World::new(&[("payments", exchange())]).await;
        let mint = Arc::clone(&world.mint);
        world.idp.set(move |form| {
            let mut answer = mint.grant(form);
            answer["access_token"] = make(&mint, form, mint.grant_claims(form)).into();
            Reply::Json(200, answer)
        });
        let subject = world.subject();
        assert_eq!(world.denied(0, Some(&subject)).await, Reason::UpstreamTokenUnavailable, "{what}");
        let error = world.engine.status().tokens[0].last_error.clone().unwrap();
        assert!(!error.contains(&subject) && !error.contains("eyJ"), "{error}");
    }
}

/// What the gate does not know it does not judge, beyond what any bearer token must be.
#[tokio::test]
async fn tokens_of_unknown_issuers_and_opaque_ones_are_taken_as_they_are() {
    let world = World::new(&[("payments", exchange())]).await;
    let good: [(&str, Claims); 3] = [
        ("opaque", |_, _, _| "PhYl63zTNmZ1PNeEj5Kq5tAxmTvQTyz_pGQ7UR4k1Cc".to_owned()),
        ("another issuer", |mint, _, mut claims| {
            claims["aud"] = json!("elsewhere");
            with(mint, claims, "iss", json!("https://other.example"))
        }),
        ("three parts that are no JWT", |_, _, _| "a.b.c".to_owned()),
    ];
    for (what, make) in good {
        let (mint, subject) = (Arc::clone(&world.mint), world.subject());
        world.idp.set(move |form| {
            let mut answer = mint.grant(form);
            answer["access_token"] = make(&mint, form, mint.grant_claims(form)).into();
            Reply::Json(200, answer)
        });
        assert!(!world.allowed(0, Some(&subject)).await.is_empty(), "{what}");
    }
    let mint = Arc::clone(&world.mint);
    world.idp.set(move |form| {
        let mut answer = mint.grant(form);
        let claims = json!({ "iss": "https://other.example", "cnf": { "jkt": "x" } });
        answer["access_token"] = mint.token(&claims).into();
        Reply::Json(200, answer)
    });
    assert_eq!(world.denied(0, Some(&world.subject())).await, Reason::UpstreamTokenUnavailable);
}

#[tokio::test]
async fn an_unchecked_audience_is_not_checked_and_tolerated_scopes_are_tolerated() {
    let world = World::with(&[("payments", exchange())], |setup| setup.tokens[0].expect_audience = None).await;
    let mint = Arc::clone(&world.mint);
    world.idp.set(move |form| {
        let mut claims = mint.grant_claims(form);
        claims["aud"] = json!("elsewhere");
        claims["scope"] = json!("payments.call profile");
        let mut answer = mint.grant(form);
        answer["access_token"] = mint.token(&claims).into();
        answer["scope"] = json!("profile payments.call");
        Reply::Json(200, answer)
    });
    assert_eq!(read(&world.allowed(0, Some(&world.subject())).await)["aud"], json!("elsewhere"));
}

/// Passport tokens name no issuer: the one that was asked is meant.
#[tokio::test]
async fn a_new_jwt_without_issuer_is_the_asked_issuers() {
    for (forged, reason) in [(false, Reason::Allowed), (true, Reason::UpstreamTokenUnavailable)] {
        let world =
            World::with(&[("payments", exchange())], |setup| setup.issuers[0].issuer = IssuerClaim::Absent).await;
        let mint = Arc::clone(&world.mint);
        world.idp.set(move |form| {
            let mut claims = mint.grant_claims(form);
            claims["iss"] = Value::Null;
            let mut answer = mint.grant(form);
            answer["access_token"] = if forged { mint.forged(&claims) } else { mint.token(&claims) }.into();
            Reply::Json(200, answer)
        });
        let subject = world.mint.token(&json!({ "iss": null }));
        assert_eq!(world.ask(0, Some(&subject)).await.reason, reason, "forged: {forged}");
    }
}

/// An issuer of opaque tokens has no keys to verify anything with.
#[tokio::test]
async fn an_issuer_without_keys_verifies_nothing() {
    let world = World::with(&[("own", own())], |setup| setup.issuers[0].keys = KeySource::None).await;
    assert_eq!(read(&world.allowed(0, None).await)["sub"], json!("service-account"));
}

/// Row 200: a token that was handed on too often is not handed on once more.
#[tokio::test]
async fn row_200_a_chain_of_actors_has_an_end() {
    let world = World::new(&[("payments", exchange())]).await;
    let chain = |length: usize| {
        (0..length).fold(Value::Null, |act, actor| {
            let mut next = json!({ "sub": format!("actor-{actor}") });
            if !act.is_null() {
                next["act"] = act;
            }
            next
        })
    };
    let longest = world.mint.token(&json!({ "act": chain(tollgate::outbound::MAX_ACTORS) }));
    let _ = world.allowed(0, Some(&longest)).await;
    assert_eq!(world.idp.count(), 1);
    let longer = world.mint.token(&json!({ "act": chain(tollgate::outbound::MAX_ACTORS + 1) }));
    assert_eq!(world.denied(0, Some(&longer)).await, Reason::ActorChain);
    assert_eq!(world.idp.count(), 1);
}

#[tokio::test]
async fn a_trial_tells_the_claims_and_keeps_nothing() {
    let world = World::new(&[("payments", exchange()), ("own", own())]).await;
    let _ = world.allowed(1, None).await;
    let (snapshot, subject, before) = (world.engine.snapshot(), world.subject(), world.idp.count());
    let issuer = &snapshot.issuers()[0];
    let principal = world.ask(0, Some(&subject)).await.principal.unwrap();
    let expires_at = principal.expires_at();
    let subject = Subject { token: &subject, expires_at, issuer, principal: &principal };
    let tried = snapshot.tokens()[0].try_out(Some(subject)).await.unwrap();
    assert_eq!(tried.claims.as_ref().unwrap()["aud"], json!(["payments"]));
    assert_eq!(tried.header.as_ref().unwrap()["alg"], json!("ES256"));
    assert_eq!(tried.verified_by.as_deref(), Some("shop"));
    assert!(tried.expires_at.is_some());
    let own = snapshot.tokens()[1].try_out(None).await.unwrap();
    assert_eq!(own.claims.as_ref().unwrap()["sub"], json!("service-account"));
    assert_eq!(snapshot.tokens()[0].try_out(None).await.unwrap_err().error.reason, Reason::MissingToken);
    assert_eq!(world.idp.count(), before + 3);
    let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
    for form in world.idp.seen() {
        if let Some(token) = form.one("subject_token") {
            assert!(!format!("{tried:?}{subject:?}").contains(&signature(token)));
        }
    }
}
