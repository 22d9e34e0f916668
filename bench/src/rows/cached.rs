//! Rows 1, 2 and 4: what costs no verification.

use bytes::Bytes;

use crate::compare::{Measured, alternate};
use crate::load::{Outcome, on_this_thread};
use crate::mint::{Algorithm, Kind};
use crate::policy::HOST;
use crate::request::{Ask, frame};
use crate::scene::Subject;
use crate::stats::Spread;
use crate::table::{Bench, Findings, Group, Row, Verdict};

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
        Case { name: "tuned, empty handler", subject: Subject::Tuned, bodies: good, expected: Outcome::Allow },
        Case { name: "gate, missing scope", subject: Subject::Gate, bodies: no_scope, expected: Outcome::Denied(403) },
        Case {
            name: "gate, no token",
            subject: Subject::Gate,
            bodies: without_token(count),
            expected: Outcome::Denied(401),
        },
    ];
    let measured = on_this_thread(alternate(&bench.effort, &cases, async |case| {
        let server = bench.scene.start(case.subject).await?;
        crate::compare::window(&server, case.bodies.clone(), &bench.effort, case.expected).await
    }))?;
    let [gate, stock, tuned, no_scope, no_token] = [0, 1, 2, 3, 4].map(|n: usize| &measured[n].cpu_us);
    let against = |number, what: &str, bound, of: &str, above: &[f64], below: &[f64]| {
        Row::ratio(number, what, bound, of, Spread::of_ratios(above, below))
    };
    let rows = vec![
        against(1, "cached allow, CPU, against stock", 0.80, "stock", gate, stock),
        against(1, "cached allow, CPU, against tuned", 0.95, "tuned", gate, tuned),
        Row::new(2, "cached allow, every decision audited", "≤ 1.00 × stock", "there is no audit log", Verdict::NotYet),
        against(4, "denial, missing scope, CPU", 1.05, "row 1", no_scope, gate),
        against(4, "denial, no token, CPU", 1.05, "row 1", no_token, gate),
    ];
    let order = [1, 2, 0, 3, 4];
    let bars = order.into_iter().filter_map(|n| measured[n].bar(cases[n].name)).collect();
    Ok(Findings { rows, bars })
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
