//! `tollgate doctor` against a scripted identity provider.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/http.rs"]
mod http;
mod support;
#[path = "cli_doctor/world.rs"]
mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use http::{Answer, Request, json as answer, status_json};
use serde_json::{Value, json};
use support::mint::Signer;
use world::{OPAQUE, POLICY, SECRET, World, of, token};

#[tokio::test]
async fn everything_in_order_is_tried_and_shown() {
    let world = World::new(|_| None).await;
    world.file("alice", &world.token(&json!({})));
    let (code, findings) = world.json(&["--subject-token", "alice"]).await;
    assert_eq!(code, 0, "{findings:#?}");
    let issuer = "issuer `shop`";
    assert_eq!(of(&findings, issuer, "/.well-known/openid-configuration (")["mark"], "ok");
    assert_eq!(of(&findings, issuer, "introspection endpoint http")["mark"], "ok");
    assert_eq!(of(&findings, issuer, "token endpoint http")["mark"], "ok");
    assert_eq!(of(&findings, issuer, "introspection (")["mark"], "ok");
    assert_eq!(of(&findings, issuer, "client `gate` by client_secret_basic")["mark"], "ok");

    let exchanged = of(&findings, "token `payments` (exchange)", "obtained (");
    for part in
        ["verified with the keys of issuer `shop`", "aud payments", "azp gate", "scope payments.charge", "expires in"]
    {
        assert!(exchanged["text"].as_str().unwrap().contains(part), "{exchanged}");
    }
    assert_eq!((&exchanged["mark"], &exchanged["claims"]["sub"]), (&json!("ok"), &json!("alice")));
    let own = of(&findings, "token `own` (client_credentials)", "obtained (");
    assert_eq!((&own["mark"], &own["claims"]["sub"]), (&json!("ok"), &json!("gate")));

    let text = world.doctor(&["--subject-token", "alice"], "").await;
    for part in ["\ntoken `payments` (exchange)\n", "\"azp\": \"gate\"", "0 faults, 0 warnings"] {
        assert!(text.out.contains(part), "{}", text.out);
    }
}

#[tokio::test]
async fn an_exchange_needs_a_subject_token_that_the_gate_takes() {
    let world = World::new(|_| None).await;
    let exchange = "token `payments` (exchange)";
    let (code, findings) = world.json(&[]).await;
    let skipped = of(&findings, exchange, "not tried");
    assert_eq!((code, &skipped["mark"]), (0, &json!("skipped")));
    assert!(skipped["remedy"].as_str().unwrap().contains("--subject-token"), "{skipped}");

    world.file("old", &world.token(&json!({ "exp": 1_000_000_000, "iat": 999_999_000 })));
    let (_, findings) = world.json(&["--subject-token", "old"]).await;
    let refused = of(&findings, exchange, "refuses the subject token");
    assert!(refused["text"].as_str().unwrap().contains("token_expired"), "{refused}");
    assert!(!world.server.requests().iter().any(|request| request.body.contains("subject_token=")));
}

#[tokio::test]
async fn a_given_token_is_judged_and_what_its_issuer_says_is_shown() {
    let world = World::new(|_| None).await;
    let ran = world.doctor(&["--json", "--token", "-"], &format!("Bearer {OPAQUE}\n")).await;
    let whole: Value = serde_json::from_str(&ran.out).unwrap();
    let findings = whole["findings"].as_array().unwrap();
    let about = of(findings, "the token of --token", "accepted: issuer `shop` says");
    assert_eq!((&about["claims"]["sub"], &about["claims"]["x"]), (&json!("alice"), &json!("(the token)")));

    let ran = world.doctor(&["--token", "-"], "another-opaque-token-0123456789").await;
    assert_eq!(ran.code, 0, "the token's fault is none of the configuration: {}", ran.out);
    assert!(ran.out.contains("WARNING  refused: token_inactive"), "{}", ran.out);
}

#[tokio::test]
async fn what_the_provider_refuses_comes_with_a_remedy() {
    type Case = (&'static str, u16, Value, &'static str, &'static str, &'static str);
    let cases: [Case; 6] = [
        (
            "/introspect",
            401,
            json!({"error":"invalid_request","error_description":"Authentication failed."}),
            "issuer `shop`",
            "status 401",
            "client.id",
        ),
        ("/introspect", 403, json!({}), "issuer `shop`", "status 403", "let this client introspect"),
        ("/introspect", 200, json!({"active":true}), "issuer `shop`", "is said to be active", "do not use it"),
        (
            "/token",
            401,
            json!({"error":"unauthorized_client","error_description":"Invalid client or Invalid client credentials"}),
            "token `own` (client_credentials)",
            "`unauthorized_client`",
            "client.id",
        ),
        (
            "/token",
            400,
            json!({"error":"invalid_scope","error_description":"Invalid scopes: \u{1b}[31mnope"}),
            "token `own` (client_credentials)",
            "nope",
            "assign them",
        ),
        (
            "/token",
            403,
            json!({"error":"access_denied","error_description":"Client is not within the token audience"}),
            "token `payments` (exchange)",
            "access_denied",
            "audience mapper",
        ),
    ];
    for (path, status, body, subject, text, remedy) in cases {
        let said = body.clone();
        let world = World::new(move |request| (request.path() == path).then(|| status_json(status, &said))).await;
        world.file("alice", &world.token(&json!({})));
        // The subject token passes: its issuer is asked about JWTs, and this provider is the one that refuses.
        let policy =
            fs::read_to_string(world.folder.path().join("policy.yaml")).unwrap().replace("jwts: true", "jwts: false");
        world.file("policy.yaml", &policy);
        let (code, findings) = world.json(&["--subject-token", "alice"]).await;
        assert_eq!(code, 1, "{path} {status}");
        let fault = of(&findings, subject, text);
        assert_eq!(fault["mark"], "fault");
        assert!(fault["remedy"].as_str().unwrap().contains(remedy), "{fault}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_a_fault() {
    for (name, outage) in http::outages() {
        if name.starts_with("hanging") && name != "hanging up" || name == "one byte at a time" {
            continue;
        }
        let world = World::new(move |request| (request.path() == "/introspect").then(|| outage.clone())).await;
        let (code, findings) = world.json(&[]).await;
        let fault = of(&findings, "issuer `shop`", "introspection (");
        assert_eq!((code, &fault["mark"]), (1, &json!("fault")), "{name}: {fault}");
        assert!(!fault["remedy"].as_str().unwrap().is_empty(), "{name}");
        // One that is left alone for a minute after its first failure tells nothing about the next call.
        assert_eq!(of(&findings, "token `own` (client_credentials)", "obtained (")["mark"], "ok", "{name}");
    }
}

#[tokio::test]
async fn a_provider_that_hangs_is_told_with_what_to_raise() {
    let policy = POLICY.replace("provider: {", "provider: { timeout: 200ms,");
    let hang = |request: &Request| (request.path() == "/introspect").then(|| Answer::Stall(Vec::new()));
    let world = World::with(&policy, Box::new(hang)).await;
    let (code, findings) = world.json(&[]).await;
    let fault = of(&findings, "issuer `shop`", "no complete answer in time");
    assert!(fault["remedy"].as_str().unwrap().contains("provider.timeout"), "{fault}");
    assert_eq!(code, 1);
}

#[tokio::test]
async fn nothing_that_a_provider_repeats_gives_a_token_or_secret_away() {
    let world = World::new(|request| {
        if !matches!(request.path(), "/introspect" | "/token") {
            return None;
        }
        let heard = format!("{} {}", request.header("authorization").unwrap_or_default(), request.body);
        let text = format!("\u{1b}[2J{SECRET} {OPAQUE} {heard} {}", request.field("subject_token").unwrap_or_default());
        Some(status_json(400, &json!({ "error": format!("x{SECRET}"), "error_description": text })))
    })
    .await;
    let policy =
        fs::read_to_string(world.folder.path().join("policy.yaml")).unwrap().replace("jwts: true", "jwts: false");
    world.file("policy.yaml", &policy);
    let alice = world.token(&json!({}));
    world.issued.lock().unwrap().push(alice.clone());
    world.file("alice", &alice);
    world.file("opaque", OPAQUE);
    for arguments in [
        &["--subject-token", "alice", "--token", "opaque"][..],
        &["--json", "--subject-token", "alice", "--token", "opaque"],
    ] {
        let ran = world.doctor(arguments, "").await;
        assert_eq!(ran.code, 1);
        let basic = {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(format!("gate:{SECRET}"))
        };
        assert!(!ran.out.contains(&basic), "{}", ran.out);
        assert!(ran.out.contains("(the secret)") && ran.out.contains("(the token)"), "{}", ran.out);
    }
}

#[tokio::test]
async fn tokens_that_the_gate_would_not_send_are_shown_by_their_claims() {
    let base = Arc::new(Mutex::new((String::new(), None::<Arc<Signer>>)));
    let minting = Arc::clone(&base);
    let world = World::new(move |request| {
        let (base, signer) = minting.lock().unwrap().clone();
        (request.path() == "/token" && request.field("subject_token").is_some()).then(|| {
            let token =
                token(signer.as_deref().unwrap(), &base, &json!({ "aud": "elsewhere", "scope": "payments.charge" }));
            answer(&json!({
                "access_token": token, "token_type": "Bearer", "expires_in": 300,
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            }))
        })
    })
    .await;
    *base.lock().unwrap() = (world.server.url(""), Some(Arc::clone(&world.signer)));
    world.file("alice", &world.token(&json!({})));
    let (code, findings) = world.json(&["--subject-token", "alice"]).await;
    let fault = of(&findings, "token `payments` (exchange)", "not meant for");
    assert_eq!((code, &fault["claims"]["aud"]), (1, &json!("elsewhere")));
    assert!(fault["remedy"].as_str().unwrap().contains("expect_audience"), "{fault}");
}

#[tokio::test]
async fn opaque_and_short_lived_tokens_are_warned_about() {
    let world = World::new(|request| {
        (request.path() == "/token")
            .then(|| answer(&json!({ "access_token": OPAQUE, "token_type": "bearer", "expires_in": 90 })))
    })
    .await;
    let (code, findings) = world.json(&[]).await;
    assert_eq!(code, 0);
    let own = "token `own` (client_credentials)";
    let bytes = format!("opaque, {} bytes", OPAQUE.len());
    assert_eq!(of(&findings, own, &bytes)["claims"], Value::Null);
    assert_eq!(of(&findings, own, "refresh.ahead")["mark"], "warning");
    assert_eq!(of(&findings, own, "neither answer nor token names any")["mark"], "warning");
}

#[tokio::test]
async fn issuers_without_keys_and_providers_of_tokens_are_looked_at() {
    let policy = POLICY
        .replace("keys: { discovery: true }\n    algorithms: [ES256]\n    tokens: both", "tokens: opaque")
        .replace("provider: { breaker", "provider: { discovery: true, breaker")
        .replace("introspection: { jwts: true,", "introspection: {")
        .replace(
            "client_credentials: { issuer: shop,",
            "client_credentials: { provider: { token_endpoint: BASE/token },",
        );
    let world = World::with(&policy, Box::new(|_| None)).await;
    let (code, findings) = world.json(&[]).await;
    assert_eq!(code, 0, "{findings:#?}");
    assert_eq!(of(&findings, "issuer `shop`", "no keys")["mark"], "ok");
    assert_eq!(of(&findings, "issuer `shop`", "introspection (")["mark"], "ok");
    let own = "token `own` (client_credentials)";
    assert_eq!(of(&findings, own, "token endpoint http")["mark"], "ok");
    assert_eq!(of(&findings, own, "not verified")["claims"]["sub"], "gate");
}

#[tokio::test]
async fn metadata_that_lead_elsewhere_are_a_fault_and_nothing_is_sent_there() {
    let world = World::new(|request| {
        request.path().ends_with("openid-configuration").then(|| {
            let base = format!("http://{}", request.header("host").unwrap());
            answer(&json!({
                "issuer": format!("{base}/shop"), "jwks_uri": format!("{base}/keys"),
                "introspection_endpoint": "https://elsewhere.example/introspect",
            }))
        })
    })
    .await;
    let (code, findings) = world.json(&[]).await;
    let fault = of(&findings, "issuer `shop`", "introspection endpoint: ");
    assert!(fault["text"].as_str().unwrap().contains("allowed_hosts"), "{fault}");
    assert!(of(&findings, "issuer `shop`", "token endpoint: ")["remedy"].as_str().unwrap().contains("token_endpoint"));
    let token = of(&findings, "token `own` (client_credentials)", "not tried");
    assert_eq!((code, &token["mark"]), (1, &json!("fault")));
}

#[tokio::test]
async fn files_that_others_can_read_are_warned_about() {
    let world = World::new(|_| None).await;
    fs::set_permissions(world.folder.path().join("secret"), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, findings) = world.json(&[]).await;
    assert_eq!(code, 0);
    assert_eq!(of(&findings, "issuer `shop`", "can be read by every user")["mark"], "warning");
}

#[tokio::test]
async fn a_token_in_the_wrong_place_is_not_repeated() {
    let world = World::new(|_| None).await;
    let jwt = world.token(&json!({}));
    world.issued.lock().unwrap().push(jwt.clone());
    for (arguments, code) in [
        (vec![&*jwt], 2),
        (vec!["--token", &jwt], 3),
        (vec!["--subject-token", OPAQUE], 3),
        (vec!["--token", "-", "--subject-token", "-"], 2),
        (vec!["--issuer", "nobody"], 2),
    ] {
        let ran = world.doctor(&arguments, "").await;
        assert_eq!((ran.code, ran.err.is_empty()), (code, false), "{}", ran.err);
    }
}
