//! Row 12: how long a call takes at a rate that the server bears easily.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;

use crate::compare::window;
use crate::load::open::{self, steady, stream};
use crate::load::{Outcome, Rotation, on_this_thread};
use crate::mint::{Algorithm, Kind};
use crate::scene::Subject;
use crate::stats::Spread;
use crate::table::{Bench, Findings, Group, Row};

/// The group.
pub(super) const GROUP: Group = Group { name: "latency at half the capacity", numbers: &[12], run };

fn run(bench: &Bench) -> anyhow::Result<Findings> {
    let bodies = bench.scene.bodies(Algorithm::Rs256, Kind::Good, bench.effort.tokens)?;
    let rate = half_the_capacity(bench, &bodies)?;
    let mut p99: BTreeMap<Subject, Vec<f64>> = BTreeMap::new();
    for round in 0..bench.effort.rounds {
        for subject in [Subject::Gate, Subject::Tuned] {
            let took = on_this_thread(p99_at(bench, subject, &bodies, rate))?;
            eprintln!("round {}: {} at {rate:.0}/s: p99 {took:.0} us", round + 1, subject.name());
            p99.entry(subject).or_default().push(took);
        }
    }
    let (gate, tuned) = (&p99[&Subject::Gate], &p99[&Subject::Tuned]);
    let median = |values: &[f64]| Spread::of(values).map_or(0.0, |spread| spread.median);
    let what =
        format!("p99 at {rate:.0}/s, half the capacity ({:.0} µs against {:.0} µs)", median(gate), median(tuned));
    let mut rows = vec![Row::ratio(12, what, 1.2, "tuned", Spread::of_ratios(gate, tuned))];
    rows.push(super::ghz::row(bench)?);
    Ok(Findings { rows, bars: Vec::new() })
}

/// Half of what the slower of the two does at most.
fn half_the_capacity(bench: &Bench, bodies: &[Bytes]) -> anyhow::Result<f64> {
    let mut least = f64::INFINITY;
    for subject in [Subject::Gate, Subject::Tuned] {
        let seen = on_this_thread(async {
            let server = bench.scene.start(subject).await?;
            window(&server, bodies.to_vec(), &bench.effort, Outcome::Allow).await
        })?;
        least = least.min(seen.per_second());
    }
    Ok(least / 2.0)
}

async fn p99_at(bench: &Bench, subject: Subject, bodies: &[Bytes], rate: f64) -> anyhow::Result<f64> {
    let server = bench.scene.start(subject).await?;
    let shape = open::Shape {
        endpoint: server.endpoint().clone(),
        connections: bench.effort.connections,
        in_flight: 1024,
        patience: None,
    };
    // All tokens are seen before anything is looked at.
    let warm_up = Duration::from_secs_f64(2.0 + bodies.len() as f64 / rate);
    let phases = steady(&[warm_up, Duration::from_secs(if bench.quick { 2 } else { 10 })], &[rate]);
    let source = vec![stream(Rotation::shuffled(bodies.to_vec()))];
    let seen = open::run(&shape, source, &phases, &mut || Ok(0.0)).await?;
    let tally = &seen[1].tallies[0];
    ensure!(tally.other_than(Outcome::Allow) == 0, "expected allows only, got {:?}", tally.counts());
    Ok(tally.quantile_us(0.99))
}
