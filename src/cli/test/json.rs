//! A run as JSON. `docs/testing.md` describes each member; a test holds the two to each other.

use serde_json::{Value, json};

use super::pass::{Done, Outcome, Pass};
use crate::cases::Fault;
use crate::cases::coverage::{Count, Coverage, Gap};
use crate::cases::expect::Compared;
use crate::cli::token::report::shown;
use crate::config::written::Place;

/// Grows with each change that a reader could stumble over.
const VERSION: u32 = 1;

pub(super) fn document(pass: &Pass) -> Value {
    json!({
        "version": VERSION,
        "at": shown(pass.at),
        "policy": pass.policy.display().to_string(),
        "files": pass.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>(),
        "passed": pass.passed(),
        "failed": pass.failed(),
        "undecided": pass.undecided(),
        "cases": pass.done.iter().map(case).collect::<Vec<_>>(),
        "faults": pass.faults.iter().map(fault).collect::<Vec<_>>(),
        "coverage": coverage(&pass.coverage),
    })
}

fn case(done: &Done) -> Value {
    let (outcome, error) = match &done.outcome {
        Outcome::Passed => ("passed", None),
        Outcome::Failed(_) => ("failed", None),
        Outcome::Undecided(error) => ("undecided", Some(error)),
    };
    let otherwise = match &done.outcome {
        Outcome::Failed(otherwise) => Some(otherwise),
        Outcome::Passed | Outcome::Undecided(_) => None,
    };
    let differs = otherwise.map(|otherwise| {
        let differing = otherwise.compared.iter().filter(|one| !one.agrees());
        differing
            .map(|Compared { what, expected, got, .. }| json!({ "what": what, "expected": expected, "got": got }))
            .collect::<Vec<_>>()
    });
    json!({
        "name": done.case.name,
        "file": done.case.place.file.display().to_string(),
        "line": done.case.place.position.0,
        "outcome": outcome,
        "error": error,
        "differs": differs,
        "because": otherwise.map(|otherwise| &otherwise.because),
        "explanation": otherwise.map(|otherwise| &otherwise.explanation),
    })
}

fn fault(fault: &Fault) -> Value {
    json!({
        "file": fault.file.display().to_string(),
        "line": fault.position.map(|(line, _)| line),
        "column": fault.position.map(|(_, column)| column),
        "path": fault.path,
        "message": fault.message,
    })
}

fn coverage(coverage: &Coverage) -> Value {
    let counts = coverage.counts();
    let count = |Count { exercised, total }: Count| json!({ "exercised": exercised, "total": total });
    json!({
        "percent": counts.percent(),
        "rules": count(counts.rules),
        "requirements": count(counts.requirements),
        "alternatives": count(counts.alternatives),
        "gaps": coverage.gaps().iter().map(gap).collect::<Vec<_>>(),
    })
}

fn gap(Gap { place, rule, what, unseen }: &Gap) -> Value {
    let Place { file, position: (line, column), path } = place;
    json!({
        "file": file.display().to_string(),
        "line": line,
        "column": column,
        "path": path,
        "rule": rule,
        "what": Some(what).filter(|what| !what.is_empty()),
        "unseen": unseen,
    })
}
