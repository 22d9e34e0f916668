//! What `docs/streams.md`, `docs/gateways.md` and `docs/migrating.md` say of Envoy, on a real one: their snippets are what
//! it runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/envoy.rs"]
mod support;

#[path = "envoy_streams/bounds.rs"]
mod bounds;
#[path = "support/markdown.rs"]
mod markdown;
#[path = "envoy_streams/rewrites.rs"]
mod rewrites;
#[path = "envoy_streams/service.rs"]
mod service;
#[path = "support/wait.rs"]
mod wait;

use std::net::SocketAddr;

use serde_json::Value;
use support::{Files, binary};
use tollgate::demo::envoy::{Envoy, Gate, Shipped};
use tollgate::demo::gate::LocalGate;
use tollgate::demo::issuer::{CLIENTS, DevIssuer};

const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// The one block of a page with this after its opening fence.
fn snippet(page: &str, info: &str) -> String {
    let text = std::fs::read_to_string(format!("docs/{page}.md")).unwrap();
    let mut found = markdown::blocks(&text).into_iter().filter(|(of, _)| of == info);
    let (_, text) = found.next().unwrap_or_else(|| panic!("docs/{page}.md has no block `{info}`"));
    assert!(found.next().is_none(), "docs/{page}.md has two blocks `{info}`");
    text
}

/// The routes that a page shows.
fn routes(page: &str) -> Value {
    let snippet: Value = serde_saphyr::from_str(&snippet(page, "yaml routes")).unwrap();
    snippet["routes"].clone()
}

/// The shipped configuration in front of `service`, with `routes`.
fn config(service: SocketAddr, socket: &std::path::Path, routes: Value) -> Value {
    let shipped = Shipped::inbound().between(0, 0, service, &[Gate::Unix(socket.to_owned())]).unwrap();
    let shipped = shipped.replace(" timeout: 0.25s\n", " timeout: 10s\n").unwrap();
    let mut config: Value = serde_saphyr::from_str(shipped.text()).unwrap();
    *config.pointer_mut(&format!("{MANAGER}/route_config/virtual_hosts/0/routes")).unwrap() = routes;
    config
}

/// An issuer, a gate with a policy, and an Envoy in front of a service.
struct Front {
    issuer: DevIssuer,
    envoy: Envoy,
    // Both live as long as Envoy does.
    _gate: LocalGate,
    _files: Files,
}

impl Front {
    /// `policy` names its issuer `ISSUER` and its socket `SOCKET`; `edit` changes the configuration.
    async fn new(policy: &str, service: SocketAddr, routes: Value, edit: impl FnOnce(&mut Value)) -> Self {
        let files = Files::new();
        let issuer = DevIssuer::start(0).await.unwrap();
        let policy = policy.replace("SOCKET", files.socket.to_str().unwrap()).replace("ISSUER", issuer.url());
        std::fs::write(&files.policy, policy).unwrap();
        let gate = LocalGate::start(&files.policy).await.unwrap();
        let mut config = config(service, &files.socket, routes);
        edit(&mut config);
        // JSON is YAML.
        let envoy = Envoy::start(&binary(), &config.to_string()).await.unwrap();
        Self { issuer, envoy, _gate: gate, _files: files }
    }

    /// A token that ends after this many seconds.
    fn token(&self, seconds: i64) -> String {
        let mut claims = self.issuer.claims(&CLIENTS[0]);
        claims["exp"] = (claims["iat"].as_i64().unwrap() + seconds).into();
        self.issuer.sign(&claims).unwrap()
    }
}

/// Every snippet as it stands, in the shipped configuration: not one value has to be changed for Envoy to take it.
#[tokio::test]
async fn envoy_takes_what_the_pages_show() {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let socket = std::path::Path::new("/run/tollgate/inbound.sock");
    for page in ["streams", "gateways"] {
        Envoy::validate(&binary(), &config(nowhere, socket, routes(page)).to_string()).await.unwrap();
    }
    let share: Value = serde_saphyr::from_str(&snippet("migrating", "yaml filter")).unwrap();
    let mut whole = config(nowhere, socket, routes("gateways"));
    let filter = whole.pointer_mut(&format!("{MANAGER}/http_filters/0/typed_config")).unwrap();
    assert_eq!(filter["transport_api_version"], "V3", "the gate comes first");
    filter.as_object_mut().unwrap().extend(share.as_object().unwrap().clone());
    Envoy::validate(&binary(), &whole.to_string()).await.unwrap();
    // A slip would be seen.
    let broken = whole.to_string().replace("filter_enabled", "filter_enable");
    assert!(Envoy::validate(&binary(), &broken).await.is_err());
}
