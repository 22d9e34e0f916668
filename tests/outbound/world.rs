//! An engine with one issuer, its token endpoint, and a rule for each token: `tN.internal` is called with token N.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::time::Instant;
use tollgate::authn::spec::{
    Algorithm, ClaimMapping, CredentialSource, IssuerClaim, IssuerSpec, KeySource, TokenCacheSpec, TokenFormat,
};
use tollgate::clock::{Clock as _, ManualClock, SystemClock, Timestamp};
use tollgate::core::answer::{AllowedRequest, Answer, Verdict};
use tollgate::core::event::{Event, Events};
use tollgate::core::principal::ClaimPath;
use tollgate::core::reason::Reason;
use tollgate::core::request::{Direction, Header, Headers};
use tollgate::core::rule::{Action, AnyAll, AudienceRequirement, IssuerIndex, Requirements, TokenIndex};
use tollgate::core::table::{HostPattern, RuleSpec};
use tollgate::engine::Engine;
use tollgate::net::HttpClient;
use tollgate::outbound::spec::{
    ClientCredentialsSpec, ExchangeCacheSpec, ExchangeSpec, Grant, ProviderRef, TokenSpec, TokenType,
};
use tollgate::provider::Deps;
use tollgate::provider::spec::{BreakerSpec, ClientAuth, ClientSpec, ProviderSpec};
use tollgate::secret::SecretSource;

use crate::idp::{Form, Idp, LIMIT, Reply};
use crate::specs::{config, marked_rule, request};
use crate::support::mint::Signer;

pub(crate) const ISSUER: &str = "https://idp.example/realms/shop";
pub(crate) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

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
}

/// What is configured; a reload reads it again.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) issuers: Vec<IssuerSpec>,
    pub(crate) tokens: Vec<TokenSpec>,
}

pub(crate) struct World {
    pub(crate) engine: Arc<Engine>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) events: Arc<Recorder>,
    pub(crate) idp: Idp,
    pub(crate) mint: Arc<Mint>,
    pub(crate) setup: Arc<Mutex<Setup>>,
    pub(crate) files: TempDir,
}

/// Signs the issuer's tokens.
pub(crate) struct Mint {
    signer: Signer,
    pub(crate) clock: Arc<ManualClock>,
}

impl Mint {
    /// A token of these claims, laid over good ones; null takes away.
    pub(crate) fn token(&self, changes: &Value) -> String {
        self.signer.sign(&self.signer.header("k1"), &Value::Object(self.claims(changes)))
    }

    /// As [`Mint::token`], signed by somebody else.
    pub(crate) fn forged(&self, changes: &Value) -> String {
        let other = Signer::es256();
        other.sign(&other.header("k1"), &Value::Object(self.claims(changes)))
    }

    fn claims(&self, changes: &Value) -> Map<String, Value> {
        let now = self.clock.now().as_unix_seconds();
        let mut claims = json!({
            "iss": ISSUER, "sub": "alice", "aud": "orders", "scope": "orders.read", "azp": "web",
            "iat": now, "exp": now + 3600, "jti": format!("{:032x}", rand::random::<u128>()),
        });
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims.as_object().unwrap().clone()
    }

    /// What a well-behaved provider answers: for the user of the subject token, or for the client itself.
    pub(crate) fn grant(&self, form: &Form) -> Value {
        let claims = self.grant_claims(form);
        let mut answer = json!({ "access_token": self.token(&claims), "token_type": "Bearer", "expires_in": 300 });
        if let Some(scope) = form.one("scope") {
            answer["scope"] = scope.into();
        }
        if form.one("subject_token").is_some() {
            answer["issued_token_type"] = ACCESS_TOKEN.into();
        }
        answer
    }

    pub(crate) fn grant_claims(&self, form: &Form) -> Value {
        let sub = form.one("subject_token").and_then(|token| read(token)["sub"].as_str().map(str::to_owned));
        json!({
            "sub": sub.unwrap_or_else(|| "service-account".into()),
            "aud": form.all("audience"), "azp": "orders", "scope": form.one("scope"),
            "exp": self.clock.now().as_unix_seconds() + 300,
        })
    }
}

/// A token's claims.
pub(crate) fn read(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

pub(crate) fn token_spec(name: &str, grant: Grant, secret: PathBuf) -> TokenSpec {
    TokenSpec {
        name: name.into(),
        provider: ProviderRef::Issuer(IssuerIndex(0)),
        client: ClientSpec { id: "orders".into(), auth: ClientAuth::SecretBasic(SecretSource::File(secret)) },
        grant,
        audience: vec![name.into()],
        scopes: vec![format!("{name}.call").into()],
        resources: Vec::new(),
        max_token_bytes: 8192,
        also_granted: vec!["profile".into()],
        expect_audience: Some(vec![name.into()]),
    }
}

pub(crate) fn exchange() -> Grant {
    let (max_age, margin) = (Duration::from_secs(300), Duration::from_secs(10));
    Grant::Exchange(ExchangeSpec {
        subject_token_type: TokenType::AccessToken,
        requested_token_type: None,
        actor: None,
        cache: ExchangeCacheSpec { max_age, margin, max_bytes: 1 << 20 },
    })
}

pub(crate) fn exchange_of(spec: &mut TokenSpec) -> &mut ExchangeSpec {
    match &mut spec.grant {
        Grant::Exchange(exchange) => exchange,
        Grant::ClientCredentials(_) => panic!("not an exchange"),
    }
}

pub(crate) fn own() -> Grant {
    Grant::ClientCredentials(ClientCredentialsSpec { refresh_ahead: Duration::from_secs(60) })
}

fn issuer(keys: PathBuf, idp: &Idp) -> IssuerSpec {
    let path = |name: &str| ClaimPath::dotted(name).unwrap();
    let provider = ProviderSpec {
        name: "shop".into(),
        issuer: Some(ISSUER.into()),
        metadata: None,
        allowed_hosts: Vec::new(),
        introspection_endpoint: None,
        token_endpoint: Some(format!("http://{}/token", idp.address).parse().unwrap()),
        transport: Default::default(),
        timeout: Duration::from_secs(10),
        max_in_flight: 64,
        retries: 1,
        breaker: BreakerSpec { failures: 1000, open_for: Duration::from_millis(10) },
    };
    IssuerSpec {
        name: "shop".into(),
        issuer: IssuerClaim::Exact(ISSUER.into()),
        keys: KeySource::JwksFile(keys),
        algorithms: vec![Algorithm::ES256],
        kid_optional: false,
        times_in_strings: false,
        leeway: Duration::from_secs(30),
        max_lifetime: None,
        rfc9068: false,
        claims: ClaimMapping {
            subject: path("sub"),
            client: vec![path("azp")],
            scopes: vec![path("scope")],
            roles: Vec::new(),
            service: None,
            tenant: None,
            extra: Vec::new(),
            audience: path("aud"),
        },
        kept: tollgate::core::principal::KeptClaims::All,
        wildcard_scope: Some("everything".into()),
        credential: CredentialSource::Authorization,
        max_token_bytes: 8192,
        cache: TokenCacheSpec { max_age: Duration::from_secs(300), max_bytes: 1 << 20 },
        tokens: TokenFormat::Jwt,
        introspection: None,
        provider: Some(provider),
        ready_without_keys: false,
    }
}

/// `tN.internal`, with a token for `orders` where the rule's token is exchanged.
fn rule(position: usize, spec: &TokenSpec) -> RuleSpec {
    let mut rule = marked_rule(&format!("rule-{position}"));
    rule.matcher.direction = Some(Direction::Outbound);
    rule.matcher.hosts = vec![HostPattern::parse(&format!("t{position}.internal")).unwrap()];
    let effect = Arc::make_mut(&mut rule.rule.effect);
    effect.upstream_token = Some(TokenIndex(position));
    if matches!(spec.grant, Grant::Exchange(_)) {
        effect.action = Action::Require(Arc::new(Requirements {
            issuers: vec![IssuerIndex(0)],
            audience: AudienceRequirement::Checked(AnyAll { any: vec!["orders".into()], all: Vec::new() }),
            scopes: Vec::new(),
            roles: Vec::new(),
            claims: Vec::new(),
            caller: None,
        }));
    }
    rule
}

impl World {
    /// With these tokens, by name, and a provider that behaves.
    pub(crate) async fn new(tokens: &[(&str, Grant)]) -> Self {
        Self::with(tokens, |_| {}).await
    }

    /// As [`World::new`], with a changed setup.
    pub(crate) async fn with(tokens: &[(&str, Grant)], change: impl FnOnce(&mut Setup)) -> Self {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let mint = Arc::new(Mint { signer: Signer::es256(), clock: Arc::clone(&clock) });
        let minting = Arc::clone(&mint);
        let idp = Idp::start(move |form| Reply::Json(200, minting.grant(form))).await;
        let files = tempfile::tempdir().unwrap();
        let (keys, secret) = (files.path().join("jwks.json"), files.path().join("secret"));
        std::fs::write(&keys, json!({ "keys": [mint.signer.jwk("k1")] }).to_string()).unwrap();
        std::fs::write(&secret, "hunter2").unwrap();
        let tokens = tokens.iter().map(|(name, grant)| token_spec(name, grant.clone(), secret.clone())).collect();
        let mut setup = Setup { issuers: vec![issuer(keys, &idp)], tokens };
        change(&mut setup);
        let setup = Arc::new(Mutex::new(setup));
        let events = Arc::new(Recorder::default());
        let deps = Deps::new(HttpClient::new(), clock.clone(), events.clone());
        let load = {
            let setup = Arc::clone(&setup);
            move || {
                let Setup { issuers, tokens } = setup.lock().unwrap().clone();
                let rules = tokens.iter().enumerate().map(|(position, spec)| rule(position, spec)).collect();
                let mut config = config(rules, issuers);
                config.tokens = tokens;
                config.server.first_keys = Duration::ZERO;
                Ok(config)
            }
        };
        let engine = Engine::start(load, deps).await.unwrap();
        Self { engine, clock, events, idp, mint, setup, files }
    }

    /// A token of the user alice, for `orders`.
    pub(crate) fn subject(&self) -> String {
        self.mint.token(&json!({}))
    }

    pub(crate) fn secret_file(&self) -> PathBuf {
        self.files.path().join("secret")
    }

    pub(crate) async fn ask(&self, token: usize, bearer: Option<&str>) -> Answer {
        self.ask_by(token, bearer, Instant::now() + LIMIT).await
    }

    pub(crate) async fn ask_by(&self, token: usize, bearer: Option<&str>, deadline: Instant) -> Answer {
        let bearer = bearer.map(|bearer| format!("Bearer {bearer}"));
        let headers = bearer.iter().map(|value| ("authorization", value.as_str())).collect::<Vec<_>>();
        self.ask_with(token, &headers, deadline).await
    }

    pub(crate) async fn ask_with(&self, token: usize, headers: &[(&str, &str)], deadline: Instant) -> Answer {
        let host = format!("t{token}.internal");
        let mut request = request("/charge");
        request.direction = Direction::Outbound;
        request.host = &host;
        let headers = headers.iter().map(|(name, value)| Header { name, value: value.as_bytes() });
        request.headers = Headers::new(headers.collect());
        self.engine.check(request, deadline).await
    }

    /// The token that the request goes on with. It must be allowed.
    pub(crate) async fn allowed(&self, token: usize, bearer: Option<&str>) -> String {
        let answer = self.ask(token, bearer).await;
        allowed(&answer).bearer().expect("a token").expose().to_owned()
    }

    /// The reason of the denial. It must be one, and carry no token.
    pub(crate) async fn denied(&self, token: usize, bearer: Option<&str>) -> Reason {
        reason_of_denial(&self.ask(token, bearer).await, bearer)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

pub(crate) fn allowed(answer: &Answer) -> &AllowedRequest {
    match &answer.verdict {
        Verdict::Allow(allowed) => allowed,
        Verdict::Deny(denied) => panic!("denied: {} {denied:?}", answer.reason),
    }
}

pub(crate) fn reason_of_denial(answer: &Answer, bearer: Option<&str>) -> Reason {
    match &answer.verdict {
        Verdict::Allow(_) => panic!("allowed"),
        Verdict::Deny(denied) => {
            let said = format!("{denied:?}");
            assert!(bearer.is_none_or(|bearer| !said.contains(bearer)), "{said}");
            assert!(!answer.reason.allows());
        }
    }
    answer.reason
}

pub(crate) use crate::wait::eventually;
