//! Routes that rewrite: rules are for what clients send.

use serde_json::Value;
use tollgate::demo::client::{Call, Reply};
use tollgate::demo::upstream::{SeenRequest, Upstream};

use crate::support::HOST;
use crate::{Front, routes, snippet};

/// The page's own policy, with an issuer and a socket that are there.
fn policy() -> String {
    let policy = snippet("gateways", "yaml file gateway");
    for shipped in ["https://login.example.com/realms/shop", "/run/tollgate/inbound.sock"] {
        assert_eq!(policy.matches(shipped).count(), 1, "{shipped}");
    }
    let policy = policy.replace("https://login.example.com/realms/shop", "ISSUER");
    policy
        .replace("/run/tollgate/inbound.sock", "SOCKET")
        .replace("server: {", "server:\n ")
        .replace("server:\n", "server:\n  deadline: 8s\n")
}

async fn ask(front: &Front, upstream: &Upstream, call: Call) -> (Reply, Option<SeenRequest>) {
    drop(upstream.take_seen());
    let reply = call.bearer(&front.token(60)).send(front.envoy.address()).await.unwrap();
    (reply, upstream.take_seen().pop())
}

#[tokio::test]
async fn the_gate_sees_the_path_before_it_is_rewritten() {
    let upstream = Upstream::start(0).await.unwrap();
    let front = Front::new(&policy(), upstream.address(), routes("gateways"), |_| ()).await;
    let call = Call::get(HOST, "/shop/v1/orders/7?full=1").header("x-envoy-original-path", "/public");
    let (reply, seen) = ask(&front, &upstream, call).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen = seen.unwrap();
    assert_eq!(seen.path, "/internal/orders/7?full=1");
    assert_eq!(seen.header("x-envoy-original-path").as_deref(), Some("/shop/v1/orders/7?full=1"));

    // The path that the service knows is none that clients may use, and Envoy's prefix has to end at a slash.
    for path in ["/internal/orders/7", "/shop/v1x/orders/7"] {
        let (reply, seen) = ask(&front, &upstream, Call::get(HOST, path)).await;
        assert!(reply.status == 403 || reply.status == 404, "{path}: {}", reply.text());
        assert_eq!(seen, None);
    }
}

#[tokio::test]
async fn a_prefix_that_ends_inside_a_segment_gets_no_further_than_the_gate() {
    let upstream = Upstream::start(0).await.unwrap();
    let mut routes: Value = routes("gateways");
    routes[0]["match"] = serde_json::json!({"prefix": "/shop/v1"});
    let front = Front::new(&policy(), upstream.address(), routes, |_| ()).await;
    let (reply, seen) = ask(&front, &upstream, Call::get(HOST, "/shop/v1x/orders/7")).await;
    assert_eq!((reply.status.as_u16(), reply.json()["reason"].as_str()), (403, Some("no_rule")), "{}", reply.text());
    assert_eq!(seen, None);
}
