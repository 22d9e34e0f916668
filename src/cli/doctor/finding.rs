//! What doctor finds, and how it is shown.

use std::io::{self, Write};

use crate::cli::printable::Printable;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// As it should be.
    Fine,
    /// It works, and may not for long, or not for all.
    Warning,
    /// It does not work.
    Fault,
}

impl Mark {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "ok",
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
}

impl Finding {
    pub(super) fn fine(text: impl Into<String>) -> Self {
        Self { mark: Mark::Fine, text: text.into(), remedy: None }
    }

    pub(super) fn warning(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { mark: Mark::Warning, text: text.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn fault(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { mark: Mark::Fault, text: text.into(), remedy: Some(remedy.into()) }
    }
}

/// An issuer or a listener, with what was found about it.
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
                Mark::Warning => "WARNING",
                Mark::Fault => "FAULT",
            };
            writeln!(out, "  {mark:<8} {}", Printable::line(&finding.text))?;
            if let Some(remedy) = &finding.remedy {
                writeln!(out, "           {}", Printable::line(remedy))?;
            }
        }
        Ok(())
    }
}
