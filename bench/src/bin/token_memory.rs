//! What cached tokens take: distinct ES256 tokens of services pass the gate's own checks, and the growth of resident
//! memory is shared among them. `token_memory [tokens] [room in MiB] [projected|claims|invalid]`
//!
//! `claims` keeps all claims, as a rule with `{claims}` does; `invalid` sends signatures of another key.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tollgate::authn::store::Deps;
use tollgate::authn::{Accepted, Issuer, authenticate};
use tollgate::clock::{Clock as _, SystemClock};
use tollgate::config;
use tollgate::core::caller::Caller;
use tollgate::core::event::Silent;
use tollgate::core::request::{Header, Headers};
use tollgate::net::HttpClient;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ISSUER: &str = "https://commercehub.scalekit.example";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let tokens: u64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let room: u64 = arguments.next().map_or(Ok(1024), |text| text.parse())?;
    let what = arguments.next().unwrap_or_else(|| "projected".to_owned());
    let random = SystemRandom::new();
    let (key, other) = (signing_key()?, signing_key()?);
    let issuers = [issuer(&key, room, what == "claims")?];
    let signer = if what == "invalid" { &other } else { &key };

    let (mut begun, mut at) = (0, Instant::now());
    let mut known = 0;
    for number in 0..tokens {
        // What is warmed up by the first tokens is nobody's.
        if number == tokens.min(1000) / 10 {
            (begun, at) = (resident()?, Instant::now());
        }
        let token = token(signer, &random, number)?;
        known += u64::from(passes(&issuers, &token).await?);
        if (number + 1) % (tokens / 10).max(1) == 0 {
            let grown = resident()?.saturating_sub(begun);
            println!("{:>8} tokens: {:>6} KiB, {} bytes each", number + 1, grown >> 10, grown / (number + 1));
        }
    }
    let spent = at.elapsed();
    println!("{known} of {tokens} accepted; {:.1} µs each with signing", spent.as_secs_f64() * 1e6 / tokens as f64);
    Ok(())
}

fn signing_key() -> Result<EcdsaKeyPair> {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok().context("no key")
}

/// An issuer of a loaded configuration, with one key.
fn issuer(key: &EcdsaKeyPair, room: u64, all_claims: bool) -> Result<Arc<Issuer>> {
    let directory = tempfile::tempdir()?;
    let public = key.public_key().as_ref();
    let (x, y) = (public.get(1..33).context("no x")?, public.get(33..).context("no y")?);
    let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
    let jwk = json!({ "kty": "EC", "crv": "P-256", "kid": "snk_1", "x": x, "y": y });
    std::fs::write(directory.path().join("jwks.json"), json!({ "keys": [jwk] }).to_string())?;
    let claims = if all_claims { ", x-claims: '{claims}'" } else { "" };
    let text = format!(
        "server: {{ check: [{{ listen: 'unix:/run/gate.sock', direction: inbound }}] }}
issuers:
  scalekit:
    issuer: {ISSUER}
    keys: {{ jwks_file: jwks.json }}
    claims: {{ client: client_id, scopes: scopes, service: custom_claims.service_name, tenant: oid }}
    cache: {{ max_bytes: {room}MiB }}
rules:
  - name: orders
    match: {{ paths: ['/orgs/{{org}}/**'] }}
    require:
      issuers: [scalekit]
      audience: {{ any: [api.production.yourplatform.com] }}
      scopes: {{ any: ['call:payment-service'] }}
      claims: [{{ path: oid, equals_path: org }}]
    inject: {{ x-service-name: '{{service}}', x-service-scopes: '{{scopes:csv}}', x-tenant: '{{tenant}}'{claims} }}
"
    );
    let config = config::load_from(&text, directory.path(), Path::new("gate.yaml"))?;
    let deps = Deps::new(HttpClient::new(), Arc::new(SystemClock), Arc::new(Silent));
    let spec = config.issuers.into_iter().next().context("no issuer")?;
    Ok(Issuer::start(spec, &deps)?)
}

/// The claims of a service's token.
fn token(key: &EcdsaKeyPair, random: &SystemRandom, number: u64) -> Result<String> {
    let now = SystemClock.now().as_unix_seconds();
    let client =
        format!("m2m_{:019}", 68_315_758_685_323_697_u64.wrapping_mul(number + 1) % 10_000_000_000_000_000_000);
    let claims = json!({
        "iss": ISSUER,
        "sub": client,
        "client_id": client,
        "aud": ["api.production.yourplatform.com"],
        "scopes": ["read:orders", "write:orders", "call:payment-service", "call:user-service"],
        "custom_claims": { "service_name": "order-service", "environment": "production", "version": "2.1.0" },
        "oid": format!("org_{:019}", 59_615_193_906_282_635_u64.wrapping_mul(number + 1) % 10_000_000_000_000_000_000),
        "exp": now + 3600,
        "iat": now,
        "nbf": now,
        "jti": format!("tkn_{number:019}"),
    });
    let header = json!({ "alg": "ES256", "kid": "snk_1", "typ": "JWT" });
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = key.sign(random, signed.as_bytes()).ok().context("not signed")?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

async fn passes(issuers: &[Arc<Issuer>], token: &str) -> Result<bool> {
    let value = format!("Bearer {token}");
    let headers = Headers::new(vec![Header { name: "authorization", value: value.as_bytes() }]);
    let caller = Caller::new("", "");
    match authenticate(Accepted::all(issuers), &headers, &caller, SystemClock.now()).await {
        Ok(Some(_)) => Ok(true),
        Ok(None) => bail!("no credential was found"),
        Err(_) => Ok(false),
    }
}

/// Resident memory, in bytes.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string(Path::new("/proc/self/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib << 10)
}
