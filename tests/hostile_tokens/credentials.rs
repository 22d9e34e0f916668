//! H. Credentials, and what running issuers add to validation: their choice, their keys, their caches.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate::authn::issuer::{Report, credential_headers, explain};
use tollgate::authn::spec::{CredentialSource, FetchSpec, IssuerClaim, IssuerSpec, KeySource};
use tollgate::authn::store::Deps;
use tollgate::authn::trace::{Check, Outcome};
use tollgate::authn::{Accepted, Authenticated, Issuer, authenticate};
use tollgate::clock::{Clock, ManualClock, Timestamp};
use tollgate::core::caller::Caller;
use tollgate::core::event::{Event, Events};
use tollgate::core::principal::Principal;
use tollgate::core::reason::Reason;
use tollgate::core::request::{Header, Headers};
use tollgate::net::HttpClient;

use crate::bench::{ISSUER, KID, NOW, claims_with, good_claims, spec};
use crate::support::mint::{Signer, b64};

/// Counts what is reported of caches.
#[derive(Debug, Default)]
struct Counts {
    hits: AtomicUsize,
    misses: AtomicUsize,
}

impl Events for Counts {
    fn report(&self, event: Event<'_>) {
        match event {
            Event::TokenCache { hit: true, .. } => self.hits.fetch_add(1, Ordering::SeqCst),
            Event::TokenCache { hit: false, .. } => self.misses.fetch_add(1, Ordering::SeqCst),
            _ => return,
        };
    }
}

/// Running issuers that share a clock.
struct Gate {
    clock: Arc<ManualClock>,
    counts: Arc<Counts>,
    issuers: Vec<Arc<Issuer>>,
    dir: TempDir,
}

/// What is looked at of a token that was accepted.
#[derive(Debug)]
struct Passed {
    principal: Arc<Principal>,
    cached: bool,
}

impl Gate {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_seconds(NOW)));
        let counts = Arc::new(Counts::default());
        Self { clock, counts, issuers: Vec::new(), dir: tempfile::tempdir().unwrap() }
    }

    /// One issuer with one key.
    fn with(signer: &Signer) -> Self {
        let mut gate = Self::new();
        gate.add("shop", &[signer.jwk(KID)], |_| {});
        gate
    }

    /// Adds an issuer with these keys in a file, changed as the test wants it.
    fn add(&mut self, name: &str, jwks: &[Value], change: impl FnOnce(&mut IssuerSpec)) {
        let file = self.dir.path().join(format!("{name}.json"));
        std::fs::write(&file, json!({ "keys": jwks }).to_string()).unwrap();
        let mut spec = IssuerSpec { name: name.into(), keys: KeySource::JwksFile(file), ..spec() };
        change(&mut spec);
        let events: Arc<dyn Events> = self.counts.clone();
        let clock: Arc<dyn Clock> = self.clock.clone();
        self.issuers.push(Issuer::start(spec, &Deps::new(HttpClient::new(), clock, events)).unwrap());
    }

    async fn ask<'s, 'h>(&'s self, lines: &[(&'h str, &'h [u8])]) -> Result<Option<Authenticated<'s, 'h>>, Reason> {
        self.ask_as(lines, &Caller::new("", "")).await
    }

    async fn ask_as<'s, 'h>(
        &'s self,
        lines: &[(&'h str, &'h [u8])],
        caller: &Caller<'_>,
    ) -> Result<Option<Authenticated<'s, 'h>>, Reason> {
        let headers = Headers::new(lines.iter().map(|(name, value)| Header { name, value }).collect());
        let answer = may_cross_threads(authenticate(Accepted::all(&self.issuers), &headers, caller, self.clock.now()));
        answer.await.map_err(|error| error.reason)
    }

    async fn bearer(&self, token: &str) -> Result<Passed, Reason> {
        let value = format!("Bearer {token}");
        let found = self.ask(&[("authorization", value.as_bytes())]).await?.expect("a credential was sent");
        Ok(Passed { principal: found.principal, cached: found.cached })
    }

    async fn explain(&self, token: &str) -> Report {
        explain(Accepted::all(&self.issuers), token, &Caller::new("", ""), self.clock.now()).await
    }

    fn lookups(&self) -> (usize, usize) {
        (self.counts.hits.load(Ordering::SeqCst), self.counts.misses.load(Ordering::SeqCst))
    }
}

/// Decisions run on a runtime of several threads.
fn may_cross_threads<F: Send>(future: F) -> F {
    future
}

fn token(signer: &Signer, claims: &Value) -> String {
    signer.sign(&signer.header(KID), claims)
}

/// What a result says: the reason of a denial, or whether there was a token.
fn reason<T>(result: Result<T, Reason>) -> Option<Reason> {
    result.err()
}

#[tokio::test]
async fn row_001_an_empty_bearer_value() {
    let gate = Gate::with(&Signer::ed25519());
    for value in ["Bearer", "Bearer ", "bearer", "Bearer   "] {
        let found = reason(gate.ask(&[("authorization", value.as_bytes())]).await);
        assert_eq!(found, Some(Reason::MalformedCredential), "{value:?}");
    }
    assert_eq!(Reason::MalformedCredential.http_status(), 400);
}

#[tokio::test]
async fn row_002_no_credential_is_no_error_here() {
    let gate = Gate::with(&Signer::ed25519());
    assert!(matches!(gate.ask(&[]).await, Ok(None)));
    assert!(matches!(gate.ask(&[("accept", b"*/*")]).await, Ok(None)));
    assert_eq!(Reason::MissingToken.http_status(), 401);
}

#[tokio::test]
async fn row_010_and_011_text_around_the_token() {
    let signer = Signer::ed25519();
    let gate = Gate::with(&signer);
    let good = token(&signer, &good_claims());
    assert!(gate.bearer(&good).await.is_ok());
    for spoiled in [
        format!("{good} .junk"),
        format!("{good} "),
        format!("{good}\t"),
        format!("a {good}"),
        format!("{good}\r\nx: y"),
    ] {
        assert_eq!(reason(gate.bearer(&spoiled).await), Some(Reason::TokenMalformed), "{spoiled:?}");
    }
    assert_eq!(reason(gate.bearer(&format!(" {good}")).await), Some(Reason::MalformedCredential));
}

#[tokio::test]
async fn row_018_bytes_that_are_not_text() {
    let signer = Signer::ed25519();
    let gate = Gate::with(&signer);
    let good = token(&signer, &good_claims());
    for (value, want) in [
        ([b"Bearer \xff", good.as_bytes()].concat(), Reason::TokenMalformed),
        ([b"Bearer ", good.as_bytes(), b"\xc3\x28"].concat(), Reason::TokenMalformed),
        ([b"Bearer\xa0", good.as_bytes()].concat(), Reason::UnsupportedScheme),
        ([b"\xef\xbb\xbfBearer ", good.as_bytes()].concat(), Reason::UnsupportedScheme),
        // As Envoy hands them on without raw headers.
        ([b"Bearer !", good.as_bytes()].concat(), Reason::TokenMalformed),
    ] {
        assert_eq!(reason(gate.ask(&[("authorization", &value)]).await), Some(want), "{}", value.escape_ascii());
        assert_eq!(want.http_status(), 401);
    }
}

#[tokio::test]
async fn row_035_and_170_entries_die_with_their_key() {
    let signer = Signer::ed25519();
    let gate = Gate::with(&signer);
    let good = token(&signer, &good_claims());
    assert!(!gate.bearer(&good).await.unwrap().cached);
    assert!(gate.bearer(&good).await.unwrap().cached);
    let next = Signer::ed25519();
    let file = gate.dir.path().join("shop.json");
    std::fs::write(&file, json!({ "keys": [next.jwk("key-2")] }).to_string()).unwrap();
    // The file is followed: soon the old key is gone, and the cached entry with it.
    let deadline = Instant::now() + Duration::from_secs(30);
    while gate.bearer(&good).await.is_ok() {
        assert!(Instant::now() < deadline, "the removed key is still used");
        tokio::task::yield_now().await;
    }
    assert_eq!(reason(gate.bearer(&good).await), Some(Reason::UnknownKey));
    let renewed = next.sign(&next.header("key-2"), &good_claims());
    assert!(gate.bearer(&renewed).await.is_ok());
}

#[tokio::test]
async fn row_047_nothing_is_fetched() {
    let signer = Signer::ed25519();
    let gate = Gate::with(&signer);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    for member in ["jku", "x5u"] {
        let mut header = signer.header(KID);
        header[member] = json!(url);
        assert_eq!(reason(gate.bearer(&signer.sign(&header, &good_claims())).await), Some(Reason::TokenHeader));
    }
    let forged = claims_with(&json!({ "iss": url }));
    assert_eq!(reason(gate.bearer(&token(&signer, &forged)).await), Some(Reason::UnknownIssuer));
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn row_088_clocks_that_step() {
    let signer = Signer::ed25519();
    let gate = Gate::with(&signer);
    let good = token(&signer, &claims_with(&json!({ "exp": NOW + 60, "iat": NOW - 10, "nbf": NOW - 10 })));
    let at = |offset: i64| gate.clock.set(Timestamp::from_unix_seconds(NOW + offset));
    assert!(!gate.bearer(&good).await.unwrap().cached);
    assert!(gate.bearer(&good).await.unwrap().cached);
    at(3600);
    assert_eq!(reason(gate.bearer(&good).await), Some(Reason::TokenExpired));
    // Back before it was issued: the cache must not say otherwise than the checks do.
    at(0);
    assert!(gate.bearer(&good).await.is_ok());
    at(-3600);
    assert_eq!(reason(gate.bearer(&good).await), Some(Reason::TokenNotYetValid));
    at(0);
    assert!(gate.bearer(&good).await.is_ok());
}

#[tokio::test]
async fn row_167_tokens_that_expire_while_cached() {
    let signer = Signer::ed25519();
    let gate = Gate::with(&signer);
    let good = token(&signer, &claims_with(&json!({ "exp": NOW + 60 })));
    let at = |millis: i64| gate.clock.set(Timestamp::from_unix_millis(NOW * 1000 + millis));
    assert!(!gate.bearer(&good).await.unwrap().cached);
    at(59_999);
    assert!(gate.bearer(&good).await.unwrap().cached);
    // From `exp` on no entry is used; within the leeway the token itself is still good.
    for millis in [60_000, 75_000, 89_999] {
        at(millis);
        assert!(!gate.bearer(&good).await.unwrap().cached, "{millis}");
    }
    at(90_000);
    assert_eq!(reason(gate.bearer(&good).await), Some(Reason::TokenExpired));
}

#[tokio::test]
async fn an_entry_is_not_used_beyond_its_greatest_age() {
    let signer = Signer::ed25519();
    let gate = Gate::with(&signer);
    let good = token(&signer, &claims_with(&json!({ "exp": NOW + 3600 })));
    assert!(!gate.bearer(&good).await.unwrap().cached);
    gate.clock.advance(Duration::from_millis(299_999));
    assert!(gate.bearer(&good).await.unwrap().cached);
    gate.clock.advance(Duration::from_millis(1));
    assert!(!gate.bearer(&good).await.unwrap().cached);
    assert!(gate.bearer(&good).await.unwrap().cached);
}

#[tokio::test]
async fn row_091_keys_are_bound_to_their_issuer() {
    let (a, b) = (Signer::ed25519(), Signer::ed25519());
    let other = "https://other.example";
    for kids in [["key-1", "key-1"], ["a", "b"]] {
        let mut gate = Gate::new();
        gate.add("a", &[a.jwk(kids[0])], |_| {});
        gate.add("b", &[b.jwk(kids[1])], |spec| spec.issuer = IssuerClaim::Exact(other.into()));
        let mint = |signer: &Signer, kid: &str, iss: &str| {
            signer.sign(&signer.header(kid), &claims_with(&json!({ "iss": iss })))
        };
        assert_eq!(&**gate.bearer(&mint(&a, kids[0], ISSUER)).await.unwrap().principal.issuer(), "a");
        assert_eq!(&**gate.bearer(&mint(&b, kids[1], other)).await.unwrap().principal.issuer(), "b");
        for kid in kids {
            for (signer, iss) in [(&a, other), (&b, ISSUER)] {
                let refused = reason(gate.bearer(&mint(signer, kid, iss)).await);
                assert!(matches!(refused, Some(Reason::TokenSignature | Reason::UnknownKey)), "{refused:?}");
            }
        }
        let stranger = mint(&a, kids[0], "https://third.example");
        assert_eq!(reason(gate.bearer(&stranger).await), Some(Reason::UnknownIssuer));
    }
}

#[tokio::test]
async fn a_cached_token_is_only_good_where_its_issuer_is_accepted() {
    let (a, b) = (Signer::ed25519(), Signer::ed25519());
    let mut gate = Gate::new();
    gate.add("a", &[a.jwk(KID)], |_| {});
    gate.add("b", &[b.jwk(KID)], |spec| spec.issuer = IssuerClaim::Exact("https://other.example".into()));
    let good = token(&a, &good_claims());
    assert!(!gate.bearer(&good).await.unwrap().cached);
    let value = format!("Bearer {good}");
    let headers = Headers::new(vec![Header { name: "authorization", value: value.as_bytes() }]);
    let only_b = Accepted::all(&gate.issuers[1..]);
    let refused = authenticate(only_b, &headers, &Caller::new("", ""), gate.clock.now()).await;
    assert_eq!(refused.unwrap_err().reason, Reason::UnknownIssuer);
    // Nor where two accepted issuers claim it: a load error elsewhere, a denial here.
    gate.add("twin", &[a.jwk(KID)], |_| {});
    assert_eq!(reason(gate.bearer(&good).await), Some(Reason::UnknownIssuer));
}

#[tokio::test]
async fn row_113_two_credentials() {
    let signer = Signer::ed25519();
    let mut gate = Gate::with(&signer);
    gate.add("named", &[signer.jwk(KID)], |spec| {
        spec.issuer = IssuerClaim::Absent;
        spec.credential = CredentialSource::Header("x-access-token".into());
    });
    let good = token(&signer, &good_claims());
    let bearer = format!("Bearer {good}");
    for value in [
        format!("{bearer},{bearer}"),
        format!("{bearer}, {bearer}"),
        format!("{bearer},x"),
        format!("Basic x,{bearer}"),
    ] {
        let found = reason(gate.ask(&[("authorization", value.as_bytes())]).await);
        assert_eq!(found, Some(Reason::MultipleCredentials), "{value}");
    }
    for lines in [
        [("authorization", bearer.as_str()), ("authorization", bearer.as_str())],
        [("authorization", bearer.as_str()), ("Authorization", "Basic x")],
        [("authorization", bearer.as_str()), ("x-access-token", good.as_str())],
        [("x-access-token", good.as_str()), ("X-Access-Token", good.as_str())],
    ] {
        let lines = lines.map(|(name, value)| (name, value.as_bytes()));
        assert_eq!(reason(gate.ask(&lines).await), Some(Reason::MultipleCredentials), "{lines:?}");
    }
    assert_eq!(Reason::MultipleCredentials.http_status(), 400);
}

#[tokio::test]
async fn row_114_and_119_other_places_are_not_read() {
    let signer = Signer::ed25519();
    let gate = Gate::with(&signer);
    let good = token(&signer, &good_claims());
    let bearer = format!("Bearer {good}");
    let query = format!("/orders?access_token={good}");
    let cookie = format!("access_token={good}");
    let lines: [(&str, &[u8]); 8] = [
        (":path", query.as_bytes()),
        ("cookie", cookie.as_bytes()),
        ("proxy-authorization", bearer.as_bytes()),
        ("x-forwarded-authorization", bearer.as_bytes()),
        ("x-access-token", good.as_bytes()),
        ("authorization2", bearer.as_bytes()),
        ("x-authorization", bearer.as_bytes()),
        ("sec-websocket-protocol", good.as_bytes()),
    ];
    assert!(matches!(gate.ask(&lines).await, Ok(None)));
    // A bad one there does no harm either.
    let lines: [(&str, &[u8]); 2] = [("authorization", bearer.as_bytes()), (":path", b"/orders?access_token=bad")];
    assert!(gate.ask(&lines).await.unwrap().is_some());
}

#[tokio::test]
async fn row_115_two_tokens_while_keys_are_down() {
    let signer = Signer::ed25519();
    let mut gate = Gate::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    gate.add("shop", &[], |spec| spec.keys = jwks_url(&format!("http://{closed}/jwks")));
    let bearer = format!("Bearer {}", token(&signer, &good_claims()));
    let twice = format!("{bearer},{bearer}");
    assert_eq!(reason(gate.ask(&[("authorization", twice.as_bytes())]).await), Some(Reason::MultipleCredentials));
    assert_eq!(reason(gate.ask(&[("authorization", bearer.as_bytes())]).await), Some(Reason::KeysUnavailable));
    assert_eq!(Reason::KeysUnavailable.http_status(), 503);
}

#[tokio::test]
async fn row_116_the_scheme_has_no_case() {
    let signer = Signer::ed25519();
    let gate = Gate::with(&signer);
    let good = token(&signer, &good_claims());
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        assert!(gate.ask(&[("authorization", format!("{scheme} {good}").as_bytes())]).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn row_117_other_schemes() {
    let signer = Signer::ed25519();
    let gate = Gate::with(&signer);
    let good = token(&signer, &good_claims());
    for scheme in ["Basic ", "DPoP ", "Bearer-invalid ", "Bearer\t", "Bearer:", "BearerX ", "", "Negotiate "] {
        let found = reason(gate.ask(&[("authorization", format!("{scheme}{good}").as_bytes())]).await);
        assert_eq!(found, Some(Reason::UnsupportedScheme), "{scheme:?}");
    }
    assert_eq!(Reason::UnsupportedScheme.http_status(), 401);
}

/// A certificate as Envoy reports it, and its thumbprint in base64url.
fn certificate() -> (String, String) {
    let certified = rcgen::generate_simple_self_signed(vec!["client.example".to_owned()]).unwrap();
    let encoded = utf8_percent_encode(&certified.cert.pem(), NON_ALPHANUMERIC).to_string();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certified.cert.der());
    (encoded, b64(digest.as_ref()))
}

#[tokio::test]
async fn row_118_bound_tokens() {
    let signer = Signer::ed25519();
    let gate = Gate::with(&signer);
    let (mine, thumbprint) = certificate();
    let (other, _) = certificate();
    let bound = format!("Bearer {}", token(&signer, &claims_with(&json!({ "cnf": { "x5t#S256": thumbprint } }))));
    let lines: [(&str, &[u8]); 1] = [("authorization", bound.as_bytes())];
    // Without proof: before the token is cached, and after.
    for cached in [false, true] {
        assert_eq!(reason(gate.ask(&lines).await), Some(Reason::TokenBinding));
        assert_eq!(reason(gate.ask_as(&lines, &Caller::new("", &other)).await), Some(Reason::TokenBinding));
        assert_eq!(
            reason(gate.ask_as(&lines, &Caller::new("spiffe://td/x", "junk")).await),
            Some(Reason::TokenBinding)
        );
        let found = gate.ask_as(&lines, &Caller::new("", &mine)).await.unwrap().unwrap();
        assert!(found.cached, "{cached}");
    }
    for cnf in [
        json!({ "jkt": thumbprint }),
        json!({ "jkt": thumbprint, "x5t#S256": thumbprint }),
        json!({}),
        json!("x5t#S256"),
        json!({ "x5t#S256": format!("{thumbprint}=") }),
    ] {
        let bound = format!("Bearer {}", token(&signer, &claims_with(&json!({ "cnf": cnf }))));
        let lines: [(&str, &[u8]); 1] = [("authorization", bound.as_bytes())];
        assert_eq!(reason(gate.ask_as(&lines, &Caller::new("", &mine)).await), Some(Reason::TokenBinding), "{cnf}");
    }
}

#[tokio::test]
async fn row_120_header_names_have_no_case() {
    let signer = Signer::ed25519();
    let gate = Gate::with(&signer);
    let bearer = format!("Bearer {}", token(&signer, &good_claims()));
    for name in ["authorization", "Authorization", "AUTHORIZATION", "aUTHORIZATION"] {
        let found = gate.ask(&[(name, bearer.as_bytes())]).await.unwrap().unwrap();
        assert_eq!(&**found.header(), "authorization");
    }
}

#[tokio::test]
async fn a_named_header_carries_the_bare_token() {
    let signer = Signer::ed25519();
    let mut gate = Gate::with(&signer);
    let named = |spec: &mut IssuerSpec| {
        spec.issuer = IssuerClaim::Absent;
        spec.credential = CredentialSource::Header("x-access-token".into());
    };
    gate.add("named", &[signer.jwk(KID)], named);
    let passport = token(&signer, &claims_with(&json!({ "iss": null })));
    let found = gate.ask(&[("X-Access-Token", passport.as_bytes())]).await.unwrap().unwrap();
    assert_eq!((&**found.principal.issuer(), &**found.header()), ("named", "x-access-token"));
    // Each issuer's tokens come in its own header.
    assert_eq!(reason(gate.bearer(&passport).await), Some(Reason::UnknownIssuer));
    let other = token(&signer, &good_claims());
    assert_eq!(reason(gate.ask(&[("x-access-token", other.as_bytes())]).await), Some(Reason::UnknownIssuer));
    assert_eq!(credential_headers(&gate.issuers), ["authorization".into(), "x-access-token".into()] as [Arc<str>; 2]);
}

#[tokio::test]
async fn row_165_and_row_166_nothing_but_the_whole_token_is_a_key() {
    let signer = Signer::ed25519();
    let gate = Gate::with(&signer);
    let cached = token(&signer, &good_claims());
    assert!(gate.bearer(&cached).await.is_ok());
    let (_, signature) = cached.rsplit_once('.').unwrap();
    let other = token(&signer, &claims_with(&json!({ "sub": "admin" })));
    let (signed, _) = other.rsplit_once('.').unwrap();
    assert_eq!(reason(gate.bearer(&format!("{signed}.{signature}")).await), Some(Reason::TokenSignature));
    let (rest, _) = cached.rsplit_once('.').unwrap();
    assert_eq!(reason(gate.bearer(&format!("{rest}.{}", b64([0; 64]))).await), Some(Reason::TokenSignature));
    assert_eq!(gate.lookups(), (0, 3));
}

#[tokio::test]
async fn row_171_invalid_tokens_leave_the_cache_alone() {
    let signer = Signer::ed25519();
    let gate = Gate::with(&signer);
    let good = token(&signer, &good_claims());
    assert!(gate.bearer(&good).await.is_ok());
    let forger = Signer::ed25519();
    for index in 0..500 {
        let forged = token(&forger, &claims_with(&json!({ "jti": index.to_string() })));
        for _ in 0..2 {
            assert_eq!(reason(gate.bearer(&forged).await), Some(Reason::TokenSignature));
        }
    }
    assert!(gate.bearer(&good).await.unwrap().cached);
    assert_eq!(gate.lookups(), (1, 1001));
}

/// Keys behind a URL, with a cooldown far beyond any test.
fn jwks_url(url: &str) -> KeySource {
    let fetch = FetchSpec {
        refresh: Duration::from_secs(600),
        refresh_bounds: (Duration::from_secs(60), Duration::from_secs(86_400)),
        timeout: Duration::from_secs(5),
        stale_keys: Duration::from_secs(3600),
        unknown_kid_cooldown: Duration::ZERO,
        transport: Default::default(),
        bearer_token_file: None,
    };
    KeySource::JwksUrl { url: url.parse().unwrap(), fetch }
}

/// Publishes what `document` says at each request, and counts the requests.
async fn publish(document: impl Fn(usize) -> Value + Clone + Send + Sync + 'static) -> (String, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let handler = move || {
        let answer = document(counted.fetch_add(1, Ordering::SeqCst)).to_string();
        async move { answer }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/jwks", get(handler))).await });
    (url, requests)
}

#[tokio::test]
async fn row_185_hopeless_tokens_cause_no_fetch() {
    let signer = Signer::ed25519();
    let jwk = signer.jwk(KID);
    let (url, requests) = publish(move |_| json!({ "keys": [jwk] })).await;
    let mut gate = Gate::new();
    gate.add("shop", &[], |spec| {
        spec.keys = jwks_url(&url);
        spec.algorithms.retain(|algorithm| algorithm.as_str() == "EdDSA");
    });
    assert!(gate.issuers[0].keys().wait(Duration::from_secs(10)).await);
    let sign = |alg: &str, claims: &Value| signer.sign(&json!({ "alg": alg, "kid": "unknown" }), claims);
    for (hopeless, want) in [
        (sign("RS256", &good_claims()), Reason::TokenAlgorithm),
        (sign("EdDSA", &claims_with(&json!({ "iss": "https://other.example" }))), Reason::UnknownIssuer),
        (sign("EdDSA", &claims_with(&json!({ "exp": NOW - 31 }))), Reason::TokenExpired),
        (sign("EdDSA", &claims_with(&json!({ "nbf": NOW + 31 }))), Reason::TokenNotYetValid),
        (sign("EdDSA", &claims_with(&json!({ "typ": "ID" }))), Reason::TokenType),
        (sign("EdDSA", &claims_with(&json!({ "cnf": { "jkt": "x" } }))), Reason::TokenBinding),
    ] {
        assert_eq!(reason(gate.bearer(&hopeless).await), Some(want));
    }
    assert_eq!(requests.load(Ordering::SeqCst), 1, "only the first fetch of keys");
    // The same, but for what was hopeless, does fetch.
    assert_eq!(reason(gate.bearer(&sign("EdDSA", &good_claims())).await), Some(Reason::UnknownKey));
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn row_186_a_new_key_is_fetched_for_the_first_token_that_names_it() {
    let (old, new) = (Signer::ed25519(), Signer::ed25519());
    let (before, after) = (old.jwk(KID), new.jwk("key-2"));
    let (url, requests) = publish(move |request| match request {
        0 => json!({ "keys": [before] }),
        _ => json!({ "keys": [before, after] }),
    })
    .await;
    let mut gate = Gate::new();
    gate.add("shop", &[], |spec| spec.keys = jwks_url(&url));
    assert!(gate.issuers[0].keys().wait(Duration::from_secs(10)).await);
    let token = new.sign(&new.header("key-2"), &good_claims());
    assert!(!gate.bearer(&token).await.unwrap().cached);
    assert!(gate.bearer(&token).await.unwrap().cached);
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_report_names_the_check_that_failed() {
    let signer = Signer::ed25519();
    let gate = Gate::with(&signer);
    let good = gate.explain(&token(&signer, &good_claims())).await;
    assert_eq!(good.result.unwrap().subject(), Some("user-1"));
    assert_eq!((good.issuer.as_deref(), good.steps.len()), (Some("shop"), Check::ALL.len() - 3));
    assert!(good.steps.iter().all(|(_, outcome)| matches!(outcome, Outcome::Passed(_))), "{:?}", good.steps);
    assert_eq!(
        (good.header.unwrap()["kid"].clone(), good.claims.unwrap()["sub"].clone()),
        (json!(KID), json!("user-1"))
    );

    let forger = Signer::ed25519();
    for (bad, check, want) in [
        ("a.b".to_owned(), Check::Form, Reason::TokenMalformed),
        ("x".repeat(9000), Check::Size, Reason::TokenTooLarge),
        (signer.sign(&json!({ "alg": "none" }), &good_claims()), Check::Algorithm, Reason::TokenAlgorithm),
        (signer.sign(&json!({ "alg": "EdDSA", "crit": [] }), &good_claims()), Check::Header, Reason::TokenHeader),
        (signer.sign(&json!({ "alg": "EdDSA" }), &good_claims()), Check::KeyId, Reason::UnknownKey),
        (signer.sign(&signer.header("key-9"), &good_claims()), Check::Key, Reason::UnknownKey),
        (token(&signer, &claims_with(&json!({ "iss": "x" }))), Check::Issuer, Reason::UnknownIssuer),
        (token(&signer, &claims_with(&json!({ "exp": NOW - 31 }))), Check::Expiry, Reason::TokenExpired),
        (token(&signer, &claims_with(&json!({ "nbf": NOW + 31 }))), Check::NotBefore, Reason::TokenNotYetValid),
        (token(&signer, &claims_with(&json!({ "iat": NOW + 31 }))), Check::IssuedAt, Reason::TokenIssuedInFuture),
        (token(&signer, &claims_with(&json!({ "typ": "ID" }))), Check::Type, Reason::TokenType),
        (token(&signer, &claims_with(&json!({ "sub": 1 }))), Check::Claims, Reason::TokenClaims),
        (token(&signer, &claims_with(&json!({ "cnf": {} }))), Check::Binding, Reason::TokenBinding),
        (
            token(&signer, &claims_with(&json!({ "cnf": { "x5t#S256": b64([1; 32]) } }))),
            Check::Possession,
            Reason::TokenBinding,
        ),
        (token(&forger, &good_claims()), Check::Signature, Reason::TokenSignature),
    ] {
        let report = gate.explain(&bad).await;
        assert_eq!(report.result.as_ref().unwrap_err().reason, want);
        let failed = report.steps.iter().position(|(_, outcome)| matches!(outcome, Outcome::Failed(_))).unwrap();
        assert_eq!(report.steps[failed].0, check);
        for (index, (check, outcome)) in report.steps.iter().enumerate() {
            let fits = match index.cmp(&failed) {
                std::cmp::Ordering::Less => matches!(outcome, Outcome::Passed(_)),
                std::cmp::Ordering::Equal => matches!(outcome, Outcome::Failed(_)),
                std::cmp::Ordering::Greater => matches!(outcome, Outcome::NotReached),
            };
            assert!(fits, "{check}: {outcome:?} with {want}");
        }
        // The same token gets the same answer on the way that requests take.
        assert_eq!(reason(gate.bearer(&bad).await), Some(want));
    }
    // Reports neither ask nor fill the cache.
    assert!(!gate.bearer(&token(&signer, &good_claims())).await.unwrap().cached);
}
