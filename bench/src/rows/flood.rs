//! Row 15: good, cached tokens beside a flood of new ones with bad signatures.

use std::time::Duration;

use anyhow::{bail, ensure};
use bytes::Bytes;

use super::overload::{PATIENCE, at_least};
use super::uncached::capacity;
use crate::compare::window;
use crate::load::open::{self, Phase, Seen, stream};
use crate::load::{Outcome, Rotation, Tally, on_this_thread};
use crate::mint::{Algorithm, Kind};
use crate::process::Server;
use crate::scene::Subject;
use crate::stats::Spread;
use crate::table::{Bench, Findings, Group, Row};

/// The group.
pub(super) const GROUP: Group = Group { name: "a flood of bad signatures", numbers: &[15], run };

/// What is offered, as a part of what the gate verifies at most.
const PART: f64 = 0.5;

/// Good calls in a second, between which the gate has nothing to do but the flood.
const SELDOM: f64 = 1000.0;

/// Before anything is looked at, with the flood as without.
const WARM_UP: Duration = Duration::from_secs(1);

/// What good calls had beside the flood, of what they had without.
#[derive(Default)]
struct Series {
    rate: Vec<f64>,
    p99: Vec<f64>,
}

impl Series {
    fn rows(&self, what: &str) -> [Row; 2] {
        [
            at_least(15, format!("{what}: rate"), "that without", 0.8, &self.rate),
            Row::ratio(15, format!("{what}: p99"), 3.0, "that without", Spread::of(&self.p99)),
        ]
    }
}

fn run(bench: &Bench) -> anyhow::Result<Findings> {
    let flood = capacity(bench, Algorithm::Es256)? * PART;
    let good = bench.scene.bodies(Algorithm::Rs256, Kind::Good, bench.effort.tokens)?;
    let lasts = Duration::from_secs(if bench.quick { 2 } else { 6 });
    // The flood is there before the window and after it.
    let bad = (flood * (lasts + 3 * WARM_UP).as_secs_f64()) as usize + 10;
    let bad = bench.scene.bodies(Algorithm::Es256, Kind::Forged, bad)?;
    let half = on_this_thread(async {
        let server = bench.scene.start(Subject::Gate).await?;
        window(&server, good.clone(), &bench.effort, Outcome::Allow).await
    })?
    .per_second()
        / 2.0;
    let [mut seldom, mut often] = [(); 2].map(|()| Series::default());
    for round in 0..bench.effort.rounds {
        for (rate, series) in [(SELDOM, &mut seldom), (half, &mut often)] {
            let [without, with] = on_this_thread(paced(bench, &good, &bad, [rate, flood], lasts))?;
            let p99 = |seen: &Seen| seen.tallies[0].allowed_quantile_us(0.99);
            let allowed = |seen: &Seen| seen.tallies[0].count(Outcome::Allow) as f64;
            eprintln!(
                "round {}: good {:?}, p99 {:.0} us, without {:.0} us; bad {:?}",
                round + 1,
                with.tallies[0].counts(),
                p99(&with),
                p99(&without),
                with.tallies[1].counts(),
            );
            series.rate.push(allowed(&with) / allowed(&without));
            series.p99.push(p99(&with) / p99(&without));
        }
    }
    let beside = format!("beside {flood:.0}/s bad ES256 signatures");
    let rows = [
        seldom.rows(&format!("cached allows at {SELDOM:.0}/s {beside}")),
        often.rows(&format!("cached allows at {half:.0}/s {beside}")),
    ];
    Ok(Findings { rows: rows.into_iter().flatten().collect(), bars: Vec::new() })
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
    // As many tokens as a second takes are known before anything is looked at.
    let known = &good[..good.len().min(rate as usize)];
    let phase = |lasts, flood| Phase { lasts, rates: vec![rate, flood] };
    let phases = [phase(2 * WARM_UP, 0.0), phase(lasts, 0.0), phase(WARM_UP, flood), phase(lasts, flood)];
    let streams = vec![stream(Rotation::shuffled(known.to_vec())), stream(Rotation::once(bad.to_vec()))];
    let seen = open::run(&shape(bench, &server), streams, &phases, &mut || Ok(0.0)).await?;
    let [_, without, _, with] = seen.try_into().or_else(|_| bail!("not four phases"))?;
    was_there(&with.tallies[1])?;
    Ok([without, with])
}

/// The flood arrived: it was answered, whether it was looked at or not, and never by an allow.
fn was_there(bad: &Tally) -> anyhow::Result<()> {
    let answered = bad.count(Outcome::Denied(401)) + bad.count(Outcome::Denied(503));
    ensure!(bad.count(Outcome::Denied(401)) > 0, "no bad token was looked at: {:?}", bad.counts());
    ensure!(bad.count(Outcome::Allow) == 0, "a bad token was allowed");
    ensure!(answered as f64 >= 0.95 * bad.total() as f64, "of the flood too little arrived: {:?}", bad.counts());
    Ok(())
}

fn shape(bench: &Bench, server: &Server) -> open::Shape {
    open::Shape {
        endpoint: server.endpoint().clone(),
        connections: bench.effort.connections,
        in_flight: 4096,
        patience: Some(PATIENCE),
    }
}
