//! Identity headers: what clients forge never arrives, what tokens say arrives whole.

use http::HeaderValue;
use serde_json::json;
use tollgate::demo::client::Protocol;
use tollgate::demo::envoy::Shipped;

use crate::support::{Stage, get};

/// Points 6 and 7: a forged value is replaced, not joined, and what is set is not removed again.
#[tokio::test]
async fn point_6_and_7_a_forged_identity_header_is_overwritten() {
    let stage = Stage::new().await;
    let token = stage.token(&["read:orders"]);
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let call = get("/any/x").protocol(protocol).bearer(&token);
        for call in [
            call.clone().header("x-service-name", "admin"),
            call.clone().header("x-service-name", "admin").header("x-service-name", "root"),
            call.clone().header("X-Service-Name", "admin").header("x-service-scopes", "everything"),
            call.clone().header("x-user-id", "root").header("x-subject", ""),
        ] {
            let call = if protocol == Protocol::Http2 { lower_case(call) } else { call };
            let seen = stage.allowed(call).await;
            assert_eq!(seen.headers["x-service-name"], ["order-service"]);
            assert_eq!(seen.headers["x-service-scopes"], ["read:orders"]);
            assert_eq!(seen.headers["x-subject"], ["demo-orders"]);
            assert_eq!(seen.header("x-user-id"), None, "a reserved header that the rule does not set");
        }
    }
}

fn lower_case(mut call: tollgate::demo::client::Call) -> tollgate::demo::client::Call {
    for (name, _) in &mut call.headers {
        name.make_ascii_lowercase();
    }
    call
}

/// Point 8: removed on every allow unless set, on anonymous routes as well; an absent claim means removed.
#[tokio::test]
async fn point_8_identity_headers_are_removed_wherever_they_are_not_set() {
    let stage = Stage::new().await;
    for path in ["/healthz", "/public/x", "/optional/x"] {
        let call = get(path)
            .header("x-service-name", "admin")
            .header("x-service-scopes", "everything")
            .header("x-user-id", "root")
            .header("x-caller", "spiffe://cluster.local/ns/shop/sa/order-service")
            .header("x-harmless", "stays");
        let seen = stage.allowed(call).await;
        for name in ["x-service-name", "x-service-scopes", "x-user-id", "x-caller"] {
            assert_eq!(seen.header(name), None, "{path}: {name}");
        }
        assert_eq!(seen.header("x-harmless").as_deref(), Some("stays"));
    }
    let mut claims = stage.claims();
    claims.as_object_mut().unwrap().remove("custom_claims");
    let call = get("/any/x").bearer(&stage.issuer.sign(&claims).unwrap()).header("x-service-name", "admin");
    let seen = stage.allowed(call).await;
    assert_eq!(seen.header("x-service-name"), None, "the token says nothing about a service");
    assert_eq!(seen.header("x-subject").as_deref(), Some("demo-orders"));
}

/// Point 9: whatever a claim holds, it stays inside its header. With `validate_mutations` a bad value would be a 500.
#[tokio::test]
async fn point_9_no_claim_breaks_out_of_its_header() {
    let stage = Stage::new().await;
    for hostile in [
        "a\r\nx-user-id: root",
        "a\nb",
        "a\rb",
        "nul\0nul",
        "zwei, drei",
        "ünï¢ødé",
        " padded ",
        "\u{7f}\u{1}",
        "100%25",
        "\u{202e}rtl",
    ] {
        let mut claims = stage.claims();
        claims["sub"] = json!(hostile);
        claims["custom_claims"]["service_name"] = json!(hostile);
        claims["scopes"] = json!(["read:orders"]);
        let seen = stage.allowed(get("/any/x").bearer(&stage.issuer.sign(&claims).unwrap())).await;
        assert_eq!(seen.header("x-user-id"), None, "{hostile:?}");
        let mut values = Vec::new();
        for name in ["x-subject", "x-service-name"] {
            let value = seen.header(name).unwrap();
            assert!(value.bytes().all(|b| (b' '..=b'~').contains(&b)), "{hostile:?}: {value:?}");
            values.push(value);
        }
        // Nothing is lost either: the service can have the claim back.
        let decoded = percent_encoding::percent_decode_str(&values[0]).decode_utf8().unwrap();
        assert_eq!(decoded, hostile);
        // A scope holds no space (RFC 6749 §3.3): a list with such a one in it grants nothing.
        claims["scopes"] = json!(["read:orders", hostile]);
        let (reply, seen) = stage.ask(get("/any/x").bearer(&stage.issuer.sign(&claims).unwrap())).await;
        if let Some(seen) = seen {
            let scopes = seen.header("x-service-scopes").unwrap();
            let decoded = percent_encoding::percent_decode_str(&scopes).decode_utf8().unwrap();
            assert!(scopes.is_ascii());
            assert_eq!(decoded, format!("read:orders {hostile}"));
        } else {
            assert_eq!(reply.json()["reason"], "insufficient_scope", "{hostile:?}");
        }
    }
}

/// Point 10: Envoy refuses names with underscores as it is shipped; where an operator lets them through, the gate
/// removes what an upstream could fold onto an identity header.
#[tokio::test]
async fn point_10_spellings_that_fold_onto_an_identity_header_do_not_arrive() {
    let stage = Stage::new().await;
    let token = stage.token(&["read:orders"]);
    let (reply, seen) = stage.ask(get("/any/x").bearer(&token).header("x_service_name", "admin")).await;
    assert_eq!((reply.status.as_u16(), seen), (400, None));

    let lax = Stage::with(
        Shipped::inbound(),
        |policy| policy,
        |config| config.replace("action: REJECT_REQUEST\n            max", "action: ALLOW\n            max").unwrap(),
    )
    .await;
    let token = lax.token(&["read:orders"]);
    for path in ["/any/x", "/public/x"] {
        let call = get(path)
            .bearer(&token)
            .header("x_service_name", "admin")
            .header("X_Service-Name", "admin")
            .header("x.user.id", "root")
            .header("x_user_id", "root")
            .header("x_harmless", "stays");
        let seen = lax.allowed(call).await;
        for (name, values) in &seen.headers {
            let folded = name.replace(['_', '.'], "-");
            let ours = ["x-service-name", "x-user-id"].contains(&folded.as_str());
            assert!(!ours || (path == "/any/x" && name == "x-service-name"), "{path}: {name}: {values:?}");
        }
        assert_eq!(seen.header("x_harmless").as_deref(), Some("stays"));
    }
}

/// Point 11: headers of answers.
#[tokio::test]
async fn point_11_response_headers_arrive_on_allow_and_on_denial() {
    let stage = Stage::with(
        Shipped::inbound(),
        |policy| {
            policy.replace(
                "identity_headers:",
                "denial: { realm: shop, resource_metadata: \"https://shop.example/m\", headers: { x-contact: ops } }\nidentity_headers:",
            )
        },
        |config| config,
    )
    .await;
    let (reply, _) = stage.ask(get("/any/x").bearer(&stage.token(&["read:orders"]))).await;
    assert_eq!(reply.headers.get_all("x-policy").iter().collect::<Vec<_>>(), ["checked"]);
    let reply = stage.denied(get("/any/x"), 401, "missing_token").await;
    assert_eq!(reply.header("x-contact"), Some("ops"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let challenges: Vec<&HeaderValue> = reply.headers.get_all("www-authenticate").iter().collect();
    let ours = "Bearer realm=\"shop\", resource_metadata=\"https://shop.example/m\"";
    assert_eq!(challenges, [ours]);
}

/// Point 15: Envoy joins repeated headers by a comma; with `encode_raw_headers` it sends them one by one, as bytes.
#[tokio::test]
async fn point_15_two_credentials_are_refused_however_envoy_sends_them() {
    for raw in [false, true] {
        let stage = Stage::with(
            Shipped::inbound(),
            |policy| policy,
            |config| {
                let setting = format!("include_peer_certificate: true\n              encode_raw_headers: {raw}\n");
                config.replace("include_peer_certificate: true\n", &setting).unwrap()
            },
        )
        .await;
        let token = stage.token(&["read:orders"]);
        let seen = stage.allowed(get("/any/x").bearer(&token)).await;
        assert_eq!(seen.header("x-service-name").as_deref(), Some("order-service"), "raw: {raw}");
        let twice = get("/any/x").bearer(&token).bearer(&token);
        stage.denied(twice, 400, "multiple_credentials").await;
        let joined = get("/any/x").header("authorization", &format!("Bearer {token},Bearer {token}"));
        let (reply, seen) = stage.ask(joined).await;
        assert_eq!((reply.status.as_u16(), seen), (400, None), "raw: {raw}");
        // Bytes that are not text, in a header that nobody asks about and in the credential.
        let seen = stage.allowed(get("/any/x").bearer(&token).header("x-other", "caf\u{e9}")).await;
        assert!(seen.header("x-other").is_some());
        let (reply, seen) = stage.ask(get("/any/x").header("authorization", "Bearer caf\u{e9}")).await;
        assert!([400, 401].contains(&reply.status.as_u16()) && seen.is_none(), "raw: {raw}: {}", reply.text());
        // Repeated forgeries, in either form.
        let call = get("/public/x").header("x-user-id", "a").header("x-user-id", "b");
        assert_eq!(stage.allowed(call).await.header("x-user-id"), None);
    }
}
