//! Each test has a provider, a gate and Envoys of its own: a provider is there within a second.

use std::net::SocketAddr;
use std::path::PathBuf;

use tempfile::TempDir;
use tollgate::demo::client::Call;
use tollgate::demo::envoy::{Envoy, Gate, Shipped};
use tollgate::demo::gate::LocalGate;
use tollgate::demo::upstream::Upstream;

use crate::client_key::{ClientKey, KEY_ID};
use crate::provider::OpaqueProvider;
use crate::proxy::Proxy;
use crate::support::{assert_denied, binary, eventually};

/// Below the provider's URL.
const INTROSPECTION: &str = "/token/introspection";
/// The resource whose tokens are JWTs, and one whose tokens are opaque.
const JWTS: &str = "https://orders.internal";
const OPAQUE: &str = "https://stock.internal";

const POLICY: &str = r#"
server:
  check:
    - { listen: "unix:DIRECTORY/inbound.sock", direction: inbound }
    - { listen: "unix:DIRECTORY/outbound.sock", direction: outbound }
  deadline: 8s
issuers:
  provider:
    issuer: ISSUER
    tokens: opaque
    claims: { subject: client_id, client: client_id, scopes: scope }
    provider:
      introspection_endpoint: PROXY/token/introspection
      token_endpoint: PROXY/token
      breaker: { failures: 5, open: 1s }
    introspection:
      client: { id: service, secret_file: DIRECTORY/service }
      cache: { active: 1s, inactive: 1s }
tokens:
  stock:
    client_credentials:
      issuer: provider
      client: { id: service, secret_file: DIRECTORY/service }
      scopes: [orders.read]
      resource: https://stock.internal
identity_headers: [x-client]
rules:
  - name: orders
    match: { direction: inbound, paths: ["/orders"] }
    require: { issuers: [provider], audience: unchecked, scopes: { all: [orders.read] } }
    inject: { x-client: "{client}" }
  - name: stock
    match: { direction: inbound, paths: ["/stock"] }
    require: { issuers: [provider], audience: { any: ["https://stock.internal"] }, scopes: { all: [orders.read] } }
    inject: { x-client: "{client}" }
  - name: to-payments
    match: { direction: outbound, hosts: [payments.internal] }
    upstream_token: stock
"#;

struct Stage {
    provider: Option<OpaqueProvider>,
    proxy: Proxy,
    upstream: Upstream,
    _gate: LocalGate,
    envoy: Envoy,
    keys: ClientKey,
    directory: TempDir,
}

impl Stage {
    async fn new() -> Self {
        Self::with(|policy| policy).await
    }

    /// With the policy changed by `edit`.
    async fn with(edit: impl FnOnce(String) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let keys = ClientKey::new();
        keys.write_private(&at("key.pem"));
        for client in ["service", "service-post"] {
            std::fs::write(at(client), format!("not-a-secret-{client}")).unwrap();
        }
        let provider = OpaqueProvider::start(0, None, &keys.jwks());
        let proxy = Proxy::start(provider.address).await;
        let policy = POLICY
            .replace("DIRECTORY", directory.path().to_str().unwrap())
            .replace("ISSUER", &format!("http://{}", provider.address))
            .replace("PROXY", &format!("http://{}", proxy.address));
        std::fs::write(at("policy.yaml"), edit(policy)).unwrap();
        let gate = LocalGate::start(&at("policy.yaml")).await.unwrap();
        let upstream = Upstream::start(0).await.unwrap();
        let config = Shipped::inbound().between(0, 0, upstream.address(), &[Gate::Unix(at("inbound.sock"))]).unwrap();
        let config = config.replace(" timeout: 0.25s\n", " timeout: 10s\n").unwrap();
        let config = config.replace("connect_timeout: 1s", "connect_timeout: 10s").unwrap();
        let envoy = Envoy::start(&binary(), config.text()).await.unwrap();
        Self { provider: Some(provider), proxy, upstream, _gate: gate, envoy, keys, directory }
    }

    fn provider(&self) -> &OpaqueProvider {
        self.provider.as_ref().expect("it runs")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn allowed(&self, call: &Call) {
        let reply = call.clone().send(self.envoy.address()).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(self.upstream.take_seen().pop().unwrap().headers["x-client"], ["caller"]);
    }

    async fn denied(&self, call: &Call, status: u16, reason: &str) {
        let reply = call.clone().send(self.envoy.address()).await.unwrap();
        assert_denied(call, &reply, status, reason);
        assert_eq!(self.upstream.take_seen(), []);
    }

    /// The answer's status is this one, sooner or later.
    async fn becomes(&self, call: &Call, status: u16) {
        let address: SocketAddr = self.envoy.address();
        eventually(&format!("status {status}"), async || call.clone().send(address).await.unwrap().status == status)
            .await;
        drop(self.upstream.take_seen());
    }
}

fn orders(token: &str) -> Call {
    Call::get("orders.internal", "/orders").bearer(token)
}

fn stock(token: &str) -> Call {
    Call::get("orders.internal", "/stock").bearer(token)
}

#[tokio::test]
async fn opaque_tokens_are_worth_what_the_provider_says() {
    let stage = Stage::new().await;
    let token = stage.provider().token("orders.read", None).await;
    assert!(!token.contains('.'), "a text without meaning");
    stage.allowed(&orders(&token)).await;
    // Another scope; no audience, then that of another resource, then the right one.
    let other = stage.provider().token("orders.write", None).await;
    stage.denied(&orders(&other), 403, "insufficient_scope").await;
    stage.denied(&stock(&token), 401, "wrong_audience").await;
    let elsewhere = stage.provider().token("orders.read", Some("https://elsewhere.internal")).await;
    stage.denied(&stock(&elsewhere), 401, "wrong_audience").await;
    let right = stage.provider().token("orders.read", Some(OPAQUE)).await;
    stage.allowed(&stock(&right)).await;
    // Never issued, but it could have been; and what could not have been is not asked about.
    let asked = stage.proxy.count(INTROSPECTION);
    stage.denied(&orders("QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ"), 401, "token_inactive").await;
    assert_eq!(stage.proxy.count(INTROSPECTION), asked + 1);
    for garbage in ["short", &"x".repeat(2000)] {
        let reply = orders(garbage).send(stage.envoy.address()).await.unwrap();
        assert_eq!(reply.status, 401, "{garbage}: {}", reply.text());
    }
    assert_eq!(stage.proxy.count(INTROSPECTION), asked + 1);
}

#[tokio::test]
async fn a_revoked_token_is_refused_once_the_answer_about_it_is_old() {
    let stage = Stage::new().await;
    let token = stage.provider().token("orders.read", None).await;
    stage.allowed(&orders(&token)).await;
    stage.provider().revoke(&token).await;
    stage.becomes(&orders(&token), 401).await;
    stage.denied(&orders(&token), 401, "token_inactive").await;
}

#[tokio::test]
async fn the_gate_authenticates_in_every_way_that_the_provider_knows() {
    let plain = "client: { id: service, secret_file: DIRECTORY/service }\n      cache";
    for (case, client) in [
        ("post", "client: { id: service-post, auth: client_secret_post, secret_file: DIRECTORY/service-post }"),
        (
            "jwt",
            "client: { id: service-jwt, auth: private_key_jwt, key_file: DIRECTORY/key.pem, algorithm: RS256, key_id: KEY }",
        ),
    ] {
        let stage = Stage::with(|policy| {
            let directory = policy.split("unix:").nth(1).unwrap().split("/inbound").next().unwrap().to_owned();
            let plain = plain.replace("DIRECTORY", &directory);
            assert!(policy.contains(&plain), "{policy}");
            let client = client.replace("DIRECTORY", &directory).replace("KEY", KEY_ID);
            policy.replace(&plain, &format!("{client}\n      cache"))
        })
        .await;
        let token = stage.provider().token("orders.read", None).await;
        stage.allowed(&orders(&token)).await;
        assert_eq!(stage.proxy.count(INTROSPECTION), 1, "{case}");
    }
    // The wrong secret is the operator's fault, not the caller's.
    let stage = Stage::new().await;
    std::fs::write(stage.at("service"), "guessed").unwrap();
    let token = stage.provider().token("orders.read", None).await;
    stage.denied(&orders(&token), 503, "introspection_refused").await;
}

/// This provider refuses to introspect JWTs: they are verified by its keys, and everything else by asking it.
#[tokio::test]
async fn both_kinds_of_tokens_of_one_issuer_are_taken() {
    let stage = Stage::with(|policy| {
        let policy =
            policy.replace("tokens: opaque\n", "tokens: both\n    keys: { discovery: true }\n    profile: rfc9068\n");
        policy.replace(
            "audience: unchecked",
            "audience: { any: [\"https://orders.internal\", \"https://stock.internal\"] }",
        )
    })
    .await;
    let jwt = stage.provider().token("orders.read", Some(JWTS)).await;
    assert_eq!(jwt.split('.').count(), 3);
    stage.allowed(&orders(&jwt)).await;
    assert_eq!(stage.proxy.count(INTROSPECTION), 0);
    let opaque = stage.provider().token("orders.read", Some(OPAQUE)).await;
    stage.allowed(&orders(&opaque)).await;
    assert_eq!(stage.proxy.count(INTROSPECTION), 1);
    // A JWT whose signature is another's is not one that the provider is asked about.
    let forged = format!("{}.{}", jwt.rsplit_once('.').unwrap().0, "A".repeat(342));
    stage.denied(&orders(&forged), 401, "token_signature").await;
    assert_eq!(stage.proxy.count(INTROSPECTION), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_at_once_with_one_new_token_cost_one_introspection() {
    let stage = Stage::with(|policy| policy.replace("active: 1s", "active: 1m")).await;
    let token = stage.provider().token("orders.read", None).await;
    let address = stage.envoy.address();
    let calls: Vec<_> = (0..1000).map(|_| tokio::spawn(orders(&token).send(address))).collect();
    for call in calls {
        let reply = call.await.unwrap().unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert_eq!(stage.upstream.take_seen().len(), 1000);
    assert_eq!(stage.proxy.count(INTROSPECTION), 1);
}

#[tokio::test]
async fn a_provider_that_is_killed_lets_nobody_in_and_everybody_when_it_is_back() {
    let mut stage = Stage::new().await;
    let known = stage.provider().token("orders.read", None).await;
    let new = stage.provider().token("orders.read", None).await;
    stage.allowed(&orders(&known)).await;
    let address = stage.provider.take().unwrap().kill();
    stage.denied(&orders(&new), 503, "introspection_unavailable").await;
    // What was said of a token is not used for longer than it may be.
    stage.becomes(&orders(&known), 503).await;
    stage.denied(&orders(&known), 503, "introspection_unavailable").await;
    stage.provider = Some(OpaqueProvider::start(address.port(), None, &stage.keys.jwks()));
    let fresh = stage.provider().token("orders.read", None).await;
    stage.becomes(&orders(&fresh), 200).await;
    stage.allowed(&orders(&fresh)).await;
    // It has forgotten what it issued before.
    stage.becomes(&orders(&known), 401).await;
}

#[tokio::test]
async fn the_services_own_token_is_attached_on_its_way_out() {
    let stage = Stage::new().await;
    let ca = stage.at("ca.crt");
    crate::support::Pki::new().write_ca(&ca);
    let payments = Upstream::start(0).await.unwrap();
    let gate = [Gate::Unix(stage.at("outbound.sock"))];
    let config = Shipped::outbound().towards(payments.address(), (payments.address(), &ca), &gate).unwrap();
    let config = config.replace(" timeout: 0.25s\n", " timeout: 10s\n").unwrap();
    let egress = Envoy::start(&binary(), config.text()).await.unwrap();
    let mut attached = Vec::new();
    for credential in [None, Some("Bearer of-somebody-else")] {
        let mut call = Call::get("payments.internal", "/charges");
        if let Some(credential) = credential {
            call = call.header("authorization", credential);
        }
        let reply = call.send(egress.address()).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        attached.push(payments.take_seen().pop().unwrap().header("authorization").unwrap());
    }
    assert_eq!(attached[0], attached[1], "one token, whatever the service sends");
    assert_eq!(stage.proxy.grants("client_credentials"), 1);
    // Whoever it is for takes it.
    let call = Call::get("orders.internal", "/stock").header("authorization", &attached[0]);
    let reply = call.send(stage.envoy.address()).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(stage.upstream.take_seen().pop().unwrap().headers["x-client"], ["service"]);
    // A host that nobody named gets none.
    let reply = Call::get("evil.example", "/charges").send(egress.address()).await.unwrap();
    assert!([403, 404].contains(&reply.status.as_u16()), "{}", reply.status);
    assert_eq!(payments.take_seen(), []);
}
