//! The engine with running issuers: warm keys and caches across reloads, first keys, deadlines.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod specs;
#[path = "support/wait.rs"]
mod wait;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header as JoseHeader, encode};
use specs::{config, marked_rule, request, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tollgate::authn::spec::{
    Algorithm, ClaimMapping, CredentialSource, FetchSpec, IssuerClaim, IssuerSpec, KeySource, TokenCacheSpec,
    TokenFormat,
};
use tollgate::authn::store::Deps;
use tollgate::clock::{Clock, SystemClock};
use tollgate::core::event::{Event, Events};
use tollgate::core::principal::ClaimPath;
use tollgate::core::reason::Reason;
use tollgate::core::request::{Header, Headers};
use tollgate::core::rule::{Action, AnyAll, AudienceRequirement, IssuerIndex, Requirements};
use tollgate::core::table::RuleSpec;
use tollgate::engine::{Engine, LoadError, Readiness};
use tollgate::net::HttpClient;

/// Remembers look-ups in the token cache.
#[derive(Debug, Default)]
struct Lookups(Mutex<Vec<bool>>);

impl Events for Lookups {
    fn report(&self, event: Event<'_>) {
        if let Event::TokenCache { hit, .. } = event {
            self.0.lock().unwrap().push(hit);
        }
    }
}

fn deps() -> (Deps, Arc<Lookups>) {
    let lookups = Arc::new(Lookups::default());
    (Deps::new(HttpClient::new(), Arc::new(SystemClock), lookups.clone()), lookups)
}

struct Key {
    pair: rcgen::KeyPair,
    id: &'static str,
}

impl Key {
    fn new(id: &'static str) -> Self {
        Self { pair: rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap(), id }
    }

    fn token(&self, issuer: &str) -> String {
        let expires = SystemClock.now().saturating_add(Duration::from_secs(600)).as_unix_seconds();
        let claims = serde_json::json!({ "iss": issuer, "sub": "s", "aud": "api", "exp": expires });
        let header = JoseHeader { kid: Some(self.id.into()), ..JoseHeader::new(jsonwebtoken::Algorithm::ES256) };
        let key = EncodingKey::from_ec_pem(self.pair.serialize_pem().as_bytes()).unwrap();
        encode(&header, &claims, &key).unwrap()
    }

    fn jwks(&self) -> String {
        use base64::Engine as _;
        let text = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        let point = self.pair.public_key_raw();
        let (x, y) = (text(&point[1..33]), text(&point[33..65]));
        let key = serde_json::json!({ "kty": "EC", "crv": "P-256", "kid": self.id, "x": x, "y": y });
        serde_json::json!({ "keys": [key] }).to_string()
    }

    fn publish(&self, path: &Path) {
        let new = path.with_extension("new");
        std::fs::write(&new, self.pair.public_key_pem()).unwrap();
        std::fs::rename(&new, path).unwrap();
    }
}

fn issuer(name: &str, keys: KeySource) -> IssuerSpec {
    let path = |name: &str| ClaimPath::dotted(name).unwrap();
    IssuerSpec {
        name: name.into(),
        issuer: IssuerClaim::Exact(format!("https://{name}.example").into()),
        kid_optional: matches!(keys, KeySource::Pem(_)),
        keys,
        algorithms: vec![Algorithm::ES256],
        times_in_strings: false,
        leeway: Duration::from_secs(30),
        max_lifetime: None,
        rfc9068: false,
        claims: ClaimMapping {
            subject: path("sub"),
            client: vec![path("client_id")],
            scopes: vec![path("scope")],
            roles: Vec::new(),
            service: None,
            tenant: None,
            extra: Vec::new(),
            audience: path("aud"),
        },
        kept: tollgate::core::principal::KeptClaims::All,
        wildcard_scope: None,
        credential: CredentialSource::Authorization,
        max_token_bytes: 8192,
        cache: TokenCacheSpec { max_age: Duration::from_secs(300), max_bytes: 1 << 20 },
        tokens: TokenFormat::Jwt,
        introspection: None,
        provider: None,
        ready_without_keys: false,
    }
}

fn jwks_at(address: std::net::SocketAddr) -> KeySource {
    let fetch = FetchSpec {
        refresh: Duration::from_secs(600),
        refresh_bounds: (Duration::from_secs(60), Duration::from_secs(3600)),
        timeout: Duration::from_secs(15),
        stale_keys: Duration::from_secs(3600),
        unknown_kid_cooldown: Duration::from_millis(1),
        transport: Default::default(),
        bearer_token_file: None,
    };
    KeySource::JwksUrl { url: format!("http://{address}/jwks").parse().unwrap(), fetch }
}

/// A rule that wants a token of the issuer at this position.
fn guarded_rule(name: &str, issuer: usize) -> RuleSpec {
    let mut spec = marked_rule(name);
    Arc::make_mut(&mut spec.rule.effect).action = Action::Require(Arc::new(Requirements {
        issuers: vec![IssuerIndex(issuer)],
        audience: AudienceRequirement::Checked(AnyAll { any: vec!["api".into()], all: Vec::new() }),
        scopes: Vec::new(),
        roles: Vec::new(),
        claims: Vec::new(),
        caller: None,
    }));
    spec
}

async fn reason(engine: &Engine, token: &str, deadline: Instant) -> Reason {
    let bearer = format!("Bearer {token}");
    let mut request = request("/");
    request.headers = Headers::new(vec![Header { name: "authorization", value: bearer.as_bytes() }]);
    engine.check(request, deadline).await.reason
}

type Rules = Arc<Mutex<(&'static str, Vec<IssuerSpec>)>>;

/// An engine whose one rule and issuers are changed from outside.
async fn started(issuers: Vec<IssuerSpec>) -> (Arc<Engine>, Rules, Arc<Lookups>) {
    let rules: Rules = Arc::new(Mutex::new(("first", issuers)));
    let (deps, lookups) = deps();
    let load = {
        let rules = Arc::clone(&rules);
        move || {
            let (name, issuers) = rules.lock().unwrap().clone();
            Ok(config(vec![guarded_rule(name, 0)], issuers))
        }
    };
    (Engine::start(load, deps).await.unwrap(), rules, lookups)
}

/// Row 169: changed rules leave verified tokens valid, since authorization is decided afresh; a changed issuer or a
/// removed key does not.
#[tokio::test]
async fn row_169_a_reload_keeps_what_it_may_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("issuer.pem");
    let key = Key::new("k1");
    key.publish(&path);
    let spec = issuer("shop", KeySource::Pem(vec![path.clone()]));
    let (engine, rules, lookups) = started(vec![spec.clone()]).await;
    assert_eq!(engine.readiness(), Readiness::Ready);
    let token = key.token("https://shop.example");
    let seen = || std::mem::take(&mut *lookups.0.lock().unwrap());

    assert_eq!(reason(&engine, &token, soon()).await, Reason::Allowed);
    assert_eq!(reason(&engine, &token, soon()).await, Reason::Allowed);
    assert_eq!(seen(), [false, true]);
    let running = Arc::clone(&engine.snapshot().issuers()[0]);

    rules.lock().unwrap().0 = "second";
    engine.reload().await.unwrap();
    assert!(Arc::ptr_eq(&running, &engine.snapshot().issuers()[0]), "an unchanged issuer runs on");
    assert_eq!(reason(&engine, &token, soon()).await, Reason::Allowed);
    assert_eq!(seen(), [true], "its cache is warm");

    rules.lock().unwrap().1 = vec![IssuerSpec { leeway: Duration::ZERO, ..spec.clone() }];
    engine.reload().await.unwrap();
    assert!(!Arc::ptr_eq(&running, &engine.snapshot().issuers()[0]), "a changed issuer is a new one");
    assert_eq!(reason(&engine, &token, soon()).await, Reason::Allowed);
    assert_eq!(seen(), [false], "what the old one verified is forgotten");

    let other = issuer("shop", KeySource::Pem(vec![folder.path().join("missing.pem")]));
    rules.lock().unwrap().1 = vec![other];
    let error = engine.reload().await.unwrap_err();
    assert!(matches!(&error, LoadError::Keys(errors) if errors.len() == 1), "{error:?}");
    assert!(error.messages()[0].starts_with("issuers.shop.keys: "), "{error:?}");
    assert_eq!(reason(&engine, &token, soon()).await, Reason::Allowed, "the old keys serve");

    Key::new("k2").publish(&path);
    let refused = async || reason(&engine, &token, soon()).await != Reason::Allowed;
    wait::eventually("a removed key's token is refused", refused).await;
    assert_eq!(reason(&engine, &token, soon()).await, Reason::TokenSignature);
}

/// Keeps a processor busy, as signatures do.
fn work(time: Duration) {
    let since = Instant::now();
    while since.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// More new tokens than there is time for: they are refused before they are read, and known ones are not.
#[tokio::test]
async fn in_overload_new_tokens_are_refused_and_known_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("issuer.pem");
    let key = Key::new("k1");
    key.publish(&path);
    let spec = issuer("shop", KeySource::Pem(vec![path]));
    let (deps, lookups) = deps();
    let turns = Arc::clone(&deps.turns);
    let load = move || Ok(config(vec![guarded_rule("first", 0)], vec![spec.clone()]));
    let engine = Engine::start(load, deps).await.unwrap();
    let [known, new] = [key.token("https://shop.example"), key.token("https://shop.example")];
    assert_ne!(known, new);
    assert_eq!(reason(&engine, &known, soon()).await, Reason::Allowed);

    // Of a second a half is long, and an eighth lasting.
    turns.expect(Duration::from_secs(1));
    let takes = [550, 200].into_iter().chain([1; 150]).map(Duration::from_millis);
    let waits: Vec<_> = takes.map(|takes| turns.admit().unwrap().run(move || work(takes))).collect();
    let told = futures_util::future::join_all(waits).await;
    assert!(told.first().unwrap().is_ok() && told.last().unwrap().is_err(), "who waited for too long is told so");
    let mut few = Vec::new();
    while let Ok(place) = turns.admit() {
        few.push(place);
        assert!(few.len() < 1000, "any number may wait");
    }
    assert!([0; 2].iter().any(|_| engine.is_flooded(Instant::now())), "by new tokens alone, as far as was looked");
    lookups.0.lock().unwrap().clear();
    assert_eq!(reason(&engine, &known, soon()).await, Reason::Allowed);
    assert_eq!(reason(&engine, &new, soon()).await, Reason::Overloaded);
    assert_eq!(reason(&engine, "not a token at all", soon()).await, Reason::TokenMalformed);
    assert_eq!(reason(&engine, &"x".repeat(10_000), soon()).await, Reason::TokenTooLarge);
    assert_eq!(*lookups.0.lock().unwrap(), [true, false]);
    assert_eq!(Reason::Overloaded.http_status(), 503);

    drop(few);
    assert!(!engine.is_flooded(Instant::now()));
    assert_eq!(reason(&engine, &new, soon()).await, Reason::Allowed, "there is room again");
}

/// An identity provider that answers its first `failures` requests with 500 and others with `body`; from `hang` on it
/// takes connections and says nothing.
async fn provider(body: String, failures: usize, hang: usize) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let number = count.fetch_add(1, Ordering::SeqCst);
            if number >= hang {
                open.push(stream);
                continue;
            }
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let status = if number < failures { "500 Internal Server Error" } else { "200 OK" };
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, asked)
}

/// Row 188: without first keys nothing is ready and tokens are refused with 503; then it latches.
#[tokio::test]
async fn row_188_not_ready_before_every_issuer_had_keys_and_ready_from_then_on() {
    let key = Key::new("k1");
    let (address, _) = provider(key.jwks(), 2, usize::MAX).await;
    let (engine, rules, _) = started(vec![issuer("remote", jwks_at(address))]).await;
    let token = key.token("https://remote.example");
    assert_eq!(engine.readiness(), Readiness::WaitingFor(vec!["remote".into()]));
    assert_eq!(reason(&engine, &token, soon()).await, Reason::KeysUnavailable);
    assert_eq!(Reason::KeysUnavailable.http_status(), 503);

    tokio::time::timeout(Duration::from_secs(30), engine.until_ready())
        .await
        .expect("keys arrive at the third attempt");
    assert_eq!(engine.readiness(), Readiness::Ready);
    assert_eq!(reason(&engine, &token, soon()).await, Reason::Allowed);

    let (dead, asked) = provider(String::new(), usize::MAX, usize::MAX).await;
    let running = Arc::clone(&engine.snapshot().issuers()[0]);
    rules.lock().unwrap().1.push(issuer("dead", jwks_at(dead)));
    let before = Instant::now();
    engine.reload().await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(10), "a new issuer's keys are waited for, but not for long");
    assert!(asked.load(Ordering::SeqCst) > 0);
    assert!(Arc::ptr_eq(&running, &engine.snapshot().issuers()[0]));
    assert_eq!(engine.readiness(), Readiness::Ready, "a reload does not take a replica out of service");
    assert_eq!(reason(&engine, &token, soon()).await, Reason::Allowed);
    let status = engine.status();
    assert_eq!(status.issuers[1].keys.last_success, None);
    assert!(status.issuers[0].age.is_some_and(|age| age < Duration::from_secs(60)));
}

/// An operator who changes how an issuer's tokens are judged does not lose its keys, its provider being down or not.
#[tokio::test]
async fn a_changed_issuer_keeps_the_keys_of_an_unchanged_source() {
    let key = Key::new("k1");
    let (address, asked) = provider(key.jwks(), 0, 1).await;
    let spec = issuer("remote", jwks_at(address));
    let (engine, rules, lookups) = started(vec![spec.clone()]).await;
    tokio::time::timeout(Duration::from_secs(20), engine.until_ready()).await.expect("first keys");
    let token = key.token("https://remote.example");
    assert_eq!(reason(&engine, &token, soon()).await, Reason::Allowed);
    rules.lock().unwrap().1 = vec![IssuerSpec { leeway: Duration::ZERO, ..spec.clone() }];
    engine.reload().await.unwrap();
    assert_eq!(reason(&engine, &token, soon()).await, Reason::Allowed);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "nobody was asked again");
    assert_eq!(*lookups.0.lock().unwrap(), [false, false], "what was verified before is not believed");

    rules.lock().unwrap().1 = vec![IssuerSpec { issuer: IssuerClaim::Exact("https://other.example".into()), ..spec }];
    engine.reload().await.unwrap();
    let token = key.token("https://other.example");
    assert_eq!(reason(&engine, &token, soon()).await, Reason::KeysUnavailable, "another issuer has keys of its own");
}

/// What is kept of a token's claims follows from the rules. Rules that ask for nothing else leave the cache as it is;
/// others begin with an empty one, whose tokens hold what they ask for.
#[tokio::test]
async fn a_reload_of_rules_forgets_tokens_only_where_they_ask_for_other_claims() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new("k1");
    key.publish(&folder.path().join("issuer.pem"));
    let text = |rules: &str| {
        format!(
            "server: {{ check: [{{ listen: '127.0.0.1:0', direction: inbound }}] }}
issuers: {{ shop: {{ issuer: https://shop.example, algorithms: [ES256], keys: {{ pem: [issuer.pem] }} }} }}
rules:{rules}"
        )
    };
    let rule = |name: &str, path: &str, more: &str| {
        format!("\n  - {{ name: {name}, match: {{ paths: [{path}] }}, require: {{ audience: unchecked{more} }} }}")
    };
    let first = rule("first", "/", ", claims: [{ path: iss, present: true }]");
    let rules = Arc::new(Mutex::new(text(&first)));
    let (deps, lookups) = deps();
    let (of_engine, base) = (Arc::clone(&rules), folder.path().to_owned());
    let load = move || tollgate::config::load_from(&of_engine.lock().unwrap(), &base, Path::new("gate.yaml"));
    let engine = Engine::start(load, deps).await.unwrap();
    let token = key.token("https://shop.example");
    let seen = || std::mem::take(&mut *lookups.0.lock().unwrap());
    assert_eq!(reason(&engine, &token, soon()).await, Reason::Allowed);
    assert_eq!(seen(), [false]);
    let running = Arc::clone(&engine.snapshot().issuers()[0]);

    let same = rule("second", "/x", ", scopes: { any: [a] }, claims: [{ path: iss, pattern: '.*' }]");
    *rules.lock().unwrap() = text(&format!("{first}{same}"));
    engine.reload().await.unwrap();
    assert!(Arc::ptr_eq(&running, &engine.snapshot().issuers()[0]));
    assert_eq!(reason(&engine, &token, soon()).await, Reason::Allowed);
    assert_eq!(seen(), [true]);

    // The same rule asks for another claim, which the token has.
    *rules.lock().unwrap() = text(&rule("first", "/", ", claims: [{ path: exp, present: true }]"));
    engine.reload().await.unwrap();
    assert!(!Arc::ptr_eq(&running, &engine.snapshot().issuers()[0]));
    assert_eq!(reason(&engine, &token, soon()).await, Reason::Allowed);
    assert_eq!(seen(), [false]);
}

/// Row 215: a provider that does not answer costs a call no more than its deadline, and is what the answer names.
#[tokio::test]
async fn row_215_a_decision_that_waits_ends_at_its_deadline() {
    let key = Key::new("k1");
    let (address, asked) = provider(key.jwks(), 0, 1).await;
    let (engine, _, _) = started(vec![issuer("remote", jwks_at(address))]).await;
    tokio::time::timeout(Duration::from_secs(20), engine.until_ready()).await.expect("first keys");
    let end = soon();
    while asked.load(Ordering::SeqCst) < 2 {
        assert!(Instant::now() < end, "an unknown key is asked for");
        // The cooldown since the first fetch may not be over at once.
        let unknown = Key::new(Box::leak(format!("unknown-{:?}", Instant::now()).into_boxed_str()));
        let started = Instant::now();
        let deadline = started + Duration::from_secs(1);
        let answer = reason(&engine, &unknown.token("https://remote.example"), deadline).await;
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        if asked.load(Ordering::SeqCst) >= 2 {
            assert_eq!(answer, Reason::KeysUnavailable, "the provider is slow, not the gate");
        }
    }
    let known = key.token("https://remote.example");
    assert_eq!(reason(&engine, &known, soon()).await, Reason::Allowed, "known keys wait for nobody");
}
