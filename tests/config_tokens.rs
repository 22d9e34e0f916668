//! The configuration file, as far as it talks to identity providers: introspection, providers, tokens, presets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tollgate::authn::spec::{KeySource, OpaqueAlphabet, TokenFormat};
use tollgate::config::{self, Config};
use tollgate::core::rule::{Action, IssuerIndex, TokenIndex};
use tollgate::outbound::spec::{ActorSpec, Grant, ProviderRef, TokenType};
use tollgate::provider::spec::{AssertionAlgorithm, ClientAuth};
use tollgate::secret::SecretSource;

/// A directory with every file that the tests' configurations name.
fn directory() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("keys/passport.pem", "-----BEGIN PUBLIC KEY-----"),
        ("tls/ca.crt", "x"),
        ("tls/tls.crt", "x"),
        ("tls/tls.key", "x"),
        ("secrets/b", "hunter2hunter2\n"),
        ("secrets/key.pem", "hunter2-key"),
        ("secrets/sa", "hunter2-assertion"),
        ("secrets/empty", " \n"),
    ] {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    dir
}

fn load(text: &str) -> Result<Config, String> {
    load_in(directory().path(), text)
}

fn load_in(dir: &Path, text: &str) -> Result<Config, String> {
    config::load_from(text, dir, Path::new("policy.yaml"))
        .map_err(|errors| errors.to_string().replace(&dir.display().to_string(), "DIR"))
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

const EVERYTHING: &str = r#"
server: { check: [{ listen: "unix:/run/in.sock", direction: inbound }, { listen: "127.0.0.1:9192", direction: outbound }] }
issuers:
  keycloak:
    issuer: https://keycloak.internal/realms/shop
    keys: { discovery: true, proxy: "http://proxy:3128", allowed_addresses: ["169.254.10.1"], connect_timeout: 1s }
    tokens: both
    claims: keycloak
    provider:
      discovery: true
      introspection_endpoint: https://keycloak.internal/introspect
      token_endpoint: https://keycloak.internal/token
      allowed_hosts: []
      timeout: 3s
      connect_timeout: 500ms
      max_in_flight: 32
      retries: 2
      breaker: { failures: 3, open: 7s }
      ca_file: tls/ca.crt
      allow_insecure_http: false
      proxy: http://proxy.internal:3128
      allowed_addresses: []
    introspection:
      jwts: true
      client: { id: service-b, secret_file: secrets/b }
      cache: { active: 20s, inactive: 2s }
      opaque: { min_bytes: 20, max_bytes: 512, prefix: "ory_at_", alphabet: base64url }
      unknown: { per_second: 5, burst: 10, max_in_flight: 3 }
    outage: { stale_keys: 1h, stale_introspection: 10s, cold_start: serve }
  opaque:
    issuer: https://op.internal
    tokens: opaque
    provider: { introspection_endpoint: "https://op.internal/introspect" }
    introspection: { client: { id: gate, secret_file: secrets/b, auth: client_secret_post } }
    credential: { header: x-opaque }
tokens:
  payment-service:
    exchange:
      issuer: keycloak
      client: { id: order-service, secret_file: secrets/b }
      audience: payment-service
      scopes: [payments.charge]
      resource: https://payments.internal/api
      requested_token_type: access_token
      subject_token_type: access_token
      actor: { token: order-self }
      expect_audience: [payment-service]
      also_granted: [profile, email]
      max_token_bytes: 4KiB
      cache: { max_age: 4m, margin: 11s, max_bytes: 1MiB }
  by-key:
    exchange:
      provider: { token_endpoint: "https://sts.internal/token" }
      client: { id: a, auth: private_key_jwt, key_file: secrets/key.pem, algorithm: ES256, key_id: k1, audience: "https://sts.internal" }
      resource: ["https://a.internal/x", "urn:b"]
      actor: { file: secrets/sa, type: jwt }
  order-self:
    client_credentials:
      issuer: keycloak
      client: { id: order-service, auth: private_key_jwt, assertion_file: secrets/sa }
  order-service:
    client_credentials:
      provider: { issuer: "https://auth.internal/", discovery: true, allow_insecure_http: false }
      client: { id: m2m, auth: tls_client_auth, certificate_file: tls/tls.crt, key_file: tls/tls.key }
      audience: api.production
      scopes: [a]
      resource: https://api.internal/v1
      refresh: { ahead: 30s }
      max_token_bytes: 2KiB
rules:
  - name: call-payments-for-the-user
    match: { direction: outbound, hosts: [payments.internal] }
    require: { issuers: [keycloak], audience: { any: [service-b] } }
    upstream_token: payment-service
  - name: call-orders-as-ourselves
    match: { direction: outbound, hosts: [orders.internal] }
    upstream_token: order-service
  - name: call-others-with-what-we-have
    match: { direction: outbound, hosts: [others.internal] }
    require: { issuers: [keycloak], audience: { any: [service-b] } }
  - name: call-others-with-the-callers-token
    match: { direction: outbound, hosts: [more.internal] }
    require: { issuers: [keycloak], audience: { any: [service-b] } }
    remove_token: false
  - name: inbound-exchange
    match: { hosts: [x] }
    require: { issuers: [keycloak], audience: { any: [service-b] } }
    upstream_token: { use: payment-service, inbound: true }
  - name: inbound-route
    match: { hosts: [y], context_extensions: { token: order } }
    upstream_token: order-service
"#;

#[test]
fn everything_that_can_be_said_is_read() {
    let dir = directory();
    let config = load_in(dir.path(), EVERYTHING).unwrap_or_else(|errors| panic!("{errors}"));
    let secs = Duration::from_secs;
    let keycloak = &config.issuers[0];
    assert_eq!((keycloak.tokens, keycloak.ready_without_keys), (TokenFormat::Both, true));
    let KeySource::Discovery { fetch, .. } = &keycloak.keys else { panic!("{:?}", keycloak.keys) };
    assert_eq!(fetch.transport.proxy.as_ref().unwrap().as_str(), "http://proxy:3128/");
    assert_eq!(fetch.transport.allowed_addresses, ["169.254.10.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(fetch.transport.connect_timeout, Some(secs(1)));
    let provider = keycloak.provider.as_ref().unwrap();
    assert_eq!(
        (&*provider.name, provider.issuer.as_deref()),
        ("keycloak", Some("https://keycloak.internal/realms/shop"))
    );
    assert_eq!(
        provider.metadata.as_ref().unwrap().as_str(),
        "https://keycloak.internal/realms/shop/.well-known/openid-configuration"
    );
    assert_eq!(provider.introspection_endpoint.as_ref().unwrap().path(), "/introspect");
    assert_eq!(provider.token_endpoint.as_ref().unwrap().path(), "/token");
    assert_eq!((provider.timeout, provider.transport.connect_timeout), (secs(3), Some(Duration::from_millis(500))));
    assert_eq!((provider.max_in_flight, provider.retries), (32, 2));
    assert_eq!((provider.breaker.failures, provider.breaker.open_for), (3, secs(7)));
    assert_eq!(provider.transport.ca_file, Some(dir.path().join("tls/ca.crt")));
    assert_eq!(provider.transport.proxy.as_ref().unwrap().host_str(), Some("proxy.internal"));
    assert!(provider.transport.allowed_addresses.is_empty() && provider.transport.identity.is_none());
    let asked = keycloak.introspection.as_ref().unwrap();
    assert!(asked.jwts);
    assert_eq!(&*asked.client.id, "service-b");
    assert_eq!(asked.client.auth, ClientAuth::SecretBasic(SecretSource::File(dir.path().join("secrets/b"))));
    assert_eq!((asked.active_for, asked.inactive_for, asked.stale_for), (secs(20), secs(2), secs(10)));
    assert_eq!((asked.filter.min_bytes, asked.filter.max_bytes, &*asked.filter.prefix), (20, 512, "ory_at_"));
    assert_eq!(asked.filter.alphabet, OpaqueAlphabet::Base64Url);
    assert_eq!((asked.unknown.per_second, asked.unknown.burst, asked.unknown.max_in_flight), (5, 10, 3));

    let opaque = &config.issuers[1];
    assert_eq!((opaque.tokens, &opaque.keys), (TokenFormat::Opaque, &KeySource::None));
    assert!(matches!(opaque.introspection.as_ref().unwrap().client.auth, ClientAuth::SecretPost(_)));

    let [payments, by_key, own, orders] = &config.tokens[..] else { panic!("{:?}", config.tokens) };
    assert_eq!((&*payments.name, &payments.provider), ("payment-service", &ProviderRef::Issuer(IssuerIndex(0))));
    assert_eq!(
        (&*payments.audience, &*payments.scopes),
        (&["payment-service".into()][..], &["payments.charge".into()][..])
    );
    assert_eq!(payments.expect_audience.as_deref(), Some(&["payment-service".into()][..]));
    assert_eq!((payments.also_granted.len(), payments.max_token_bytes), (2, 4096));
    let Grant::Exchange(exchange) = &payments.grant else { panic!("{:?}", payments.grant) };
    assert_eq!(exchange.actor, Some(ActorSpec::Token(TokenIndex(2))));
    assert_eq!(exchange.requested_token_type, Some(TokenType::AccessToken));
    assert_eq!(
        (exchange.cache.max_age, exchange.cache.margin, exchange.cache.max_bytes),
        (secs(240), secs(11), 1 << 20)
    );

    let ProviderRef::Own(sts) = &by_key.provider else { panic!("{:?}", by_key.provider) };
    assert_eq!((&*sts.name, sts.issuer.as_deref(), &sts.metadata), ("by-key", None, &None));
    let ClientAuth::PrivateKeyJwt { algorithm, key_id, audience, .. } = &by_key.client.auth else { panic!() };
    assert_eq!((*algorithm, key_id.as_deref()), (AssertionAlgorithm::ES256, Some("k1")));
    assert_eq!(audience.as_deref(), Some("https://sts.internal"));
    // Without an audience the resources are expected, as they were written.
    assert_eq!(by_key.expect_audience.as_deref(), Some(&["https://a.internal/x".into(), "urn:b".into()][..]));
    let Grant::Exchange(exchange) = &by_key.grant else { panic!("{:?}", by_key.grant) };
    let file = ActorSpec::File { path: dir.path().join("secrets/sa"), kind: TokenType::Jwt };
    assert_eq!((&exchange.actor, exchange.requested_token_type), (&Some(file), None));

    assert_eq!(own.client.auth, ClientAuth::AssertionFile(dir.path().join("secrets/sa")));
    assert_eq!(own.expect_audience, None);
    let Grant::ClientCredentials(refresh) = &own.grant else { panic!("{:?}", own.grant) };
    assert_eq!(refresh.refresh_ahead, secs(60));
    let ProviderRef::Own(auth) = &orders.provider else { panic!("{:?}", orders.provider) };
    assert_eq!(auth.issuer.as_deref(), Some("https://auth.internal/"));
    assert_eq!(auth.metadata.as_ref().unwrap().as_str(), "https://auth.internal/.well-known/openid-configuration");
    assert!(matches!(orders.client.auth, ClientAuth::Tls { .. }));
    assert_eq!(orders.expect_audience.as_deref(), Some(&["api.production".into()][..]));

    let rules = config.table.rules();
    let tokens: Vec<Option<usize>> = rules.iter().map(|rule| rule.upstream_token.map(|index| index.0)).collect();
    assert_eq!(tokens, [Some(0), Some(3), None, None, Some(0), Some(3)]);
    let removed: Vec<bool> = rules.iter().map(|rule| rule.injection.remove_token).collect();
    assert_eq!(removed, [true, true, true, false, true, true]);
    assert!(matches!(rules[1].action, Action::Anonymous { caller: None }));
}
