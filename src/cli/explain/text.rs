//! An explanation for people: aligned, in colour on a terminal. Nothing of a request's or a token's making reaches the
//! terminal but as [`Printable`].

use std::io::{self, Write};

use serde_json::Value;

use super::json::name;
use super::rules::{Missed, Rules, Shown, behind, direction};
use crate::authn::explain::{Credential, Report};
use crate::authn::stated::Stated;
use crate::authn::trace;
use crate::cli::printable::{Printable, plural};
use crate::cli::token::report::{identity, shown};
use crate::core::answer::Verdict;
use crate::core::table::Criterion;
use crate::demo::Paint;
use crate::engine::explain::{Alternative, Explanation, Judged, Outcome};

/// What is shown.
pub(super) struct Text<'e> {
    pub(super) paint: Paint,
    pub(super) explanation: &'e Explanation,
    pub(super) rules: &'e Rules,
    pub(super) stated: Option<&'e Stated>,
}

/// How a line begins.
#[derive(Clone, Copy)]
enum Mark {
    Good,
    Bad,
    Faint,
}

impl Text<'_> {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        self.request(out)?;
        if self.explanation.request.is_ok() {
            self.table(out)?;
        }
        match &self.explanation.credential {
            Some(credential) => self.credential(credential, out)?,
            None if self.explanation.answer.rule.is_some() => {
                writeln!(out, "\n{}  the rule looks at none", self.title("token"))?;
            }
            None => {}
        }
        if !self.explanation.requirements.is_empty() {
            let rule = self.explanation.answer.rule.as_ref().map_or("", |rule| &rule.name);
            writeln!(out, "\n{}", self.title(&format!("requirements of `{rule}`")))?;
            for judged in &self.explanation.requirements {
                self.requirement(judged, out)?;
            }
        }
        self.answer(out)
    }

    fn request(&self, out: &mut impl Write) -> io::Result<()> {
        match &self.explanation.request {
            Ok(read) => {
                let line = format!("{} {}{}, {}", read.method, read.host, read.path, direction(read.direction));
                writeln!(out, "{}  {}", self.title("request"), Printable::line(&line))?;
                if let Ok(caller) = &read.caller {
                    writeln!(out, "  caller   {}", Printable::line(caller))?;
                }
            }
            Err(error) => writeln!(out, "{}  {error}", self.title("request"))?,
        }
        writeln!(out, "  as of    {}", shown(self.explanation.at))?;
        self.explanation.notes.iter().try_for_each(|note| writeln!(out, "  note     {note}"))
    }

    fn table(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "\n{}", self.title(&plural(self.rules.total, "rule")))?;
        let widest = self.rules.shown.iter().map(|rule| title_of(rule).len()).max().unwrap_or(0).min(40);
        for rule in &self.rules.shown {
            let (mark, word) = match rule.standing {
                "answers" => (Mark::Good, "answers"),
                "unjudgeable" => (Mark::Bad, "unclear"),
                "outranked" => (Mark::Faint, "behind"),
                _ => (Mark::Faint, "no match"),
            };
            let line = format!("{:widest$}  {}", title_of(rule), Self::standing(rule));
            self.line(out, mark, word, line.trim_end())?;
        }
        let count: usize = self.rules.others.values().sum();
        if count > 0 {
            let by: Vec<String> =
                self.rules.others.iter().map(|(part, count)| format!("{count} by `{part}`")).collect();
            let text = format!("{count} more do not match: {} (`--all` shows them)", by.join(", "));
            writeln!(out, "  {}", self.paint.faint(&text))?;
        }
        Ok(())
    }

    pub(super) fn standing(rule: &Shown) -> String {
        match rule.by {
            Some(Criterion::Position) => behind(Criterion::Position).to_owned(),
            Some(criterion) => format!("matches, but {}", behind(criterion)),
            None if rule.standing == "unjudgeable" => {
                "a condition of it cannot be judged, and it would be the next to answer".to_owned()
            }
            None => rule.misses.iter().map(missed).collect::<Vec<_>>().join("; "),
        }
    }

    fn credential(&self, credential: &Credential, out: &mut impl Write) -> io::Result<()> {
        match credential {
            Credential::Absent => {
                writeln!(out, "\n{}  none was sent in a header that the rule's issuers read", self.title("token"))
            }
            Credential::Unreadable(error) => {
                writeln!(out, "\n{}", self.title("token"))?;
                self.line(out, Mark::Bad, "FAILED", &error.detail)
            }
            Credential::Judged { header, report } => self.report(header, report, out),
        }
    }

    fn report(&self, header: &str, report: &Report, out: &mut impl Write) -> io::Result<()> {
        let issuer = report.issuer.as_deref().map_or_else(String::new, |issuer| format!(" of issuer `{issuer}`"));
        let what = match self.stated {
            Some(_) => format!("claims as stated, in the place of a token{issuer} in `{header}`"),
            None => format!("in `{header}`{issuer}"),
        };
        writeln!(out, "\n{}  {}", self.title("token"), Printable::line(&what))?;
        if let Some(stated) = self.stated {
            let left_out = "form, header, key and signature are not checked: there is no token";
            self.line(out, Mark::Faint, "left out", left_out)?;
            if !stated.added.is_empty() {
                let added: Vec<String> = stated.added.iter().map(|name| format!("`{name}`")).collect();
                self.line(out, Mark::Faint, "added", &added.join(", "))?;
            }
        }
        for (check, outcome) in &report.steps {
            let (mark, word, detail) = match outcome {
                trace::Outcome::Passed(detail) => (Mark::Good, "ok", detail.as_str()),
                trace::Outcome::Failed(error) => (Mark::Bad, "FAILED", error.detail.as_str()),
                trace::Outcome::NotReached => (Mark::Faint, "-", ""),
            };
            self.line(out, mark, word, format!("{:<20} {detail}", check.as_str()).trim_end())?;
        }
        let Ok(principal) = &report.result else { return Ok(()) };
        for (name, value) in identity(principal) {
            self.line(out, Mark::Faint, "says", &format!("{name:<20} {}", plain(&value)))?;
        }
        Ok(())
    }

    fn requirement(&self, judged: &Judged, out: &mut impl Write) -> io::Result<()> {
        let (mark, word) = match judged.outcome {
            Outcome::Met => (Mark::Good, "met"),
            Outcome::NotMet(_) => (Mark::Bad, "NOT MET"),
            Outcome::NotReached => (Mark::Faint, "-"),
        };
        self.line(out, mark, word, &asked(judged))?;
        if judged.alternatives.len() > 1 || judged.alternatives.iter().any(|one| !one.missing.is_empty()) {
            for alternative in &judged.alternatives {
                self.alternative(alternative, out)?;
            }
        }
        Ok(())
    }

    fn alternative(&self, alternative: &Alternative, out: &mut impl Write) -> io::Result<()> {
        let Alternative { any, all, met, missing } = alternative;
        let Some(met) = met else { return Ok(()) };
        let names = all.iter().chain(any).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let lacks = missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let text = match (met, missing.is_empty()) {
            (true, _) => format!("{names}: holds"),
            (false, true) => format!("{names}: none of them is there"),
            (false, false) => format!("{names}: {lacks} is not there"),
        };
        self.line(out, Mark::Faint, "", &format!("{:<20} {text}", ""))
    }

    fn answer(&self, out: &mut impl Write) -> io::Result<()> {
        let answer = &self.explanation.answer;
        let rule = answer.rule.as_ref().map_or_else(String::new, |rule| format!(" by rule `{}`", rule.name));
        let word = if answer.reason.allows() { self.paint.good("allowed") } else { self.paint.bad("denied") };
        let title = self.title("answer");
        let (rule, reason) = (Printable::line(&rule), answer.reason);
        writeln!(out, "\n{title}  {word}{rule}, {reason}: {}", reason.sentence())?;
        let header = |(name, value): (&str, &str)| format!("{name}: {value}");
        match &answer.verdict {
            Verdict::Allow(allowed) => {
                allowed.set().try_for_each(|line| self.line(out, Mark::Good, "set", &header(line)))?;
                if let (Some(token), Some(_)) = (&self.explanation.upstream_token, allowed.bearer()) {
                    let how = if token.exchanged { "exchanged for the caller's" } else { "the gate's own" };
                    let line = format!("authorization: Bearer (the token `{}`, {how}; not obtained here)", token.name);
                    self.line(out, Mark::Good, "set", &line)?;
                }
                allowed.remove().try_for_each(|name| self.line(out, Mark::Faint, "remove", name))?;
                let mut to_client = allowed.response_headers();
                to_client.try_for_each(|line| self.line(out, Mark::Good, "respond", &header(line)))
            }
            Verdict::Deny(denied) => {
                self.line(out, Mark::Bad, "status", &denied.http_status().to_string())?;
                let mut headers = denied.headers().iter();
                headers.try_for_each(|line| self.line(out, Mark::Faint, "respond", &header(line)))?;
                self.line(out, Mark::Faint, "body", denied.body())
            }
        }
    }

    fn title(&self, text: &str) -> String {
        self.paint.strong(&Printable::line(text).to_string())
    }

    fn line(&self, out: &mut impl Write, mark: Mark, word: &str, text: &str) -> io::Result<()> {
        let word = format!("{word:<8}");
        let word = match mark {
            Mark::Good => self.paint.good(&word),
            Mark::Bad => self.paint.bad(&word),
            Mark::Faint => self.paint.faint(&word),
        };
        writeln!(out, "  {word} {}", Printable::line(text))
    }
}

/// A requirement, what it wants, and what it saw.
pub(super) fn asked(judged: &Judged) -> String {
    let mut what = name(&judged.name).to_owned();
    if let Some(of) = &judged.of {
        what.push_str(&format!(" `{of}`"));
    }
    let seen = judged.seen.as_ref().map_or_else(String::new, |seen| format!("; has {}", plain(seen)));
    format!("{what:<20} wants {}{seen}", judged.wanted)
}

fn title_of(rule: &Shown) -> String {
    if rule.preflight { format!("{} (preflights)", rule.name) } else { rule.name.clone() }
}

/// What does not fit. What the request has is told of headers and the like; the rest stands in the first line.
fn missed(missed: &Missed) -> String {
    let Missed { part, of, wanted, seen } = missed;
    let listed: Vec<String> = wanted.iter().take(LISTED).map(|wanted| format!("`{wanted}`")).collect();
    let mut wants = listed.join(" or ");
    if wanted.len() > LISTED {
        wants.push_str(&format!(" or {} more", wanted.len() - LISTED));
    }
    let Some(of) = of else { return format!("`{part}`: wants {wants}") };
    let seen = seen.as_ref().map_or_else(|| "nothing".to_owned(), |seen| format!("`{seen}`"));
    format!("`{part}`: `{of}` wants {wants}, has {seen}")
}

/// So many of the hosts, paths or methods of a rule are listed.
const LISTED: usize = 4;

/// A value as people write it: texts and lists of texts without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => format!("`{text}`"),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().map(plain).collect::<Vec<_>>().join(", ")
        }
        Value::Object(members) => match members.get("error") {
            Some(Value::String(error)) if members.len() == 1 => format!("none: {error}"),
            _ => value.to_string(),
        },
        Value::Array(_) | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
