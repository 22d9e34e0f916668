//! Row 11: allocations for each cached allow.

use std::ffi::OsString;

use crate::compare::Effort;
use crate::load::{Outcome, on_this_thread};
use crate::mint::{Algorithm, Kind};
use crate::policy::Policy;
use crate::process::{Server, Start};
use crate::table::{Bench, Findings, Group, Row, Verdict};

/// The group.
pub(super) const GROUP: Group = Group { name: "allocations", numbers: &[11], run };

fn run(bench: &Bench) -> anyhow::Result<Findings> {
    let scene = &bench.scene;
    let counted = scene.built("release", "counted");
    let gate = scene.gate_start(&Policy::usual(scene.endpoint("gate")?))?;
    let arguments = [OsString::from("gate")].into_iter().chain(gate.arguments.clone()).collect();
    let gate = allocations(bench, Start { program: counted.clone(), arguments, ..gate })?;
    let endpoint = scene.endpoint("tuned")?;
    let tuned = Start {
        program: counted,
        arguments: vec!["tuned".into(), endpoint.to_string().into()],
        environment: Vec::new(),
        endpoint,
        log: scene.folder().join("counted.log"),
    };
    let tuned = allocations(bench, tuned)?;
    let row = Row::new(
        11,
        "allocations per cached allow, whole process, less the tuned baseline's",
        "reported; aim ≤ 0",
        format!("{:+.1} ({gate:.1} against {tuned:.1})", gate - tuned),
        Verdict::Held,
    );
    Ok(Findings { rows: vec![row], bars: Vec::new() })
}

fn allocations(bench: &Bench, mut start: Start) -> anyhow::Result<f64> {
    let bodies = bench.scene.bodies(Algorithm::Rs256, Kind::Good, bench.effort.tokens)?;
    let counter = bench.scene.folder().join("allocations");
    start.environment.push(("TOLLGATE_BENCH_COUNTER".to_owned(), counter.clone().into()));
    on_this_thread(async {
        let server = Server::start(start, &bench.scene.opening()?).await?;
        // Enough that what the process does beside calls does not show.
        let effort = Effort { cpu_seconds: bench.scaled(5_000_000) as f64, ..bench.effort };
        let mut count = || {
            let bytes = std::fs::read(&counter)?;
            Ok(bytes.try_into().map(u64::from_le_bytes).unwrap_or(0) as f64)
        };
        let seen = crate::compare::probed(&server, bodies, &effort, Outcome::Allow, &mut count).await?;
        Ok(seen.micros_per_call() / 1e6)
    })
}
