//! What clients see when a part is down, and what operators see in Envoy's log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::routing::get as route;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tollgate::demo::envoy::Shipped;
use tollgate::demo::issuer::CLIENTS;
use tollgate::demo::keys::SigningKey;

use crate::support::{Load, Stage, assert_denied, eventually, get};

/// Points 3 and 4, row 234: an identity provider that is down is the gate's decision, a 503 denial, and no failure that
/// `failure_mode_allow` could turn into a way in.
#[tokio::test]
async fn point_3_and_4_and_row_234_a_provider_that_is_down_is_a_503_denial_even_where_failures_are_let_through() {
    // A port that was free a moment ago, and is refused from then on.
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for failure_mode_allow in ["false", "true"] {
        let stage = Stage::with(
            Shipped::inbound(),
            |policy| {
                policy.replace("deadline: 8s", "deadline: 8s\n  first_keys: 50ms").replace(
                    "issuers:\n",
                    &format!("issuers:\n  down: {{ issuer: \"http://{nobody}/x\", keys: {{ discovery: true }} }}\n"),
                ).replace(
                    "  - name: admin",
                    "  - name: needs-down\n    match: { paths: [/down] }\n    require: { issuers: [down], audience: { any: [shop] } }\n  - name: admin",
                )
            },
            |config| {
                let setting = format!("failure_mode_allow: {failure_mode_allow}");
                config.replace("failure_mode_allow: false", &setting).unwrap()
            },
        )
        .await;
        let mut claims = stage.claims();
        claims["iss"] = json!(format!("http://{nobody}/x"));
        let token = stage.issuer.sign(&claims).unwrap();
        stage.denied(get("/down").bearer(&token), 503, "keys_unavailable").await;
        // The others go on.
        stage.allowed(get("/any/x").bearer(&stage.token(&["read:orders"]))).await;
    }
}

/// Point 3, the other half, and row 230: without a gate there is no way in, and the client learns that it is not at fault.
#[tokio::test]
async fn point_3_and_row_230_without_a_gate_envoy_answers_503() {
    let stage = Stage::new().await;
    let token = stage.token(&["read:orders"]);
    stage.allowed(get("/any/x").bearer(&token)).await;
    let Stage { gate, envoy, upstream, .. } = stage;
    gate.stop().await;
    for path in ["/any/x", "/healthz", "/public/x", "/nowhere"] {
        drop(upstream.take_seen());
        let reply = get(path).bearer(&token).send(envoy.address()).await.unwrap();
        assert_eq!(reply.status, 503, "{path}: {}", reply.text());
        assert_eq!(upstream.take_seen(), []);
    }
}

/// Point 5: the gate says so itself before Envoy loses patience.
#[tokio::test]
async fn point_5_the_gate_answers_before_envoys_timeout() {
    // A key set that is served once and then never again, though the connection stands.
    let hangs = Arc::new(AtomicBool::new(false));
    let key = SigningKey::es256(Some("known")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    let (jwks, switch) = (json!({ "keys": [key.jwk()] }), Arc::clone(&hangs));
    let answer = move || {
        let (jwks, switch) = (jwks.clone(), Arc::clone(&switch));
        async move {
            if switch.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            Json(jwks)
        }
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/jwks", route(answer))).await });

    let stage = Stage::with(
        Shipped::inbound(),
        |policy| {
            policy
                .replace("issuers:\n", &format!("issuers:\n  slow: {{ issuer: \"https://slow.example\", keys: {{ jwks: \"{url}\", timeout: 30s }}, algorithms: [ES256] }}\n"))
                .replace("  - name: admin", "  - name: slow\n    match: { paths: [/slow] }\n    require: { issuers: [slow], audience: { any: [shop] } }\n  - name: admin")
        },
        // The gate's own deadline is 8 s: it is Envoy's `grpc-timeout` that it has to meet.
        |config| config.replace(" timeout: 10s\n", " timeout: 2s\n").unwrap(),
    )
    .await;
    let mut claims = stage.issuer.claims(&CLIENTS[0]);
    claims["iss"] = json!("https://slow.example");
    stage.allowed(get("/slow").bearer(&key.sign(&claims).unwrap())).await;
    hangs.store(true, Ordering::SeqCst);
    let stranger = SigningKey::es256(Some("unknown")).unwrap().sign(&claims).unwrap();
    let asked = Instant::now();
    let call = get("/slow").bearer(&stranger);
    let (reply, seen) = stage.ask(call.clone()).await;
    // Envoy's own 503 would carry neither a reason nor a decision id.
    assert_denied(&call, &reply, 503, "keys_unavailable");
    assert_eq!(seen, None);
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
}

/// Point 13: decisions are described in dynamic metadata, denials too, and Envoy's access log shows them.
#[tokio::test]
async fn point_13_the_access_log_says_what_was_decided_and_why() {
    let stage = Stage::new().await;
    let token = stage.token(&["read:orders"]);
    stage.allowed(get("/any/x?secret=1").bearer(&token)).await;
    let refused = stage.denied(get("/any/x"), 401, "missing_token").await;
    stage.denied(get("/admin/x").bearer(&token), 403, "insufficient_scope").await;
    stage.denied(get("/nowhere"), 403, "no_rule").await;
    stage.allowed(get("/healthz")).await;

    let mut entries = Vec::new();
    for index in 0..5 {
        entries.push(stage.envoy.access_log_entry(index).await.unwrap());
    }
    for (entry, rule, reason, subject, status) in [
        (&entries[0], json!("any-scope"), "allowed", json!("demo-orders"), 200),
        (&entries[1], json!("any-scope"), "missing_token", Value::Null, 401),
        (&entries[2], json!("admin"), "insufficient_scope", json!("demo-orders"), 403),
        (&entries[3], Value::Null, "no_rule", Value::Null, 403),
        (&entries[4], json!("health"), "allowed_anonymous", Value::Null, 200),
    ] {
        assert_eq!(entry["tollgate"]["rule"], rule, "{entry}");
        assert_eq!(entry["tollgate"]["reason"], reason, "{entry}");
        assert_eq!(entry["tollgate"]["subject"], subject, "{entry}");
        assert_eq!(entry["tollgate"]["client"], subject, "{entry}");
        assert_eq!(entry["tollgate"]["issuer"], if subject.is_null() { Value::Null } else { json!("shop") }, "{entry}");
        assert_eq!(entry["status"], status, "{entry}");
        assert_eq!(entry["tollgate"]["decision_id"].as_str().unwrap().len(), 32, "{entry}");
        assert!(!entry.to_string().contains("secret") && !entry.to_string().contains(&token), "{entry}");
    }
    // What the client can quote is what the operator can find.
    assert_eq!(entries[1]["tollgate"]["decision_id"], refused.json()["decision_id"]);
}

/// Point 18: a decision's id is the gate's own, and not something that the client can choose.
#[tokio::test]
async fn point_18_decision_ids_are_not_the_clients_to_choose() {
    let stage = Stage::new().await;
    let mut ids = std::collections::HashSet::new();
    for _ in 0..3 {
        let call = get("/any/x").header("x-request-id", "0123456789abcdef0123456789abcdef");
        let reply = stage.denied(call, 401, "missing_token").await;
        let id = reply.json()["decision_id"].as_str().unwrap().to_owned();
        assert_ne!(id, "0123456789abcdef0123456789abcdef");
        assert!(ids.insert(id));
    }
}

/// The policy is replaced while requests are under way: each is decided by one policy or the other, and none fails.
#[tokio::test]
async fn a_reload_under_load_fails_no_request() {
    let stage = Stage::new().await;
    let token = stage.token(&["read:orders"]);
    let load = Load::start(stage.envoy.address(), &token);
    let generation = || stage.gate.engine().status().generation;
    for round in 0..5 {
        let before = generation();
        // A comment changes the file, and every other round a rule that nobody uses comes or goes.
        stage.files.write_policy(stage.issuer.url(), |policy| {
            let rule = "\n  - { name: new, match: { paths: [/new] }, allow: anonymous }\n";
            format!("{policy}# round {round}\n{}", if round % 2 == 0 { rule } else { "" })
        });
        eventually("the changed policy serves", async || generation() > before).await;
        load.goes_on(8).await;
    }
    // A broken file changes nothing but what is said about it.
    let before = generation();
    stage.files.write_policy(stage.issuer.url(), |policy| format!("{policy}nonsense: true\n"));
    eventually("the error is known", async || {
        stage.gate.engine().status().last_reload.is_some_and(|reload| reload.error.is_some())
    })
    .await;
    assert_eq!(generation(), before);
    load.goes_on(20).await;
    let total = load.done();
    assert_eq!(load.end().await, Vec::<String>::new());
    assert!(total > 50, "{total} requests are no load");
}
