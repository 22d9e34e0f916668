//! Row 15: good, cached tokens beside a flood of new ones with bad signatures.

use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;

use super::overload::{PATIENCE, at_least};
use super::uncached::capacity;
use crate::compare::window;
use crate::load::open::{self, Phase, Seen, steady, stream};
use crate::load::{Outcome, Rotation, closed, on_this_thread};
use crate::mint::{Algorithm, Kind};
use crate::process::Server;
use crate::scene::Subject;
use crate::stats::Spread;
use crate::table::{Bench, Findings, Group, Row};

/// The group.
pub(super) const GROUP: Group = Group { name: "a flood of bad signatures", numbers: &[15], run };

/// What is offered, as a part of what the gate verifies at most.
const PART: f64 = 0.5;

fn run(bench: &Bench) -> anyhow::Result<Findings> {
    let flood = capacity(bench, Algorithm::Es256)? * PART;
    let good = bench.scene.bodies(Algorithm::Rs256, Kind::Good, bench.effort.tokens)?;
    let lasts = Duration::from_secs(if bench.quick { 4 } else { 6 });
    // Twice: at half the capacity, and beside callers that ask as fast as they can.
    let bad =
        bench.scene.bodies(Algorithm::Es256, Kind::Forged, (flood * (lasts.as_secs_f64() + 3.0)) as usize + 10)?;
    let rate = on_this_thread(async {
        let server = bench.scene.start(Subject::Gate).await?;
        window(&server, good.clone(), &bench.effort, Outcome::Allow).await
    })?
    .per_second()
        / 2.0;
    let (mut kept, mut slower, mut busy_kept, mut busy_slower) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..bench.effort.rounds {
        let [without, with] = on_this_thread(paced(bench, &good, &bad, [rate, flood], lasts))?;
        let p99 = |seen: &Seen| seen.tallies[0].allowed_quantile_us(0.99);
        eprintln!(
            "round {}: {rate:.0}/s beside {flood:.0}/s bad ones: p99 {:.0} us, without {:.0} us; good {:?}, bad {:?}",
            round + 1,
            p99(&with),
            p99(&without),
            with.tallies[0].counts(),
            with.tallies[1].counts(),
        );
        ensure!(with.tallies[1].count(Outcome::Denied(401)) > 0, "no bad token was looked at");
        ensure!(with.tallies[1].count(Outcome::Allow) == 0, "a bad token was allowed");
        kept.push(with.tallies[0].count(Outcome::Allow) as f64 / without.tallies[0].count(Outcome::Allow) as f64);
        slower.push(p99(&with) / p99(&without));
        let [without, with] = on_this_thread(saturated(bench, &good, &bad, flood, lasts))?;
        eprintln!(
            "round {}: as fast as they can: {:.0}/s, p99 {:.0} us, without {:.0}/s, {:.0} us",
            round + 1,
            with.per_second(),
            with.tally.quantile_us(0.99),
            without.per_second(),
            without.tally.quantile_us(0.99),
        );
        busy_kept.push(with.per_second() / without.per_second());
        busy_slower.push(with.tally.quantile_us(0.99) / without.tally.quantile_us(0.99));
    }
    let what = format!("cached allows at {rate:.0}/s beside {flood:.0}/s bad ES256 signatures");
    let busy = format!("cached allows, as many as go, beside {flood:.0}/s bad ES256 signatures");
    let rows = vec![
        at_least(15, format!("{what}: rate"), "that without", 0.8, &kept),
        Row::ratio(15, format!("{what}: p99"), 3.0, "that without", Spread::of(&slower)),
        at_least(15, format!("{busy}: rate"), "that without", 0.8, &busy_kept),
        Row::ratio(15, format!("{busy}: p99"), 3.0, "that without", Spread::of(&busy_slower)),
    ];
    Ok(Findings { rows, bars: Vec::new() })
}

/// A phase without the flood and one with it, on one gate.
async fn paced(
    bench: &Bench,
    good: &[Bytes],
    bad: &[Bytes],
    [rate, flood]: [f64; 2],
    lasts: Duration,
) -> anyhow::Result<[Seen; 2]> {
    let server = bench.scene.start(Subject::Gate).await?;
    let second = Duration::from_secs(1);
    let warm_up = second + Duration::from_secs_f64(good.len() as f64 / rate);
    let phase = |lasts, flood| Phase { lasts, rates: vec![rate, flood] };
    let phases = [phase(warm_up, 0.0), phase(lasts, 0.0), phase(second, flood), phase(lasts, flood)];
    let streams = vec![stream(Rotation::shuffled(good.to_vec())), stream(Rotation::once(bad.to_vec()))];
    let seen = open::run(&shape(bench, &server), streams, &phases, &mut || Ok(0.0)).await?;
    let [_, without, _, with] = seen.try_into().map_err(|_| anyhow::anyhow!("not four phases"))?;
    Ok([without, with])
}

/// Callers that ask again as soon as they are answered, on a gate without the flood and on another with it. The load
/// does the same work both times but for the calls themselves.
async fn saturated(
    bench: &Bench,
    good: &[Bytes],
    bad: &[Bytes],
    flood: f64,
    lasts: Duration,
) -> anyhow::Result<[closed::Seen; 2]> {
    let mut both = Vec::new();
    for rate in [1.0, flood] {
        let server = bench.scene.start(Subject::Gate).await?;
        let window = closed::Window {
            warm_up_calls: 2 * good.len() as u64,
            warm_up: Duration::from_secs(1),
            least: lasts - Duration::from_secs(2),
            most: lasts - Duration::from_secs(2),
            probe: &mut || Ok(0.0),
            enough: 0.0,
        };
        let closed = bench.effort.shape(server.endpoint().clone());
        let phases = steady(&[lasts], &[rate]);
        let shape = shape(bench, &server);
        let (good, bad) = (Rotation::shuffled(good.to_vec()), vec![stream(Rotation::once(bad.to_vec()))]);
        let mut probe = || Ok(0.0);
        let (seen, bad) = tokio::join!(closed::run(&closed, good, window), open::run(&shape, bad, &phases, &mut probe));
        let ((seen, _), bad) = (seen?, bad?);
        ensure!(seen.tally.other_than(Outcome::Allow) == 0, "good tokens: {:?}", seen.tally.counts());
        ensure!(bad[0].tallies[0].count(Outcome::Allow) == 0, "a bad token was allowed");
        both.push(seen);
    }
    both.try_into().map_err(|_| anyhow::anyhow!("not two runs"))
}

fn shape(bench: &Bench, server: &Server) -> open::Shape {
    open::Shape {
        endpoint: server.endpoint().clone(),
        connections: bench.effort.connections,
        in_flight: 4096,
        patience: Some(PATIENCE),
    }
}
