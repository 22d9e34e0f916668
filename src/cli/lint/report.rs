//! What `tollgate lint` shows.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::Chosen;
use crate::cli::check::pretty;
use crate::cli::printable::{Printable, plural};
use crate::demo::Paint;
use crate::lint::{Code, Example, Finding, Report, Severity};

/// The findings, and a line that sums them up.
pub(super) fn text(
    report: &Report,
    chosen: &Chosen,
    rules: usize,
    paint: Paint,
    out: &mut impl Write,
) -> io::Result<()> {
    for finding in &report.findings {
        let severity = chosen.severity(finding);
        let kind = match severity {
            Severity::Error => paint.bad("error"),
            Severity::Warning => paint.strong("warning"),
            Severity::Note => paint.faint("note"),
        };
        let code = format!("{} {}", finding.code.id(), finding.code.name());
        writeln!(out, "{}{kind} {}", Printable::line(&place(finding)), paint.strong(&code))?;
        writeln!(out, "  {}", Printable::line(&finding.message))?;
        if let Some(example) = &finding.example {
            writeln!(out, "  {} {}", paint.faint("example"), Printable::line(&shown(example)))?;
        }
        writeln!(out, "  {}     {}", paint.faint("why"), finding.code.reason())?;
        writeln!(out, "  {}  {}\n", paint.faint("remedy"), finding.code.remedy())?;
    }
    let counts = counts(report, chosen);
    let parts = [(counts.errors, "error"), (counts.warnings, "warning"), (counts.notes, "note")];
    let some: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, noun)| plural(*count, noun)).collect();
    let found = if some.is_empty() { paint.good("nothing found") } else { some.join(", ") };
    let allowed = if report.allowed > 0 { format!(", {} allowed", report.allowed) } else { String::new() };
    writeln!(out, "{found} in {}{allowed}", plural(rules, "rule"))
}

/// The same as JSON; `docs/lint.md` has the schema.
pub(super) fn json(report: &Report, chosen: &Chosen, out: &mut impl Write) -> io::Result<()> {
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            let (line, column) = finding.place.position;
            let known = |number: usize| (number > 0).then_some(number);
            json!({
                "code": finding.code.id(),
                "name": finding.code.name(),
                "severity": chosen.severity(finding).as_str(),
                "file": finding.place.file.display().to_string(),
                "line": known(line),
                "column": known(column),
                "path": finding.place.path,
                "message": finding.message,
                "example": finding.example.as_ref().map(|Example { request, answered_by }| json!({
                    "request": request,
                    "answered_by": answered_by,
                })),
                "reason": finding.code.reason(),
                "remedy": finding.code.remedy(),
            })
        })
        .collect();
    let counts = counts(report, chosen);
    let whole = json!({
        "ok": !report.findings.iter().any(|finding| chosen.fails(finding)),
        "errors": [],
        "findings": findings,
        "summary": {
            "errors": counts.errors,
            "warnings": counts.warnings,
            "notes": counts.notes,
            "allowed": report.allowed,
        },
    });
    writeln!(out, "{}", Printable::lines(&pretty(&whole)))
}

/// Every code, a line for each.
pub(super) fn list(json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        let all: Vec<Value> = Code::ALL.iter().map(|code| described(*code)).collect();
        return writeln!(out, "{}", pretty(&Value::from(all)));
    }
    for code in Code::ALL {
        writeln!(out, "{}  {:<8} {}", code.id(), code.severity().as_str(), code.name())?;
    }
    Ok(())
}

/// What a code is about.
pub(super) fn explain(code: Code, json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        return writeln!(out, "{}", pretty(&described(code)));
    }
    writeln!(out, "{} {} ({})\n", code.id(), code.name(), code.severity().as_str())?;
    writeln!(out, "  why     {}", code.reason())?;
    writeln!(out, "  remedy  {}", code.remedy())?;
    writeln!(out, "  allow   # tollgate: allow({}) the reason", code.name())?;
    writeln!(out, "\ndocs/lint.md has an example.")
}

fn described(code: Code) -> Value {
    json!({
        "code": code.id(),
        "name": code.name(),
        "severity": code.severity().as_str(),
        "reason": code.reason(),
        "remedy": code.remedy(),
    })
}

struct Counts {
    errors: usize,
    warnings: usize,
    notes: usize,
}

fn counts(report: &Report, chosen: &Chosen) -> Counts {
    let count = |of: Severity| report.findings.iter().filter(|finding| chosen.severity(finding) == of).count();
    Counts { errors: count(Severity::Error), warnings: count(Severity::Warning), notes: count(Severity::Note) }
}

/// `policy.yaml:12:5: rules[3]: `.
fn place(finding: &Finding) -> String {
    let place = &finding.place;
    let (line, column) = place.position;
    let at = if line > 0 { format!(":{line}:{column}") } else { String::new() };
    let path = if place.path.is_empty() { String::new() } else { format!("{}: ", place.path) };
    format!("{}{at}: {path}", place.file.display())
}

fn shown(Example { request, answered_by }: &Example) -> String {
    match answered_by {
        Some(rule) => format!("`{request}` is answered by `{rule}`"),
        None => format!("`{request}` is answered by no rule"),
    }
}
