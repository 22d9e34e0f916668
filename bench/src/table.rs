//! The table: rows, each with what must be and what was.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::compare::Effort;
use crate::scene::Scene;
use crate::stats::Spread;

/// Whether a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// What must be is.
    Held,
    /// It is not, or it could not be measured.
    NotHeld,
    /// What it is about does not exist yet.
    NotYet,
}

impl Verdict {
    /// Of a comparison.
    pub const fn of(held: bool) -> Self {
        if held { Self::Held } else { Self::NotHeld }
    }

    /// As it is printed at the end of a row.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::NotHeld => "NOT HELD",
            Self::NotYet => "not yet",
        }
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its number; several rows may share one.
    pub number: u32,
    /// What is measured.
    pub what: String,
    /// What must be.
    pub bound: String,
    /// What was: the median.
    pub measured: String,
    /// The least and the most of all rounds; empty where there is one value.
    pub spread: String,
    /// Whether it holds.
    pub held: Verdict,
    /// The day on which it was measured (UTC), filled in when the document is written.
    #[serde(default)]
    pub measured_on: String,
}

impl Row {
    /// A row whose quotient, round by round, must not be above a bound.
    pub fn ratio(number: u32, what: impl Into<String>, bound: f64, of: &str, ratio: Option<Spread>) -> Self {
        let (measured, spread, held) = match ratio {
            None => ("not measured".to_owned(), String::new(), false),
            Some(ratio) => {
                (format!("{:.3} ×", ratio.median), format!("{:.3}–{:.3}", ratio.min, ratio.max), ratio.median <= bound)
            }
        };
        Self {
            number,
            what: what.into(),
            bound: format!("≤ {bound:.2} × {of}"),
            measured,
            spread,
            held: Verdict::of(held),
            measured_on: String::new(),
        }
    }

    /// A row of one's own wording.
    pub fn new(
        number: u32,
        what: impl Into<String>,
        bound: impl Into<String>,
        measured: impl Into<String>,
        held: Verdict,
    ) -> Self {
        Self {
            number,
            what: what.into(),
            bound: bound.into(),
            measured: measured.into(),
            spread: String::new(),
            held,
            measured_on: String::new(),
        }
    }

    /// The row as a line for people; it ends in its verdict.
    pub fn line(&self) -> String {
        let spread = if self.spread.is_empty() { String::new() } else { format!(" ({})", self.spread) };
        let Self { number, what, bound, measured, .. } = self;
        format!("{number:>2}  {what}: {measured}{spread}, must be {bound}: {}", self.held.text())
    }
}

/// A bar of the plot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// What it is of.
    pub label: String,
    /// CPU of the server for one call, microseconds.
    pub cpu_us: Spread,
}

/// What a group of measurements found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Rows of the table.
    pub rows: Vec<Row>,
    /// Bars of the plot, in the order in which they are shown.
    pub bars: Vec<Bar>,
}

/// What measurements work with.
#[derive(Debug)]
pub struct Bench {
    /// Programs, keys, tokens.
    pub scene: Scene,
    /// How much is measured.
    pub effort: Effort,
    /// Short, for development: what a row does beside rounds is scaled down, too.
    pub quick: bool,
}

impl Bench {
    /// A number of things, a tenth of them in a quick run.
    pub const fn scaled(&self, number: u64) -> u64 {
        if self.quick { number / 10 } else { number }
    }
}

/// Measurements that belong together, since they compare with each other.
#[derive(Clone, Copy)]
pub struct Group {
    /// For progress.
    pub name: &'static str,
    /// The numbers of the rows that it fills.
    pub numbers: &'static [u32],
    /// Measures.
    pub run: fn(&Bench) -> anyhow::Result<Findings>,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("name", &self.name).field("numbers", &self.numbers).finish_non_exhaustive()
    }
}

/// Runs the groups that fill any of the wanted rows (all, where none is named), and prints each row when it is known. A
/// group that fails leaves rows that are not held.
pub fn run(groups: &[Group], bench: &Bench, wanted: &BTreeSet<u32>) -> Findings {
    let is_wanted = |number: &u32| wanted.is_empty() || wanted.contains(number);
    let mut all = Findings::default();
    for group in groups.iter().filter(|group| group.numbers.iter().any(is_wanted)) {
        eprintln!("== {}", group.name);
        let found = (group.run)(bench).unwrap_or_else(|error| failed(group, &error));
        for row in found.rows.into_iter().filter(|row| is_wanted(&row.number)) {
            println!("{}", row.line());
            all.rows.push(row);
        }
        all.bars.extend(found.bars);
    }
    all.rows.sort_by_key(|row| row.number);
    all
}

fn failed(group: &Group, error: &anyhow::Error) -> Findings {
    eprintln!("{}: {error:#}", group.name);
    let row = |number: &u32| Row::new(*number, group.name, "measured", "the measurement failed", Verdict::NotHeld);
    Findings { rows: group.numbers.iter().map(row).collect(), bars: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_holds_by_its_median() {
        let spread = Spread { median: 0.8, min: 0.7, max: 0.95 };
        assert_eq!(Row::ratio(1, "x", 0.8, "stock", Some(spread)).held, Verdict::Held);
        let row = Row::ratio(1, "x", 0.79, "stock", Some(spread));
        assert_eq!(row.held, Verdict::NotHeld);
        assert_eq!(row.line(), " 1  x: 0.800 × (0.700–0.950), must be ≤ 0.79 × stock: NOT HELD");
        assert_eq!(Row::ratio(1, "x", 0.8, "stock", None).held, Verdict::NotHeld);
    }
}
