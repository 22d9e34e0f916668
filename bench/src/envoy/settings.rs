//! What settings of Envoy do to the CPU that it uses for a request that is put to the gate.
//!
//! All variants run at the same time, and only one is asked at a time, for a fraction of a second, in an order that is
//! shuffled anew in each of many rounds. What disturbs the machine disturbs all alike; each is compared with the shipped
//! configuration in the same round.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::config::Config;
use super::running::Proxy;
use super::through::patient;
use super::{credential, request};
use crate::load::{Asking, Endpoint, Outcome, Rotation, Source, closed};
use crate::mint::{Algorithm, Kind};
use crate::process::Server;
use crate::scene::Scene;
use crate::shuffle::Shuffle;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds.
    pub rounds: usize,
    /// Seconds of Envoy's CPU in each measurement.
    pub cpu_seconds: f64,
    /// Tokens in rotation.
    pub tokens: usize,
}

impl Effort {
    /// For the table.
    pub const FULL: Self = Self { rounds: 40, cpu_seconds: 0.5, tokens: 10_000 };

    /// For development.
    pub const QUICK: Self = Self { rounds: 5, cpu_seconds: 0.2, tokens: 1000 };
}

/// A change to the shipped configuration.
#[derive(Clone, Copy)]
struct Setting {
    name: &'static str,
    change: fn(Config, &Places) -> anyhow::Result<Config>,
}

/// Where the gate is.
struct Places {
    unix: Endpoint,
    tcp: Endpoint,
}

const HTTP2: &str = "            connection_keepalive: { interval: 30s, timeout: 5s }\n";
const FILTER: &str = "              include_peer_certificate: true\n";
const SERVICE: &str = "                envoy_grpc: { cluster_name: tollgate }\n";
const CLUSTER: &str = "  - name: tollgate\n    type: STATIC\n";

const LOG: &str = "                  tollgate: \"%DYNAMIC_METADATA(envoy.filters.http.ext_authz:tollgate)%\"\n";

/// The shipped one first: the others are compared with it.
const SETTINGS: [Setting; 20] = [
    Setting { name: "as shipped", change: |config, _| Ok(config) },
    Setting { name: "as shipped, once more", change: |config, _| Ok(config) },
    Setting { name: "no authorization at all", change: |config, _| config.with_filters("") },
    Setting { name: "TCP on loopback", change: |_, places| Config::shipped(&places.tcp) },
    Setting { name: "max_concurrent_streams: 10", change: |config, _| http2(config, "max_concurrent_streams: 10") },
    Setting { name: "max_concurrent_streams: 1", change: |config, _| http2(config, "max_concurrent_streams: 1") },
    Setting {
        name: "windows of 64 KiB and 1 MiB",
        change: |config, _| {
            http2(config, "initial_stream_window_size: 65536\n            initial_connection_window_size: 1048576")
        },
    },
    Setting { name: "hpack_table_size: 0", change: |config, _| http2(config, "hpack_table_size: 0") },
    Setting { name: "use_oghttp2_codec: true", change: |config, _| http2(config, "use_oghttp2_codec: true") },
    Setting {
        name: "per_connection_buffer_limit_bytes: 32768",
        change: |config, _| cluster(config, "per_connection_buffer_limit_bytes: 32768"),
    },
    Setting {
        name: "preconnect_policy: 3",
        change: |config, _| cluster(config, "preconnect_policy: { per_upstream_preconnect_ratio: 3.0 }"),
    },
    Setting {
        name: "google_grpc",
        change: |config, places| {
            // Over a unix socket it makes the authority of the file's path, percent-encoded: none that HTTP/2 allows.
            let google = format!(
                "                google_grpc:\n                  target_uri: \"{}\"\n                  stat_prefix: tollgate\n\
                 \x20                 channel_args: {{ args: {{ grpc.default_authority: {{ string_value: localhost }} }} }}\n",
                places.unix
            );
            config.replace(SERVICE, &google)
        },
    },
    Setting {
        name: "skip_envoy_headers: true",
        change: |config, _| {
            config
                .replace(SERVICE, "                envoy_grpc: { cluster_name: tollgate, skip_envoy_headers: true }\n")
        },
    },
    Setting { name: "no include_peer_certificate", change: |config, _| config.replace(FILTER, "") },
    Setting { name: "encode_raw_headers: true", change: |config, _| filter(config, "encode_raw_headers: true") },
    Setting {
        name: "no validate_mutations",
        change: |config, _| config.replace("              validate_mutations: true\n", ""),
    },
    Setting {
        name: "charge_cluster_response_stats: false",
        change: |config, _| filter(config, "charge_cluster_response_stats: false"),
    },
    Setting {
        name: "the decision in the log field by field",
        change: |config, _| config.replace(LOG, &field_by_field()),
    },
    Setting {
        name: "enable_dynamic_metadata_ingestion: false",
        change: |config, _| filter(config, "enable_dynamic_metadata_ingestion: false"),
    },
    Setting {
        name: "no statistics",
        change: |config, _| {
            config.replace("\nadmin:\n", "\nstats_config: { stats_matcher: { reject_all: true } }\nadmin:\n")
        },
    },
];

/// What the gate says of a decision, a field of the log for each of its fields.
fn field_by_field() -> String {
    ["decision_id", "rule", "reason", "subject", "client", "issuer"]
        .map(|name| {
            LOG.replace("tollgate: ", &format!("{name}: ")).replace(":tollgate)", &format!(":tollgate:{name})"))
        })
        .concat()
}

/// With a line among the HTTP/2 options of the gate's cluster.
fn http2(config: Config, line: &str) -> anyhow::Result<Config> {
    config.replace(HTTP2, &format!("{HTTP2}            {line}\n"))
}

/// With a line in the gate's cluster.
fn cluster(config: Config, line: &str) -> anyhow::Result<Config> {
    config.replace(CLUSTER, &format!("{CLUSTER}    {line}\n"))
}

/// With a line in the filter.
fn filter(config: Config, line: &str) -> anyhow::Result<Config> {
    config.replace(FILTER, &format!("{FILTER}              {line}\n"))
}

/// What was seen of a setting.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its name.
    pub name: &'static str,
    /// Envoy's CPU for each request, microseconds, in each round.
    pub envoy_us: Vec<f64>,
    /// The gate's.
    pub gate_us: Vec<f64>,
    /// Connections that Envoy had to the gate.
    pub connections: u64,
}

/// Measures the settings whose names hold one of `names`, and the shipped ones.
///
/// # Errors
/// Something would not start, or a request was not allowed.
pub async fn measure(scene: &Scene, effort: &Effort, names: &[String]) -> anyhow::Result<Vec<Seen>> {
    let tokens = scene.tokens(Algorithm::Rs256, Kind::Good, effort.tokens)?;
    let places = Places { unix: scene.endpoint("settings")?, tcp: free()? };
    let gate = start_gate(scene, &places).await?;
    let mut running = Vec::new();
    for (place, setting) in SETTINGS.iter().enumerate() {
        if place == 0 || names.is_empty() || names.iter().any(|name| setting.name.contains(&**name)) {
            let config = (setting.change)(Config::shipped(&places.unix)?, &places)?;
            running.push((setting.name, Proxy::start(&config).await?));
        }
    }
    let credentials = tokens.iter().map(|token| credential(token)).collect();
    let mut source = Asking(Rotation::shuffled(credentials), request()?);
    let mut seen: Vec<Seen> = Vec::new();
    for (name, proxy) in &running {
        // All have worked, and the gate has seen all tokens, before anything counts.
        let calls = (effort.tokens / running.len() + 1) as u64;
        (_, source) = window(proxy, &gate, source, calls.max(500), effort.cpu_seconds / 10.0).await?;
        seen.push(Seen { name, envoy_us: Vec::new(), gate_us: Vec::new(), connections: 0 });
    }
    let mut random = Shuffle::new(5);
    for round in 0..effort.rounds {
        let mut order: Vec<usize> = (0..running.len()).collect();
        random.shuffle(&mut order);
        for place in order {
            let us;
            (us, source) = window(&running[place].1, &gate, source, 100, effort.cpu_seconds).await?;
            seen[place].envoy_us.push(us.0);
            seen[place].gate_us.push(us.1);
        }
        eprintln!("round {} of {}", round + 1, effort.rounds);
    }
    for (seen, (_, proxy)) in seen.iter_mut().zip(&running) {
        seen.connections = proxy.counter("cluster.tollgate.upstream_cx_total").await.unwrap_or_default();
    }
    Ok(seen)
}

/// The usual policy on a unix socket and on loopback.
async fn start_gate(scene: &Scene, places: &Places) -> anyhow::Result<Server> {
    let start = scene.gate_start(&patient(places.unix.clone()))?;
    let file = scene.folder().join("policy.yaml");
    let both = format!("check: [{{ listen: '{}', direction: inbound }}, ", places.tcp);
    write(&file, &std::fs::read_to_string(&file)?.replacen("check: [", &both, 1))?;
    Server::start(start, &scene.opening()?).await
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    Ok(std::fs::write(file, text)?)
}

fn free() -> anyhow::Result<Endpoint> {
    let address: SocketAddr = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    Ok(Endpoint::Tcp(address))
}

/// CPU of Envoy and of the gate for each request, in microseconds.
async fn window<S: Source + 'static>(
    proxy: &Proxy,
    gate: &Server,
    source: S,
    warm_up_calls: u64,
    enough: f64,
) -> anyhow::Result<((f64, f64), S)> {
    let gates = std::cell::Cell::new((None, 0.0));
    let window = closed::Window {
        warm_up_calls,
        warm_up: Duration::ZERO,
        least: Duration::ZERO,
        most: Duration::from_secs(60),
        probe: &mut || {
            let now = gate.cpu_seconds()?;
            gates.set((gates.get().0.or(Some(now)), now));
            proxy.fine_cpu_seconds()
        },
        enough,
    };
    let shape = closed::Shape { endpoint: proxy.endpoint(), connections: 8, in_flight: 64 };
    let (seen, source) = closed::run(&shape, source, window).await?;
    anyhow::ensure!(seen.tally.other_than(Outcome::Allow) == 0, "not all were allowed: {:?}", seen.tally.counts());
    let (first, last) = gates.get();
    let gate_us = (last - first.unwrap_or(last)) * 1e6 / seen.tally.total() as f64;
    Ok(((seen.micros_per_call(), gate_us), source))
}

/// The figures, as a table of Markdown.
pub fn table(seen: &[Seen]) -> String {
    let mut text = "| setting | Envoy, µs of CPU for a request | of the shipped one | middle half of the rounds | gate, µs | connections |\n\
                    |---|---|---|---|---|---|\n"
        .to_owned();
    let Some(shipped) = seen.first() else { return text };
    for seen in seen {
        let ratios: Vec<f64> = seen.envoy_us.iter().zip(&shipped.envoy_us).map(|(us, shipped)| us / shipped).collect();
        // A String takes whatever is written.
        let _ = writeln!(
            text,
            "| {} | {:.1} | {:.3} | {:.3}–{:.3} | {:.1} | {} |",
            seen.name,
            quantile(&seen.envoy_us, 0.5),
            quantile(&ratios, 0.5),
            quantile(&ratios, 0.25),
            quantile(&ratios, 0.75),
            quantile(&seen.gate_us, 0.5),
            seen.connections,
        );
    }
    text
}

/// The value below which this share of them is.
fn quantile(values: &[f64], quantile: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (quantile * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use tollgate::demo::envoy::Envoy;

    use super::super::running::binary;
    use super::*;

    #[tokio::test]
    async fn envoy_takes_every_setting() {
        let binary = binary().unwrap();
        let places = Places { unix: Endpoint::Unix("/run/gate.sock".into()), tcp: free().unwrap() };
        let shipped = Config::shipped(&places.unix).unwrap();
        for setting in &SETTINGS {
            let config = (setting.change)(shipped.clone(), &places).unwrap();
            assert!(config.text() != shipped.text() || setting.name.starts_with("as shipped"), "{}", setting.name);
            Envoy::validate(&binary, config.text()).await.unwrap_or_else(|error| panic!("{}: {error}", setting.name));
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let of =
            |name, envoy_us: &[f64]| Seen { name, envoy_us: envoy_us.to_vec(), gate_us: vec![10.0; 3], connections: 1 };
        let text = table(&[of("as shipped", &[100.0, 200.0, 400.0]), of("half", &[50.0, 100.0, 200.0])]);
        assert!(text.ends_with("| half | 100.0 | 0.500 | 0.500–0.500 | 10.0 | 1 |\n"), "{text}");
    }
}
