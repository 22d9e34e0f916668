//! What `tollgate import envoy` makes, beside a real Envoy that runs what was imported: the same requests, both answers.
//! Whatever Envoy denies the policy denies; what it denies beyond that, a note says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "envoy_import/filters.rs"]
mod filters;
#[path = "support/mint.rs"]
mod mint;
#[path = "envoy_import/requests.rs"]
mod requests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use requests::{Request, Tokens, requests};
use serde_json::{Value, json};
use tollgate::authn::store::Deps;
use tollgate::clock::SystemClock;
use tollgate::core::answer::Verdict;
use tollgate::core::event::Silent;
use tollgate::core::request::{Direction, Header, Headers, RawRequest};
use tollgate::demo::client::Call;
use tollgate::demo::envoy::{Envoy, find};
use tollgate::engine::Engine;
use tollgate::import::{Effect, EnvoyOptions, Imported, envoy};
use tollgate::net::HttpClient;

/// A configuration that is imported and run.
struct Original {
    name: String,
    filters: Value,
    any_port: bool,
    /// Whether the policy is to say all of it; `None`: whatever comes out.
    exact: Option<bool>,
}

/// How often both allowed, both denied, and the policy alone denied.
#[derive(Debug, Default)]
struct Tally {
    allowed: usize,
    denied: usize,
    narrowed: usize,
}

fn bootstrap(originals: &[Original]) -> String {
    let listeners: Vec<Value> = originals
        .iter()
        .map(|original| {
            let mut filters = original.filters.as_array().unwrap().clone();
            filters.push(json!({
                "name": "envoy.filters.http.router",
                "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
            }));
            json!({
                "name": original.name,
                "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
                "filter_chains": [{ "filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                        "stat_prefix": original.name,
                        "normalize_path": true,
                        "merge_slashes": true,
                        "path_with_escaped_slashes_action": "REJECT_REQUEST",
                        "http_filters": filters,
                        "route_config": { "virtual_hosts": [{
                            "name": "all", "domains": ["*"],
                            "routes": [{ "match": { "prefix": "/" }, "direct_response": { "status": 200 } }],
                        }] },
                    },
                }] }],
            })
        })
        .collect();
    let admin = json!({ "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } });
    json!({ "admin": admin, "static_resources": { "listeners": listeners } }).to_string()
}

/// From the whole bootstrap, as users have it.
fn import(original: &Original, bootstrap: &str) -> Imported {
    let options = EnvoyOptions { listener: Some(original.name.clone()), any_port: original.any_port };
    envoy(&[("envoy.json".to_owned(), bootstrap.to_owned())], &options)
        .unwrap_or_else(|errors| panic!("{}: {errors:?}\n{:#}", original.name, original.filters))
}

async fn engine(imported: &Imported) -> (Arc<Engine>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in &imported.files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let path = folder.path().join("policy.yaml");
    std::fs::write(&path, &imported.policy).unwrap();
    let deps = Deps::new(HttpClient::new(), Arc::new(SystemClock), Arc::new(Silent));
    let engine = Engine::load(&path, deps).await.unwrap_or_else(|error| panic!("{error}\n{}", imported.policy));
    (engine, folder)
}

/// Whether the policy allows, and by which rule.
async fn asked(engine: &Engine, request: &Request) -> (bool, Option<String>, String) {
    let mut lines: Vec<(String, String)> = vec![
        (":authority".into(), request.host.clone()),
        (":method".into(), request.method.clone()),
        (":path".into(), request.path.clone()),
    ];
    lines.extend(request.headers.clone());
    let headers = lines.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
    let raw = RawRequest {
        direction: Direction::Inbound,
        method: &request.method,
        host: &request.host,
        path: &request.path,
        headers: Headers::new(headers),
        principal: "",
        certificate: "",
        context_extensions: Vec::new(),
    };
    let answer = engine.check(raw, tokio::time::Instant::now() + Duration::from_secs(20)).await;
    let allowed = matches!(answer.verdict, Verdict::Allow(_));
    (allowed, answer.rule.map(|rule| rule.name.to_string()), answer.reason.code().to_owned())
}

async fn compare(originals: &[Original], tokens: &Tokens) -> BTreeMap<String, Tally> {
    let binary = find().unwrap().expect("no envoy binary: `make envoy` fetches it, or name one in TOLLGATE_ENVOY");
    let bootstrap = bootstrap(originals);
    let running = Envoy::start(&binary, &bootstrap).await.unwrap();
    let mut tallies = BTreeMap::new();
    for original in originals {
        let imported = import(original, &bootstrap);
        if let Some(exact) = original.exact {
            assert_eq!(imported.is_exact(), exact, "{}: {:#?}\n{}", original.name, imported.notes, imported.policy);
        }
        let narrowed = imported.notes.iter().filter(|note| note.effect == Effect::Narrowed);
        let narrowed: Vec<&String> = narrowed.flat_map(|note| &note.rules).collect();
        let (engine, _folder) = engine(&imported).await;
        let address = running.listener(&original.name).await.unwrap();
        let mut tally = Tally::default();
        for request in requests(&original.filters, tokens) {
            // At any port, and in any case, is what the importer was told that the host stands for.
            let plain = request.host.split(':').next().unwrap().to_ascii_lowercase();
            let host = if original.any_port { &plain } else { &request.host };
            let mut call = Call::get(host, &request.path).method(request.method.parse().unwrap());
            for (name, value) in &request.headers {
                call = call.header(name, value);
            }
            let reply = call.send(address).await.unwrap_or_else(|error| panic!("{request:?}: {error}"));
            let by_envoy = reply.status == 200;
            let (by_policy, rule, reason) = asked(&engine, &request).await;
            let context = || {
                format!(
                    "{}: {request:?}\nEnvoy: {}, policy: {by_policy} by {rule:?}, {reason}\n{}\n{:#}\n{:#?}",
                    original.name, reply.status, imported.policy, original.filters, imported.notes
                )
            };
            match (by_envoy, by_policy) {
                (true, true) => tally.allowed += 1,
                (false, false) => tally.denied += 1,
                (false, true) => panic!("WIDER {}", context()),
                (true, false) => {
                    // That requests have one token is an assumption of its own.
                    let one_token = "requests have one token: Tollgate refuses several";
                    if request.headers.len() > 1 && imported.notes.iter().any(|note| note.message == one_token) {
                        continue;
                    }
                    let noted = rule.as_ref().is_some_and(|rule| narrowed.contains(&rule));
                    assert!(noted, "narrower without a note: {}", context());
                    tally.narrowed += 1;
                }
            }
        }
        tallies.insert(original.name.clone(), tally);
    }
    tallies
}

/// Those of which the policy says all, at least about these requests.
const EXACT: [&str; 5] = ["first-match", "hosts-any-port", "methods-at-ends", "single-values", "metadata-of-tokens"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_denies_what_envoy_denies_and_says_what_else() {
    let tokens = Tokens::new();
    let original = |name: &str, text: &str, any_port: bool, exact: bool| Original {
        name: if any_port { format!("{name}-any-port") } else { name.to_owned() },
        filters: tokens.fill(serde_saphyr::from_str(text).unwrap()),
        any_port,
        exact: Some(exact),
    };
    let originals = [
        original("first-match", include_str!("import/first-match.yaml"), false, true),
        original("inside-segments", include_str!("import/inside-segments.yaml"), false, false),
        original("allow-and-deny", include_str!("import/allow-and-deny.yaml"), false, false),
        original("claims", include_str!("import/claims.yaml"), false, false),
        original("hosts", include_str!("import/hosts.yaml"), false, false),
        original("hosts", include_str!("import/hosts.yaml"), true, true),
        original("unsayable", include_str!("import/unsayable.yaml"), false, false),
        original("methods-at-ends", include_str!("import/methods-at-ends.yaml"), false, true),
        original("single-values", include_str!("import/single-values.yaml"), false, true),
        original("metadata-of-tokens", include_str!("import/metadata-of-tokens.yaml"), false, false),
        original("preflights", include_str!("import/preflights.yaml"), false, false),
    ];
    for (name, tally) in compare(&originals, &tokens).await {
        assert!(tally.allowed > 0 && tally.denied > 0, "{name}: {tally:?}");
        assert_eq!(tally.narrowed == 0, EXACT.contains(&name.as_str()), "{name}: {tally:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_made_at_random_are_never_widened() {
    let tokens = Tokens::new();
    let originals: Vec<Original> = (0..24)
        .map(|seed| Original {
            name: format!("random-{seed}"),
            filters: tokens.fill(filters::random(seed)),
            any_port: false,
            exact: None,
        })
        .collect();
    let tallies = compare(&originals, &tokens).await;
    let sum = |of: fn(&Tally) -> usize| tallies.values().map(of).sum::<usize>();
    let (allowed, denied, narrowed) = (sum(|t| t.allowed), sum(|t| t.denied), sum(|t| t.narrowed));
    assert!(allowed > 500 && denied > 500, "{allowed} {denied} {narrowed}");
}
