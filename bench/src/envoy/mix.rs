//! A realistic mix: services that call each other with tokens of their own, at a thousand requests a second.
//!
//! Few services call often and many seldom (Zipf). Each has a token that lasts five to fifteen minutes, somewhere in its
//! life when the run begins, and takes a new one when it is over. One request in a hundred has a token with a wrong
//! signature. The gate starts empty.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::config::Config;
use super::probes::Durations;
use super::running::Proxy;
use super::through::patient;
use super::{credential, request};
use crate::ghz::counters::Counters;
use crate::load::{Asking, Outcome, Rotation, open};
use crate::mint::{Algorithm, Kind, mint, now};
use crate::scene::Scene;
use crate::shuffle::Shuffle;
use crate::table::{Row, Verdict};

/// The 99th percentile of a request's time must be below this, in milliseconds.
const P99_MS: f64 = 10.0;
/// The share of look-ups that must find the token.
const HITS: f64 = 0.9;
/// One request in so many has a bad token.
const BAD: u64 = 100;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Requests in a second.
    pub rate: u32,
    /// Seconds.
    pub seconds: u32,
    /// Services.
    pub clients: u64,
}

impl Effort {
    /// For the table.
    pub const FULL: Self = Self { rate: 1000, seconds: 60, clients: 200 };

    /// For development.
    pub const QUICK: Self = Self { seconds: 10, ..Self::FULL };
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Requests, of them allowed.
    pub requests: (u64, u64),
    /// Tokens, good ones.
    pub tokens: usize,
    /// Quantiles of a request's time as the client sees it, milliseconds: 0.5, 0.99 and 0.999.
    pub client_ms: [f64; 3],
    /// Upper bounds of the same quantiles of the gate's own time.
    pub gate_ms: [f64; 3],
    /// Look-ups in the gate's cache that found the token, of all.
    pub hit_rate: f64,
}

/// Runs the mix.
///
/// # Errors
/// Something would not start, or a request came to anything but what its token deserves.
pub async fn measure(scene: &Scene, effort: &Effort) -> anyhow::Result<Seen> {
    let drawn = draw(effort);
    let mut credentials: HashMap<Drawn, Bytes> = HashMap::new();
    for &drawn in &drawn {
        if let Entry::Vacant(place) = credentials.entry(drawn) {
            let kind = if drawn.bad { Kind::Forged } else { Kind::Good };
            place.insert(credential(&mint(&scene.keys, Algorithm::Rs256, kind, drawn.nth, now())?));
        }
    }
    let bodies: Vec<Bytes> = drawn.iter().filter_map(|drawn| credentials.get(drawn).cloned()).collect();
    let probes: SocketAddr = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut policy = patient(scene.endpoint("mix")?);
    policy.server.push(format!("probes: {{ listen: '{probes}' }}"));
    let gate = scene.start_gate(&policy).await?;
    let proxy = Proxy::start(&Config::shipped(gate.endpoint())?).await?;

    let before = (Counters::read(probes).await?, Durations::read(probes).await?);
    let shape = open::Shape {
        endpoint: proxy.endpoint(),
        connections: 8,
        in_flight: 100,
        patience: Some(Duration::from_secs(10)),
    };
    let stream = open::stream(Asking(Rotation::once(bodies), request()?));
    let phases = open::steady(&[Duration::from_secs(effort.seconds.into())], &[effort.rate.into()]);
    let seen = open::run(&shape, vec![stream], &phases, &mut || Ok(0.0)).await?;
    let tally = &seen[0].tallies[0];
    let counted = Counters::read(probes).await?.since(&before.0);
    let durations = Durations::read(probes).await?.since(&before.1);

    let bad = drawn.iter().take(usize::try_from(tally.total())?).filter(|drawn| drawn.bad).count() as u64;
    let (allowed, denied) = (tally.count(Outcome::Allow), tally.count(Outcome::Denied(401)));
    anyhow::ensure!(
        denied == bad && allowed + denied == tally.total(),
        "{bad} of {} tokens are bad: {:?}",
        tally.total(),
        tally.counts()
    );
    anyhow::ensure!(
        counted.decisions_for("allow", "allowed") == allowed && counted.decisions() == tally.total(),
        "the gate counted {} decisions, the client {}",
        counted.decisions(),
        tally.total()
    );
    let [hits, misses] = ["hit", "miss"].map(|result| counted.lookups(result) as f64);
    let quantiles = [0.5, 0.99, 0.999];
    Ok(Seen {
        requests: (tally.total(), allowed),
        tokens: credentials.keys().filter(|drawn| !drawn.bad).count(),
        client_ms: quantiles.map(|quantile| tally.quantile_us(quantile) / 1e3),
        gate_ms: quantiles.map(|quantile| durations.quantile_ms(quantile).unwrap_or(f64::NAN)),
        hit_rate: hits / (hits + misses),
    })
}

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Drawn {
    bad: bool,
    nth: u64,
}

/// The token of each request.
fn draw(effort: &Effort) -> Vec<Drawn> {
    let mut random = Shuffle::new(13);
    // How often each service calls, added up.
    let mut up_to = Vec::new();
    let mut sum = 0.0;
    for place in 1..=effort.clients {
        sum += 1.0 / place as f64;
        up_to.push(sum);
    }
    let lives: Vec<(f64, f64)> = (0..effort.clients)
        .map(|_| {
            let lifetime = 300.0 + 600.0 * fraction(&mut random);
            (lifetime, lifetime * fraction(&mut random))
        })
        .collect();
    // A second more than is sent: the last requests may be due within the same moment.
    let requests = u64::from(effort.rate) * u64::from(effort.seconds + 1);
    (0..requests)
        .map(|request| {
            if request % BAD == BAD - 1 {
                return Drawn { bad: true, nth: request };
            }
            let wanted = fraction(&mut random) * sum;
            let client = up_to.partition_point(|up_to| *up_to < wanted).min(lives.len() - 1);
            let (lifetime, age) = lives[client];
            let renewed = ((age + request as f64 / f64::from(effort.rate)) / lifetime) as u64;
            Drawn { bad: false, nth: client as u64 * 10_000 + renewed }
        })
        .collect()
}

/// From nothing to less than one.
fn fraction(random: &mut Shuffle) -> f64 {
    (random.draw() >> 11) as f64 / (1u64 << 53) as f64
}

impl Seen {
    /// The rows of the table.
    pub fn rows(&self) -> Vec<Row> {
        let (requests, _) = self.requests;
        let mix = format!("{requests} requests of a mix with {} good tokens at 1,000/s through Envoy", self.tokens);
        let [p50, p99, most] = self.client_ms;
        let whole = format!("{p99:.2} ms (p50 {p50:.2}, p99.9 {most:.2})");
        let [_, gate, _] = self.gate_ms;
        let bound = format!("< {P99_MS} ms");
        vec![
            Row::new(13, format!("{mix}: p99 of the whole request"), &bound, whole, Verdict::of(p99 < P99_MS)),
            Row::new(13, "… p99 of the gate's decision", &bound, format!("≤ {gate} ms"), Verdict::of(gate < P99_MS)),
            Row::new(
                13,
                "… found in the cache",
                format!("> {:.0} %", HITS * 100.0),
                format!("{:.2} %", self.hit_rate * 100.0),
                Verdict::of(self.hit_rate > HITS),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_mix_is_what_it_says() {
        let drawn = draw(&Effort::FULL);
        assert_eq!(drawn.len(), 61_000);
        assert_eq!(drawn.iter().filter(|drawn| drawn.bad).count(), 610);
        let good: Vec<u64> = drawn.iter().filter(|drawn| !drawn.bad).map(|drawn| drawn.nth).collect();
        let clients: BTreeSet<u64> = good.iter().map(|nth| nth / 10_000).collect();
        assert_eq!(clients.len(), 200);
        let tokens: BTreeSet<u64> = good.iter().copied().collect();
        assert!((205..260).contains(&tokens.len()), "some are renewed: {}", tokens.len());
        let first = good.iter().filter(|nth| *nth / 10_000 == 0).count() as f64 / good.len() as f64;
        assert!((0.15..0.19).contains(&first), "the busiest calls most: {first}");
        assert_eq!(draw(&Effort::FULL), drawn, "every run is the same");
    }

    #[test]
    fn one_miss_of_what_must_be_is_enough() {
        let seen = Seen {
            requests: (100, 99),
            tokens: 10,
            client_ms: [1.0, 2.0, 3.0],
            gate_ms: [0.1, 0.1, 0.2],
            hit_rate: 0.95,
        };
        let held = |seen: &Seen| seen.rows().iter().all(|row| row.held == Verdict::Held);
        assert!(held(&seen));
        assert!(!held(&Seen { client_ms: [1.0, 10.0, 10.0], ..seen.clone() }));
        assert!(!held(&Seen { gate_ms: [1.0, 10.0, 10.0], ..seen.clone() }));
        assert!(!held(&Seen { gate_ms: [f64::NAN; 3], ..seen.clone() }));
        assert!(!held(&Seen { hit_rate: 0.9, ..seen }));
    }
}
