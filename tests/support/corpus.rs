//! Reads `tests/corpus/*.yaml` and compares decisions with what is written there.
//!
//! A file has its policy under `config`, or names one of `examples/issuers` under `example`: then its issuers get keys of
//! ours, and the rest of it is run as it is shipped.
//!
//! Under `provider` a file scripts an identity provider, whose URL is `${PROVIDER}` in its policy.
//!
//! In a case, `request` and `token` are laid over the file's `defaults`: maps are merged, `null` takes away. Claims that
//! are times may be written `"+300"` or `"-10.5"`, counted from the file's `now`; in further quotes they stay strings.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests; each suite uses a part of this"
)]

#[path = "corpus_provider.rs"]
mod provider;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use envoy_types::pb::envoy::config::core::v3::{Address, HeaderMap, HeaderValue, SocketAddress};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use serde_json::{Map, Value};
use tollgate::authn::store::Deps;
use tollgate::authn::{Accepted, Issuer, authenticate};
use tollgate::clock::{Clock, ManualClock, Timestamp};
use tollgate::config::{self, Config};
use tollgate::core::answer::{Answer, DecisionId, Verdict};
use tollgate::core::decide::{self, Authentication};
use tollgate::core::event::Silent;
use tollgate::core::guard::GuardedHeaders;
use tollgate::core::request::{Direction, Header, Headers, RawRequest, RequestFacts};
use tollgate::engine::Engine;
use tollgate::net::HttpClient;
use tollgate::secret::Secret;

use super::gate::Gate;
use super::mint::Signer;

/// 2026-01-01T00:00:00Z.
const NOW: i64 = 1_767_225_600;

/// The keys that cases name, made once.
pub struct Keys {
    pub directory: tempfile::TempDir,
    signers: BTreeMap<&'static str, Signer>,
}

impl Keys {
    pub fn shared() -> &'static Self {
        static KEYS: OnceLock<Keys> = OnceLock::new();
        KEYS.get_or_init(|| {
            let signers = BTreeMap::from([
                ("rsa", Signer::rs256()),
                ("rsa2", Signer::other_rs256()),
                ("ec", Signer::es256()),
                ("ed", Signer::ed25519()),
            ]);
            let directory = tempfile::tempdir().unwrap();
            let write = |name: &str, text: String| std::fs::write(directory.path().join(name), text).unwrap();
            write("rsa.pem", signers["rsa"].public_pem());
            let jwk = |name: &str, kid: &str| signers[name].jwk(kid);
            let set = serde_json::json!({"keys": [jwk("rsa", "rsa"), jwk("ec", "ec"), jwk("ed", "ed")]});
            write("keys.jwks", set.to_string());
            write("partner.jwks", serde_json::json!({"keys": [jwk("ec", "partner")]}).to_string());
            Self { directory, signers }
        })
    }

    pub fn signer(&self, name: &str) -> &Signer {
        &self.signers[name]
    }
}

/// One file of cases.
pub struct Corpus {
    name: String,
    document: Value,
    config_file: PathBuf,
    directory: tempfile::TempDir,
}

impl Corpus {
    /// Every file of `tests/corpus`.
    pub fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| Self::read(file)).collect()
    }

    fn read(file: &Path) -> Self {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(file).unwrap();
        let document: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let directory = tempfile::tempdir().unwrap();
        let keys = Keys::shared().directory.path().to_str().unwrap();
        let config = match document["example"].as_str() {
            Some(example) => example_with_keys(example, keys),
            None => document["config"].as_str().unwrap().replace("${KEYS}", keys),
        };
        let config = match document.get("provider") {
            Some(script) => config.replace("${PROVIDER}", &provider::start(scripted(script))),
            None => config,
        };
        let socket = directory.path().join("gate.sock");
        let server = format!(
            "server:\n  check: [{{ listen: \"unix:{}\", direction: inbound }}]\n  deadline: 20s\n",
            socket.display()
        );
        let config_file = directory.path().join("policy.yaml");
        std::fs::write(&config_file, server + &config).unwrap();
        Self { name, document, config_file, directory }
    }

    pub fn cases(&self) -> impl Iterator<Item = Case<'_>> {
        self.document["cases"].as_array().unwrap().iter().map(|case| {
            for key in case.as_object().unwrap().keys() {
                let known = ["name", "envoy", "core", "request", "token", "expect"].contains(&key.as_str());
                assert!(known, "{}: unknown key `{key}` in a case", self.name);
            }
            Case { corpus: &self.name, defaults: &self.document["defaults"], case }
        })
    }

    pub fn config_file(&self) -> &Path {
        &self.config_file
    }

    pub fn config(&self) -> Config {
        config::load(&self.config_file).unwrap_or_else(|errors| panic!("{}: {errors}", self.name))
    }

    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(ManualClock::at(Timestamp::from_unix_seconds(NOW)))
    }

    pub fn deps(&self) -> Deps {
        Deps::new(HttpClient::new(), self.clock(), Arc::new(Silent))
    }

    pub async fn engine(&self) -> Arc<Engine> {
        Engine::load(&self.config_file, self.deps()).await.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// A gate on its unix socket.
    pub async fn gate(&self) -> Gate {
        Gate::start(self.engine().await).await
    }
}

/// The script of a provider, with its times as numbers.
fn scripted(script: &Value) -> Value {
    let mut script = script.clone();
    script["introspection"].as_object_mut().into_iter().flatten().for_each(|(_, answer)| resolve_times(answer));
    script
}

/// Times that are counted from `now`.
fn resolve_times(claims: &mut Value) {
    for name in ["exp", "nbf", "iat"] {
        if let Some(Value::String(text)) = claims.get(name) {
            let quoted = text.starts_with('\'');
            let time = NOW as f64 + text.trim_matches('\'').parse::<f64>().unwrap();
            let time = if time.fract() == 0.0 { Value::from(time as i64) } else { Value::from(time) };
            claims[name] = if quoted { Value::from(time.to_string()) } else { time };
        }
    }
}

/// A shipped policy of `examples/issuers`, with keys of ours in the place of its issuers' own, and the script's provider in
/// the place of those that are asked.
fn example_with_keys(name: &str, keys: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/issuers/{name}.yaml"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut policy: Value = serde_saphyr::from_str(&text).unwrap();
    policy.as_object_mut().unwrap().remove("server");
    for issuer in policy["issuers"].as_object_mut().unwrap().values_mut() {
        if issuer["tokens"] == "opaque" {
            let endpoint = serde_json::json!({"introspection_endpoint": "${PROVIDER}/introspect", "timeout": "20s"});
            issuer["provider"] = endpoint;
            issuer["introspection"]["client"] = serde_json::json!({"id": "gate", "secret_env": "CARGO_PKG_NAME"});
            continue;
        }
        issuer["keys"] = match issuer["keys"].get("pem") {
            Some(_) => serde_json::json!({"pem": [format!("{keys}/rsa.pem")]}),
            None => serde_json::json!({"jwks_file": format!("{keys}/keys.jwks")}),
        };
    }
    // Every JSON document is a YAML document, section by section.
    policy.as_object().unwrap().iter().map(|(key, section)| format!("{key}: {section}\n")).collect()
}

/// One case, with the file's defaults.
pub struct Case<'c> {
    corpus: &'c str,
    defaults: &'c Value,
    case: &'c Value,
}

impl Case<'_> {
    pub fn title(&self) -> String {
        format!("{}: {}", self.corpus, self.case["name"].as_str().unwrap())
    }

    pub fn through_envoy(&self) -> bool {
        self.case["envoy"] == true
    }

    /// Whether the pure core alone can tell: what a provider says to a request for a token is beyond it.
    pub fn by_core(&self) -> bool {
        self.case["core"] != false
    }

    pub fn asked(&self) -> Asked {
        let request = laid_over(&self.defaults["request"], &self.case["request"]);
        let text = |key: &str| request[key].as_str().unwrap_or_default().to_owned();
        let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            headers.push((name.clone(), value.as_str().unwrap().as_bytes().to_vec()));
        }
        let mut raw = false;
        for line in request["raw_headers"].as_array().into_iter().flatten() {
            raw = true;
            headers.push((line[0].as_str().unwrap().to_owned(), unhex(line[1].as_str().unwrap())));
        }
        if let Some((name, value)) = self.credential() {
            headers.push((name, value.into_bytes()));
        }
        let certificate = match request["certificate"].as_array() {
            Some(uris) => certificate(uris),
            None => String::new(),
        };
        let context = request["context"].as_object().into_iter().flatten();
        Asked {
            method: text("method"),
            host: text("host"),
            path: text("path"),
            headers,
            raw,
            principal: text("principal"),
            certificate,
            context: context.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect(),
        }
    }

    /// Name and value of the header that carries the case's token.
    fn credential(&self) -> Option<(String, String)> {
        let token = match self.case.get("token") {
            Some(Value::Null) => return None,
            Some(over) => laid_over(&self.defaults["token"], over),
            None => self.defaults["token"].clone(),
        };
        let scheme = token["scheme"].as_str().unwrap_or("Bearer");
        let carried = |text: String| match token["in"].as_str() {
            Some(header) => Some((header.to_owned(), text)),
            None => Some(("authorization".to_owned(), format!("{scheme} {text}"))),
        };
        if let Some(opaque) = token["opaque"].as_str() {
            return carried(opaque.to_owned());
        }
        let mut claims = token["claims"].clone();
        resolve_times(&mut claims);
        let signer = Keys::shared().signer(token["key"].as_str().unwrap());
        carried(signer.sign(&token["header"], &claims))
    }

    /// The bearer token of the case, where it has one.
    pub fn token(&self) -> Option<String> {
        self.credential().map(|(_, value)| value.split(' ').next_back().unwrap().to_owned())
    }

    pub fn decided_by_core(&self, corpus: &Corpus, config: &Config) -> Answer {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let asked = self.asked();
            let id = DecisionId(7);
            let deps = corpus.deps();
            let facts = match RequestFacts::parse(asked.raw_request()) {
                Ok(facts) => facts,
                Err(error) => return decide::refuse_unmatched(&config.table, error.reason(), asked.is_grpc(), id),
            };
            let found = match config.table.find(&facts) {
                Ok(Some(found)) => found,
                Ok(None) => {
                    let reason = tollgate::core::reason::Reason::NoRule;
                    return decide::refuse_unmatched(&config.table, reason, facts.grpc, id);
                }
                Err(unjudgeable) => return decide::refuse_unjudgeable(unjudgeable, &facts, id),
            };
            let start = |spec: &tollgate::authn::spec::IssuerSpec| Issuer::start(spec.clone(), &deps).unwrap();
            let issuers: Vec<Arc<Issuer>> = config.issuers.iter().map(start).collect();
            let authentication = match decide::wants(found.rule) {
                None => Authentication::NotWanted,
                Some(wanted) => {
                    let accepted = Accepted::at(&issuers, &wanted.issuers).unwrap();
                    match authenticate(accepted, &facts.headers, &facts.caller, deps.clock.now()).await {
                        Ok(None) => Authentication::Absent,
                        Ok(Some(token)) => {
                            let header = Arc::clone(token.header());
                            Authentication::Verified { principal: token.principal, header }
                        }
                        Err(error) => Authentication::Refused(error.reason),
                    }
                }
            };
            let credentials = tollgate::authn::issuer::credential_headers(&issuers);
            let guarded = GuardedHeaders::new(&config.table, &credentials);
            match decide::decide(&found, &facts, authentication, &guarded, id) {
                decide::Decided::Answer(answer) => answer,
                decide::Decided::NeedsToken(waiting) => waiting.attach(Secret::new("obtained")),
            }
        })
    }

    pub async fn decided_by_engine(&self, _corpus: &Corpus, engine: &Engine) -> Answer {
        let asked = self.asked();
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        engine.check(asked.raw_request(), deadline).await
    }

    /// What Envoy would send.
    pub fn check_request(&self, _corpus: &Corpus) -> CheckRequest {
        self.asked().check_request()
    }

    /// Holds a decision against `expect`.
    pub fn compare(&self, level: &str, decided: &Decided) {
        let expect = self.case["expect"].as_object().unwrap();
        let title = format!("{} ({level})", self.title());
        for (key, want) in expect {
            let text = || want.as_str().unwrap_or_else(|| panic!("{title}: `{key}` is a text"));
            match key.as_str() {
                "reason" => assert_eq!(decided.reason, text(), "{title}: {decided:?}"),
                "rule" => assert_eq!(decided.rule.as_deref(), Some(text()), "{title}"),
                "status" => assert_eq!(Value::from(decided.status), *want, "{title}"),
                "set" => assert_eq!(decided.set, texts(want), "{title}"),
                "set_includes" => {
                    for (name, value) in texts(want) {
                        assert_eq!(decided.set.get(&name), Some(&value), "{title}: {name}");
                    }
                }
                "remove" => {
                    for name in want.as_array().unwrap() {
                        let name = name.as_str().unwrap();
                        assert!(decided.remove.contains(name), "{title}: `{name}` is not among {:?}", decided.remove);
                    }
                }
                "not_removed" => {
                    for name in want.as_array().unwrap() {
                        let name = name.as_str().unwrap();
                        assert!(!decided.remove.contains(name), "{title}: `{name}` is removed");
                    }
                }
                "response_headers" => assert_eq!(decided.response_headers, texts(want), "{title}"),
                "challenge" => {
                    let challenge = decided.denied_headers.get("www-authenticate").map(String::as_str);
                    assert_eq!(challenge, want.as_str(), "{title}");
                }
                "content_type" => {
                    assert_eq!(decided.denied_headers.get("content-type").map(String::as_str), Some(text()), "{title}");
                }
                "denied_headers" => {
                    for (name, value) in texts(want) {
                        assert_eq!(decided.denied_headers.get(&name), Some(&value), "{title}: {name}");
                    }
                }
                "body_contains" => assert!(decided.body.contains(text()), "{title}: {}", decided.body),
                unknown => panic!("{title}: unknown expectation `{unknown}`"),
            }
        }
        let reason = tollgate::core::reason::Reason::from_code(&decided.reason).unwrap();
        assert_eq!(decided.allow, reason.allows(), "{title}");
        if decided.allow {
            let both: Vec<&String> = decided.set.keys().filter(|name| decided.remove.contains(*name)).collect();
            assert!(both.is_empty(), "{title}: Envoy removes after it sets: {both:?}");
        } else {
            assert!((400..600).contains(&decided.status), "{title}: {}", decided.status);
            assert!(!decided.body.is_empty(), "{title}: no body");
        }
        assert!(expect.contains_key("reason"), "{title}: every case expects a reason");
    }
}

/// A request as a case has it.
#[derive(Debug)]
pub struct Asked {
    pub method: String,
    pub host: String,
    pub path: String,
    pub headers: Vec<(String, Vec<u8>)>,
    /// To be sent as `header_map`, since a value is not text.
    pub raw: bool,
    pub principal: String,
    pub certificate: String,
    pub context: Vec<(String, String)>,
}

impl Asked {
    pub fn is_grpc(&self) -> bool {
        self.headers.iter().any(|(name, value)| name == "content-type" && value.starts_with(b"application/grpc"))
    }

    pub fn raw_request(&self) -> RawRequest<'_> {
        RawRequest {
            direction: Direction::Inbound,
            method: &self.method,
            host: &self.host,
            path: &self.path,
            headers: Headers::new(self.headers.iter().map(|(name, value)| Header { name, value }).collect()),
            principal: &self.principal,
            certificate: &self.certificate,
            context_extensions: self.context.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        }
    }

    pub fn check_request(&self) -> CheckRequest {
        let mut http = HttpRequest {
            id: "1234".into(),
            method: self.method.clone(),
            host: self.host.clone(),
            path: self.path.clone(),
            scheme: "http".into(),
            protocol: "HTTP/1.1".into(),
            size: -1,
            ..HttpRequest::default()
        };
        if self.raw {
            let line = |(name, value): &(String, Vec<u8>)| HeaderValue {
                key: name.clone(),
                value: String::new(),
                raw_value: value.clone(),
            };
            http.header_map = Some(HeaderMap { headers: self.headers.iter().map(line).collect() });
        } else {
            let line = |(name, value): &(String, Vec<u8>)| (name.clone(), String::from_utf8(value.clone()).unwrap());
            http.headers = self.headers.iter().map(line).collect();
        }
        let socket = SocketAddress { address: "10.0.0.1".into(), ..SocketAddress::default() };
        let address = Address {
            address: Some(envoy_types::pb::envoy::config::core::v3::address::Address::SocketAddress(socket)),
        };
        CheckRequest {
            attributes: Some(AttributeContext {
                source: Some(Peer {
                    address: Some(address),
                    principal: self.principal.clone(),
                    certificate: self.certificate.clone(),
                    ..Peer::default()
                }),
                request: Some(Request { time: None, http: Some(http) }),
                context_extensions: self.context.iter().cloned().collect(),
                ..AttributeContext::default()
            }),
        }
    }
}

/// A decision, from whichever level it was read.
#[derive(Debug, Default)]
pub struct Decided {
    pub allow: bool,
    pub reason: String,
    pub rule: Option<String>,
    pub status: u16,
    pub set: BTreeMap<String, String>,
    pub remove: BTreeSet<String>,
    pub response_headers: BTreeMap<String, String>,
    pub denied_headers: BTreeMap<String, String>,
    pub body: String,
}

impl Decided {
    pub fn of_answer(answer: &Answer) -> Self {
        let mut decided = Self {
            reason: answer.reason.code().to_owned(),
            rule: answer.rule.as_ref().map(|rule| rule.name.to_string()),
            ..Self::default()
        };
        match &answer.verdict {
            Verdict::Allow(allowed) => {
                decided.allow = true;
                decided.status = 200;
                let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
                decided.set = allowed.set().map(owned).collect();
                let bearer = allowed.bearer().map(|token| format!("Bearer {}", token.expose()));
                decided.set.extend(bearer.map(|bearer| ("authorization".to_owned(), bearer)));
                decided.remove = allowed.remove().map(str::to_owned).collect();
                decided.response_headers = allowed.response_headers().map(owned).collect();
            }
            Verdict::Deny(denied) => {
                decided.status = denied.http_status();
                let headers = denied.headers().iter();
                decided.denied_headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                decided.body = denied.body().to_owned();
            }
        }
        decided
    }

    /// Reads a response as Envoy does: only `status.code` decides.
    pub fn of_response(response: &CheckResponse) -> Self {
        let metadata = response.dynamic_metadata.clone().unwrap_or_default();
        let ours = match &metadata.fields["tollgate"].kind {
            Some(envoy_types::pb::google::protobuf::value::Kind::StructValue(ours)) => ours.clone(),
            other => panic!("no metadata of ours: {other:?}"),
        };
        let text = |name: &str| match ours.fields.get(name).and_then(|value| value.kind.clone()) {
            Some(envoy_types::pb::google::protobuf::value::Kind::StringValue(text)) => Some(text),
            _ => None,
        };
        let mut decided = Self { reason: text("reason").unwrap_or_default(), rule: text("rule"), ..Self::default() };
        assert_eq!(text("decision_id").unwrap().len(), 32);
        let pair = |option: &envoy_types::pb::envoy::config::core::v3::HeaderValueOption| {
            let header = option.header.clone().unwrap();
            (header.key, header.value)
        };
        let code = response.status.as_ref().map_or(0, |status| status.code);
        match response.http_response.as_ref().unwrap() {
            HttpResponse::OkResponse(ok) => {
                assert_eq!(code, 0);
                decided.allow = true;
                decided.status = 200;
                decided.set = ok.headers.iter().map(pair).collect();
                decided.remove = ok.headers_to_remove.iter().cloned().collect();
                decided.response_headers = ok.response_headers_to_add.iter().map(pair).collect();
            }
            HttpResponse::DeniedResponse(denied) => {
                assert_ne!(code, 0, "Envoy would allow this");
                decided.status = u16::try_from(denied.status.as_ref().unwrap().code).unwrap();
                decided.denied_headers = denied.headers.iter().map(pair).collect();
                decided.body = denied.body.clone();
            }
            other => panic!("neither allowed nor denied: {other:?}"),
        }
        decided
    }
}

/// Lays `over` over `base`: maps are merged, `null` takes a key away, all else replaces.
fn laid_over(base: &Value, over: &Value) -> Value {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            let mut merged: Map<String, Value> = base.clone();
            for (key, value) in over {
                match (base.get(key), value) {
                    (_, Value::Null) => drop(merged.remove(key)),
                    // A claim that is a map is replaced whole: cases say what they mean.
                    (Some(Value::Object(_)), Value::Object(_))
                        if ["headers", "claims", "header"].contains(&key.as_str()) =>
                    {
                        let below = laid_over(&base[key], value);
                        merged.insert(key.clone(), below);
                    }
                    (_, value) => drop(merged.insert(key.clone(), value.clone())),
                }
            }
            Value::Object(merged)
        }
        (base, Value::Null) => base.clone(),
        (_, over) => over.clone(),
    }
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().unwrap().iter();
    pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// A self-signed certificate with these URI SANs, as Envoy sends it.
fn certificate(uris: &[Value]) -> String {
    let mut params = rcgen::CertificateParams::default();
    for uri in uris {
        params.subject_alt_names.push(rcgen::SanType::URI(uri.as_str().unwrap().try_into().unwrap()));
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    percent_encoding::utf8_percent_encode(&pem, percent_encoding::NON_ALPHANUMERIC).to_string()
}
