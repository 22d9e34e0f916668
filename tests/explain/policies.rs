//! Random policies, requests and tokens: what explain says is what the engine answers.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::Instant;
use tollgate::authn::store::Deps;
use tollgate::clock::{Clock, ManualClock, Timestamp};
use tollgate::config;
use tollgate::core::event::Silent;
use tollgate::core::request::{Direction, Header, Headers, RawRequest};
use tollgate::engine::Engine;
use tollgate::engine::explain::Explainer;
use tollgate::net::HttpClient;

use super::corpus::{Decided, Keys};
use super::{comparable, explained};

const NOW: i64 = 1_767_225_600;

const HEAD: &str = r#"
server:
  check:
    - { listen: "unix:in.sock", direction: inbound }
    - { listen: "unix:out.sock", direction: outbound }
issuers:
  shop:
    issuer: https://shop.example
    keys: { jwks_file: "${KEYS}/keys.jwks" }
    algorithms: [ES256]
    max_lifetime: 1h
    wildcard_scope: "*"
    claims: { client: azp, scopes: scope, roles: roles, tenant: org, extra: { plan: plan } }
  partner:
    issuer: https://partner.example
    keys: { jwks_file: "${KEYS}/partner.jwks" }
    algorithms: [ES256]
    credential: { header: x-partner-token }
identity_headers: [x-user-id]
rules:
"#;

/// Any of these, in any order.
const RULES: [&str; 12] = [
    r#"{ name: open, match: { paths: ["/open/**"] }, allow: anonymous, inject: { x-caller: "{caller}" } }"#,
    r#"{ name: closed, match: { paths: ["/a/secret/**"] }, deny: true }"#,
    r#"{ name: a, match: { paths: ["/a/**"] }, cors_preflight: allow, require: { issuers: [shop], audience: { any: [orders, "*"] } }, inject: { x-user-id: { value: "{subject}", required: true }, x-plan: "{claim.plan}" } }"#,
    r#"{ name: a-post, match: { paths: ["/a/**"], methods: [POST] }, require: { issuers: [shop], audience: { all: [orders] }, scopes: { any: [write, admin] } }, remove_token: true }"#,
    r#"{ name: a-id, match: { paths: ["/a/{org}"] }, require: { issuers: [shop], audience: unchecked, claims: [{ path: org, equals_path: org }] }, inject: { x-org: "{path.org}" } }"#,
    r#"{ name: host, match: { hosts: ["*.example.com"], paths: ["/a/**"] }, require: { issuers: [shop, partner], audience: { any: [orders] }, roles: { any: [clerk] } } }"#,
    r#"{ name: exact, match: { hosts: [api.example.com] }, allow: optional, require: { issuers: [shop], audience: { any: [orders] }, scopes: { all: [read, write] } }, inject: { x-user-id: "{subject}" } }"#,
    r#"{ name: mesh, match: { paths: ["/mesh"] }, allow: anonymous, require: { caller: { spiffe: ["spiffe://td/ns/a/**"] } } }"#,
    r#"{ name: mesh-token, match: { paths: ["/mesh/{x}"] }, require: { issuers: [shop], audience: { any: [orders] }, caller: { spiffe: ["spiffe://td/ns/a/sa/b"] } }, inject: { x-caller: { value: "{caller}", required: true } } }"#,
    r#"{ name: gold, match: { paths: ["/a/**"], context_extensions: { tier: gold } }, require: { issuers: [shop], audience: { any: [orders] }, claims: [{ path: plan, in: [gold, 7] }, { path: org, present: true }] } }"#,
    r#"{ name: out, match: { direction: outbound, hosts: [api.example.com] }, require: { issuers: [shop], audience: { any: [orders] } } }"#,
    r#"{ name: by-header, match: { paths: ["/open/x"], headers: [{ name: x-v, equals: "1" }] }, allow: anonymous, denial: { status: 404 } }"#,
];

#[derive(Clone, Debug)]
struct Asked {
    method: &'static str,
    host: &'static str,
    path: &'static str,
    outbound: bool,
    principal: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    context: Option<&'static str>,
    token: Option<(&'static str, &'static str, Value)>,
}

fn any_claims() -> impl Strategy<Value = Value> {
    let text = |choices: Vec<Value>| prop::sample::select(choices);
    (
        text(vec![json!("https://shop.example"), json!("https://partner.example"), json!("https://x"), json!(7)]),
        text(vec![json!("orders"), json!(["orders", "x"]), json!("other"), json!(null), json!(3)]),
        text(vec![json!("read write"), json!("write"), json!("*"), json!(""), json!(["read"])]),
        text(vec![json!(["clerk"]), json!([]), json!("clerk")]),
        text(vec![json!("acme"), json!("x"), json!(null), json!(["acme"])]),
        text(vec![json!("gold"), json!(7), json!(7.5), json!({ "x": 1 })]),
        prop::sample::select(vec![-600_i64, -20, 60, 600, 7200]),
        prop::bool::weighted(0.9),
    )
        .prop_map(|(iss, aud, scope, roles, org, plan, exp, subject)| {
            let mut claims = json!({
                "iss": iss, "aud": aud, "scope": scope, "roles": roles, "org": org, "plan": plan, "azp": "web",
                "iat": NOW - 10, "exp": NOW + exp,
            });
            if subject {
                claims["sub"] = json!("alice");
            }
            claims
        })
}

fn any_asked() -> impl Strategy<Value = Asked> {
    use prop::sample::select;
    let paths = vec![
        "/open/x",
        "/a",
        "/a/acme",
        "/a/x/y",
        "/a/secret",
        "/a/secret/x",
        "/mesh",
        "/mesh/1",
        "/nowhere",
        "/a//b",
        "/a?q=1",
    ];
    let header = select(vec![
        ("x-v", "1"),
        ("x-v", "2"),
        ("x_user_id", "forged"),
        ("content-type", "application/grpc"),
        ("origin", "https://a"),
        ("access-control-request-method", "GET"),
        ("x-partner-token", "nonsense"),
    ]);
    let token = prop::option::weighted(
        0.85,
        (
            select(vec!["authorization", "authorization", "x-partner-token"]),
            select(vec!["ec", "ec", "rsa"]),
            any_claims(),
        ),
    );
    (
        select(vec!["GET", "POST", "OPTIONS", "G T"]),
        select(vec!["api.example.com", "x.example.com", "other", "a..b"]),
        select(paths),
        prop::bool::weighted(0.15),
        select(vec!["", "spiffe://td/ns/a/sa/b", "spiffe://td/ns/c/sa/b", "CN=x"]),
        prop::collection::vec(header, 0..3),
        prop::option::of(select(vec!["gold", "lead"])),
        token,
    )
        .prop_map(|(method, host, path, outbound, principal, headers, context, token)| Asked {
            method,
            host,
            path,
            outbound,
            principal,
            headers,
            context,
            token,
        })
}

impl Asked {
    fn credential(&self) -> Option<(&'static str, String)> {
        let (header, key, claims) = self.token.as_ref()?;
        let kid = if claims["iss"] == "https://partner.example" { "partner" } else { *key };
        let alg = if *key == "rsa" { "RS256" } else { "ES256" };
        let token = Keys::shared().signer(key).sign(&json!({ "alg": alg, "kid": kid, "typ": "at+jwt" }), claims);
        let value = if *header == "authorization" { format!("Bearer {token}") } else { token };
        Some((header, value))
    }
}

#[test]
fn explain_and_the_engine_agree_on_any_policy() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let keys = Keys::shared().directory.path().to_str().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp::from_unix_seconds(NOW)));
    let rules = prop::sample::subsequence(RULES.to_vec(), 1..=RULES.len()).prop_shuffle();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 48, ..ProptestConfig::default() });
    runner
        .run(&(rules, prop::collection::vec(any_asked(), 24)), |(rules, asked)| {
            let list: String = rules.iter().map(|rule| format!("  - {rule}\n")).collect();
            let text = format!("{HEAD}{list}").replace("${KEYS}", keys);
            let base = directory.path().to_owned();
            let load = move || config::load_from(&text, &base, std::path::Path::new("policy.yaml"));
            let loaded = load().unwrap_or_else(|errors| panic!("{errors}"));
            runtime.block_on(async {
                let deps = || Deps::new(HttpClient::new(), Arc::clone(&clock), Arc::new(Silent));
                let engine = Engine::start(load, deps()).await.unwrap();
                let explainer = Explainer::new(loaded, deps(), Duration::from_secs(5)).unwrap();
                for asked in &asked {
                    let credential = asked.credential();
                    let lines = asked.headers.iter().map(|(name, value)| (*name, *value));
                    let lines = lines.chain(credential.iter().map(|(name, value)| (*name, value.as_str())));
                    let headers = lines.map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
                    let request = RawRequest {
                        direction: if asked.outbound { Direction::Outbound } else { Direction::Inbound },
                        method: asked.method,
                        host: asked.host,
                        path: asked.path,
                        headers: Headers::new(headers),
                        principal: asked.principal,
                        certificate: "",
                        context_extensions: asked.context.iter().map(|tier| ("tier", *tier)).collect(),
                    };
                    let title = format!("{asked:?} by {rules:#?}");
                    let deadline = Instant::now() + Duration::from_secs(20);
                    let answer = engine.check(request.clone(), deadline).await;
                    let (explanation, _) = explained(&explainer, request, clock.now(), &title).await;
                    let told = comparable(Decided::of_answer(&explanation.answer));
                    assert_eq!(told, comparable(Decided::of_answer(&answer)), "{title}");
                }
            });
            Ok(())
        })
        .unwrap();
}
