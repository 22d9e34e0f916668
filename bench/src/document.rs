//! What is kept of a run: `docs/benchmarks.json` with all figures, and what is made of it for people, `docs/benchmarks.md`
//! and `docs/benchmarks.svg`.
//!
//! A run of some rows replaces those rows and keeps the others, each with the day on which it was measured.

mod day;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::plot;
use crate::table::{Bar, Findings, Row};
pub use day::today;

/// Everything that is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Where it was measured last.
    pub machine: Machine,
    /// The table.
    pub rows: Vec<Row>,
    /// The plot.
    pub bars: Vec<Bar>,
}

impl Document {
    /// The one that is kept in a folder; an empty one where there is none.
    ///
    /// # Errors
    /// There is one that cannot be read: it is not overwritten.
    pub fn kept_in(folder: &Path) -> anyhow::Result<Self> {
        match std::fs::read(folder.join("benchmarks.json")) {
            Ok(json) => serde_json::from_slice(&json).context("`benchmarks.json` is not of this form"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes in what was found: rows of the same numbers, and bars of the same names, go.
    pub fn merge(&mut self, machine: Machine, found: Findings, day: &str) {
        self.machine = machine;
        let numbers: BTreeSet<u32> = found.rows.iter().map(|row| row.number).collect();
        self.rows.retain(|row| !numbers.contains(&row.number));
        self.rows.extend(found.rows.into_iter().map(|row| Row { measured_on: day.to_owned(), ..row }));
        self.rows.sort_by_key(|row| row.number);
        for bar in found.bars {
            match self.bars.iter_mut().find(|old| old.label == bar.label) {
                Some(old) => *old = bar,
                None => self.bars.push(bar),
            }
        }
    }

    /// Writes all three files.
    ///
    /// # Errors
    /// The folder's, or the plot's.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::write(folder.join("benchmarks.json"), serde_json::to_string_pretty(self)? + "\n")?;
        std::fs::write(folder.join("benchmarks.md"), self.markdown())?;
        std::fs::write(folder.join("benchmarks.svg"), plot::bars(&self.bars)?)?;
        Ok(())
    }

    /// The document for people.
    pub fn markdown(&self) -> String {
        let mut text = String::from(ABOUT);
        text.push_str(
            "\n| # | what | must be | measured (median) | least–most | | on |\n|---|---|---|---|---|---|---|\n",
        );
        for row in &self.rows {
            let Row { number, what, bound, measured, spread, held, measured_on } = row;
            // A String takes whatever is written, here and below.
            let _ = writeln!(
                text,
                "| {number} | {what} | {bound} | {measured} | {spread} | {} | {measured_on} |",
                held.text()
            );
        }
        text.push_str("\n## CPU of one call\n\n![CPU of the server for one call](benchmarks.svg)\n\n");
        text.push_str("| server and request | CPU for one call, µs | least–most |\n|---|---|---|\n");
        for Bar { label, cpu_us } in &self.bars {
            let _ = writeln!(text, "| {label} | {:.2} | {:.2}–{:.2} |", cpu_us.median, cpu_us.min, cpu_us.max);
        }
        text.push_str("\n## Machine and versions\n\n| | |\n|---|---|\n");
        for (name, what) in &self.machine.facts {
            let _ = writeln!(text, "| {name} | {what} |");
        }
        text.push_str(HOW);
        text
    }
}

const ABOUT: &str = "\
# Benchmarks

Written by `make bench`; do not edit. The figures are in [benchmarks.json](benchmarks.json), too.

Servers are compared inside one run, in rounds that alternate between them, each round with servers that were started
anew. The server has one core, the load another. A call is a `CheckRequest` as Envoy sends it, with 13 headers and a
token of about 800 bytes; there are 10,000 tokens in rotation, 100 rules, and metrics, decision ids and dynamic metadata
are on. *Stock* is tonic with `envoy-types` as their documentation shows it: it reads the request and answers three headers.
*Tuned* is the same handler with the gate's allocator, profile, threads and HTTP/2 settings. CPU is that of the server's
process by `/proc/PID/stat`, over at least 5 s of it. Times under open load count from when a call was due. The load
writes as Envoy does: what calls of one moment have to say on one connection goes out together.
";

const HOW: &str = "
## Commands

```console
$ make bench                        # all rows; writes this page
$ make bench ARGS='--rows 1,3'      # some rows; the others stay as they are
$ make bench ARGS='--quick'         # short rounds, for development; writes nothing
$ target/release/tollgate-bench compare    # gate, stock and tuned on cached allows
```

`make bench` builds `cargo build --release --bin tollgate`, `cargo build --profile image --bin tollgate`,
`cargo build --release --package tollgate-bench` and `cargo build --profile stock --package tollgate-bench --bin stock`,
then runs `target/release/tollgate-bench table`. The machine should do nothing else meanwhile.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Spread;
    use crate::table::Verdict;

    fn row(number: u32, what: &str) -> Row {
        Row::new(number, what, "b", "m", Verdict::Held)
    }

    fn bar(label: &str, at: f64) -> Bar {
        Bar { label: label.to_owned(), cpu_us: Spread { median: at, min: at, max: at } }
    }

    #[test]
    fn a_run_of_some_rows_keeps_the_others_with_their_days() {
        let mut document = Document::default();
        let all = Findings {
            rows: vec![row(1, "a"), row(3, "old"), row(3, "gone"), row(12, "z")],
            bars: vec![bar("x", 1.0), bar("y", 2.0)],
        };
        document.merge(Machine::default(), all, "2026-01-01");
        let some = Findings { rows: vec![row(3, "new")], bars: vec![bar("x", 3.0)] };
        document.merge(Machine::default(), some, "2026-01-02");
        let rows: Vec<_> = document.rows.iter().map(|row| (row.number, &*row.what, &*row.measured_on)).collect();
        assert_eq!(rows, [(1, "a", "2026-01-01"), (3, "new", "2026-01-02"), (12, "z", "2026-01-01")]);
        assert_eq!(document.bars, [bar("x", 3.0), bar("y", 2.0)]);
    }

    #[test]
    fn what_is_written_is_read_again_and_what_is_broken_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Document::kept_in(folder.path()).unwrap(), Document::default());
        let mut document = Document::default();
        document.merge(
            Machine { facts: vec![("CPU".into(), "x".into())] },
            Findings { rows: vec![row(1, "a")], bars: vec![bar("x", 1.0)] },
            "2026-01-01",
        );
        document.write(folder.path()).unwrap();
        assert_eq!(Document::kept_in(folder.path()).unwrap(), document);
        let page = std::fs::read_to_string(folder.path().join("benchmarks.md")).unwrap();
        assert!(page.contains("| 1 | a | b | m |  | held | 2026-01-01 |"), "{page}");
        std::fs::write(folder.path().join("benchmarks.json"), "{").unwrap();
        assert!(Document::kept_in(folder.path()).is_err());
    }
}
