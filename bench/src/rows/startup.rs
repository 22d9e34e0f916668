//! Row 10: what it takes to be there.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::policy::Policy;
use crate::process::{Server, Start};
use crate::scrape::fetch;
use crate::stats::Spread;
use crate::table::{Bench, Findings, Group, Row, Verdict};

/// The group.
pub(super) const GROUP: Group = Group { name: "start, idle memory, size", numbers: &[10], run };

fn run(bench: &Bench) -> anyhow::Result<Findings> {
    let (mut ready_ms, mut idle_mb) = (Vec::new(), Vec::new());
    for _ in 0..bench.effort.rounds.max(5) {
        let probes = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut policy = Policy::usual(bench.scene.endpoint("gate")?);
        policy.server.push(format!("probes: {{ listen: '{probes}' }}"));
        let start = Start { program: bench.scene.shipped(), ..bench.scene.gate_start(&policy)? };
        let begun = Instant::now();
        let server = Server::spawn(start)?;
        while fetch(probes, "/readyz").is_err() {
            ensure!(begun.elapsed() < Duration::from_secs(10), "the gate does not get ready:\n{}", server.printed());
            std::thread::sleep(Duration::from_micros(200));
        }
        ready_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_secs(1));
        idle_mb.push(server.memory()?.resident as f64 / 1e6);
    }
    let rows = vec![
        limit("start to ready, 100 rules, file keys", "< 100 ms", 100.0, "ms", &ready_ms),
        limit("idle RSS", "< 16 MB", 16.0, "MB", &idle_mb),
        size(bench),
    ];
    Ok(Findings { rows, bars: Vec::new() })
}

fn limit(what: &str, bound: &str, below: f64, unit: &str, values: &[f64]) -> Row {
    let Some(spread) = Spread::of(values) else {
        return Row::new(10, what, bound, "not measured", Verdict::NotHeld);
    };
    let row = Row::new(10, what, bound, format!("{:.1} {unit}", spread.median), Verdict::of(spread.median < below));
    Row { spread: format!("{:.1}–{:.1}", spread.min, spread.max), ..row }
}

fn size(bench: &Bench) -> Row {
    let what = "stripped binary (profile `image`)";
    match std::fs::metadata(bench.scene.built("image", "tollgate")) {
        Ok(file) => Row::new(10, what, "reported", format!("{:.1} MB", file.len() as f64 / 1e6), Verdict::Held),
        Err(_) => Row::new(10, what, "reported", "it was not built", Verdict::NotHeld),
    }
}
