//! A whole gate by a configuration as an operator writes it, and its provider.

use std::fmt::Debug;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use tempfile::TempDir;
use tokio::time::Instant;
use tollgate::clock::{Clock as _, ManualClock, SystemClock};
use tollgate::config::server::{Address, CheckListener};
use tollgate::core::reason::Reason;
use tollgate::core::request::{Direction, Header, Headers, RawRequest};
use tollgate::engine::Engine;
use tollgate::net::HttpClient;
use tollgate::provider::Deps;
use tollgate::telemetry::{Exposition, Recorder};
use tonic::transport::{Channel, Endpoint};

use crate::faults::Fault;
use crate::gate::Gate;
use crate::http::DEADLINE;
use crate::idp::Idp;
use crate::wait::Looks;

/// What a test is about, where one fails.
pub(crate) type What = dyn Debug + Sync;

/// What the provider is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Keys, found by discovery.
    Discovery,
    /// Keys at a URL.
    Jwks,
    /// Introspection of opaque tokens.
    Opaque,
    /// Introspection of JWTs, whose keys are in a file.
    Jwts,
    /// RFC 8693. The keys of subject tokens are in a file.
    Exchange,
    /// RFC 6749 §4.4.
    Own,
}

impl Need {
    pub(crate) const ALL: [Self; 6] =
        [Self::Discovery, Self::Jwks, Self::Opaque, Self::Jwts, Self::Exchange, Self::Own];

    pub(crate) fn is_of_keys(self) -> bool {
        matches!(self, Self::Discovery | Self::Jwks)
    }

    /// What a request is told that the provider was needed for.
    pub(crate) fn unavailable(self) -> Reason {
        match self {
            Self::Discovery | Self::Jwks => Reason::KeysUnavailable,
            Self::Opaque | Self::Jwts => Reason::IntrospectionUnavailable,
            Self::Exchange | Self::Own => Reason::UpstreamTokenUnavailable,
        }
    }

    /// What a request is told that the provider served well.
    pub(crate) fn allowed(self) -> Reason {
        if self == Self::Own { Reason::AllowedAnonymous } else { Reason::Allowed }
    }

    /// The issuer, without its name and `outage`.
    fn issuer(self) -> &'static str {
        match self {
            Self::Discovery => "keys: { discovery: true, timeout: CALL, unknown_kid_cooldown: 1s }",
            Self::Jwks => "keys: { jwks: IDP/jwks, timeout: CALL, unknown_kid_cooldown: 1s }",
            Self::Opaque => {
                "tokens: opaque
    provider: { discovery: true, timeout: CALL, breaker: { failures: 5, open: OPEN } }
    introspection: { client: { id: gate, secret_file: secret } }"
            }
            Self::Jwts => {
                "keys: { jwks_file: jwks.json }
    provider: { discovery: true, timeout: CALL, breaker: { failures: 5, open: OPEN } }
    introspection: { jwts: true, client: { id: gate, secret_file: secret } }"
            }
            Self::Exchange | Self::Own => {
                "keys: { jwks_file: jwks.json }
    provider: { discovery: true, timeout: CALL, breaker: { failures: 5, open: OPEN } }"
            }
        }
    }
}

const EXCHANGE: &str = "tokens:
  payments: { exchange: { issuer: shop, client: { id: gate, secret_file: secret }, audience: payments } }
";
const OWN: &str = "tokens:
  payments: { client_credentials: { issuer: shop, client: { id: gate, secret_file: secret }, audience: payments } }
";
const API: &str = "rules:
  - { name: api, match: { direction: inbound }, require: { issuers: [shop], audience: { any: [api] } } }
";
const TO_PAYMENTS: &str = "rules:
  - name: to-payments
    match: { direction: outbound, hosts: [payments.internal] }
    upstream_token: payments
";
const FOR_THE_USER: &str = "    require: { issuers: [shop], audience: { any: [api] } }\n";

/// What a configuration says beside what is needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Under `outage:`.
    pub(crate) outage: &'static str,
    /// Time for one call.
    pub(crate) call: &'static str,
    /// How long a breaker stays open.
    pub(crate) open: &'static str,
    /// More of the issuer.
    pub(crate) more: &'static str,
}

impl Default for Setting {
    fn default() -> Self {
        Self { outage: "", call: "1s", open: "200ms", more: "" }
    }
}

impl Setting {
    /// For a provider that fails so: only one that hangs is not waited for.
    pub(crate) fn of(fault: Fault) -> Self {
        Self { call: if fault == Fault::Hanging { "300ms" } else { "8s" }, ..Self::default() }
    }
}

/// The configuration.
pub(crate) fn policy(need: Need, setting: Setting) -> String {
    let server = "server:
  check:
    - { listen: \"unix:DIR/in.sock\", direction: inbound }
    - { listen: \"unix:DIR/out.sock\", direction: outbound }
  deadline: 19s
  first_keys: 50ms
issuers:
  shop:
    issuer: IDP
";
    let Setting { outage, call, open, more } = setting;
    let issuer = need.issuer().replace("CALL", call).replace("OPEN", open);
    let outage = if outage.is_empty() { String::new() } else { format!("    outage: {{ {outage} }}\n") };
    let more = if more.is_empty() { String::new() } else { format!("    {more}\n") };
    let rest = match need {
        Need::Discovery | Need::Jwks | Need::Opaque | Need::Jwts => API.to_owned(),
        Need::Exchange => format!("{EXCHANGE}{TO_PAYMENTS}{FOR_THE_USER}"),
        Need::Own => format!("{OWN}{TO_PAYMENTS}"),
    };
    format!("{server}    {issuer}\n{outage}{more}{rest}")
}

pub(crate) struct World {
    pub(crate) need: Need,
    pub(crate) gate: Gate,
    pub(crate) idp: Idp,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) metrics: Arc<Recorder>,
    client: AuthorizationClient<Channel>,
    _files: TempDir,
}

/// A provider, before there is a gate.
pub(crate) async fn provider() -> (Idp, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    (Idp::start(&clock).await, clock)
}

impl World {
    /// In good health.
    pub(crate) async fn new(need: Need, setting: Setting) -> Self {
        let (idp, clock) = provider().await;
        Self::with(need, &policy(need, setting), idp, clock).await
    }

    /// A gate of this configuration.
    pub(crate) async fn with(need: Need, policy: &str, idp: Idp, clock: Arc<ManualClock>) -> Self {
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("secret"), "hunter2").unwrap();
        std::fs::write(files.path().join("jwks.json"), idp.jwks().to_string()).unwrap();
        let text = policy.replace("DIR", files.path().to_str().unwrap()).replace("IDP", idp.issuer());
        let directory = files.path().to_owned();
        let metrics = Arc::new(Recorder::default());
        let deps = Deps::new(HttpClient::new(), clock.clone(), metrics.clone());
        let load = move || tollgate::config::load_from(&text, &directory, Path::new("policy.yaml"));
        let engine = soon(Engine::start(load, deps)).await.unwrap_or_else(|error| panic!("{:?}", error.messages()));
        let gate = Gate::start(engine).await;
        let direction =
            if matches!(need, Need::Exchange | Need::Own) { Direction::Outbound } else { Direction::Inbound };
        let of = |listener: &&CheckListener| listener.direction == direction;
        let Address::Unix { path, .. } = gate.engine.server().check.iter().find(of).unwrap().address.clone() else {
            panic!("not a socket")
        };
        let channel = Endpoint::from_shared(format!("unix:{}", path.display())).unwrap().connect().await.unwrap();
        Self { need, gate, idp, clock, metrics, client: AuthorizationClient::new(channel), _files: files }
    }

    /// A new token, as the rule wants it; an empty one where it wants none.
    pub(crate) fn token(&self) -> String {
        match self.need {
            Need::Discovery | Need::Jwks | Need::Jwts | Need::Exchange => self.idp.jwt(),
            Need::Opaque => Idp::opaque(),
            Need::Own => String::new(),
        }
    }

    /// What the engine decides within the deadline.
    pub(crate) async fn ask_within(&self, token: &str, time: Duration) -> Reason {
        let bearer = format!("Bearer {token}");
        let headers = if token.is_empty() {
            Vec::new()
        } else {
            vec![Header { name: "authorization", value: bearer.as_bytes() }]
        };
        let outbound = matches!(self.need, Need::Exchange | Need::Own);
        let request = RawRequest {
            direction: if outbound { Direction::Outbound } else { Direction::Inbound },
            method: "GET",
            host: "payments.internal",
            path: "/x",
            headers: Headers::new(headers),
            principal: "",
            certificate: "",
            context_extensions: Vec::new(),
        };
        soon(self.gate.engine.check(request, Instant::now() + time)).await.reason
    }

    /// What the engine decides.
    pub(crate) async fn ask(&self, token: &str) -> Reason {
        self.ask_within(token, DEADLINE / 2).await
    }

    /// What the server answers.
    pub(crate) async fn ask_server(&self, token: &str, time: Option<Duration>) -> CheckResponse {
        let mut http = HttpRequest {
            method: "GET".to_owned(),
            host: "payments.internal".to_owned(),
            path: "/x".to_owned(),
            ..Default::default()
        };
        if !token.is_empty() {
            http.headers.insert("authorization".to_owned(), format!("Bearer {token}"));
        }
        let request = Request { http: Some(http), ..Default::default() };
        let attributes = AttributeContext { request: Some(request), ..Default::default() };
        let mut request = tonic::Request::new(CheckRequest { attributes: Some(attributes) });
        if let Some(time) = time {
            request.set_timeout(time);
        }
        soon(self.client.clone().check(request)).await.expect("an OK RPC, whatever the decision").into_inner()
    }

    /// Asks the engine with one token and the server with another: both must come to this. What is good may take more
    /// than one attempt on a machine that is busy; what is not good must not be by any.
    pub(crate) async fn both(&self, tokens: [&str; 2], wanted: Reason, what: &What) {
        let patient = wanted == self.need.allowed();
        let of_engine = async {
            if patient {
                self.becomes(wanted, || tokens[0].to_owned(), what).await;
            } else {
                assert_eq!(self.ask(tokens[0]).await, wanted, "{what:?}");
            }
        };
        let of_server = async {
            let mut answer = self.ask_server(tokens[1], None).await;
            let mut looks = Looks::at(format!("{what:?}: {wanted}"));
            while patient && reason(&answer) != wanted.code() {
                looks.again().await;
                answer = self.ask_server(tokens[1], None).await;
            }
            assert_answer(&answer, wanted, what);
        };
        tokio::join!(of_engine, of_server);
    }

    /// As [`World::both`], with new tokens.
    pub(crate) async fn both_new(&self, wanted: Reason, what: &What) {
        self.both([&self.token(), &self.token()], wanted, what).await;
    }

    /// As [`World::both`], with one token.
    pub(crate) async fn both_with(&self, token: &str, wanted: Reason, what: &What) {
        self.both([token, token], wanted, what).await;
    }

    /// Asks until the answer is this: what is slow by chance, or comes back, is waited for.
    pub(crate) async fn becomes(&self, wanted: Reason, token: impl Fn() -> String + Send, what: &What) {
        let mut looks = Looks::at(format!("{what:?}: {wanted}"));
        while self.ask(&token()).await != wanted {
            looks.again().await;
        }
    }

    /// A token that was let through just now.
    pub(crate) async fn allowed(&self) -> String {
        let token = self.token();
        self.becomes(self.need.allowed(), || token.clone(), &self.need).await;
        token
    }

    /// The value of a metric with these labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.metrics.exposition(Exposition::Prometheus);
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |value| value.trim().parse().unwrap())
    }
}

/// Whether the server's answer is what this reason comes to.
pub(crate) fn assert_answer(answer: &CheckResponse, wanted: Reason, what: &What) {
    let status = match answer.http_response.as_ref().unwrap() {
        HttpResponse::DeniedResponse(denied) => denied.status.as_ref().unwrap().code,
        HttpResponse::OkResponse(_) => 200,
        HttpResponse::ErrorResponse(_) => panic!("{what:?}: an error"),
    };
    assert_eq!(reason(answer), wanted.code(), "{what:?}");
    assert_eq!(answer.status.as_ref().unwrap().code, wanted.rpc_code() as i32, "{what:?}");
    assert_eq!(status, i32::from(wanted.http_status()), "{what:?}");
}

/// The reason that an answer tells Envoy.
pub(crate) fn reason(answer: &CheckResponse) -> String {
    let metadata = answer.dynamic_metadata.as_ref().unwrap();
    let told = format!("{:?}", metadata.fields["tollgate"]);
    let code = told.split("\"reason\": Value { kind: Some(StringValue(\"").nth(1).expect("a reason");
    code.split('"').next().unwrap().to_owned()
}

/// Waits for something that must end.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it ends")
}
