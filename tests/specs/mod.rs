//! Configurations made in place, without a file.

#![allow(dead_code, reason = "each test file uses a part")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tollgate::authn::spec::IssuerSpec;
use tollgate::authn::store::Deps;
use tollgate::clock::SystemClock;
use tollgate::config::server::{Address, CheckListener, Drain, Limits, ServerSpec};
use tollgate::config::{Config, ConfigError, ConfigErrors};
use tollgate::core::event::{Event, Events};
use tollgate::core::inject::Template;
use tollgate::core::request::{Direction, Headers, RawRequest};
use tollgate::core::rule::{Action, Effect, InjectedHeader, Injection, Rule};
use tollgate::core::table::{Matcher, PathPattern, PolicyTable, RuleSpec};
use tollgate::net::HttpClient;

/// Remembers reloads.
#[derive(Debug, Default)]
pub(crate) struct Heard(pub(crate) Mutex<Vec<(bool, u64)>>);

impl Events for Heard {
    fn report(&self, event: Event<'_>) {
        if let Event::Reload { applied, generation, .. } = event {
            self.0.lock().unwrap().push((applied, generation));
        }
    }
}

pub(crate) fn deps() -> (Deps, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    (Deps::new(HttpClient::new(), Arc::new(SystemClock), heard.clone()), heard)
}

pub(crate) fn server(check: Vec<CheckListener>) -> ServerSpec {
    ServerSpec {
        check,
        probes: None,
        control: None,
        deadline: Duration::from_millis(150),
        limits: Limits {
            max_message_bytes: 1 << 20,
            max_concurrent_streams: 64,
            max_connections: 64,
            tls_handshake: Duration::from_secs(5),
            max_in_flight: 64,
        },
        reflection: false,
        drain: Drain { delay: Duration::ZERO, grace: Duration::from_secs(1) },
        first_keys: Duration::from_millis(50),
    }
}

pub(crate) fn listener(address: &str, direction: Direction) -> CheckListener {
    CheckListener { address: Address::Tcp(address.parse().unwrap()), direction, tls: None }
}

/// A rule for every path, that names itself in three places of its answer.
pub(crate) fn marked_rule(name: &str) -> RuleSpec {
    let marker: Arc<str> = name.into();
    let header = |name: String| InjectedHeader {
        name: name.into(),
        template: Template::parse(&marker).unwrap(),
        required: false,
    };
    let injection = Injection {
        headers: vec![header(format!("x-{marker}"))],
        response_headers: [("x-marker".into(), Arc::clone(&marker))].into(),
        remove_token: false,
    };
    RuleSpec {
        rule: Rule {
            name: marker,
            effect: Arc::new(Effect {
                action: Action::Anonymous { caller: None },
                injection,
                denial: Arc::default(),
                upstream_token: None,
            }),
        },
        matcher: Matcher { paths: vec![PathPattern::parse("/**").unwrap()], ..Matcher::default() },
        priority: 0,
        fallback: false,
        cors_preflight: false,
    }
}

pub(crate) fn config(rules: Vec<RuleSpec>, issuers: Vec<IssuerSpec>) -> Config {
    let table = PolicyTable::compile(rules, &[]).unwrap();
    let check = vec![listener("127.0.0.1:0", Direction::Inbound)];
    let document = serde_json::json!({ "made": "in place" });
    Config {
        audit: None,
        server: server(check),
        issuers,
        tokens: Vec::new(),
        table,
        sources: Vec::new(),
        watched: Vec::new(),
        document,
        written: Default::default(),
    }
}

pub(crate) fn broken(message: &str) -> ConfigErrors {
    let file: Arc<Path> = Path::new("/etc/tollgate/policy.yaml").into();
    let position = Some((3, 7));
    ConfigErrors(vec![ConfigError { file, position, path: "rules[0].match".into(), message: message.into() }])
}

pub(crate) fn request<'a>(path: &'a str) -> RawRequest<'a> {
    RawRequest {
        direction: Direction::Inbound,
        method: "GET",
        host: "api.example.com",
        path,
        headers: Headers::new(Vec::new()),
        principal: "",
        certificate: "",
        context_extensions: Vec::new(),
    }
}

pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}
