//! Rows 6 and 13: what is seen through a real Envoy.

use crate::envoy::{mix, through};
use crate::load::on_this_thread;
use crate::table::{Bench, Findings, Group};

/// The gate, the baselines and Envoy's own filters.
pub(super) const THROUGH: Group = Group { name: "through Envoy", numbers: &[6], run: run_through };

/// A realistic mix of clients.
pub(super) const MIX: Group = Group { name: "a realistic mix through Envoy", numbers: &[13], run: run_mix };

fn run_through(bench: &Bench) -> anyhow::Result<Findings> {
    let effort = if bench.quick { through::Effort::QUICK } else { through::Effort::FULL };
    let effort = through::Effort { rounds: bench.effort.rounds, ..effort };
    let seen = on_this_thread(through::measure(&bench.scene, &effort))?;
    Ok(Findings { rows: seen.rows(), bars: Vec::new() })
}

fn run_mix(bench: &Bench) -> anyhow::Result<Findings> {
    let effort = if bench.quick { mix::Effort::QUICK } else { mix::Effort::FULL };
    let seen = on_this_thread(mix::measure(&bench.scene, &effort))?;
    Ok(Findings { rows: seen.rows(), bars: Vec::new() })
}
