//! Row 9: a reload of ten thousand rules every two seconds.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::compare::window;
use crate::load::open::{self, steady, stream};
use crate::load::{Outcome, Rotation, Tally, on_this_thread};
use crate::mint::{Algorithm, Kind};
use crate::policy::Policy;
use crate::scene::Scene;
use crate::scrape::{fetch, sum};
use crate::stats::Spread;
use crate::table::{Bench, Findings, Group, Row, Verdict};

/// The group.
pub(super) const GROUP: Group = Group { name: "reload under load", numbers: &[9], run };

const EVERY: Duration = Duration::from_secs(2);

fn run(bench: &Bench) -> anyhow::Result<Findings> {
    let bodies = bench.scene.bodies(Algorithm::Rs256, Kind::Good, bench.effort.tokens)?;
    let lasts = Duration::from_secs(if bench.quick { 6 } else { 20 });
    let (mut quiet, mut reloading, mut failed, mut reloads) = (Vec::new(), Vec::new(), 0, 0.0);
    let mut rate = 0.0;
    for round in 0..bench.effort.rounds {
        on_this_thread(async {
            let probes = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
            let mut policy = Policy::usual(bench.scene.endpoint("gate")?);
            policy.server.push(format!("probes: {{ listen: '{probes}' }}"));
            policy.rules = ten_thousand(0);
            let server = bench.scene.start_gate(&policy).await?;
            if rate == 0.0 {
                rate = window(&server, bodies.clone(), &bench.effort, Outcome::Allow).await?.per_second() / 2.0;
            }
            let shape = open::Shape {
                endpoint: server.endpoint().clone(),
                connections: bench.effort.connections,
                in_flight: 1024,
                patience: None,
            };
            let source = || vec![stream(Rotation::shuffled(bodies.clone()))];
            let phases = steady(&[Duration::from_secs(2), lasts], &[rate]);
            let without = open::run(&shape, source(), &phases, &mut || Ok(0.0)).await?;
            let before = sum(&fetch(probes, "/metrics")?, "tollgate_reloads_total", &["true"]);
            let rewriting = Rewriting::start(&bench.scene, &policy);
            let with = open::run(&shape, source(), &phases, &mut || Ok(0.0)).await?;
            drop(rewriting);
            reloads += sum(&fetch(probes, "/metrics")?, "tollgate_reloads_total", &["true"]) - before;
            let (without, with) = (&without[1].tallies[0], &with[1].tallies[0]);
            failed += without.other_than(Outcome::Allow) + with.other_than(Outcome::Allow);
            let p99 = |tally: &Tally| tally.quantile_us(0.99);
            eprintln!(
                "round {}: p99 {:.0} us, with reloads {:.0} us {:?}",
                round + 1,
                p99(without),
                p99(with),
                with.counts()
            );
            quiet.push(p99(without));
            reloading.push(p99(with));
            Ok(())
        })?;
    }
    ensure!(reloads >= bench.effort.rounds as f64, "only {reloads} reloads were seen");
    let p99 = |values: &[f64]| Spread::of(values).map_or(0.0, |spread| spread.median);
    let (a, b) = (p99(&quiet), p99(&reloading));
    let what = format!("10,000 rules reloaded every 2 s at {rate:.0}/s: p99 ({b:.0} µs against {a:.0} µs)");
    let rows = vec![
        Row::ratio(9, what, 2.0, "without reloads", Spread::of_ratios(&reloading, &quiet)),
        Row::new(
            9,
            "the same: failed calls",
            "0",
            format!("{failed}, in {reloads:.0} reloads"),
            Verdict::of(failed == 0),
        ),
    ];
    Ok(Findings { rows, bars: Vec::new() })
}

/// Ten thousand rules, of which each version has others.
fn ten_thousand(version: usize) -> Vec<String> {
    let rule = |n: usize| {
        format!(
            "{{ name: r{n}, match: {{ hosts: [h{}.internal], paths: ['/api/v{version}/things{n}/**'] }}, allow: anonymous }}",
            n % 500
        )
    };
    (0..10_000).map(rule).collect()
}

/// Writes another version of the configuration every two seconds, until it is dropped.
struct Rewriting {
    stop: std::sync::Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Rewriting {
    fn start(scene: &Scene, policy: &Policy) -> Self {
        let texts = [1, 0].map(|version| Policy { rules: ten_thousand(version), ..policy.clone() }.text());
        let file = scene.folder().join("policy.yaml");
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let stopped = std::sync::Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut next = Instant::now();
            for text in texts.iter().cycle() {
                if stopped.load(Relaxed) || replace(&file, text).is_err() {
                    return;
                }
                next += EVERY;
                while Instant::now() < next && !stopped.load(Relaxed) {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Rewriting {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// As editors and configuration management do it: never half a file.
pub(super) fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(new, file)
}
