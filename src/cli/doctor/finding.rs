//! What doctor finds, and how it is shown.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::cli::printable::Printable;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// As it should be.
    Fine,
    /// Nobody looked.
    Skipped,
    /// It works, and may not for long, or not for all.
    Warning,
    /// It does not work.
    Fault,
}

impl Mark {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) mark: Mark,
    /// What was seen.
    pub(super) text: String,
    /// What to do about it.
    pub(super) remedy: Option<String>,
    /// The claims that were seen, of a token or of an answer about one.
    pub(super) claims: Option<Map<String, Value>>,
}

impl Finding {
    pub(super) fn fine(text: impl Into<String>) -> Self {
        Self { mark: Mark::Fine, text: text.into(), remedy: None, claims: None }
    }

    pub(super) fn warning(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { mark: Mark::Warning, ..Self::fault(text, remedy) }
    }

    pub(super) fn fault(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { mark: Mark::Fault, text: text.into(), remedy: Some(remedy.into()), claims: None }
    }

    pub(super) fn skipped(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { mark: Mark::Skipped, ..Self::fault(text, remedy) }
    }

    /// With these claims.
    pub(super) fn showing(self, claims: Option<Map<String, Value>>) -> Self {
        Self { claims, ..self }
    }
}

/// An issuer, a token or a listener, with what was found about it.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) findings: Vec<Finding>,
}

impl Subject {
    pub(super) fn show(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "\n{}", Printable::line(&self.name))?;
        for finding in &self.findings {
            let mark = match finding.mark {
                Mark::Fine => "ok",
                Mark::Skipped => "skipped",
                Mark::Warning => "WARNING",
                Mark::Fault => "FAULT",
            };
            writeln!(out, "  {mark:<8} {}", Printable::line(&finding.text))?;
            if let Some(remedy) = &finding.remedy {
                writeln!(out, "           {}", Printable::line(remedy))?;
            }
            if let Some(claims) = &finding.claims {
                // A map of JSON values is always JSON.
                let pretty = serde_json::to_string_pretty(claims).unwrap_or_default();
                for line in pretty.lines() {
                    writeln!(out, "           {}", Printable::line(line))?;
                }
            }
        }
        Ok(())
    }
}

/// A duration to the millisecond; never none.
pub(super) fn rounded(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    humantime::format_duration(Duration::from_millis(millis.max(1))).to_string()
}
