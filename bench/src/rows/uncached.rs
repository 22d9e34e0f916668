//! Rows 3 and 4: every token is new.

use std::hint::black_box;
use std::time::Duration;

use anyhow::ensure;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

use crate::compare::{Measured, Rounds, window};
use crate::load::{Outcome, Rotation, closed, on_this_thread};
use crate::mint::{Algorithm, Kind};
use crate::process::{SERVER_CORE, cpu_seconds, on_core};
use crate::scene::{Scene, Subject};
use crate::stats::Spread;
use crate::table::{Bench, Findings, Group, Row};

/// The group.
pub(super) const GROUP: Group = Group { name: "every token new", numbers: &[3, 4], run };

/// Calls before anything is counted.
const WARM_UP: u64 = 5_000;

struct Case(Algorithm, Kind);

impl Measured for Case {
    fn name(&self) -> &str {
        self.0.name()
    }
}

#[derive(Default)]
struct Series {
    good: Rounds,
    forged: Rounds,
    raw_us: Vec<f64>,
    floor_us: Vec<f64>,
}

fn run(bench: &Bench) -> anyhow::Result<Findings> {
    let mut series = [(); 3].map(|()| Series::default());
    let mut stock = Rounds::default();
    for round in 0..bench.effort.rounds {
        let empty = on_this_thread(async {
            let server = bench.scene.start(Subject::Stock).await?;
            let bodies = bench.scene.bodies(Algorithm::Rs256, Kind::Good, bench.effort.tokens)?;
            window(&server, bodies, &bench.effort, Outcome::Allow).await
        })?;
        stock.note(&empty);
        for (algorithm, series) in Algorithm::ALL.into_iter().zip(&mut series) {
            let raw = raw_verification(&bench.scene, algorithm, bench.effort.tokens)?;
            series.raw_us.push(raw);
            series.floor_us.push(empty.micros_per_call() + raw);
            for kind in [Kind::Good, Kind::Forged] {
                let seen = on_this_thread(new_tokens(bench, &Case(algorithm, kind)))?;
                eprintln!(
                    "round {}: {} {kind:?}: {:.2} us of CPU, {:.0}/s (raw verification {raw:.2} us)",
                    round + 1,
                    algorithm.name(),
                    seen.micros_per_call(),
                    seen.per_second()
                );
                if kind == Kind::Good { &mut series.good } else { &mut series.forged }.note(&seen);
            }
        }
    }
    let mut found = Findings::default();
    for (algorithm, series) in Algorithm::ALL.into_iter().zip(&series) {
        let name = algorithm.name();
        let floor = Spread::of(&series.floor_us).map_or(0.0, |floor| floor.median);
        let raw = Spread::of(&series.raw_us).map_or(0.0, |raw| raw.median);
        found.rows.push(Row::ratio(
            3,
            format!("uncached {name}, CPU (raw verification {raw:.1} µs, floor {floor:.1} µs)"),
            1.25,
            "(stock + one raw verification)",
            Spread::of_ratios(&series.good.cpu_us, &series.floor_us),
        ));
        found.rows.push(Row::ratio(
            4,
            format!("denial, bad signature, {name}, CPU"),
            1.05,
            "row 3",
            Spread::of_ratios(&series.forged.cpu_us, &series.good.cpu_us),
        ));
        found.bars.extend(series.good.bar(&format!("gate, new {name} token")));
    }
    Ok(found)
}

/// One window on a gate that was started anew, so that each token is new to it however often the set is used.
async fn new_tokens(bench: &Bench, Case(algorithm, kind): &Case) -> anyhow::Result<closed::Seen> {
    // As many as the shortest time that a verification could take needs, and some more.
    let count = WARM_UP + (bench.effort.cpu_seconds * 40_000.0) as u64;
    let bodies = bench.scene.bodies(*algorithm, *kind, usize::try_from(count)?)?;
    let server = bench.scene.start(Subject::Gate).await?;
    let shape = bench.effort.shape(server.endpoint().clone());
    let window = closed::Window {
        warm_up_calls: WARM_UP,
        warm_up: Duration::ZERO,
        least: Duration::from_millis(300),
        most: Duration::from_secs(120),
        probe: &mut || server.cpu_seconds(),
        enough: bench.effort.cpu_seconds,
    };
    let (seen, _) = closed::run(&shape, Rotation::once(bodies), window).await?;
    let expected = if *kind == Kind::Good { Outcome::Allow } else { Outcome::Denied(401) };
    ensure!(seen.tally.other_than(expected) == 0, "expected {expected:?}, got {:?}", seen.tally.counts());
    ensure!(seen.gained >= 0.7 * bench.effort.cpu_seconds, "only {:.1} s of CPU: too few tokens", seen.gained);
    Ok(seen)
}

/// New tokens that the gate verifies in a second.
pub(super) fn capacity(bench: &Bench, algorithm: Algorithm) -> anyhow::Result<f64> {
    Ok(on_this_thread(new_tokens(bench, &Case(algorithm, Kind::Good)))?.per_second())
}

/// What one verification with a parsed key costs, on the server's core, microseconds of CPU.
fn raw_verification(scene: &Scene, algorithm: Algorithm, count: usize) -> anyhow::Result<f64> {
    let key = scene.keys.verifier(algorithm)?;
    let tokens = scene.tokens(algorithm, Kind::Good, count)?;
    let mut signed: Vec<(Bytes, Vec<u8>)> = Vec::with_capacity(tokens.len());
    for (message, signature) in tokens.iter().filter_map(|token| token.rsplit_once('.')) {
        signed.push((Bytes::copy_from_slice(message.as_bytes()), URL_SAFE_NO_PAD.decode(signature)?));
    }
    on_core(SERVER_CORE, || {
        let me = std::process::id();
        let (before, mut done) = (cpu_seconds(me)?, 0u64);
        while cpu_seconds(me)? - before < 1.0 {
            for (message, signature) in signed.iter().cycle().skip(usize::try_from(done)? % signed.len()).take(2_000) {
                ensure!(black_box(key.verify_sig(message, signature)).is_ok(), "a good token does not verify");
                done += 1;
            }
        }
        Ok((cpu_seconds(me)? - before) * 1e6 / done as f64)
    })?
}
