//! Subjects side by side: rounds that alternate, each with servers that were started anew.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::load::{Outcome, Rotation, closed};
use crate::mint::{Algorithm, Kind};
use crate::process::Server;
use crate::scene::{Scene, Subject};
use crate::stats::Spread;
use crate::table::Bar;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds.
    pub rounds: usize,
    /// CPU seconds of the server in each measurement.
    pub cpu_seconds: f64,
    /// Calls in flight.
    pub in_flight: usize,
    /// Connections.
    pub connections: usize,
    /// Tokens in rotation.
    pub tokens: usize,
}

impl Effort {
    /// For the table.
    pub const FULL: Self = Self { rounds: 5, cpu_seconds: 5.0, in_flight: 64, connections: 4, tokens: 10_000 };

    /// For development.
    pub const QUICK: Self = Self { rounds: 2, cpu_seconds: 1.0, ..Self::FULL };

    /// Where the calls go.
    pub const fn shape(&self, endpoint: crate::load::Endpoint) -> closed::Shape {
        closed::Shape { endpoint, connections: self.connections, in_flight: self.in_flight }
    }
}

/// What one subject did in all rounds.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    /// CPU of the server for each call, microseconds.
    pub cpu_us: Vec<f64>,
    /// Calls in a second.
    pub per_second: Vec<f64>,
    /// Quantiles of the time of a call, microseconds.
    pub p50_us: Vec<f64>,
    /// The same.
    pub p99_us: Vec<f64>,
}

impl Rounds {
    /// Takes in a round.
    pub fn note(&mut self, seen: &closed::Seen) {
        self.cpu_us.push(seen.micros_per_call());
        self.per_second.push(seen.per_second());
        self.p50_us.push(seen.tally.quantile_us(0.5));
        self.p99_us.push(seen.tally.quantile_us(0.99));
    }

    /// The bar of it.
    pub fn bar(&self, label: &str) -> Option<Bar> {
        Some(Bar { label: label.to_owned(), cpu_us: Spread::of(&self.cpu_us)? })
    }
}

/// One of the things that are measured side by side.
pub trait Measured {
    /// For progress.
    fn name(&self) -> &str;
}

impl Measured for Subject {
    fn name(&self) -> &str {
        (*self).name()
    }
}

/// Measures each case once in every round, so that what changes on the machine meanwhile changes all of them.
///
/// # Errors
/// The first measurement that fails.
pub async fn alternate<C: Measured>(
    effort: &Effort,
    cases: &[C],
    mut measure: impl AsyncFnMut(&C) -> anyhow::Result<closed::Seen>,
) -> anyhow::Result<Vec<Rounds>> {
    let mut rounds = vec![Rounds::default(); cases.len()];
    for round in 0..effort.rounds {
        for (case, rounds) in cases.iter().zip(&mut rounds) {
            let seen = measure(case).await?;
            eprintln!(
                "round {}: {}: {:.2} us of CPU, {:.0}/s, p99 {:.0} us; the load took {:.2} us of CPU",
                round + 1,
                case.name(),
                seen.micros_per_call(),
                seen.per_second(),
                seen.tally.quantile_us(0.99),
                seen.own_micros_per_call(),
            );
            rounds.note(&seen);
        }
    }
    Ok(rounds)
}

/// Asks about the same good tokens again and again, so that all of them are cached. Every call must be allowed.
///
/// # Errors
/// A server would not start or serve, or anything but an allow came back.
pub async fn cached_allows(
    scene: &Scene,
    subjects: &[Subject],
    effort: &Effort,
    algorithm: Algorithm,
) -> anyhow::Result<BTreeMap<Subject, Rounds>> {
    let bodies = scene.bodies(algorithm, Kind::Good, effort.tokens)?;
    let rounds = alternate(effort, subjects, async |subject| {
        let server = scene.start(*subject).await?;
        window(&server, bodies.clone(), effort, Outcome::Allow).await
    });
    Ok(subjects.iter().copied().zip(rounds.await?).collect())
}

/// One measurement of a server with bodies in rotation, each of which it has seen before. One answer is expected.
///
/// # Errors
/// The server is gone, or anything else came back.
pub async fn window(
    server: &Server,
    bodies: Vec<Bytes>,
    effort: &Effort,
    expected: Outcome,
) -> anyhow::Result<closed::Seen> {
    probed(server, bodies, effort, expected, &mut || server.cpu_seconds()).await
}

/// The same with another probe than the server's CPU: until it has gained as much as `effort` says.
///
/// # Errors
/// As [`window`], and the probe's.
pub async fn probed(
    server: &Server,
    bodies: Vec<Bytes>,
    effort: &Effort,
    expected: Outcome,
    probe: &mut dyn FnMut() -> anyhow::Result<f64>,
) -> anyhow::Result<closed::Seen> {
    let window = closed::Window {
        warm_up_calls: 2 * bodies.len() as u64,
        warm_up: Duration::from_millis(500),
        least: Duration::from_millis(500),
        most: Duration::from_secs(120),
        probe,
        enough: effort.cpu_seconds,
    };
    let (seen, _) = closed::run(&effort.shape(server.endpoint().clone()), Rotation::shuffled(bodies), window).await?;
    anyhow::ensure!(seen.tally.other_than(expected) == 0, "expected {expected:?}, got {:?}", seen.tally.counts());
    Ok(seen)
}

/// The lines of a comparison: medians and spread, and what each is of the first subject.
pub fn report(rounds: &BTreeMap<Subject, Rounds>) -> String {
    let mut text = String::new();
    for (subject, of) in rounds {
        let line = [
            ("us CPU", &of.cpu_us, 2),
            ("/s", &of.per_second, 0),
            ("us p50", &of.p50_us, 0),
            ("us p99", &of.p99_us, 0),
        ]
        .map(|(unit, values, digits)| {
            Spread::of(values).map_or_else(String::new, |spread| format!("{spread:.digits$} {unit}"))
        });
        text += &format!("{:6} {}\n", subject.name(), line.join(", "));
    }
    if let Some(gate) = rounds.get(&Subject::Gate) {
        for (subject, of) in rounds.iter().filter(|(subject, _)| **subject != Subject::Gate) {
            if let Some(ratio) = Spread::of_ratios(&gate.cpu_us, &of.cpu_us) {
                text += &format!("gate / {}: {ratio:.3}\n", subject.name());
            }
        }
    }
    text
}
