//! The coverage as one page for people.

use super::pass::Pass;
use crate::cases::coverage::{AlternativeSeen, Count, RequirementSeen, RuleSeen};
use crate::cli::printable::plural;
use crate::config::written::Place;
use crate::html::{Page, STYLE, security_policy};

/// What this page has beside what every page has.
const MORE: &str = "tr.part th { font-weight: normal; padding-left: 1.2rem; } tr.way th { padding-left: 2.4rem; color: var(--soft); } code { font-size: .85rem; }";

pub(super) fn page(pass: &Pass) -> String {
    let mut out = Page(String::with_capacity(16 * 1024));
    out.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tollgate policy coverage</title>");
    out.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    out.raw("<meta name=\"color-scheme\" content=\"light dark\">");
    out.raw("<meta http-equiv=\"content-security-policy\" content=\"");
    out.text(&security_policy(&[STYLE, MORE].concat()));
    out.raw("\"><style>");
    out.raw(STYLE);
    out.raw(MORE);
    out.raw("</style></head><body><main>");
    head(&mut out, pass);
    for rule in &pass.coverage.rules {
        self::rule(&mut out, rule);
    }
    out.raw("</tbody></table></div></main></body></html>\n");
    out.0
}

fn head(out: &mut Page, pass: &Pass) {
    let counts = pass.coverage.counts();
    out.raw("<header><h1>Policy coverage</h1>");
    let whole = pass.coverage.gaps().is_empty();
    out.badge(&format!("{:.1} %", counts.percent()), whole);
    out.raw("</header><dl>");
    out.pair("policy", &pass.policy.display().to_string());
    let cases = plural(pass.done.len(), "case");
    out.pair("cases", &format!("{cases}, {} failed, {} undecided", pass.failed(), pass.undecided()));
    for (name, Count { exercised, total }) in
        [("rules", counts.rules), ("requirements", counts.requirements), ("alternatives", counts.alternatives)]
    {
        out.pair(name, &format!("{exercised} of {total}"));
    }
    out.raw("</dl>");
    out.title("Rules");
    out.note(
        "A rule is exercised when it answers a case; a requirement, when it held in one case and failed in another; an \
         alternative, when it alone met its requirement.",
    );
    out.raw("<div class=\"scroll\"><table><thead><tr><th scope=\"col\">rule</th><th scope=\"col\">place</th>");
    out.raw("<th scope=\"col\">exercised</th><th scope=\"col\">cases</th></tr></thead><tbody>");
}

fn rule(out: &mut Page, rule: &RuleSeen) {
    out.raw("<tr>");
    let answered = format!("answers {}", rule.answered);
    row(out, &rule.name, &rule.place, rule.answered > 0, &answered);
    for requirement in &rule.requirements {
        self::requirement(out, requirement);
    }
    if let Some(preflight) = &rule.preflight {
        out.raw("<tr class=\"part\">");
        let answered = format!("answers {}", preflight.alone);
        row(out, &preflight.title, &preflight.place, preflight.is_exercised(), &answered);
    }
}

fn requirement(out: &mut Page, requirement: &RequirementSeen) {
    out.raw("<tr class=\"part\">");
    let counts = format!("held {}, failed {}", requirement.held, requirement.failed);
    row(out, &requirement.title, &requirement.place, requirement.is_exercised(), &counts);
    for AlternativeSeen { title, place, alone, .. } in &requirement.alternatives {
        out.raw("<tr class=\"part way\">");
        row(out, title, place, *alone > 0, &format!("alone {alone}"));
    }
}

/// The rest of a row that is open.
fn row(out: &mut Page, title: &str, place: &Place, exercised: bool, counts: &str) {
    out.raw("<th scope=\"row\">");
    out.text(title);
    out.raw("</th><td><code>");
    out.text(&format!("{}:{}", place.file.display(), place.position.0));
    out.raw("</code></td><td>");
    out.badge(if exercised { "yes" } else { "no" }, exercised);
    out.raw("</td><td class=\"number\">");
    out.text(counts);
    out.raw("</td></tr>");
}
