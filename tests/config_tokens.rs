//! The configuration file, as far as it talks to identity providers: introspection, providers, tokens, presets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tollgate::authn::spec::{KeySource, OpaqueAlphabet, TokenFormat};
use tollgate::config::{self, Config};
use tollgate::core::algorithm::Algorithm;
use tollgate::core::rule::{Action, IssuerIndex, TokenIndex};
use tollgate::outbound::spec::{ActorSpec, Grant, ProviderRef, TokenType};
use tollgate::provider::spec::ClientAuth;
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
      resource: ["https://a.internal", "urn:b"]
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
    assert_eq!((*algorithm, key_id.as_deref()), (Algorithm::ES256, Some("k1")));
    assert_eq!(audience.as_deref(), Some("https://sts.internal"));
    // Without an audience the resources are expected. They stay as they were written: providers compare texts.
    assert_eq!(by_key.resources, ["https://a.internal".into(), "urn:b".into()]);
    assert_eq!(by_key.expect_audience.as_ref(), Some(&by_key.resources));
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
    let tokens: Vec<Option<usize>> = rules.iter().map(|rule| rule.effect.upstream_token.map(|index| index.0)).collect();
    assert_eq!(tokens, [Some(0), Some(3), None, None, Some(0), Some(3)]);
    let removed: Vec<bool> = rules.iter().map(|rule| rule.effect.injection.remove_token).collect();
    assert_eq!(removed, [true, true, true, false, true, true]);
    assert!(matches!(rules[1].effect.action, Action::Anonymous { caller: None }));
}

/// What each of these texts is answered with, for a golden file. A text that loads is a mistake.
fn answers<'c>(cases: impl IntoIterator<Item = (&'c str, String)>) -> String {
    let dir = directory();
    let mut all = String::new();
    for (shown, text) in cases {
        match load_in(dir.path(), &text) {
            Ok(_) => panic!("loads:\n{shown}\n{text}"),
            Err(errors) => {
                let lines: Vec<&str> = errors.lines().collect();
                let (_count, lines) = lines.split_last().unwrap();
                all.push_str(&format!("{}\n    {}\n\n", shown.trim_end(), lines.join("\n    ")));
            }
        }
    }
    all
}

const SERVER: &str = "server: { check: [{ listen: \"unix:/run/in.sock\", direction: inbound }, { listen: \"unix:/run/out.sock\", direction: outbound }] }\n";

/// A configuration with this issuer.
fn with_issuer(issuer: &str) -> String {
    format!("{SERVER}issuers:\n  a:\n{}rules: []\n", indented(issuer, 4))
}

#[test]
fn errors_of_introspecting_issuers() {
    let keys = "keys: { jwks: \"https://a.internal/certs\" }";
    let asked = "introspection: { client: { id: gate, secret_file: secrets/b } }";
    let endpoint = "provider: { introspection_endpoint: \"https://a.internal/introspect\" }";
    let opaque = |more: &str| format!("tokens: opaque\n{endpoint}\n{more}");
    let with = |asked: &str| opaque(&format!("introspection: {asked}"));
    let client = |client: &str| with(&format!("{{ client: {client} }}"));
    let provider = |provider: &str| format!("tokens: opaque\n{asked}\nprovider: {provider}");
    let cases = [
        "tokens: opaqe".to_owned(),
        "tokens: opaque".to_owned(),
        format!("tokens: both\n{keys}"),
        format!("tokens: both\n{asked}\n{endpoint}"),
        format!("{keys}\n{asked}\n{endpoint}"),
        format!("{keys}\n{endpoint}\nintrospection: {{ jwts: true, client: {{ id: gate, secret_file: secrets/b }}, opaque: {{}}, unknown: {{}} }}"),
        opaque(&format!("{asked}\n{keys}\nalgorithms: [RS256]\nkid: optional\nprofile: rfc9068")),
        with("{ jwts: true, client: { id: gate, secret_file: secrets/b } }"),
        format!("tokens: opaque\n{asked}"),
        format!("tokens: both\n{asked}\n{keys}"),
        format!("tokens: opaque\n{asked}\nprovider: {{ token_endpoint: \"https://a.internal/token\" }}"),
        format!("{keys}\nprovider: {{}}"),
        format!("{keys}\nprovider: {{ timeout: 1s }}"),
        with("{}"),
        client("{}"),
        client("{ id: \"\", secret_file: secrets/b }"),
        client("{ id: \"ä\", secret_file: secrets/b }"),
        client("{ id: gate }"),
        client("{ id: gate, secret: hunter2 }"),
        client("{ id: gate, secret_file: secrets/b, secret_env: PATH }"),
        client("{ id: gate, secret_file: secrets/nothing }"),
        client("{ id: gate, secret_file: secrets/empty }"),
        client("{ id: gate, secret_env: TOLLGATE_TEST_IS_NOT_SET }"),
        client("{ id: gate, secret_env: \"A=B\" }"),
        client("{ id: gate, auth: client_secret_jwt, secret_file: secrets/b }"),
        client("{ id: gate, auth: client_secret_basik, secret_file: secrets/b }"),
        client("{ id: gate, key_file: secrets/key.pem }"),
        client("{ id: gate, certificate_file: tls/tls.crt, key_file: tls/tls.key }"),
        client("{ id: gate, secret_file: secrets/b, algorithm: RS256, key_id: a, audience: b }"),
        client("{ id: gate, auth: private_key_jwt }"),
        client("{ id: gate, auth: private_key_jwt, secret_file: secrets/b }"),
        client("{ id: gate, auth: private_key_jwt, key_file: secrets/key.pem, assertion_file: secrets/sa }"),
        client("{ id: gate, auth: private_key_jwt, key_file: secrets/empty }"),
        client("{ id: gate, auth: private_key_jwt, key_file: secrets/key.pem, algorithm: HS256, key_id: \"\", audience: \"\" }"),
        client("{ id: gate, auth: private_key_jwt, assertion_file: secrets/sa, key_id: k }"),
        client("{ id: gate, auth: tls_client_auth, certificate_file: tls/tls.crt }"),
        client("{ id: gate, auth: tls_client_auth, certificate_file: tls/nothing, key_file: tls/tls.key, secret_file: secrets/b }"),
        with("{ client: { id: gate, secret_file: secrets/b }, cache: { active: 2days, inactive: 1h } }"),
        with("{ client: { id: gate, secret_file: secrets/b }, opaque: { min_bytes: 0, max_bytes: 1MiB, prefix: \"\", alphabet: base32 } }"),
        with("{ client: { id: gate, secret_file: secrets/b }, opaque: { min_bytes: 100, max_bytes: 99, prefix: \"a b\" } }"),
        with("{ client: { id: gate, secret_file: secrets/b }, opaque: { min_bytes: 1, max_bytes: 3, prefix: \"abc\" } }"),
        with("{ client: { id: gate, secret_file: secrets/b }, opaque: { max_bytes: 9KiB } }"),
        with("{ client: { id: gate, secret_file: secrets/b }, unknown: { per_second: 0, burst: 0, max_in_flight: 0 } }"),
        with("{ client: { id: gate, secret_file: secrets/b }, chache: {} }"),
        provider("{ issuer: \"https://b\", introspection_endpoint: \"http://a.internal/introspect\" }"),
        provider("{ introspection_endpoint: \"https://gate:hunter2@a.internal/introspect\" }"),
        provider("{ introspection_endpoint: \"https://a.internal/introspect#x\" }"),
        provider("{ introspection_endpoint: \"ftp://a.internal/introspect\" }"),
        provider("{ introspection_endpoint: /introspect }"),
        provider("{ introspection_endpoint: \"https://169.254.169.254/introspect\" }"),
        provider("{ introspection_endpoint: \"https://a.internal/i\", proxy: \"socks5://proxy:1080\" }"),
        provider("{ introspection_endpoint: \"https://a.internal/i\", proxy: \"https://proxy:3128\" }"),
        provider("{ introspection_endpoint: \"http://localhost:8080/i\", proxy: \"http://proxy:3128\" }"),
        provider("{ introspection_endpoint: \"https://a.internal/i\", proxy: \"http://proxy:3128/path\" }"),
        provider("{ introspection_endpoint: \"https://a.internal/i\", proxy: \"http://user:hunter2@proxy:3128\" }"),
        provider("{ introspection_endpoint: \"https://a.internal/i\", proxy: \"http://169.254.1.1\" }"),
        provider("{ introspection_endpoint: \"https://a.internal/i\", proxy: \"proxy:3128\" }"),
        provider("{ introspection_endpoint: \"https://a.internal/i\", allowed_addresses: [\"10.0.0.0/8\", nowhere, \"0.0.0.0\", \"10.0.0.1\", \"10.0.0.1\"] }"),
        provider("{ introspection_endpoint: \"https://a.internal/i\", allowed_hosts: [b] }"),
        provider("{ introspection_endpoint: \"https://a.internal/i\", timeout: 5m, connect_timeout: 0s, max_in_flight: 0, retries: 6, breaker: { failures: 0, open: 1ms } }"),
        provider("{ introspection_endpoint: \"https://a.internal/i\", timeout: 1s, connect_timeout: 2s }"),
        provider("{ introspection_endpoint: \"https://a.internal/i\", ca_file: tls/nothing }"),
        format!("{keys}\noutage: {{ stale_introspection: 10s, cold_start: server }}"),
        opaque(&format!("{asked}\noutage: {{ stale_introspection: 2days, stale_keys: 1h, cold_start: serve }}")),
        "keys: { pem: [keys/passport.pem], proxy: \"http://p\", allowed_addresses: [], connect_timeout: 1s }\noutage: { cold_start: serve }".to_owned(),
        "keys: { jwks: \"https://a\", proxy: \"ftp://p\", allowed_addresses: [x], connect_timeout: 1min }".to_owned(),
        format!("{keys}\nclaims: keyclok"),
        format!("{keys}\nclaims: [keycloak]"),
        format!("{keys}\nclaims: {{ preset: azure }}"),
        format!("{keys}\nclaims: {{ preset: auth0, client_roles: shop }}"),
        format!("{keys}\nclaims: {{ client_roles: shop }}"),
        format!("{keys}\nclaims: {{ preset: keycloak, client_roles: [] }}"),
        format!("{keys}\nclaims: {{ preset: keycloak, client_roles: [\"\"], roles: groups }}"),
        format!("{keys}\nwildcard_scope: \"*\"\nclaims: {{ preset: passport, extra: {{ all: scopes }} }}"),
    ];
    let absent = [
        format!("issuer_claim: absent\n{keys}\nprovider: {{ discovery: true }}"),
        format!(
            "issuer_claim: absent\ntokens: opaque\n{asked}\nprovider: {{ discovery: \"https://a/.well-known/x\" }}"
        ),
    ];
    let with_claim =
        cases.iter().map(|issuer| (issuer.as_str(), with_issuer(&format!("issuer: https://a.internal\n{issuer}"))));
    insta::assert_snapshot!(answers(
        with_claim.chain(absent.iter().map(|issuer| (issuer.as_str(), with_issuer(issuer))))
    ));
}

/// A configuration with these tokens, beside some that are good.
fn with_tokens(tokens: &str) -> String {
    format!(
        "{SERVER}issuers:
  keycloak: {{ issuer: \"https://kc.internal/realms/a\", keys: {{ discovery: true }} }}
  passport: {{ issuer_claim: absent, keys: {{ pem: [keys/passport.pem] }} }}
  asked: {{ issuer: \"https://asked.internal\", tokens: opaque, credential: {{ header: x-opaque }}, provider: {{ introspection_endpoint: \"https://asked.internal/i\" }}, introspection: {{ client: {{ id: a, secret_file: secrets/b }} }} }}
tokens:
  good: {{ client_credentials: {{ issuer: keycloak, client: {{ id: a, secret_file: secrets/b }} }} }}
  swapped: {{ exchange: {{ issuer: keycloak, client: {{ id: a, secret_file: secrets/b }}, audience: b }} }}
{}rules: []\n",
        indented(tokens, 2)
    )
}

#[test]
fn errors_of_tokens() {
    let client = "client: { id: a, secret_file: secrets/b }";
    let exchange = |more: &str| format!("t: {{ exchange: {{ issuer: keycloak, {client}, {more} }} }}");
    let own = |more: &str| format!("t: {{ client_credentials: {{ {client}, {more} }} }}");
    let cases = [
        "t: {}".to_owned(),
        "t: []".to_owned(),
        "t: { exchnage: {} }".to_owned(),
        "\"\": { client_credentials: { issuer: keycloak, client: { id: a, secret_file: secrets/b } } }".to_owned(),
        "t: { exchange: {}, client_credentials: {} }".to_owned(),
        "t: { exchange: {} }".to_owned(),
        "t: { client_credentials: {} }".to_owned(),
        own("issuer: keyclaok"),
        own("issuer: passport"),
        own("issuer: asked"),
        own("issuer: keycloak, provider: {}"),
        own("provider: {}"),
        own("provider: { discovery: true }"),
        own("provider: { discovery: \"https://a.internal/.well-known/oauth-authorization-server\" }"),
        own("provider: { issuer: \"a b\", discovery: \"https://a.internal/meta\" }"),
        own(
            "provider: { token_endpoint: \"http://a.internal/token\", introspection_endpoint: \"https://a.internal/i\" }",
        ),
        own("provider: { token_endpoint: \"https://a.internal/token\", allowed_hosts: [b] }"),
        own("issuer: keycloak, refresh: { ahead: 2days }"),
        own("issuer: keycloak, cache: {}"),
        own("issuer: keycloak, scopes: []"),
        own("issuer: keycloak, scopes: [\"a b\", a, a], also_granted: [a, \"\"]"),
        own("issuer: keycloak, scopes: \"a b\""),
        own("issuer: keycloak, audience: \"\""),
        own("issuer: keycloak, audience: [], resource: []"),
        own("issuer: keycloak, audience: [a, a, \"\"]"),
        own("issuer: keycloak, resource: payments"),
        own(
            "issuer: keycloak, resource: [\"https://a/#b\", \"https://u:hunter2@a/\", /a, \"https://a/ä\", \" https://a\"]",
        ),
        own("issuer: keycloak, max_token_bytes: 1MiB"),
        "t: { client_credentials: { issuer: keycloak, client: { id: a, auth: private_key_jwt } } }".to_owned(),
        exchange("scopes: [a]"),
        exchange("audience: b, expect_audience: uncheked"),
        exchange("audience: b, expect_audience: []"),
        exchange("audience: b, requested_token_type: id_token, subject_token_type: saml2"),
        exchange("audience: b, refresh: {}"),
        exchange("audience: b, cache: { max_age: 2days, margin: 1h, max_bytes: 1TB }"),
        exchange("audience: b, actor: {}"),
        exchange("audience: b, actor: { token: god }"),
        exchange("audience: b, actor: { token: swapped }"),
        exchange("audience: b, actor: { token: t }"),
        exchange("audience: b, actor: { token: good, type: jwt }"),
        exchange("audience: b, actor: { token: good, file: secrets/sa }"),
        exchange("audience: b, actor: { file: secrets/nothing }"),
        exchange("audience: b, actor: { file: secrets/empty, type: saml }"),
        format!(
            "one: {{ exchange: {{ issuer: keycloak, {client}, audience: b, actor: {{ token: two }} }} }}\ntwo: {{ exchange: {{ issuer: keycloak, {client}, audience: b, actor: {{ token: one }} }} }}"
        ),
        "good: { client_credentials: { issuer: keycloak, client: { id: a, secret_file: secrets/b } } }".to_owned(),
    ];
    insta::assert_snapshot!(answers(cases.iter().map(|tokens| (tokens.as_str(), with_tokens(tokens)))));
}

/// A configuration with this rule, for tokens `own` and `swapped`.
fn with_rule(rule: &str) -> String {
    let rule = indented(rule, 4);
    with_tokens("").replace("  good:", "  own:").replace("rules: []", &format!("rules:\n  - name: r\n{rule}"))
}

#[test]
fn errors_of_upstream_tokens() {
    let require = "require: { issuers: [keycloak], audience: { any: [a] } }";
    let out = "match: { direction: outbound, hosts: [a] }";
    let cases = [
        format!("{out}\nupstream_token: onw"),
        format!("{out}\nupstream_token: {{ inbound: true }}"),
        format!("{out}\nupstream_token: [own]"),
        format!("{out}\nupstream_token: {{ use: own, inbound: false }}"),
        format!("{out}\nupstream_token: {{ use: swaped }}\n{require}"),
        format!("{out}\nupstream_token: swapped"),
        format!("{out}\nupstream_token: swapped\nallow: anonymous"),
        format!("{out}\nupstream_token: swapped\nallow: optional\n{require}"),
        format!("{out}\nupstream_token: own\ndeny: true"),
        format!("{out}\nupstream_token: own\nallow: optional"),
        format!("{out}\nupstream_token: own\nremove_token: false\n{require}"),
        format!("{out}\nupstream_token: swapped\n{require}\ninject: {{ Authorization: \"Bearer x\" }}"),
        format!("{out}\nupstream_token: own\ninject: {{ x-user: \"{{subject}}\" }}"),
        format!("{out}\nupstream_token: {{ use: swapped, inbound: true }}\n{require}"),
        format!("match: {{ direction: outbound }}\nupstream_token: swapped\n{require}"),
        "match: { direction: outbound, paths: [/a] }\nupstream_token: own".to_owned(),
        "match: { hosts: [a] }\nupstream_token: own".to_owned(),
        "match: { hosts: [a] }\nupstream_token: { use: own, inbound: true }".to_owned(),
        "match: { hosts: [a], context_extensions: { a: b } }\nupstream_token: { use: own, inbound: true }".to_owned(),
        format!("upstream_token: swapped\n{require}"),
        format!("{out}\nupstream_token: swapped\nrequire: {{ audience: {{ any: [a] }} }}"),
    ];
    insta::assert_snapshot!(answers(cases.iter().map(|rule| (rule.as_str(), with_rule(rule)))));
}

#[test]
fn a_certificate_needs_an_endpoint_with_tls() {
    let client = "client: { id: gate, auth: tls_client_auth, certificate_file: tls/tls.crt, key_file: tls/tls.key }";
    for (scheme, fine) in [("https", true), ("http", false)] {
        let url = format!("{scheme}://127.0.0.1:1/x");
        let text = with_tokens(&format!(
            "t: {{ client_credentials: {{ provider: {{ token_endpoint: \"{url}\" }}, {client} }} }}"
        ));
        let issuer = with_issuer(&format!(
            "issuer: https://a.internal\ntokens: opaque\nprovider: {{ introspection_endpoint: \"{url}\" }}\nintrospection: {{ {client} }}"
        ));
        for (text, place) in [(text, "tokens.t.client_credentials.client"), (issuer, "introspection.client")] {
            match load(&text) {
                Ok(_) => assert!(fine, "{text}"),
                Err(errors) => assert!(!fine && errors.contains(place) && errors.contains("`https:`"), "{errors}"),
            }
        }
    }
}

#[test]
fn row_233_tokens_are_handed_out_on_trusted_listeners_alone() {
    let require = "require: { issuers: [keycloak], audience: { any: [a] } }";
    let tls = |rest: &str, direction: &str| {
        format!(
            "{{ listen: \"0.0.0.0:1\", direction: {direction}, tls: {{ certificate: tls/tls.crt, key: tls/tls.key{rest} }} }}"
        )
    };
    let allowed = ", client_ca: tls/ca.crt, allowed_peers: [\"spiffe://cluster.local/ns/shop/sa/envoy\"]";
    for (direction, rule) in [
        ("outbound", "match: { direction: outbound, hosts: [a] }\nupstream_token: own".to_owned()),
        ("outbound", format!("match: {{ direction: outbound, hosts: [a] }}\nupstream_token: swapped\n{require}")),
        ("inbound", format!("match: {{ hosts: [a] }}\nupstream_token: {{ use: swapped, inbound: true }}\n{require}")),
        ("inbound", "match: { context_extensions: { a: b } }\nupstream_token: own".to_owned()),
    ] {
        let with = |listener: &str| {
            let other = "{ listen: \"unix:/run/other.sock\", direction: DIRECTION }".replace("DIRECTION", direction);
            with_rule(&rule).replace(SERVER, &format!("server: {{ check: [{listener}, {other}] }}\n"))
        };
        let other = if direction == "inbound" { "outbound" } else { "inbound" };
        for good in [
            format!("{{ listen: \"unix:/run/in.sock\", direction: {direction} }}"),
            format!("{{ listen: \"127.0.0.1:1\", direction: {direction} }}"),
            format!("{{ listen: \"[::1]:1\", direction: {direction} }}"),
            format!("{{ listen: \"0.0.0.0:1\", direction: {other} }}"),
            tls(allowed, direction),
        ] {
            if let Err(errors) = load(&with(&good)) {
                panic!("{good}\n{rule}\n{errors}");
            }
        }
        for bad in [
            format!("{{ listen: \"0.0.0.0:1\", direction: {direction} }}"),
            format!("{{ listen: \"10.0.0.1:1\", direction: {direction} }}"),
            tls("", direction),
            tls(", client_ca: tls/ca.crt", direction),
        ] {
            let errors = load(&with(&bad)).unwrap_err();
            assert!(
                errors.contains("rules[0].upstream_token: a token is handed out here, but on `server.check[0]` anybody could ask for it: let it listen on a unix socket or a loopback address, or give it `tls` with `client_ca` and `allowed_peers`"),
                "{bad}\n{rule}\n{errors}"
            );
            assert!(errors.ends_with("\n1 error in the configuration"), "{errors}");
        }
    }
}

#[test]
fn row_164_two_issuers_of_a_rule_cannot_both_claim_one_opaque_token() {
    let with = |one: &str, two: &str, accepted: &str| {
        let issuer = |name: &str, more: &str| {
            format!(
                "  {name}: {{ issuer: \"https://{name}.internal\", provider: {{ introspection_endpoint: \"https://{name}.internal/i\" }}, {more} }}\n"
            )
        };
        let jwt = "  jwt: { issuer: \"https://jwt.internal\", keys: { pem: [keys/passport.pem] } }\n";
        format!(
            "{SERVER}issuers:\n{}{}{jwt}rules:\n  - {{ name: r, require: {{ {accepted}audience: {{ any: [a] }} }} }}\n",
            issuer("one", one),
            issuer("two", two)
        )
    };
    let asked = |prefix: &str| {
        let opaque = if prefix.is_empty() { String::new() } else { format!(", opaque: {{ prefix: \"{prefix}\" }}") };
        format!("introspection: {{ client: {{ id: a, secret_file: secrets/b }}{opaque} }}")
    };
    let opaque = |prefix: &str| format!("tokens: opaque, {}", asked(prefix));
    let both = |prefix: &str| format!("tokens: both, keys: {{ pem: [keys/passport.pem] }}, {}", asked(prefix));
    for (one, two) in [
        (opaque(""), opaque("")),
        (opaque("a_"), opaque("")),
        (both("a_"), opaque("a_b_")),
        (opaque("a_b_"), both("a_")),
        (both("x"), both("x")),
    ] {
        for accepted in ["", "issuers: [one, two], ", "issuers: [two, jwt, one], "] {
            let errors = load(&with(&one, &two, accepted)).unwrap_err();
            let wanted = "rules[0].require: this rule accepts the issuers `one` and `two`, which could both claim one opaque token; name one of them in `issuers`";
            assert!(errors.contains(wanted), "{one}\n{two}\n{errors}");
        }
        load(&with(&one, &two, "issuers: [two], ")).unwrap();
        load(&with(&one, &format!("{two}, credential: {{ header: x-two }}"), "")).unwrap();
    }
    load(&with(&both("a_"), &opaque("b_"), "")).unwrap();
    // Nor is an issuer of JWTs taken for one whose tokens say nothing of themselves.
    let named = with(&opaque(""), "tokens: jwt, keys: { pem: [keys/passport.pem] }", "");
    load(&named.replace("https://two.internal\", provider", "https://one.internal\", provider")).unwrap();
    let jwts =
        "keys: { pem: [keys/passport.pem] }, introspection: { jwts: true, client: { id: a, secret_file: secrets/b } }";
    load(&with(jwts, &opaque(""), "")).unwrap();
}

#[test]
fn defaults_are_the_documented_ones() {
    let secs = Duration::from_secs;
    let text = with_tokens("").replace(
        "tokens: opaque, credential",
        "outage: {}, tokens: both, keys: { pem: [keys/passport.pem] }, credential",
    );
    let config = load(&text).unwrap_or_else(|errors| panic!("{errors}"));
    let [keycloak, passport, asked] = &config.issuers[..] else { panic!() };
    assert_eq!(
        (keycloak.tokens, &keycloak.introspection, keycloak.ready_without_keys),
        (TokenFormat::Jwt, &None, false)
    );
    // A token names `keycloak`, and nothing the endpoints of `passport`.
    let provider = keycloak.provider.as_ref().unwrap();
    assert_eq!(passport.provider, None);
    assert!(provider.introspection_endpoint.is_none() && provider.token_endpoint.is_none());
    assert!(provider.metadata.as_ref().unwrap().as_str().ends_with("/realms/a/.well-known/openid-configuration"));
    assert_eq!((provider.timeout, provider.max_in_flight, provider.retries), (secs(2), 64, 1));
    assert_eq!((provider.breaker.failures, provider.breaker.open_for), (5, secs(5)));
    assert_eq!((provider.transport.connect_timeout, provider.transport.allow_insecure_http), (Some(secs(1)), false));
    let asked = asked.introspection.as_ref().unwrap();
    assert!(!asked.jwts);
    assert_eq!((asked.active_for, asked.inactive_for, asked.stale_for), (secs(30), secs(5), secs(0)));
    assert_eq!((asked.filter.min_bytes, asked.filter.max_bytes, &*asked.filter.prefix), (16, 1024, ""));
    assert_eq!(asked.filter.alphabet, OpaqueAlphabet::Token68);
    assert_eq!((asked.unknown.per_second, asked.unknown.burst, asked.unknown.max_in_flight), (50, 100, 16));
    let [own, swapped] = &config.tokens[..] else { panic!() };
    assert_eq!((own.max_token_bytes, &own.expect_audience, own.scopes.len()), (8192, &None, 0));
    let Grant::ClientCredentials(grant) = &own.grant else { panic!() };
    assert_eq!(grant.refresh_ahead, secs(60));
    let Grant::Exchange(grant) = &swapped.grant else { panic!() };
    assert_eq!((grant.cache.max_age, grant.cache.margin, grant.cache.max_bytes), (secs(300), secs(10), 16 << 20));
    assert_eq!((grant.subject_token_type, grant.requested_token_type), (TokenType::AccessToken, None));

    // What a token does not ask for is not there.
    let unused = with_issuer("issuer: https://a.internal\nkeys: { discovery: true }");
    assert_eq!(load(&unused).unwrap().issuers[0].provider, None);
}

#[test]
fn a_provider_goes_the_way_of_its_issuers_keys_unless_it_says_otherwise() {
    let keys = "keys: { discovery: true, allowed_hosts: [b.internal], ca_file: tls/ca.crt, allow_insecure_http: true, proxy: \"http://proxy:3128\", allowed_addresses: [\"169.254.10.1\"], connect_timeout: 700ms }";
    let text = |provider: &str| with_issuer(&format!("issuer: https://a.internal\n{keys}\nprovider: {provider}"));
    let spec = |provider: &str| {
        let config = load(&text(provider)).unwrap_or_else(|errors| panic!("{errors}"));
        config.issuers[0].provider.clone().unwrap()
    };
    let same = spec("{}");
    assert!(same.transport.ca_file.as_ref().unwrap().ends_with("tls/ca.crt"));
    assert!(same.transport.allow_insecure_http && same.transport.proxy.is_some());
    assert_eq!((same.transport.allowed_addresses.len(), same.allowed_hosts.len()), (1, 1));
    assert_eq!(same.transport.connect_timeout, Some(Duration::from_millis(700)));
    // Never longer than the call that it is a part of.
    assert_eq!(spec("{ timeout: 100ms }").transport.connect_timeout, Some(Duration::from_millis(100)));
    spec("{ token_endpoint: \"http://a.internal/token\", introspection_endpoint: \"https://169.254.10.1/i\" }");
    let other = spec(
        "{ allowed_hosts: [], allow_insecure_http: false, allowed_addresses: [], connect_timeout: 2s, discovery: \"https://other.internal/meta\" }",
    );
    assert!(other.allowed_hosts.is_empty() && !other.transport.allow_insecure_http);
    assert!(other.transport.allowed_addresses.is_empty());
    assert_eq!(other.metadata.unwrap().host_str(), Some("other.internal"));
    load(&text("{ token_endpoint: \"http://a.internal/token\", allow_insecure_http: false }")).unwrap_err();
}

#[test]
fn presets_can_be_overridden_key_by_key() {
    let claims = |claims: &str| {
        let text = with_issuer(&format!("issuer: https://a.internal\nkeys: {{ discovery: true }}\nclaims: {claims}"));
        load(&text).unwrap_or_else(|errors| panic!("{errors}")).issuers[0].claims.clone()
    };
    let shown = |paths: &[tollgate::core::principal::ClaimPath]| {
        paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(claims("keycloak"), claims("{ preset: keycloak }"));
    assert_eq!(shown(&claims("keycloak").roles), "realm_access.roles");
    let with_clients =
        claims("{ preset: keycloak, client_roles: [shop, \"https://a.b/c\"], tenant: org, extra: { email: mail } }");
    let shop = tollgate::core::principal::ClaimPath::new(["resource_access", "https://a.b/c", "roles"]).unwrap();
    assert_eq!(with_clients.roles[2], shop);
    assert_eq!(shown(&with_clients.client), "azp client_id");
    assert_eq!(with_clients.tenant.unwrap().to_string(), "org");
    let extra: Vec<String> = with_clients.extra.iter().map(|(name, path)| format!("{name}={path}")).collect();
    assert_eq!(extra, ["username=preferred_username", "email=mail"]);
    assert_eq!(claims("{ preset: keycloak, client_roles: shop }").roles.len(), 2);
    // Without a preset the defaults hold, as they do without `claims`.
    assert_eq!(shown(&claims("{}").client), "client_id azp");
    assert_eq!(shown(&claims("{ preset: passport, client: client_id }").scopes), "scopes");
}

#[test]
fn row_202_secrets_stay_out_of_sight() {
    let dir = directory();
    let config = load_in(dir.path(), EVERYTHING).unwrap();
    // A variable that is there wherever Cargo runs a test.
    let held = std::env::var("CARGO_PKG_DESCRIPTION").unwrap();
    let by_variable = EVERYTHING.replace("secret_file: secrets/b", "secret_env: CARGO_PKG_DESCRIPTION");
    let of_environment = load_in(dir.path(), &by_variable).unwrap();
    for config in [&config, &of_environment] {
        let shown = format!("{config:?}{}", config.effective());
        assert!(!shown.contains("hunter2") && !shown.contains(&held), "{shown}");
    }
    assert!(format!("{config:?}").contains("secrets/b"));
    // Nor where much of it is wrong.
    let broken = EVERYTHING.replace("audience: payment-service", "audience: []").replace("hosts: [x]", "hosts: []");
    let broken = broken
        .replace("upstream_token: order-service", "upstream_token: nothing")
        .replace("client: {", "client: { x: y, ");
    let errors = load_in(dir.path(), &broken).unwrap_err();
    assert!(errors.lines().count() > 8, "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");
    // What was written where a name belongs is not shown as a secret would be.
    for wrong in ["secret_file: secrets/b, secret: hunter2", "secret: hunter2", "secret_env: hunter2"] {
        let errors = load_in(dir.path(), &EVERYTHING.replace("secret_file: secrets/b", wrong)).unwrap_err();
        assert!(!errors.contains("hunter2"), "{errors}");
    }
}
