//! What a token costs, known and new. Run with `cargo bench --bench authn`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "benchmarks"
)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use mint::Signer;
use serde_json::{Value, json};
use tollgate::authn::jwt::{Checked, Token};
use tollgate::authn::store::Deps;
use tollgate::authn::trace::Unwatched;
use tollgate::authn::{Accepted, Issuer, LookUp, authenticate, look_up};
use tollgate::clock::{Clock as _, SystemClock};
use tollgate::config;
use tollgate::core::caller::Caller;
use tollgate::core::event::Silent;
use tollgate::core::request::{Header, Headers};
use tollgate::net::HttpClient;

#[path = "../tests/support/mint.rs"]
mod mint;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ISSUER: &str = "https://commercehub.scalekit.example";
const TOKENS: usize = 10_000;

/// An issuer of a loaded configuration, with the signer's key.
fn issuer(signer: &Signer) -> Vec<Arc<Issuer>> {
    let directory = tempfile::tempdir().unwrap();
    let jwks = json!({ "keys": [signer.jwk("snk_1")] });
    std::fs::write(directory.path().join("jwks.json"), jwks.to_string()).unwrap();
    let text = format!(
        "server: {{ check: [{{ listen: 'unix:/run/gate.sock', direction: inbound }}] }}
issuers:
  scalekit:
    issuer: {ISSUER}
    algorithms: [RS256, ES256, EdDSA]
    keys: {{ jwks_file: jwks.json }}
    claims: {{ client: client_id, scopes: scopes, service: custom_claims.service_name, tenant: oid }}
    cache: {{ max_bytes: 64MiB }}
rules:
  - name: orders
    match: {{ paths: ['/orgs/{{org}}/**'] }}
    require:
      issuers: [scalekit]
      audience: {{ any: [api.production.yourplatform.com] }}
      scopes: {{ any: ['call:payment-service'] }}
      claims: [{{ path: oid, equals_path: org }}]
    inject: {{ x-service-name: '{{service}}' }}
"
    );
    let config = config::load_from(&text, directory.path(), Path::new("gate.yaml")).unwrap();
    let deps = Deps::new(HttpClient::new(), Arc::new(SystemClock), Arc::new(Silent));
    config.issuers.into_iter().map(|spec| Issuer::start(spec, &deps).unwrap()).collect()
}

/// The claims of a service's token.
fn claims(number: usize) -> Value {
    let now = SystemClock.now().as_unix_seconds();
    json!({
        "iss": ISSUER,
        "sub": format!("m2m_{number:019}"),
        "client_id": format!("m2m_{number:019}"),
        "aud": ["api.production.yourplatform.com"],
        "scopes": ["read:orders", "write:orders", "call:payment-service", "call:user-service"],
        "custom_claims": { "service_name": "order-service", "environment": "production", "version": "2.1.0" },
        "oid": format!("org_{number:019}"),
        "exp": now + 3_000_000,
        "iat": now,
        "nbf": now,
        "jti": format!("tkn_{number:019}"),
    })
}

fn values(signer: &Signer) -> Vec<String> {
    (0..TOKENS).map(|number| format!("Bearer {}", signer.sign(&signer.header("snk_1"), &claims(number)))).collect()
}

fn headers(value: &str) -> Headers<'_> {
    let line = |name, value| Header { name, value };
    let mut lines: Vec<Header<'_>> = vec![line("authorization", value.as_bytes())];
    let others = [":method", ":path", ":authority", ":scheme", "user-agent", "accept", "accept-encoding"];
    lines.extend(others.map(|name| line(name, b"whatever it is")));
    lines.extend(
        ["x-forwarded-for", "x-request-id", "x-envoy-x", "content-type", "cookie"].map(|name| line(name, b"x")),
    );
    Headers::new(lines)
}

fn authn(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (caller, clock) = (Caller::new("", ""), SystemClock);
    for (name, signer) in [("rs256", Signer::rs256()), ("es256", Signer::es256()), ("eddsa", Signer::ed25519())] {
        let (issuers, values) = (runtime.block_on(async { issuer(&signer) }), values(&signer));
        let accepted = Accepted::all(&issuers);
        let now = clock.now();
        let mut next = 0;
        let mut turn = move || {
            next = (next + 1) % TOKENS;
            next
        };
        criterion.bench_function(&format!("{name}/decode and check"), |bench| {
            bench.iter(|| {
                let token = values[turn()].strip_prefix("Bearer ").unwrap();
                let token = Token::decode(token, 8192, &mut Unwatched).unwrap();
                black_box(Checked::check(issuers[0].spec(), token, now, &mut Unwatched).unwrap());
            });
        });
        criterion.bench_function(&format!("{name}/verify alone"), |bench| {
            let keys = issuers[0].keys().current().unwrap();
            let algorithm = issuers[0].spec().algorithms.iter().find(|one| keys.keys()[0].fits(**one)).unwrap();
            bench.iter_batched(
                || {
                    let token = values[turn()].strip_prefix("Bearer ").unwrap();
                    let (signed, signature) = token.rsplit_once('.').unwrap();
                    (signed, URL_SAFE_NO_PAD.decode(signature).unwrap())
                },
                |(signed, signature)| {
                    assert!(keys.keys()[0].verify(*algorithm, signed.as_bytes(), &signature));
                },
                BatchSize::SmallInput,
            );
        });
        criterion.bench_function(&format!("{name}/new"), |bench| {
            // What the cache knows from the last round it is made to forget by its age.
            let mut now = now;
            bench.iter(|| {
                let index = turn();
                if index == 0 {
                    now = now.saturating_add(std::time::Duration::from_secs(301));
                }
                let headers = headers(&values[index]);
                let found = runtime.block_on(authenticate(accepted, &headers, &caller, now));
                black_box(found.unwrap().unwrap());
            });
        });
        if name == "es256" {
            for value in &values {
                runtime.block_on(authenticate(accepted, &headers(value), &caller, now)).unwrap();
            }
            criterion.bench_function("known", |bench| {
                bench.iter(|| {
                    let headers = headers(&values[turn()]);
                    let LookUp::Known(found) = look_up(accepted, &headers, &caller, now).0 else { panic!() };
                    black_box(found);
                });
            });
        }
        let bad: Vec<String> = values
            .iter()
            .map(|value| value.replace(value.rsplit('.').next().unwrap(), values[0].rsplit('.').next().unwrap()))
            .skip(1)
            .collect();
        criterion.bench_function(&format!("{name}/bad signature"), |bench| {
            bench.iter(|| {
                let headers = headers(&bad[turn() % bad.len()]);
                black_box(runtime.block_on(authenticate(accepted, &headers, &caller, now)).unwrap_err());
            });
        });
    }
}

criterion_group!(benches, authn);
criterion_main!(benches);
