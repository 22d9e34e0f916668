//! The ways in which the gate proves to Keycloak who it is. The shipped policies use two more: `service-a` sends its
//! secret by `client_secret_basic`, `service-b` by `client_secret_post`.

use serde_json::json;
use tollgate::demo::client::Call;

use crate::client_key::KEY_ID;
use crate::stage::{CLIENT_KEY, Stage, refused};

/// The policy of `service-a` as that of `service-jwt`, which has a key and no secret.
fn with_key(name: &str, policy: String, key: &std::path::Path) -> String {
    if name != "service-a" {
        return policy;
    }
    let (before, rest) = policy.split_once("client: { id: service-a, ").unwrap();
    let (secret, _) = rest.split_once(" }").unwrap();
    let shipped = format!("client: {{ id: service-a, {secret} }}");
    assert_eq!(policy.matches(&shipped).count(), 4, "{before}");
    let key = key.display();
    let keyed = format!(
        "client: {{ id: service-jwt, auth: private_key_jwt, key_file: {key}, algorithm: RS256, key_id: {KEY_ID} }}"
    );
    policy
        .replace(&shipped, &keyed)
        .replace("{ any: [service-a] }", "{ any: [service-jwt] }")
        .replace("[a.read]", "[jwt.read]")
}

#[tokio::test]
async fn a_signed_assertion_does_for_introspection_exchange_and_the_services_own_token() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key.pem");
    CLIENT_KEY.write_private(&key);
    let stage = Stage::with(|name, policy| with_key(name, policy, &key)).await;
    let token = stage.token("web-jwt", "alice").await;
    let reply = stage.node("service-a").call(&token).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let to_b = &reply.json()["calls"][0]["answer"]["token"];
    assert_eq!((&to_b["aud"], &to_b["azp"]), (&json!("service-b"), &json!("service-jwt")));
    // The service account is another one, which `service-b` does not let see its reports: it has been asked, though.
    let reply = Call::get("service-b.internal", "/reports").send(stage.node("service-a").outbound()).await.unwrap();
    refused(&reply, 403, "claim_mismatch");
}

#[tokio::test]
async fn a_key_that_keycloak_does_not_know_is_the_operators_fault() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key.pem");
    crate::client_key::ClientKey::new().write_private(&key);
    let stage = Stage::with(|name, policy| with_key(name, policy, &key)).await;
    let token = stage.token("web-jwt", "alice").await;
    refused(&stage.node("service-a").call(&token).await.unwrap(), 503, "introspection_refused");
    let reply = Call::get("service-b.internal", "/reports").send(stage.node("service-a").outbound()).await.unwrap();
    refused(&reply, 503, "upstream_token_refused");
}

#[tokio::test]
async fn what_keycloak_refuses_says_whose_fault_it_is() {
    let stage = Stage::with(|name, policy| match name {
        "service-a" => policy
            .replace("scopes: [c.read]", "scopes: [nobody.knows]")
            .replace("audience: service-b", "audience: nobody"),
        _ => policy,
    })
    .await;
    let token = stage.token("web", "alice").await;
    refused(&stage.out("service-a", "service-c", "/stock", &token).await, 403, "exchange_scope");
    // An audience that does not exist: Keycloak says `invalid_client`, with a status of 400.
    refused(&stage.out("service-a", "service-b", "/prices", &token).await, 503, "upstream_token_refused");
}
