//! Tokens of three kinds of system: Passport's, machine-to-machine, and those meant for somebody else.

use serde_json::json;
use tollgate::clock::{Clock, SystemClock};
use tollgate::demo::issuer::{CLIENTS, Client};
use tollgate::demo::passport::Passport;

use crate::support::{Stage, eventually, get};

/// Passport (S1): no `iss`, no `kid`, `aud` is the client, scopes in an array, `*`, fractional times; and a PEM file
/// that is replaced while the gate runs.
#[tokio::test]
async fn passport_tokens_verify_with_the_shared_file_and_follow_its_replacement() {
    let stage = Stage::new().await;
    let now = SystemClock.now();
    let old = stage.passport.token("5", &["doctors:read"], now, 600).unwrap();
    let seen = stage.allowed(get("/doctors/api/some-data").bearer(&old)).await;
    assert_eq!(seen.header("x-service-name").as_deref(), Some("5"));
    assert_eq!(seen.header("x-service-scopes").as_deref(), Some("doctors:read"));
    assert_eq!(seen.header("authorization"), None, "the rule removes the token");

    let wildcard = stage.passport.token("7", &["*"], now, 600).unwrap();
    let seen = stage.allowed(get("/doctors/api/some-data").bearer(&wildcard)).await;
    assert_eq!(seen.header("x-service-name").as_deref(), Some("7"));
    assert!(!seen.header("x-service-scopes").unwrap_or_default().contains('*'), "{seen:?}");

    let other = stage.passport.token("5", &["patients:read"], now, 600).unwrap();
    stage.denied(get("/doctors/api/some-data").bearer(&other), 403, "insufficient_scope").await;
    let expired = stage.passport.token("5", &["*"], now, -120).unwrap();
    stage.denied(get("/doctors/api/some-data").bearer(&expired), 401, "token_expired").await;
    let forger = Passport::new().unwrap().token("5", &["*"], now, 600).unwrap();
    stage.denied(get("/doctors/api/some-data").bearer(&forger), 401, "token_signature").await;

    // Rotation: the file is replaced, nothing else.
    let next = Passport::new().unwrap();
    next.write_public_key(&stage.files.public_key).unwrap();
    let new = next.token("5", &["doctors:read"], now, 600).unwrap();
    eventually("the new key is in service", async || {
        let call = get("/doctors/api/some-data").bearer(&new);
        call.send(stage.envoy.address()).await.unwrap().status == 200
    })
    .await;
    // The old token was in the cache of validated tokens; it went with its key.
    stage.denied(get("/doctors/api/some-data").bearer(&old), 401, "token_signature").await;
}

/// Machine-to-machine (S3): tokens from the token endpoint, keys from discovery and JWKS, RSA and elliptic.
#[tokio::test]
async fn machine_tokens_verify_with_the_key_set_and_carry_identity() {
    let stage = Stage::new().await;
    let client = &CLIENTS[0];
    let token = from_token_endpoint(&stage, client).await;
    let seen = stage.allowed(get("/any/thing").bearer(&token)).await;
    assert_eq!(seen.header("x-service-name").as_deref(), Some("order-service"));
    assert_eq!(seen.header("x-service-scopes").as_deref(), Some("read:orders write:orders write:payments"));
    assert_eq!(seen.header("x-subject").as_deref(), Some("demo-orders"));
    let elliptic = stage.issuer.sign_es256(&stage.issuer.claims(client)).unwrap();
    stage.allowed(get("/any/thing").bearer(&elliptic)).await;

    let missing = stage.denied(get("/any/thing"), 401, "missing_token").await;
    let challenge = missing.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer realm=") && !challenge.contains("error"), "{challenge}");
    let mut claims = stage.claims();
    claims["exp"] = json!(SystemClock.now().as_unix_seconds() - 120);
    let expired = stage.issuer.sign(&claims).unwrap();
    let expired = stage.denied(get("/any/thing").bearer(&expired), 401, "token_expired").await;
    assert!(expired.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    let mut forged = stage.token(&["read:orders"]);
    forged.replace_range(forged.len() - 8.., "AAAAAAAA");
    stage.denied(get("/any/thing").bearer(&forged), 401, "token_signature").await;
    let stranger = Passport::new().unwrap().sign(&stage.claims()).unwrap();
    let reply = stage.ask(get("/any/thing").bearer(&stranger)).await;
    assert_eq!((reply.0.status.as_u16(), reply.1), (401, None));
}

#[tokio::test]
async fn scopes_are_wanted_any_or_all() {
    let stage = Stage::new().await;
    for (path, scopes, allowed) in [
        ("/any/x", &["read:orders"][..], true),
        ("/any/x", &["read:all", "other"], true),
        ("/any/x", &["write:orders"], false),
        ("/any/x", &["read:ordersx", "READ:ORDERS", "read"], false),
        ("/any/x", &[], false),
        ("/all/x", &["write:orders", "read:orders"], true),
        ("/all/x", &["read:orders"], false),
        ("/all/x", &["*"], false),
    ] {
        let call = get(path).bearer(&stage.token(scopes));
        if allowed {
            stage.allowed(call).await;
        } else {
            let reply = stage.denied(call, 403, "insufficient_scope").await;
            let challenge = reply.header("www-authenticate").unwrap();
            assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
            assert!(challenge.contains("scope=\"read:orders "), "{challenge}");
        }
    }
}

/// Tokens for another audience (S2), and a tenant's paths.
#[tokio::test]
async fn a_token_for_another_audience_or_tenant_is_refused() {
    let stage = Stage::new().await;
    let elsewhere = stage.issuer.token(&CLIENTS[2]).unwrap();
    let reply = stage.denied(get("/any/thing").bearer(&elsewhere), 401, "wrong_audience").await;
    assert!(reply.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    for (audience, status) in [
        (json!("shop"), 200),
        (json!(["other", "shop"]), 200),
        (json!(["shopping"]), 401),
        (json!("Shop"), 401),
        (json!([]), 401),
        (json!(null), 401),
    ] {
        let mut claims = stage.claims();
        claims["aud"] = audience.clone();
        let call = get("/any/thing").bearer(&stage.issuer.sign(&claims).unwrap());
        let (reply, seen) = stage.ask(call).await;
        assert_eq!(reply.status, status, "{audience}: {}", reply.text());
        assert_eq!(seen.is_some(), status == 200);
    }
    let token = stage.token(&["read:orders"]);
    stage.allowed(get("/orgs/acme/orders/1").bearer(&token)).await;
    stage.denied(get("/orgs/globex/orders/1").bearer(&token), 403, "claim_mismatch").await;
}

#[tokio::test]
async fn health_needs_no_token_and_a_broken_one_does_no_harm_there() {
    let stage = Stage::new().await;
    stage.allowed(get("/healthz")).await;
    let seen = stage.allowed(get("/healthz").bearer("rubbish")).await;
    assert_eq!(seen.header("authorization"), None, "an unverified credential does not reach the service");
    stage.denied(get("/healthz/x"), 403, "no_rule").await;
    // Where a token is optional, a broken one is still refused.
    assert_eq!(stage.allowed(get("/optional/x")).await.header("x-service-name"), None);
    let seen = stage.allowed(get("/optional/x").bearer(&stage.token(&[]))).await;
    assert_eq!(seen.header("x-service-name").as_deref(), Some("order-service"));
    stage.denied(get("/optional/x").bearer("rubbish"), 401, "token_malformed").await;
}

async fn from_token_endpoint(stage: &Stage, client: &Client) -> String {
    let answer = reqwest::Client::new()
        .post(stage.issuer.token_endpoint())
        .basic_auth(client.id, Some(client.secret))
        .form(&[("grant_type", "client_credentials")])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let answer: serde_json::Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}
