//! What a case gives: claims over defaults, times, tokens, recorded requests, callers, routes.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::mint::Signer;
use super::{POLICY, Setup};

#[test]
fn what_a_case_says_is_laid_over_the_defaults() {
    let setup = Setup::new(
        r#"
server:
  check:
    - { listen: "unix:/run/in.sock", direction: inbound }
    - { listen: "unix:/run/out.sock", direction: outbound }
issuers:
  shop: { issuer: "https://idp.example/shop", keys: { discovery: true }, claims: { scopes: scope } }
  far: { issuer: "https://far.example", keys: { discovery: true }, credential: { header: x-far }, claims: { scopes: scope } }
tokens:
  own: { client_credentials: { provider: { issuer: "https://idp.example/shop", discovery: true }, client: { id: a, secret_file: secrets/none } } }
rules:
  - name: gold
    match: { paths: [/x], context_extensions: { tier: gold }, headers: [{ name: x-version, equals: "2" }] }
    require: { audience: { any: [a] }, scopes: { all: [one, two] }, caller: { spiffe: ["spiffe://mesh/ns/a/sa/b"] } }
    inject: { x-user: { value: "{subject}", required: true } }
  - { name: rest, match: { paths: [/x] }, require: { audience: { any: [a] } }, fallback: true }
  - { name: out, match: { direction: outbound, hosts: [up.internal] }, upstream_token: own }
"#,
    );
    let cases = "
defaults:
  host: a.b
  issuer: shop
  headers: { X-Version: '2' }
  caller: spiffe://mesh/ns/a/sa/b
  context_extensions: { tier: gold }
  claims: { sub: alice, aud: a, scope: one two }
cases:
  - { name: as the defaults say, request: GET /x, expect: { rule: gold, decision: allow, headers: { x-user: alice } } }
  - { name: another claim, request: GET /x, claims: { sub: bob }, expect: { rule: gold, headers: { x-user: bob } } }
  - { name: one claim less, request: GET /x, claims: { sub: null }, expect: { rule: gold, reason: missing_identity } }
  - { name: another header, request: GET /x, headers: { x-version: '1' }, expect: { rule: rest } }
  - { name: another route, request: GET /x, context_extensions: { tier: tin }, expect: { rule: rest } }
  - { name: another caller, request: GET /x, caller: spiffe://mesh/ns/c/sa/d, expect: caller_not_allowed }
  - { name: no caller, request: GET /x, caller: none, expect: caller_unknown }
  - { name: no token, request: GET /x, claims: none, expect: missing_token }
  - { name: a token of one's own, request: GET /x, claims: none, headers: { authorization: Basic eDp5 }, expect: unsupported_scheme }
  - { name: another issuer, request: GET /x, issuer: far, expect: { decision: allow } }
  - { name: 'another issuer, by iss', request: GET /x, issuer: far, claims: { iss: 'https://idp.example/shop' }, expect: { decision: deny } }
  - { name: another way, request: GET up.internal/x, direction: outbound, claims: none, expect: { rule: out, upstream_token: own, decision: allow } }
  - { name: no way, request: GET up.internal/y, claims: none, expect: { rule: none, upstream_token: none } }
";
    let ran = setup.cases(cases, &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("13 passed in 1 file"), "{}", ran.out);
}

#[test]
fn time_is_what_the_case_says() {
    let setup = Setup::new(POLICY);
    let case = |more: &str, reason: &str| format!("  - {{ request: GET a.b/orders, {more}, expect: {reason} }}\n");
    let claims = |more: &str| format!("claims: {{ sub: a, aud: orders, scope: orders.read, {more} }}");
    let cases = [
        case(&claims("exp: 1777636860"), "token_expired"),
        case(&format!("at: 2026-05-01T12:00:00Z, {}", claims("exp: 1777636860")), "allowed"),
        case(&format!("at: 1777636800, {}", claims("exp: 1777636860")), "allowed"),
        case(&format!("at: 2026-05-01T12:30:00Z, {}", claims("exp: 1777636860")), "token_expired"),
        case(&claims("exp: +1h"), "allowed"),
        case(&claims("exp: -1h"), "token_expired"),
        case(&claims("nbf: +10m"), "token_not_yet_valid"),
        case(&claims("iat: +10m, exp: +20m"), "token_issued_in_future"),
        case(&claims("exp: null"), "token_claims"),
    ];
    let ran = setup.cases(&format!("cases:\n{}", cases.concat()), &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
}

#[test]
fn a_real_token_is_verified_and_never_shown() {
    let setup = Setup::new(POLICY);
    let (signer, other) = (Signer::es256(), Signer::es256());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({ "iss": "https://idp.example/shop", "sub": "alice", "aud": "orders", "scope": "orders.read",
        "iat": now, "exp": now + 600 });
    let header = json!({ "alg": "ES256" });
    let tokens = [signer.sign(&header, &claims), other.sign(&header, &claims)];
    setup.write("tokens/good.jwt", format!("Authorization: Bearer {}\n", tokens[0]));
    setup.write("tokens/forged.jwt", &tokens[1]);
    let cases = "
cases:
  - { name: good, request: GET a.b/orders, token: tokens/good.jwt, expect: { rule: orders, headers: { x-user: alice } } }
  - { name: forged, request: GET a.b/orders, token: tokens/forged.jwt, expect: allow }
";
    // Without the key nothing can be said of them.
    let ran = setup.cases(cases, &[]);
    assert!(ran.code == 3 && ran.out.contains("issuers.shop.keys: "), "{}{}", ran.out, ran.err);
    setup.write("keys/shop.pem", signer.public_pem());
    let ran = setup.cases(cases, &["--explain", "--json", "out.json", "--junit", "out.xml"]);
    assert!(ran.code == 1 && ran.out.contains("token_signature"), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("1 passed, 1 failed"), "{}", ran.out);
    for written in [ran.out, ran.err, setup.read("out.json"), setup.read("out.xml")] {
        for part in tokens.iter().flat_map(|token| token.split('.').skip(1)) {
            assert!(!written.contains(part), "{written}");
        }
    }
}

#[test]
fn a_recorded_request_is_decided_as_it_was() {
    use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
    use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
    let setup = Setup::new(POLICY);
    let http = HttpRequest {
        method: "GET".to_owned(),
        host: "a.b".to_owned(),
        path: "/orders/7".to_owned(),
        headers: [("authorization".to_owned(), "Basic eDp5".to_owned())].into(),
        ..HttpRequest::default()
    };
    let attributes = AttributeContext {
        request: Some(Request { http: Some(http), ..Request::default() }),
        ..AttributeContext::default()
    };
    let message = CheckRequest { attributes: Some(attributes) };
    setup.write("checks/a.bin", prost::Message::encode_to_vec(&message));
    let json = json!({ "attributes": { "request": { "http": { "method": "GET", "host": "a.b", "path": "/orders/7",
        "headers": { "authorization": "Basic eDp5" } } } } });
    setup.write("checks/a.json", json.to_string());
    let cases = "
defaults: { host: other.b, claims: { sub: alice, aud: orders } }
cases:
  - { recorded: ../checks/a.bin, expect: unsupported_scheme }
  - { recorded: ../checks/a.json, expect: { rule: orders, reason: unsupported_scheme } }
  - { recorded: ../checks/a.json, claims: none, expect: unsupported_scheme }
  - { recorded: ../checks/a.json, claims: { scope: orders.read }, expect: { decision: allow, headers: { x-user: alice } } }
";
    setup.write("tests/recorded.test.yaml", cases);
    let ran = setup.test(&[]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("4 passed"), "{}", ran.out);
}

/// A policy is tested where its secrets are not; what is wrong with it is wrong there, too.
#[test]
fn files_of_keys_and_secrets_may_be_elsewhere() {
    let policy = r#"
server:
  check:
    - listen: "127.0.0.1:9191"
      direction: inbound
      tls: { certificate: /nowhere/tls.crt, key: /nowhere/tls.key, client_ca: /nowhere/ca.crt, allowed_peers: ["spiffe://a/b"] }
    - { listen: "unix:/run/out.sock", direction: outbound }
  control: { listen: "127.0.0.1:9101", token_file: /nowhere/control }
audit: { to: stdout, mask: { subject: hash }, hash_key_env: TOLLGATE_NO_SUCH_VARIABLE }
issuers:
  shop: { issuer: "https://idp.example", keys: { pem: [/nowhere/a.pem] }, algorithms: [ES256] }
  set: { issuer: "https://set.example", keys: { jwks_file: /nowhere/a.jwks }, algorithms: [ES256] }
  far: { issuer: "https://far.example", keys: { discovery: true, ca_file: /nowhere/ca.crt, bearer_token_file: /nowhere/token } }
tokens:
  own: { client_credentials: { issuer: far, provider: { token_endpoint: "https://far.example/t" }, client: { id: a, secret_env: TOLLGATE_NO_SUCH_VARIABLE } } }
rules:
  - { name: health, match: { paths: [/healthz] }, allow: anonymous }
  - { name: out, match: { direction: outbound, hosts: [up.internal] }, upstream_token: own }
"#;
    let policy = policy.replace(
        "issuer: far, provider: { token_endpoint: \"https://far.example/t\" }",
        "provider: { issuer: \"https://far.example\", discovery: true }",
    );
    let setup = Setup::new(&policy);
    let cases = "cases: [ { request: GET a.b/healthz, expect: allow } ]\n";
    let ran = setup.cases(cases, &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    // `check` is of the machine that serves.
    let check = super::program::tollgate(setup.0.path(), &["check", "--config", "policy.yaml"], b"");
    assert!(check.code == 1 && check.out.contains("cannot be read"), "{}{}", check.out, check.err);
    assert!(check.out.matches("\n").count() > 7, "{}", check.out);
    // A file that is there has to be what it should be.
    setup.write("empty", "");
    setup.write("policy.yaml", policy.replace("/nowhere/control", "empty"));
    let ran = setup.test(&[]);
    assert!(ran.code == 3 && ran.err.contains("the secret there must be"), "{}{}", ran.out, ran.err);
}
