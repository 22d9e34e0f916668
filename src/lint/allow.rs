//! What the author allowed: by a comment at the place, or for all files under `lint.allow`.

use std::sync::Arc;

use super::policy::Policy;
use super::{Code, Finding, Report};
use crate::config::written::{Place, Remark, Spot};

/// A code that is allowed somewhere, and whether that silenced anything.
struct Allowance<'w> {
    code: Code,
    of: Of<'w>,
    used: bool,
}

enum Of<'w> {
    Comment(Remark),
    Everything(Spot<'w>),
}

/// Takes out what is allowed, and adds what is wrong with allowances.
pub(super) fn apply(policy: &Policy<'_>, findings: Vec<Finding>) -> Report {
    let mut report = Report::default();
    let mut allowances = Vec::new();
    for remark in policy.written.remarks() {
        read(&remark, &mut allowances, &mut report.findings);
    }
    let list = policy.root.find("lint").and_then(|lint| lint.find("allow"));
    for spot in list.iter().flat_map(Spot::items) {
        let Some(text) = spot.text() else { continue };
        match Code::parse(text) {
            Some(code) => allowances.push(Allowance { code, of: Of::Everything(spot), used: false }),
            None => report.findings.push(Finding::new(Code::UnknownCode, &spot, unknown(text))),
        }
    }
    for finding in findings {
        let mut allowed = false;
        for allowance in allowances.iter_mut().filter(|allowance| allowance.speaks_of(&finding)) {
            allowance.used = true;
            allowed = true;
        }
        if allowed { report.allowed += 1 } else { report.findings.push(finding) }
    }
    for Allowance { code, of, .. } in allowances.into_iter().filter(|allowance| !allowance.used) {
        let message = format!("nothing here is `{}`", code.name());
        report.findings.push(match of {
            Of::Comment(remark) => about(Code::UnusedAllow, remark.place, message),
            Of::Everything(spot) => Finding::new(Code::UnusedAllow, &spot, message),
        });
    }
    report
}

impl Allowance<'_> {
    fn speaks_of(&self, finding: &Finding) -> bool {
        self.code == finding.code
            && !finding.code.is_about_allowances()
            && match &self.of {
                Of::Everything(_) => true,
                Of::Comment(Remark { place, of_line, .. }) => {
                    Arc::ptr_eq(&place.file, &finding.place.file) && finding.lines.contains(of_line)
                }
            }
    }
}

/// Reads `allow(CODE, CODE) reason`.
fn read(remark: &Remark, allowances: &mut Vec<Allowance<'_>>, findings: &mut Vec<Finding>) {
    let malformed = |message: &str| about(Code::MalformedAllow, remark.place.clone(), message);
    let inside = remark.text.strip_prefix("allow(").and_then(|rest| rest.split_once(')'));
    let Some((codes, reason)) = inside else {
        findings.push(malformed("this comment is not understood"));
        return;
    };
    if !reason.chars().any(char::is_alphanumeric) {
        findings.push(malformed("no reason is given"));
    }
    for code in codes.split(',').map(str::trim) {
        match Code::parse(code) {
            Some(code) => allowances.push(Allowance { code, of: Of::Comment(remark.clone()), used: false }),
            None => findings.push(about(Code::UnknownCode, remark.place.clone(), unknown(code))),
        }
    }
}

fn unknown(code: &str) -> String {
    let known = Code::ALL.iter().map(|code| code.name());
    let near = known.map(|name| (strsim::damerau_levenshtein(code, name), name)).min();
    match near.filter(|(distance, name)| *distance <= name.len() / 3) {
        Some((_, name)) => format!("no finding has the code `{code}`; did you mean `{name}`?"),
        None => format!("no finding has the code `{code}`"),
    }
}

fn about(code: Code, place: Place, message: impl Into<String>) -> Finding {
    Finding { code, place, message: message.into(), example: None, lines: Vec::new() }
}
