//! The egress side of a sidecar, with `envoy/outbound.yaml`.

use http::StatusCode;
use tollgate::demo::client::Call;
use tollgate::demo::envoy::{Envoy, Gate, Shipped};
use tollgate::demo::gate::LocalGate;
use tollgate::demo::issuer::{CLIENTS, DevIssuer};
use tollgate::demo::upstream::Upstream;

use crate::support::{Pki, assert_denied, binary};

/// The same path, inbound and outbound, under rules that tell them apart.
const POLICY: &str = r#"
server:
  check:
    - { listen: "unix:DIRECTORY/outbound.sock", direction: outbound }
    - { listen: "unix:DIRECTORY/inbound.sock", direction: inbound }
  deadline: 8s
issuers:
  shop:
    issuer: ISSUER
    keys: { discovery: true }
    claims: { client: client_id, scopes: scopes, service: custom_claims.service_name, tenant: oid }
rules:
  - name: to-payments
    match: { direction: outbound, hosts: [payments.internal], paths: ["/charges/**"] }
    require: { issuers: [shop], audience: { any: [shop] }, scopes: { any: ["write:payments"] } }
    inject: { x-service-name: "{service}" }
  - name: from-anyone
    match: { direction: inbound, paths: ["/charges/**"] }
    allow: anonymous
"#;

#[tokio::test]
async fn calls_that_leave_are_decided_by_outbound_rules() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let issuer = DevIssuer::start(0).await.unwrap();
    let policy = POLICY.replace("DIRECTORY", directory.path().to_str().unwrap()).replace("ISSUER", issuer.url());
    std::fs::write(at("policy.yaml"), policy).unwrap();
    let _gate = LocalGate::start(&at("policy.yaml")).await.unwrap();
    let payments = Upstream::start(0).await.unwrap();
    Pki::new().write_ca(&at("ca.crt"));
    let start = async |socket: &str| {
        let ledger = (payments.address(), &*at("ca.crt"));
        let config = Shipped::outbound().towards(payments.address(), ledger, &[Gate::Unix(at(socket))]).unwrap();
        let config = config.replace(" timeout: 0.25s\n", " timeout: 10s\n").unwrap();
        Envoy::start(&binary(), config.text()).await.unwrap()
    };
    let envoy = start("outbound.sock").await;
    let charge = || Call::get("payments.internal", "/charges/1");
    let token = issuer.token(&CLIENTS[0]).unwrap();

    let reply = charge().bearer(&token).header("x-service-name", "admin").send(envoy.address()).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen = payments.take_seen().pop().unwrap();
    assert_eq!(seen.headers["x-service-name"], ["order-service"]);
    assert_eq!(seen.header("x-forwarded-for"), None, "addresses inside are nobody's business outside");
    let refused = charge().send(envoy.address()).await.unwrap();
    assert_denied(&charge(), &refused, 401, "missing_token");
    let refused = charge().bearer(&issuer.token(&CLIENTS[1]).unwrap()).send(envoy.address()).await.unwrap();
    assert_denied(&charge(), &refused, 403, "insufficient_scope");
    // Nothing that a client says makes an outbound call an inbound one.
    for header in ["direction", "x-direction", "x-tollgate-direction"] {
        let refused = charge().header(header, "inbound").send(envoy.address()).await.unwrap();
        assert_denied(&charge(), &refused, 401, "missing_token");
    }
    // Destinations that are not listed are not reached, whatever the gate would say.
    let elsewhere = Call::get("elsewhere.internal", "/charges/1").bearer(&token).send(envoy.address()).await.unwrap();
    assert!([StatusCode::NOT_FOUND, StatusCode::FORBIDDEN].contains(&elsewhere.status));
    assert_eq!(payments.take_seen(), []);

    // The direction is that of the socket on which the gate was asked: the same Envoy, the other socket.
    let envoy = start("inbound.sock").await;
    assert_eq!(charge().send(envoy.address()).await.unwrap().status, 200);
}
