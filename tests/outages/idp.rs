//! An identity provider that can fail: metadata, keys, introspection and tokens.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::watch;
use tollgate::clock::{Clock as _, ManualClock};

use crate::faults::Fault;
use crate::http::{Answer, Request, Server, http, kept_json};
use crate::support::mint::Signer;

pub(crate) struct Idp {
    pub(crate) server: Server,
    /// Where redirects lead: nobody is to come there.
    pub(crate) elsewhere: Server,
    behaviour: Arc<Mutex<Behaviour>>,
    mint: Arc<Mint>,
}

/// What the provider does.
#[derive(Default)]
struct Behaviour {
    fault: Option<Fault>,
    /// Tokens that are no longer active.
    revoked: Vec<String>,
    /// Whether the second of its keys is published, too.
    rotated: bool,
    /// Keeps introspection and tokens back until it is true.
    held: Option<watch::Receiver<bool>>,
}

/// Signs the provider's tokens.
struct Mint {
    issuer: String,
    clock: Arc<ManualClock>,
    keys: [Signer; 2],
}

impl Idp {
    pub(crate) async fn start(clock: &Arc<ManualClock>) -> Self {
        let server = Server::start(Answer::HangUp).await;
        let elsewhere = Server::start(Answer::HangUp).await;
        let clock = Arc::clone(clock);
        let mint = Arc::new(Mint { issuer: server.url(""), clock, keys: [Signer::es256(), Signer::es256()] });
        let behaviour = Arc::<Mutex<Behaviour>>::default();
        let (of_server, of_elsewhere) = (Arc::clone(&behaviour), Arc::clone(&behaviour));
        let (minting, also_minting) = (Arc::clone(&mint), Arc::clone(&mint));
        let away = elsewhere.url("");
        server.set(Answer::Ask(Arc::new(move |request| {
            let behaviour = of_server.lock().unwrap();
            let good = minting.answer(request, &behaviour);
            match (behaviour.fault, &behaviour.held) {
                (Some(fault), _) => fault.spoil(request.path(), &good, &away),
                (None, Some(gate)) if matches!(request.path(), "/introspect" | "/token") => {
                    let answer = http(200, &["Content-Type: application/json"], good.to_string());
                    Answer::When(gate.clone(), answer)
                }
                (None, _) => kept_json(&good),
            }
        })));
        elsewhere.set(Answer::Ask(Arc::new(move |request| {
            kept_json(&also_minting.answer(request, &of_elsewhere.lock().unwrap()))
        })));
        Self { server, elsewhere, behaviour, mint }
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.mint.issuer
    }

    /// The keys that are published at first.
    pub(crate) fn jwks(&self) -> Value {
        json!({ "keys": [self.mint.keys[0].jwk("k0")] })
    }

    pub(crate) async fn fail(&self, fault: Fault) {
        self.behaviour.lock().unwrap().fault = Some(fault);
        if fault == Fault::Killed {
            self.server.kill().await;
        }
    }

    /// Comes back from a fault.
    pub(crate) async fn heal(&self) {
        let was = self.behaviour.lock().unwrap().fault.take();
        if was == Some(Fault::Killed) {
            self.server.revive().await;
        }
    }

    /// From now on answers of introspection and tokens wait for the switch.
    pub(crate) fn hold(&self) -> watch::Sender<bool> {
        let (switch, gate) = watch::channel(false);
        let mut behaviour = self.behaviour.lock().unwrap();
        (behaviour.held, behaviour.fault) = (Some(gate), None);
        switch
    }

    pub(crate) fn rotate(&self) {
        self.behaviour.lock().unwrap().rotated = true;
    }

    pub(crate) fn revoke(&self, token: &str) {
        self.behaviour.lock().unwrap().revoked.push(token.to_owned());
    }

    /// A new token, good for a day.
    pub(crate) fn jwt(&self) -> String {
        self.mint.jwt(0, "k0", "api")
    }

    /// One that is signed by the second key.
    pub(crate) fn rotated_jwt(&self) -> String {
        self.mint.jwt(1, "k1", "api")
    }

    /// One whose key id nobody knows.
    pub(crate) fn jwt_of_key(&self, kid: &str) -> String {
        self.mint.jwt(0, kid, "api")
    }

    pub(crate) fn opaque() -> String {
        format!("opaque-{:032x}", rand::random::<u128>())
    }

    /// Requests so far to its introspection and token endpoints.
    pub(crate) fn calls(&self) -> (usize, usize) {
        (self.server.count_of("/introspect"), self.server.count_of("/token"))
    }
}

/// How long tokens last.
const DAY: i64 = 86_400;
/// How long those last that the token endpoint issues.
pub(crate) const ISSUED_FOR: i64 = 600;

impl Mint {
    fn jwt(&self, key: usize, kid: &str, audience: &str) -> String {
        let signer = &self.keys[key];
        let lifetime = if audience == "api" { DAY } else { ISSUED_FOR };
        signer.sign(&signer.header(kid), &self.claims(audience, lifetime))
    }

    fn claims(&self, audience: &str, lifetime: i64) -> Value {
        let now = self.clock.now().as_unix_seconds();
        let id = format!("{:032x}", rand::random::<u128>());
        json!({ "iss": self.issuer, "sub": "alice", "aud": audience, "iat": now, "exp": now + lifetime, "jti": id })
    }

    /// What a provider in good health answers.
    fn answer(&self, request: &Request, behaviour: &Behaviour) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer);
        match request.path() {
            "/.well-known/openid-configuration" => json!({
                "issuer": self.issuer, "jwks_uri": at("/jwks"),
                "introspection_endpoint": at("/introspect"), "token_endpoint": at("/token"),
            }),
            "/jwks" => {
                let keys = self.keys.iter().enumerate().take(if behaviour.rotated { 2 } else { 1 });
                json!({ "keys": keys.map(|(number, key)| key.jwk(&format!("k{number}"))).collect::<Vec<_>>() })
            }
            "/introspect" => self.introspect(&request.field("token").unwrap(), behaviour),
            "/token" => {
                let mut granted = json!({
                    "access_token": self.jwt(0, "k0", "payments"), "token_type": "Bearer", "expires_in": ISSUED_FOR,
                });
                if request.field("subject_token").is_some() {
                    granted["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token".into();
                }
                granted
            }
            other => panic!("asked for {other}"),
        }
    }

    fn introspect(&self, token: &str, behaviour: &Behaviour) -> Value {
        if behaviour.revoked.iter().any(|revoked| revoked == token) {
            return json!({ "active": false });
        }
        // Of a JWT nothing is said that could contradict it.
        let jwt = token.contains('.');
        let mut said = if jwt { json!({ "iss": self.issuer }) } else { self.claims("api", DAY) };
        said["active"] = true.into();
        said
    }
}
