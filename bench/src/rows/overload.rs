//! Row 14: more new tokens than there is time for.

use std::time::Duration;

use anyhow::ensure;

use super::uncached::capacity;
use crate::load::open::{self, Phase, Seen, stream};
use crate::load::{Outcome, Rotation, on_this_thread};
use crate::mint::{Algorithm, Kind};
use crate::scene::Subject;
use crate::stats::Spread;
use crate::table::{Bench, Findings, Group, Row, Verdict};

/// The group.
pub(super) const GROUP: Group = Group { name: "more than there is time for", numbers: &[14], run };

/// What is offered, as a multiple of the capacity.
const FACTORS: [f64; 2] = [2.0, 5.0];

/// A load that is borne.
const USUAL: f64 = 0.8;

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
    goodput: Vec<f64>,
    slower: Vec<f64>,
    again: Vec<f64>,
    unanswered: u64,
    shed: u64,
}

fn run(bench: &Bench) -> anyhow::Result<Findings> {
    let capacity = capacity(bench, Algorithm::Es256)?;
    let lasts = Duration::from_secs(if bench.quick { 2 } else { 5 });
    let mut rows = Vec::new();
    for factor in FACTORS {
        let phases = phases(capacity, factor, lasts);
        let calls: f64 = phases.iter().map(|phase| phase.rates[0] * phase.lasts.as_secs_f64()).sum();
        let bodies = bench.scene.bodies(Algorithm::Es256, Kind::Good, calls as usize + 10)?;
        let mut series = Series::default();
        for round in 0..bench.effort.rounds {
            let seen = on_this_thread(async {
                let server = bench.scene.start(Subject::Gate).await?;
                let shape = open::Shape {
                    endpoint: server.endpoint().clone(),
                    connections: bench.effort.connections,
                    in_flight: 4096,
                    patience: Some(PATIENCE),
                };
                open::run(&shape, vec![stream(Rotation::once(bodies.clone()))], &phases, &mut || server.cpu_seconds())
                    .await
            })?;
            series.note(capacity, round, factor, &seen)?;
        }
        rows.extend(series.rows(capacity, factor));
    }
    Ok(Findings { rows, bars: Vec::new() })
}

impl Series {
    fn note(&mut self, capacity: f64, round: usize, factor: f64, seen: &[Seen]) -> anyhow::Result<()> {
        let [_, usual, much, _, again] = seen else { anyhow::bail!("not five phases") };
        let tally = |seen: &Seen| seen.tallies[0].clone();
        let (usual, overloaded, again) = (tally(usual), tally(much), tally(again));
        let good = overloaded.count(Outcome::Allow) as f64 / much.took.as_secs_f64() / capacity;
        let p99 = usual.allowed_quantile_us(0.99);
        eprintln!(
            "round {}: {factor} times: {:.1} % of the capacity, p99 of allows {:.0} us (usual {p99:.0} us), {:?}; usual {:?}, \
             again {:?}",
            round + 1,
            good * 100.0,
            overloaded.allowed_quantile_us(0.99),
            overloaded.counts(),
            usual.counts(),
            again.counts(),
        );
        ensure!(usual.count(Outcome::Allow) > 0 && overloaded.count(Outcome::Allow) > 0, "nothing was allowed");
        self.goodput.push(good);
        self.slower.push(overloaded.allowed_quantile_us(0.99) / p99);
        self.again.push(again.count(Outcome::Allow) as f64 / again.total() as f64);
        self.shed += overloaded.count(Outcome::Denied(503));
        self.unanswered += overloaded.total()
            - overloaded.count(Outcome::Allow)
            - overloaded.count(Outcome::Denied(503))
            - overloaded.count(Outcome::GaveUp);
        Ok(())
    }

    fn rows(&self, capacity: f64, factor: f64) -> Vec<Row> {
        let what = format!("new ES256 tokens at {factor:.0} × the capacity of {capacity:.0}/s");
        let (shed, unanswered) = (self.shed, self.unanswered);
        vec![
            at_least(14, format!("{what}: allowed"), "the capacity", 0.8, &self.goodput),
            Row::ratio(
                14,
                format!("{what}: p99 of allows"),
                3.0,
                "that at 0.8 × the capacity",
                Spread::of(&self.slower),
            ),
            at_least(14, format!("{what}: allowed from one second after on"), "what is asked", 0.999, &self.again),
            Row::new(
                14,
                format!("{what}: other answers than an allow or a 503 denial"),
                "0",
                format!("{unanswered}, and {shed} were shed"),
                Verdict::of(unanswered == 0 && shed > 0),
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
