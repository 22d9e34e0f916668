//! The coverage in LCOV's tracefile format (geninfo(1)): rules are functions, each way that a requirement can go is a
//! branch, and lines are those on which something stands that is counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::cases::coverage::Coverage;
use crate::cli::printable::Printable;
use crate::config::written::Place;

/// What is counted in one file.
#[derive(Default)]
struct File {
    /// Line, name, count.
    rules: Vec<(usize, String, u64)>,
    /// Line; whether it was come to; the count of each way from there.
    branches: Vec<(usize, bool, Vec<u64>)>,
    /// Count, by line.
    lines: BTreeMap<usize, u64>,
}

/// Records for every file that rules stand in.
pub(super) fn records(coverage: &Coverage) -> String {
    let mut files: BTreeMap<String, File> = BTreeMap::new();
    // A line break would begin another record.
    let mut at = |place: &Place, add: &dyn Fn(&mut File, usize), count: u64| {
        let name = Printable::line(&place.file.display().to_string()).to_string();
        let file = files.entry(name).or_default();
        let line = place.position.0.max(1);
        *file.lines.entry(line).or_default() += count;
        add(file, line);
    };
    for rule in &coverage.rules {
        let name = Printable::line(&rule.name).to_string();
        at(&rule.place, &|file, line| file.rules.push((line, name.clone(), rule.answered)), rule.answered);
        let once = |reached: bool, count: u64| {
            move |file: &mut File, line: usize| file.branches.push((line, reached, vec![count]))
        };
        for requirement in &rule.requirements {
            let ways = vec![requirement.held, requirement.failed];
            let judged = requirement.held + requirement.failed;
            at(&requirement.place, &|file, line| file.branches.push((line, judged > 0, ways.clone())), judged);
            for one in &requirement.alternatives {
                at(&one.place, &once(requirement.held > 0, one.alone), one.alone);
            }
        }
        if let Some(preflight) = &rule.preflight {
            at(&preflight.place, &once(rule.answered > 0, preflight.alone), preflight.alone);
        }
    }
    let mut out = String::new();
    for (name, file) in &files {
        // Writing to a string cannot fail.
        let _ = file.write(name, &mut out);
    }
    out
}

impl File {
    fn write(&self, name: &str, out: &mut String) -> std::fmt::Result {
        writeln!(out, "TN:\nSF:{name}")?;
        for (line, rule, _) in &self.rules {
            writeln!(out, "FN:{line},{rule}")?;
        }
        for (_, rule, count) in &self.rules {
            writeln!(out, "FNDA:{count},{rule}")?;
        }
        let hit = self.rules.iter().filter(|(.., count)| *count > 0).count();
        writeln!(out, "FNF:{}\nFNH:{hit}", self.rules.len())?;
        let (mut found, mut hit) = (0_usize, 0_usize);
        for (block, (line, reached, ways)) in self.branches.iter().enumerate() {
            for (branch, count) in ways.iter().enumerate() {
                found += 1;
                hit += usize::from(*count > 0);
                let taken = if *reached || *count > 0 { count.to_string() } else { "-".to_owned() };
                writeln!(out, "BRDA:{line},{block},{branch},{taken}")?;
            }
        }
        writeln!(out, "BRF:{found}\nBRH:{hit}")?;
        for (line, count) in &self.lines {
            writeln!(out, "DA:{line},{count}")?;
        }
        let hit = self.lines.values().filter(|count| **count > 0).count();
        writeln!(out, "LF:{}\nLH:{hit}\nend_of_record", self.lines.len())
    }
}
