//! What `tollgate test` shows. Nothing of a file's making reaches the terminal but as [`Printable`].

use std::io::{self, Write};

use super::TestArgs;
use super::pass::{Done, Otherwise, Outcome, Pass, place};
use crate::cases::coverage::{Count, Gap};
use crate::cases::expect::Compared;
use crate::cli::printable::{Printable, plural};
use crate::demo::Paint;

/// A column no wider than this is aligned.
const WIDEST: usize = 40;

/// What is shown.
pub(super) struct Text<'t> {
    pub(super) arguments: &'t TestArgs,
    pub(super) paint: Paint,
    pub(super) pass: &'t Pass,
}

impl Text<'_> {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for done in &self.pass.done {
            self.done(done, out)?;
        }
        for fault in &self.pass.faults {
            let word = self.paint.bad("FAULT");
            writeln!(out, "{word}   {}\n", Printable::line(&fault.to_string()))?;
        }
        self.coverage(out)?;
        let (passed, failed, undecided) = (self.pass.passed(), self.pass.failed(), self.pass.undecided());
        let mut parts = vec![self.paint.good(&format!("{passed} passed"))];
        if failed > 0 {
            parts.push(self.paint.bad(&format!("{failed} failed")));
        }
        if undecided > 0 {
            parts.push(self.paint.bad(&format!("{undecided} could not be decided")));
        }
        let files = plural(self.pass.files.len(), "file");
        writeln!(out, "{} in {files}", parts.join(", "))
    }

    fn done(&self, done: &Done, out: &mut impl Write) -> io::Result<()> {
        let title = format!("{}: {}", place(&done.case), done.case.name);
        let title = Printable::line(&title);
        match &done.outcome {
            Outcome::Passed if self.arguments.verbose => writeln!(out, "{}      {title}", self.paint.good("ok")),
            Outcome::Passed => Ok(()),
            Outcome::Undecided(error) => {
                writeln!(out, "{}   {title}\n  {}\n", self.paint.bad("FAULT"), Printable::line(error))
            }
            Outcome::Failed(otherwise) => {
                writeln!(out, "{}  {title}", self.paint.bad("FAILED"))?;
                self.difference(otherwise, out)?;
                if !self.arguments.explain {
                    let (policy, case) = (self.pass.policy.display(), &done.case.place);
                    let (file, line) = (case.file.display(), case.position.0);
                    let hint = format!("tollgate test --config {policy} {file} --filter :{line} --explain");
                    writeln!(out, "  {}  {}", self.paint.faint("explain"), Printable::line(&hint))?;
                }
                writeln!(out)
            }
        }
    }

    /// What was expected beside what came, and what that hangs on.
    fn difference(&self, otherwise: &Otherwise, out: &mut impl Write) -> io::Result<()> {
        let shown = |text: &str| Printable::line(text).to_string();
        let row = |one: &Compared| [&one.what, &one.expected, &one.got].map(|text| shown(text));
        let rows: Vec<[String; 3]> = otherwise.compared.iter().map(row).collect();
        let first = widest(rows.iter().map(|[what, ..]| &**what), WIDEST);
        let second = widest(rows.iter().map(|[_, expected, _]| &**expected).chain(["expected"]), WIDEST);
        let head = format!("  {:first$}  {:second$}  got", "", "expected");
        writeln!(out, "{}", self.paint.faint(&head))?;
        for (one, [what, expected, got]) in otherwise.compared.iter().zip(&rows) {
            let expected = format!("{expected:second$}");
            if one.agrees() {
                writeln!(out, "{}", self.paint.faint(&format!("  {what:first$}  {expected}  {got}")))?;
            } else {
                writeln!(out, "  {what:first$}  {}  {}", self.paint.good(&expected), self.paint.bad(got))?;
            }
        }
        for line in &otherwise.because {
            writeln!(out, "  {}  {}", self.paint.faint("because"), Printable::line(line))?;
        }
        Ok(())
    }

    fn coverage(&self, out: &mut impl Write) -> io::Result<()> {
        let counts = self.pass.coverage.counts();
        let of = |count: Count, what: &str| format!("{} of {}", count.exercised, plural(count.total, what));
        let percent = format!("{:.1} %", counts.percent());
        let short = self.arguments.coverage_min.is_some_and(|least| counts.percent() < least);
        let shown = if short { self.paint.bad(&percent) } else { self.paint.strong(&percent) };
        let gaps = self.pass.coverage.gaps();
        if self.arguments.coverage {
            self.gaps(&gaps, out)?;
        }
        let hint = if self.arguments.coverage || gaps.is_empty() {
            String::new()
        } else {
            self.paint.faint(" (`--coverage` lists the rest)")
        };
        let kinds =
            [(counts.rules, "rule"), (counts.requirements, "requirement"), (counts.alternatives, "alternative")];
        let parts: Vec<String> =
            kinds.into_iter().filter(|(count, _)| count.total > 0).map(|(count, what)| of(count, what)).collect();
        let parts = if parts.is_empty() { "there is no rule".to_owned() } else { parts.join(", ") };
        writeln!(out, "covered {shown}: {parts}{hint}")?;
        if let Some(least) = self.arguments.coverage_min.filter(|_| short) {
            writeln!(out, "{}", self.paint.bad(&format!("less than the {least} % of --coverage-min")))?;
        }
        Ok(())
    }

    fn gaps(&self, gaps: &[Gap], out: &mut impl Write) -> io::Result<()> {
        if gaps.is_empty() {
            return Ok(());
        }
        writeln!(out, "{}", self.paint.strong("not exercised"))?;
        let line = |gap: &Gap| {
            let (line, column) = gap.place.position;
            let place = format!("{}:{line}:{column}", gap.place.file.display());
            let rule = format!("rule `{}`", gap.rule);
            let what = if gap.what.is_empty() { rule } else { format!("{rule}, {}", gap.what) };
            [place, what].map(|text| Printable::line(&text).to_string())
        };
        let lines: Vec<[String; 2]> = gaps.iter().map(line).collect();
        let first = widest(lines.iter().map(|[place, _]| &**place), 2 * WIDEST);
        let second = widest(lines.iter().map(|[_, what]| &**what), 2 * WIDEST);
        for ([place, what], gap) in lines.iter().zip(gaps) {
            writeln!(out, "  {}  {what:second$}  {}", self.paint.faint(&format!("{place:first$}")), gap.unseen)?;
        }
        writeln!(out)
    }
}

/// How wide a column is: as its widest text, unless that is wider than is still aligned.
fn widest<'t>(texts: impl Iterator<Item = &'t str>, most: usize) -> usize {
    texts.map(|text| text.chars().count()).filter(|width| *width <= most).max().unwrap_or(0)
}
