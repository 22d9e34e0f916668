//! The gate, the baselines, and Envoy's own filters, each behind one Envoy worker.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::config::Config;
use super::jwt_authn;
use super::running::Proxy;
use super::{credential, request};
use crate::load::{Asking, Endpoint, Outcome, Rotation, closed, open};
use crate::mint::{Algorithm, Kind};
use crate::policy::Policy;
use crate::process::Server;
use crate::scene::{Scene, Subject};
use crate::stats::Spread;
use crate::table::{Row, Verdict};

/// CPU of Envoy and gate together, of Envoy and the stock baseline together, at most.
const CPU: f64 = 0.97;
/// Added p99, of what the stock baseline adds, at most.
const P99: f64 = 1.0;

/// Who says which request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Nobody: what the others are added to.
    Nobody,
    /// A server that Envoy asks.
    Asked(Subject),
    /// Envoy's own filters, with or without a cache of tokens.
    OwnFilters {
        /// With one.
        cached: bool,
    },
}

impl Way {
    /// All that are compared.
    pub const ALL: [Self; 6] = [
        Self::Nobody,
        Self::Asked(Subject::Stock),
        Self::Asked(Subject::Tuned),
        Self::Asked(Subject::Gate),
        Self::OwnFilters { cached: false },
        Self::OwnFilters { cached: true },
    ];

    /// For tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "no authorization",
            Self::Asked(subject) => subject.name(),
            Self::OwnFilters { cached: false } => "jwt_authn + rbac",
            Self::OwnFilters { cached: true } => "jwt_authn + rbac, jwt_cache_config",
        }
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds.
    pub rounds: usize,
    /// CPU seconds of Envoy and the server together, with as many requests in flight as there is room for.
    pub cpu_seconds: f64,
    /// Seconds at a fixed rate.
    pub seconds: f64,
    /// That rate, in requests a second: below what any of them can do on one core.
    pub rate: f64,
    /// Tokens in rotation.
    pub tokens: usize,
    /// Connections to Envoy, each of which takes a hundred requests at one time.
    pub connections: usize,
    /// Requests in flight, in all.
    pub in_flight: usize,
}

impl Effort {
    /// For the table.
    pub const FULL: Self = Self {
        rounds: 5,
        cpu_seconds: 5.0,
        seconds: 10.0,
        rate: 2000.0,
        tokens: 10_000,
        connections: 8,
        in_flight: 64,
    };

    /// For development.
    pub const QUICK: Self = Self { rounds: 2, cpu_seconds: 1.0, seconds: 3.0, rate: 1000.0, ..Self::FULL };
}

/// What one way did in all rounds.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    /// CPU of Envoy for each request, microseconds.
    pub envoy_us: Vec<f64>,
    /// CPU of the server that is asked.
    pub server_us: Vec<f64>,
    /// Requests in a second, on one core for both.
    pub per_second: Vec<f64>,
    /// Quantiles of a request's time at the fixed rate, microseconds.
    pub p50_us: Vec<f64>,
    /// The same.
    pub p99_us: Vec<f64>,
}

impl Rounds {
    fn both_us(&self) -> Vec<f64> {
        self.envoy_us.iter().zip(&self.server_us).map(|(envoy, server)| envoy + server).collect()
    }
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Each way, in its rounds.
    pub ways: BTreeMap<Way, Rounds>,
}

/// Measures every way in rounds that alternate.
///
/// # Errors
/// Something would not start, or a request with a good token was not let through.
pub async fn measure(scene: &Scene, effort: &Effort) -> anyhow::Result<Seen> {
    let tokens = scene.tokens(Algorithm::Rs256, Kind::Good, effort.tokens)?;
    let credentials: Vec<Bytes> = tokens.iter().map(|token| credential(token)).collect();
    let mut seen = Seen::default();
    for round in 0..effort.rounds {
        let mut ways = Way::ALL;
        // What comes first in one round comes last in the next.
        if round % 2 == 1 {
            ways.reverse();
        }
        for way in ways {
            let rounds = seen.ways.entry(way).or_default();
            one(scene, effort, way, &credentials, rounds).await?;
            let last = |values: &[f64]| values.last().copied().unwrap_or_default();
            eprintln!(
                "round {}: {:34} {:6.1} us of CPU in Envoy, {:5.1} beside it, {:6.0}/s, p99 {:.0} us",
                round + 1,
                way.name(),
                last(&rounds.envoy_us),
                last(&rounds.server_us),
                last(&rounds.per_second),
                last(&rounds.p99_us),
            );
        }
    }
    Ok(seen)
}

async fn one(
    scene: &Scene,
    effort: &Effort,
    way: Way,
    credentials: &[Bytes],
    rounds: &mut Rounds,
) -> anyhow::Result<()> {
    let server = match way {
        Way::Asked(Subject::Gate) => Some(scene.start_gate(&patient(scene.endpoint("gate")?)).await?),
        Way::Asked(subject) => Some(scene.start(subject).await?),
        Way::Nobody | Way::OwnFilters { .. } => None,
    };
    let keys = scene.folder().join("keys.jwks");
    let gate = server.as_ref().map_or(Endpoint::Unix("/nowhere".into()), |server| server.endpoint().clone());
    let config = Config::shipped(&gate)?;
    let config = match way {
        Way::Asked(_) => config,
        Way::Nobody => config.with_filters("")?,
        Way::OwnFilters { cached } => config.with_filters(&jwt_authn::filters(&keys, cached))?,
    };
    let proxy = Proxy::start(&config).await?;
    let source = Asking(Rotation::shuffled(credentials.to_vec()), request()?);
    let source = saturated(effort, &proxy, server.as_ref(), source, rounds).await?;
    at_a_rate(effort, &proxy, source, rounds).await
}

/// The usual policy, with a deadline that a machine which does other things, too, does not break. The time is measured.
pub(super) fn patient(endpoint: Endpoint) -> Policy {
    let mut policy = Policy::usual(endpoint);
    policy.server.push("deadline: 10s".to_owned());
    policy
}

async fn saturated<S: crate::load::Source + 'static>(
    effort: &Effort,
    proxy: &Proxy,
    server: Option<&Server>,
    source: S,
    rounds: &mut Rounds,
) -> anyhow::Result<S> {
    let split = Cell::new((None, (0.0, 0.0)));
    let window = closed::Window {
        warm_up_calls: 2 * effort.tokens as u64,
        warm_up: Duration::from_millis(500),
        least: Duration::from_millis(500),
        most: Duration::from_secs(120),
        probe: &mut || {
            let now = (proxy.cpu_seconds()?, server.map_or(Ok(0.0), Server::cpu_seconds)?);
            split.set((split.get().0.or(Some(now)), now));
            Ok(now.0 + now.1)
        },
        enough: effort.cpu_seconds,
    };
    let shape =
        closed::Shape { endpoint: proxy.endpoint(), connections: effort.connections, in_flight: effort.in_flight };
    let (seen, source) = closed::run(&shape, source, window).await?;
    anyhow::ensure!(seen.tally.other_than(Outcome::Allow) == 0, "not all were allowed: {:?}", seen.tally.counts());
    let (first, last) = split.get();
    let first = first.unwrap_or(last);
    let each = |seconds: f64| seconds * 1e6 / seen.tally.total() as f64;
    rounds.envoy_us.push(each(last.0 - first.0));
    rounds.server_us.push(each(last.1 - first.1));
    rounds.per_second.push(seen.per_second());
    Ok(source)
}

async fn at_a_rate<S: crate::load::Source + 'static>(
    effort: &Effort,
    proxy: &Proxy,
    source: S,
    rounds: &mut Rounds,
) -> anyhow::Result<()> {
    let shape = open::Shape {
        endpoint: proxy.endpoint(),
        connections: effort.connections,
        in_flight: 100,
        patience: Some(Duration::from_secs(10)),
    };
    let phases = open::steady(&[Duration::from_secs(1), Duration::from_secs_f64(effort.seconds)], &[effort.rate]);
    let seen = open::run(&shape, vec![open::stream(source)], &phases, &mut || Ok(0.0)).await?;
    let tally = &seen[1].tallies[0];
    anyhow::ensure!(tally.other_than(Outcome::Allow) == 0, "not all were allowed: {:?}", tally.counts());
    rounds.p50_us.push(tally.quantile_us(0.5));
    rounds.p99_us.push(tally.quantile_us(0.99));
    Ok(())
}

impl Seen {
    /// CPU of Envoy and gate together, of that of Envoy and the stock baseline.
    pub fn cpu_ratio(&self) -> Option<Spread> {
        let [gate, stock] = self.pair()?.map(Rounds::both_us);
        Spread::of_ratios(&gate, &stock)
    }

    /// What the gate adds to p99, of what the stock baseline adds. Of the medians: what is added in one round can be nothing.
    pub fn added_p99_ratio(&self) -> Option<f64> {
        let nobody = Spread::of(&self.ways.get(&Way::Nobody)?.p99_us)?.median;
        let [gate, stock] = self.pair()?.map(|rounds| Spread::of(&rounds.p99_us).map(|spread| spread.median - nobody));
        Some(gate? / stock?)
    }

    /// The rows of the table: what must hold, then what one may choose in place of a gate.
    pub fn rows(&self) -> Vec<Row> {
        let mut cpu = "through one Envoy worker: CPU of Envoy and gate together".to_owned();
        let mut added = "through one Envoy worker: added p99".to_owned();
        if let (Some([gate, stock]), Some(nobody)) = (self.pair(), self.ways.get(&Way::Nobody)) {
            let parts =
                |rounds: &Rounds| format!("{:.1} + {:.1} µs", median(&rounds.envoy_us), median(&rounds.server_us));
            cpu += &format!(" ({} against {})", parts(gate), parts(stock));
            let over = |rounds: &Rounds| (median(&rounds.p99_us) - median(&nobody.p99_us)) / 1e3;
            added += &format!(" ({:.2} ms against {:.2} ms)", over(gate), over(stock));
        }
        let added = match self.added_p99_ratio() {
            None => Row::new(6, added, format!("≤ {P99:.2} × stock"), "not measured", Verdict::NotHeld),
            Some(ratio) => {
                let held = Verdict::of(ratio <= P99);
                Row::new(6, added, format!("≤ {P99:.2} × stock"), format!("{ratio:.3} ×"), held)
            }
        };
        let mut rows = vec![Row::ratio(6, cpu, CPU, "stock", self.cpu_ratio()), added];
        rows.extend(self.ways.keys().filter_map(|way| self.reported(*way)));
        rows
    }

    /// A row for what is there to be compared with.
    fn reported(&self, way: Way) -> Option<Row> {
        let (rounds, nobody) = (self.ways.get(&way)?, self.ways.get(&Way::Nobody)?);
        let measured = format!(
            "{:.1} µs together, {:.0}/s on one core, p50 {:+.2} ms, p99 {:+.2} ms",
            median(&rounds.both_us()),
            median(&rounds.per_second),
            (median(&rounds.p50_us) - median(&nobody.p50_us)) / 1e3,
            (median(&rounds.p99_us) - median(&nobody.p99_us)) / 1e3,
        );
        let both = Spread::of(&rounds.both_us())?;
        let row = Row::new(6, format!("through one Envoy worker: {}", way.name()), "reported", measured, Verdict::Held);
        Some(Row { spread: format!("{:.1}–{:.1} µs", both.min, both.max), ..row })
    }

    fn pair(&self) -> Option<[&Rounds; 2]> {
        Some([self.ways.get(&Way::Asked(Subject::Gate))?, self.ways.get(&Way::Asked(Subject::Stock))?])
    }
}

fn median(values: &[f64]) -> f64 {
    Spread::of(values).map_or(f64::NAN, |spread| spread.median)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(envoy: f64, server: f64, p99: f64) -> Rounds {
        Rounds {
            envoy_us: vec![envoy; 3],
            server_us: vec![server; 3],
            per_second: vec![1.0; 3],
            p50_us: vec![p99 / 2.0; 3],
            p99_us: vec![p99; 3],
        }
    }

    #[test]
    fn what_is_compared_is_both_together_and_what_is_added() {
        let mut seen = Seen::default();
        let held = |seen: &Seen| seen.rows().iter().all(|row| row.held == Verdict::Held);
        assert!(!held(&seen), "nothing is not enough");
        seen.ways.insert(Way::Nobody, rounds(20.0, 0.0, 100.0));
        seen.ways.insert(Way::Asked(Subject::Stock), rounds(100.0, 20.0, 300.0));
        seen.ways.insert(Way::Asked(Subject::Gate), rounds(100.0, 14.0, 280.0));
        assert!((seen.cpu_ratio().unwrap().median - 114.0 / 120.0).abs() < 1e-9);
        assert!((seen.added_p99_ratio().unwrap() - 0.9).abs() < 1e-9);
        assert!(held(&seen));
        let lines: Vec<String> = seen.rows().iter().map(Row::line).collect();
        assert!(lines[0].contains("(100.0 + 14.0 µs against 100.0 + 20.0 µs): 0.950 ×"), "{lines:#?}");
        assert!(lines[1].contains("(0.18 ms against 0.20 ms): 0.900 ×"), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("gate: 114.0 µs together, 1/s on one core, p50 +0.09 ms")));
        seen.ways.insert(Way::Asked(Subject::Gate), rounds(100.0, 17.0, 280.0));
        assert!(!held(&seen));
        seen.ways.insert(Way::Asked(Subject::Gate), rounds(100.0, 14.0, 301.0));
        assert!(!held(&seen));
    }
}
