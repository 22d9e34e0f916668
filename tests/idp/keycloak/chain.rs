//! Every hop has its own token, and no token is good anywhere else.

use serde_json::{Value, json};
use tollgate::demo::client::Call;
use tollgate::demo::keycloak::{Hop, claims};

use crate::stage::{INTROSPECTION, Stage, TOKEN, refused};
use crate::support::eventually;

/// The one call of `answer` to this service.
fn call<'a>(answer: &'a Value, to: &str) -> &'a Value {
    let calls = answer["calls"].as_array().unwrap();
    let call = calls.iter().find(|call| call["to"] == to).expect(to);
    assert_eq!(call["status"], 200, "{call:#}");
    &call["answer"]
}

#[tokio::test]
async fn every_hop_gets_a_token_of_its_own_for_the_same_user() {
    let stage = Stage::new().await;
    let token = stage.token("web", "alice").await;
    let reply = stage.node("service-a").call(&token).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let at_a = reply.json();
    let (a_to_b, a_to_c) = (call(&at_a, "service-b"), call(&at_a, "service-c"));
    let b_to_c = call(a_to_b, "service-c");
    let alice = claims(&token)["sub"].clone();
    for (answer, service, exchanger, scope) in [
        (&at_a, "service-a", "web", "a.read"),
        (a_to_b, "service-b", "service-a", "b.read"),
        (a_to_c, "service-c", "service-a", "c.read"),
        (b_to_c, "service-c", "service-b", "c.read"),
    ] {
        let (seen, case) = (&answer["token"], format!("{exchanger} to {service}: {:#}", answer["token"]));
        assert_eq!(seen["aud"], service, "{case}");
        assert_eq!(seen["azp"], exchanger, "{case}");
        assert_eq!(seen["scope"], scope, "{case}");
        assert_eq!(seen["sub"], alice, "{case}");
        assert_eq!(seen["preferred_username"], "alice", "{case}");
        assert_eq!(seen["iss"], stage.realm.issuer(), "{case}");
        assert!(seen["exp"].as_i64().unwrap() > seen["iat"].as_i64().unwrap(), "{case}");
        assert_eq!((&answer["user"], &answer["client"]), (&alice, &json!(exchanger)), "what the gate says: {case}");
    }
    // The client's roles at a service go no further than to that service.
    assert_eq!(a_to_b["token"]["resource_access"], json!({ "service-b": { "roles": ["orders-reader"] } }));
    assert_eq!(a_to_c["token"]["resource_access"], json!({ "service-c": { "roles": ["stock-reader"] } }));
    let ids: Vec<&Value> = [&at_a, a_to_b, a_to_c, b_to_c].iter().map(|answer| &answer["token"]["jti"]).collect();
    assert!(ids.iter().enumerate().all(|(at, id)| id.is_string() && !ids[at + 1..].contains(id)), "{ids:?}");

    // Another user is another user at every hop, also where the first one's tokens are cached.
    let bob = stage.token("web", "bob").await;
    let at_a = stage.node("service-a").call(&bob).await.unwrap().json();
    let bob = &claims(&bob)["sub"];
    let a_to_b = call(&at_a, "service-b");
    for answer in [&at_a, a_to_b, call(&at_a, "service-c"), call(a_to_b, "service-c")] {
        assert_eq!((&answer["token"]["sub"], &answer["user"]), (bob, bob));
    }
}

#[tokio::test]
async fn a_token_that_is_meant_for_another_service_is_refused_at_each() {
    let stage = Stage::new().await;
    let for_a = stage.token("web", "alice").await;
    let for_b = stage.exchange("service-a", &for_a, "service-b", "b.read").await;
    let for_c = stage.exchange("service-a", &for_a, "service-c", "c.read").await;
    let tokens = [("service-a", &for_a), ("service-b", &for_b), ("service-c", &for_c)];
    for node in stage.chain.nodes() {
        let name = node.hop().name;
        for (meant_for, token) in tokens {
            let reply = node.call(token).await.unwrap();
            if meant_for == name {
                assert_eq!(reply.status, 200, "{meant_for} at {name}: {}", reply.text());
            } else {
                refused(&reply, 401, "wrong_audience");
            }
        }
        refused(&node.call("no.token.atall").await.unwrap(), 401, "token_malformed");
    }
    // On the way out as well: a service cannot spend a token that it should never have had.
    for (from, to, path) in [("service-a", "service-b", "/prices"), ("service-b", "service-c", "/stock")] {
        for (meant_for, token) in tokens {
            let reply = stage.out(from, to, path, token).await;
            if meant_for == from {
                assert_eq!(reply.status, 200, "{meant_for} by {from}: {}", reply.text());
            } else {
                refused(&reply, 401, "wrong_audience");
            }
        }
        let reply = Call::get(&Hop::host(to), path).send(stage.node(from).outbound()).await.unwrap();
        refused(&reply, 401, "missing_token");
    }
    // C may call nobody, and A nobody but B and C.
    for (from, host) in
        [("service-c", "service-a.internal"), ("service-a", "evil.example"), ("service-b", "service-a.internal")]
    {
        let call = Call::get(host, "/stock").bearer(&for_a);
        let reply = call.send(stage.node(from).outbound()).await.unwrap();
        assert!([403, 404].contains(&reply.status.as_u16()), "{from} to {host}: {}", reply.status);
    }
}

#[tokio::test]
async fn a_log_out_counts_although_the_signature_still_verifies() {
    let stage = Stage::new().await;
    let login = stage.realm.log_in("web", "alice").await.unwrap();
    let other = stage.token("web", "alice").await;
    let for_a = login.access_token.clone();
    let for_b = stage.exchange("service-a", &for_a, "service-b", "b.read").await;
    let (a, b) = (stage.node("service-a"), stage.node("service-b"));
    assert_eq!(a.call(&for_a).await.unwrap().status, 200);
    assert_eq!(b.call(&for_b).await.unwrap().status, 200);
    stage.realm.log_out("web", &login).await.unwrap();
    for (node, token) in [(a, &for_a), (b, &for_b)] {
        eventually("the log-out counts", async || node.call(token).await.unwrap().status == 401).await;
        refused(&node.call(token).await.unwrap(), 401, "token_inactive");
    }
    // Nor is what was cached for it spent any longer.
    refused(&stage.out("service-a", "service-b", "/prices", &for_a).await, 401, "token_inactive");
    // A session of the same user on another device goes on.
    assert_eq!(a.call(&other).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_lightweight_token_is_what_keycloak_says_it_is() {
    let stage = Stage::new().await;
    let token = stage.token("web-lightweight", "alice").await;
    let light = claims(&token);
    assert!(light.get("sub").is_none() && light.get("aud").is_none(), "{light:#}");
    let reply = stage.node("service-a").call(&token).await.unwrap();
    let answer = reply.json();
    let alice = claims(&stage.token("web", "alice").await)["sub"].clone();
    assert_eq!((&answer["user"], &answer["client"]), (&alice, &json!("web-lightweight")), "{answer:#}");
    // Keycloak itself reads the audience of what it is to exchange from the token, which has none.
    for call in answer["calls"].as_array().unwrap() {
        assert_eq!((&call["status"], &call["answer"]["reason"]), (&json!(403), &json!("exchange_denied")), "{call:#}");
    }
    // Its signature is no less checked.
    let forged = format!("{}.{}", token.rsplit_once('.').unwrap().0, "A".repeat(342));
    refused(&stage.node("service-a").call(&forged).await.unwrap(), 401, "token_signature");
}

#[tokio::test]
async fn the_services_own_token_goes_to_the_one_destination_that_it_is_for() {
    let (stage, proxy) = Stage::counted().await;
    let reports = |host: &str| Call::get(host, "/reports");
    let egress = stage.node("service-a").outbound();
    for _ in 0..3 {
        let reply = reports("service-b.internal").send(egress).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        let seen = reply.json()["token"].clone();
        assert_eq!(seen["preferred_username"], "service-account-service-a");
        assert_eq!(
            (&seen["aud"], &seen["azp"], &seen["scope"]),
            (&json!("service-b"), &json!("service-a"), &json!("b.read"))
        );
    }
    // A user's token does not get there, and does not get the service's own any further.
    let alice = stage.token("web", "alice").await;
    let reply = reports("service-b.internal").bearer(&alice).send(egress).await.unwrap();
    assert_eq!(reply.json()["token"]["preferred_username"], "service-account-service-a");
    assert_eq!(proxy.grants("client_credentials"), 1, "fetched once");
    assert_eq!(proxy.count(TOKEN), 1, "and nothing else");
    for host in ["service-c.internal", "evil.example", "service-b.internal.evil.example"] {
        let reply = reports(host).send(egress).await.unwrap();
        assert!([403, 404].contains(&reply.status.as_u16()), "{host}: {}", reply.status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_at_once_with_one_new_token_cost_one_introspection_and_one_exchange() {
    let (stage, proxy) = Stage::counted().await;
    let token = stage.token("web", "alice").await;
    let egress = stage.node("service-a").outbound();
    let call = Call::get("service-c.internal", "/stock").bearer(&token);
    let calls: Vec<_> = (0..1000).map(|_| tokio::spawn(call.clone().send(egress))).collect();
    let mut ids = Vec::new();
    for call in calls {
        let reply = call.await.unwrap().unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        ids.push(reply.json()["token"]["jti"].as_str().unwrap().to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "everybody got the same one");
    assert_eq!((proxy.count(INTROSPECTION), proxy.grants("urn:ietf:params:oauth:grant-type:token-exchange")), (1, 1));
}
