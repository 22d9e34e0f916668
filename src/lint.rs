//! Findings about a policy that loads, but may not be what its author meant.
//!
//! What is said of a rule is proven on the very table that serves: a rule is called unreachable only where
//! [`algebra`](crate::core::table::algebra) shows that others take every request, and every example is asked of the table
//! before it is shown.

mod allow;
mod claims;
mod code;
mod gaps;
mod grants;
mod headers;
mod issuers;
mod names;
mod overlap;
mod policy;
mod reach;
mod server;
mod unused;

use crate::config::Config;
use crate::config::written::{Place, Spot};
use crate::core::table::algebra::Sample;

pub use code::{Code, Severity};
use policy::Policy;

/// Something about a configuration that its author should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub code: Code,
    /// Where.
    pub place: Place,
    /// What is wrong, with the names; lower case, no final period.
    pub message: String,
    /// A request that shows it.
    pub example: Option<Example>,
    /// The lines on which a comment may allow it.
    lines: Vec<usize>,
}

/// A request, and who answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The request.
    pub request: Sample,
    /// The rule that answers it; `None` where none does.
    pub answered_by: Option<String>,
}

/// What was found, by place.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What nobody allowed.
    pub findings: Vec<Finding>,
    /// How many findings comments and the configuration allow.
    pub allowed: usize,
}

impl Finding {
    fn new(code: Code, spot: &Spot<'_>, message: impl Into<String>) -> Self {
        let lines = spot.lines().to_vec();
        Self { code, place: spot.place(), message: message.into(), example: None, lines }
    }

    fn with_example(self, request: Sample, answered_by: Option<&str>) -> Self {
        Self { example: Some(Example { request, answered_by: answered_by.map(str::to_owned) }), ..self }
    }
}

/// Looks at a configuration.
pub fn lint(config: &Config) -> Report {
    let Some(policy) = Policy::new(config) else { return Report::default() };
    let mut findings = Vec::new();
    reach::find(&policy, &mut findings);
    overlap::find(&policy, &mut findings);
    gaps::find(&policy, &mut findings);
    claims::find(&policy, &mut findings);
    grants::find(&policy, &mut findings);
    names::find(&policy, &mut findings);
    headers::find(&policy, &mut findings);
    issuers::find(&policy, &mut findings);
    unused::find(&policy, &mut findings);
    server::find(&policy, &mut findings);
    // What is written once, and used by many, is found wanting once.
    findings.sort_by(|a, b| (&a.place, a.code).cmp(&(&b.place, b.code)));
    findings.dedup_by(|a, b| (&a.place, a.code) == (&b.place, b.code));
    let mut report = allow::apply(&policy, findings);
    report.findings.sort_by(|a, b| (&a.place, a.code).cmp(&(&b.place, b.code)));
    report
}
