//! Row 14: more new tokens than there is time for.

use std::time::Duration;

use anyhow::ensure;

use super::uncached::capacity;
use crate::load::open::{self, Phase, Seen, stream};
use crate::load::{Outcome, Rotation, Tally, on_this_thread};
use crate::mint::{Algorithm, Kind};
use crate::policy::Policy;
use crate::scrape::{fetch, sum};
use crate::stats::Spread;
use crate::table::{Bench, Findings, Group, Row, Verdict};

/// The group.
pub(super) const GROUP: Group = Group { name: "more than there is time for", numbers: &[14], run };

/// What is offered, as a multiple of the capacity.
const FACTORS: [f64; 2] = [2.0, 5.0];

/// A load that is borne.
const USUAL: f64 = 0.8;

/// What must be allowed then. A machine that stops for some hundredths of a second has too much to do afterwards.
const BORNE: f64 = 0.95;

/// How long a caller waits: the timeout of the filter in the shipped Envoy configuration.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);

/// The parts of a run: to get warm, the usual load, too much of it, the second after, the usual load again.
fn phases(capacity: f64, factor: f64, lasts: Duration) -> Vec<Phase> {
    let second = Duration::from_secs(1);
    [(second, 0.5), (lasts, USUAL), (lasts, factor), (second, USUAL), (2 * second, USUAL)]
        .map(|(lasts, part)| Phase { lasts, rates: vec![part * capacity] })
        .to_vec()
}

#[derive(Default)]
struct Series {
    capacity: Vec<f64>,
    goodput: Vec<f64>,
    slower: Vec<f64>,
    usual: Vec<f64>,
    again: Vec<f64>,
    offered: u64,
    /// Answered with something else than an allow or a 503.
    other: u64,
    /// Not answered in time, or not even sent.
    gave_up: u64,
    /// Refused for want of time for a signature, by the gate's own count.
    overloaded: f64,
}

fn run(bench: &Bench) -> anyhow::Result<Findings> {
    let lasts = Duration::from_secs(if bench.quick { 2 } else { 5 });
    let mut all = FACTORS.map(|_| Series::default());
    for round in 0..bench.effort.rounds {
        for (factor, series) in FACTORS.into_iter().zip(&mut all) {
            // What the machine can do changes from minute to minute.
            let capacity = capacity(bench, Algorithm::Es256)?;
            let phases = phases(capacity, factor, lasts);
            let calls: f64 = phases.iter().map(|phase| phase.rates[0] * phase.lasts.as_secs_f64()).sum();
            let bodies = bench.scene.bodies(Algorithm::Es256, Kind::Good, calls as usize + 10)?;
            let (seen, overloaded) = on_this_thread(one(bench, &phases, Rotation::once(bodies)))?;
            series.overloaded += overloaded;
            series.note(capacity, round, factor, &seen)?;
        }
    }
    let rows = FACTORS.into_iter().zip(&all).flat_map(|(factor, series)| series.rows(factor)).collect();
    Ok(Findings { rows, bars: Vec::new() })
}

/// All phases on a gate that was started anew, and what it counted as refused for want of time.
async fn one(bench: &Bench, phases: &[Phase], bodies: Rotation) -> anyhow::Result<(Vec<Seen>, f64)> {
    let probes = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut policy = Policy::usual(bench.scene.endpoint("gate")?);
    policy.server.push(format!("probes: {{ listen: '{probes}' }}"));
    let server = bench.scene.start_gate(&policy).await?;
    let shape = open::Shape {
        endpoint: server.endpoint().clone(),
        connections: bench.effort.connections,
        in_flight: 4096,
        patience: Some(PATIENCE),
    };
    let seen = open::run(&shape, vec![stream(bodies)], phases, &mut || Ok(0.0)).await?;
    let overloaded = sum(&fetch(probes, "/metrics")?, "tollgate_decisions_total", &["reason=\"overloaded\""]);
    Ok((seen, overloaded))
}

impl Series {
    fn note(&mut self, capacity: f64, round: usize, factor: f64, seen: &[Seen]) -> anyhow::Result<()> {
        let [_, usual, much, _, again] = seen else { anyhow::bail!("not five phases") };
        let [usual, overloaded, again] = [usual, much, again].map(|seen| &seen.tallies[0]);
        let good = overloaded.count(Outcome::Allow) as f64 / much.took.as_secs_f64() / capacity;
        let p99 = usual.allowed_quantile_us(0.99);
        eprintln!(
            "round {}: {factor} times {capacity:.0}/s: {:.1} % of the capacity, p99 of allows {:.0} us (usual {p99:.0} us), {:?}; usual {:?}, \
             again {:?}",
            round + 1,
            good * 100.0,
            overloaded.allowed_quantile_us(0.99),
            overloaded.counts(),
            usual.counts(),
            again.counts(),
        );
        ensure!(usual.count(Outcome::Allow) > 0, "nothing was allowed");
        let allowed = |tally: &Tally| tally.count(Outcome::Allow) as f64 / tally.total() as f64;
        self.capacity.push(capacity);
        self.goodput.push(good);
        let has_allowed = overloaded.count(Outcome::Allow) > 0;
        self.slower.push(if has_allowed { overloaded.allowed_quantile_us(0.99) / p99 } else { f64::INFINITY });
        self.usual.push(allowed(usual));
        self.again.push(allowed(again));
        let gave_up = overloaded.count(Outcome::GaveUp);
        self.offered += overloaded.total();
        self.gave_up += gave_up;
        self.other +=
            overloaded.total() - overloaded.count(Outcome::Allow) - overloaded.count(Outcome::Denied(503)) - gave_up;
        Ok(())
    }

    fn rows(&self, factor: f64) -> Vec<Row> {
        let capacity = Spread::of(&self.capacity).map_or(0.0, |capacity| capacity.median);
        let what = format!("new ES256 tokens at {factor:.0} × the capacity of {capacity:.0}/s");
        let Self { offered, other, gave_up, overloaded, .. } = self;
        vec![
            at_least(14, format!("{what}: allowed"), "the capacity", 0.8, &self.goodput),
            Row::ratio(
                14,
                format!("{what}: p99 of allows"),
                3.0,
                "that at 0.8 × the capacity",
                Spread::of(&self.slower),
            ),
            at_least(14, format!("{what}: allowed before, at 0.8 × the capacity"), "what is asked", BORNE, &self.usual),
            at_least(14, format!("{what}: allowed from one second after on"), "what is asked", BORNE, &self.again),
            Row::new(
                14,
                format!("{what}: other answers than an allow or a 503 denial"),
                "0; ≤ 1 % not answered",
                format!("{other}; {gave_up} of {offered} not answered; {overloaded:.0} refused as `overloaded`"),
                Verdict::of(*other == 0 && *gave_up * 100 <= *offered && *overloaded > 0.0),
            ),
        ]
    }
}

/// A row whose quotient, round by round, must not be below a bound.
pub(super) fn at_least(number: u32, what: String, of: &str, bound: f64, ratios: &[f64]) -> Row {
    let Some(ratio) = Spread::of(ratios) else {
        return Row::new(number, what, format!("≥ {bound} × {of}"), "not measured", Verdict::NotHeld);
    };
    let row = Row::new(
        number,
        what,
        format!("≥ {bound} × {of}"),
        format!("{:.3} ×", ratio.median),
        Verdict::of(ratio.median >= bound),
    );
    Row { spread: format!("{:.3}–{:.3}", ratio.min, ratio.max), ..row }
}
