//! Keys, specs and a recorder for the tests beside.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tollgate::authn::spec::{
    Algorithm, ClaimMapping, CredentialSource, FetchSpec, IssuerClaim, IssuerSpec, KeySource, TokenCacheSpec,
};
use tollgate::authn::store::{Deps, KeyStore};
use tollgate::clock::{ManualClock, Timestamp};
use tollgate::core::event::{Event, Events};
use tollgate::core::principal::ClaimPath;
use tollgate::net::HttpClient;

use crate::http::DEADLINE;

/// A key's public half, as a JWK and as PEM.
pub(crate) fn key(kid: &str) -> (Value, String) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let spki = STANDARD.encode(pair.public_key().as_der().unwrap().as_ref());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{spki}\n-----END PUBLIC KEY-----\n");
    (json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y }), pem)
}

pub(crate) fn jwk(kid: &str) -> Value {
    key(kid).0
}

pub(crate) fn jwks(kids: &[&str]) -> Value {
    json!({ "keys": kids.iter().map(|kid| jwk(kid)).collect::<Vec<_>>() })
}

/// Long intervals, so that nothing happens by itself.
pub(crate) fn fetch() -> FetchSpec {
    FetchSpec {
        refresh: Duration::from_secs(3600),
        refresh_bounds: (Duration::from_secs(60), Duration::from_secs(86400)),
        timeout: Duration::from_secs(10),
        stale_keys: Duration::from_secs(3600 * 24),
        unknown_kid_cooldown: Duration::from_secs(3600),
        transport: Default::default(),
        bearer_token_file: None,
    }
}

pub(crate) const ISSUER: &str = "https://idp.example.com/realms/shop";

pub(crate) fn spec(keys: KeySource) -> IssuerSpec {
    let path = |name| ClaimPath::new([name]).unwrap();
    IssuerSpec {
        tokens: tollgate::authn::spec::TokenFormat::Jwt,
        introspection: None,
        provider: None,
        ready_without_keys: false,
        name: "shop".into(),
        issuer: IssuerClaim::Exact(ISSUER.into()),
        keys,
        algorithms: vec![Algorithm::ES256],
        kid_optional: false,
        times_in_strings: false,
        leeway: Duration::from_secs(30),
        max_lifetime: None,
        rfc9068: false,
        claims: ClaimMapping {
            subject: path("sub"),
            client: Vec::new(),
            scopes: Vec::new(),
            roles: Vec::new(),
            service: None,
            tenant: None,
            extra: Vec::new(),
            audience: path("aud"),
        },
        wildcard_scope: None,
        credential: CredentialSource::Authorization,
        max_token_bytes: 8192,
        cache: TokenCacheSpec { max_age: Duration::ZERO, max_bytes: 0 },
    }
}

pub(crate) fn from_url(url: &str, fetch: FetchSpec) -> IssuerSpec {
    spec(KeySource::JwksUrl { url: url.parse().unwrap(), fetch })
}

/// Writes down every event.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<String>>);

impl Events for Recorder {
    fn report(&self, event: Event<'_>) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

impl Recorder {
    /// How many events hold this text.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|event| event.contains(text)).count()
    }

    pub(crate) async fn counted(&self, text: &str, count: usize) {
        until(&format!("{count} of `{text}`"), || self.count(text) >= count).await;
    }
}

/// A clock, a recorder, and what a store needs.
pub(crate) struct Process {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) events: Arc<Recorder>,
    pub(crate) http: HttpClient,
}

impl Process {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_seconds(1_800_000_000)));
        Self { clock, events: Arc::default(), http: HttpClient::new() }
    }

    pub(crate) fn deps(&self) -> Deps {
        Deps::new(self.http.clone(), Arc::clone(&self.clock) as Arc<_>, Arc::clone(&self.events) as Arc<_>)
    }

    pub(crate) fn start(&self, spec: &IssuerSpec) -> KeyStore {
        KeyStore::start(spec, &self.deps()).unwrap()
    }
}

pub(crate) use crate::wait::until;

/// Waits for something that must end.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it ends")
}

/// The ids that a store's keys have now.
pub(crate) fn has(store: &KeyStore, kid: &str) -> bool {
    store.current().is_ok_and(|set| set.has_kid(kid))
}
