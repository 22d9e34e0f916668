//! Rows 1, 2 and 4: what costs no verification.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;

use crate::compare::{Measured, alternate};
use crate::load::closed::Seen;
use crate::load::{Outcome, on_this_thread};
use crate::mint::{Algorithm, Kind};
use crate::policy::{HOST, Policy};
use crate::request::{Ask, frame};
use crate::scene::Subject;
use crate::scrape::{fetch, sum};
use crate::stats::Spread;
use crate::table::{Bench, Findings, Group, Row};

/// The group.
pub(super) const GROUP: Group =
    Group { name: "cached allows, and denials without a verification", numbers: &[1, 2, 4], run };

fn run(bench: &Bench) -> anyhow::Result<Findings> {
    let count = bench.effort.tokens;
    let good = bench.scene.bodies(Algorithm::Rs256, Kind::Good, count)?;
    let no_scope = bench.scene.bodies(Algorithm::Rs256, Kind::ScopeMissing, count)?;
    let cases = [
        Case { name: "gate, cached allow", subject: Subject::Gate, bodies: good.clone(), expected: Outcome::Allow },
        Case { name: "stock, empty handler", subject: Subject::Stock, bodies: good.clone(), expected: Outcome::Allow },
        Case { name: "tuned, empty handler", subject: Subject::Tuned, bodies: good.clone(), expected: Outcome::Allow },
        Case { name: "gate, missing scope", subject: Subject::Gate, bodies: no_scope, expected: Outcome::Denied(403) },
        Case {
            name: "gate, no token",
            subject: Subject::Gate,
            bodies: without_token(count),
            expected: Outcome::Denied(401),
        },
        Case { name: AUDITED, subject: Subject::Gate, bodies: good, expected: Outcome::Allow },
    ];
    let measured = on_this_thread(alternate(&bench.effort, &cases, async |case| {
        if case.name == AUDITED {
            return audited(bench, case).await;
        }
        let server = bench.scene.start(case.subject).await?;
        crate::compare::window(&server, case.bodies.clone(), &bench.effort, case.expected).await
    }))?;
    let [gate, stock, tuned, no_scope, no_token, audited] = [0, 1, 2, 3, 4, 5].map(|n: usize| &measured[n].cpu_us);
    let against = |number, what: &str, bound, of: &str, above: &[f64], below: &[f64]| {
        Row::ratio(number, what, bound, of, Spread::of_ratios(above, below))
    };
    let rows = vec![
        against(1, "cached allow, CPU, against stock", 0.80, "stock", gate, stock),
        against(1, "cached allow, CPU, against tuned", 0.95, "tuned", gate, tuned),
        against(2, "cached allow, every decision audited to a file, CPU", 1.00, "stock", audited, stock),
        against(4, "denial, missing scope, CPU", 1.05, "row 1", no_scope, gate),
        against(4, "denial, no token, CPU", 1.05, "row 1", no_token, gate),
    ];
    let order = [1, 2, 0, 5, 3, 4];
    let bars = order.into_iter().filter_map(|n| measured[n].bar(cases[n].name)).collect();
    Ok(Findings { rows, bars })
}

/// The case whose gate writes a line for each decision.
const AUDITED: &str = "gate, cached allow, audited";

/// Longest wait for the last lines.
const LAST_LINES: Duration = Duration::from_secs(5);

/// A window on a gate with an audit log that keeps up: every decision has its line in the file.
async fn audited(bench: &Bench, case: &Case) -> anyhow::Result<Seen> {
    let log = bench.scene.folder().join("audit.jsonl");
    if log.exists() {
        std::fs::remove_file(&log)?;
    }
    let probes = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut policy = Policy::usual(bench.scene.endpoint("audited")?);
    policy.server.push(format!("probes: {{ listen: '{probes}' }}"));
    policy.audit = format!("audit: {{ to: {{ file: '{}' }} }}\n", log.display());
    let server = bench.scene.start_gate(&policy).await?;
    let seen = crate::compare::window(&server, case.bodies.clone(), &bench.effort, case.expected).await?;
    every_decision_is_there(probes, &log).await?;
    drop(server);
    std::fs::remove_file(&log)?;
    Ok(seen)
}

async fn every_decision_is_there(probes: SocketAddr, log: &Path) -> anyhow::Result<()> {
    let late = Instant::now() + LAST_LINES;
    loop {
        let metrics = fetch(probes, "/metrics")?;
        let decisions = sum(&metrics, "tollgate_decisions_total", &[]);
        let of = |outcome| sum(&metrics, "tollgate_audit_lines_total", &[outcome]);
        let (written, dropped) = (of("written"), of("dropped"));
        ensure!(dropped == 0.0, "{dropped} lines were dropped");
        if written == decisions {
            let lines = std::fs::read(log)?.into_iter().filter(|byte| *byte == b'\n').count();
            ensure!(lines as f64 == decisions, "{lines} lines in the file for {decisions} decisions");
            return Ok(());
        }
        ensure!(Instant::now() < late, "{written} lines were written for {decisions} decisions");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

struct Case {
    name: &'static str,
    subject: Subject,
    bodies: Vec<Bytes>,
    expected: Outcome,
}

impl Measured for Case {
    fn name(&self) -> &str {
        self.name
    }
}

fn without_token(count: usize) -> Vec<Bytes> {
    let ask = |nth: u64| {
        frame(&Ask { host: HOST, path: &format!("/api/internal/payments/pay_{nth:08}"), nth, ..Ask::default() })
    };
    (0..count as u64).map(ask).collect()
}
