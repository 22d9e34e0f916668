//! Tokens that the operator gives: one to ask about, one to exchange.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::finding::{Finding, Subject};
use super::mask::Mask;
use crate::authn::explain::{Report, explain_patiently};
use crate::authn::spec::IssuerSpec;
use crate::authn::{Accepted, Issuer};
use crate::cli::exit::Failure;
use crate::cli::token::input;
use crate::clock::Timestamp;
use crate::core::caller::Caller;

/// What doctor is given to try.
#[derive(Debug, Args)]
pub(super) struct GivenArgs {
    /// Also judge the token in this file (`-` is standard input): where its issuer is asked about such tokens, show what
    /// it says
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// Also try every exchange, with the user's token in this file (`-` is standard input)
    #[arg(long, value_name = "FILE")]
    subject_token: Option<PathBuf>,
    /// The issuer of these tokens; needed where two issuers have the same `iss`
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Where people put a token by mistake: refused without being shown.
    #[arg(hide = true, num_args = 0.., allow_hyphen_values = false)]
    misplaced: Vec<std::ffi::OsString>,
}

/// The tokens themselves.
pub(super) struct Given {
    pub(super) token: Option<String>,
    pub(super) subject: Option<String>,
    issuer: Option<String>,
}

impl Given {
    /// Whether an issuer may be the tokens'.
    pub(super) fn is_of(&self, issuer: &str) -> bool {
        self.issuer.as_deref().is_none_or(|named| named == issuer)
    }

    /// Refuses the name of an issuer that is not there.
    pub(super) fn check(&self, issuers: &[IssuerSpec]) -> Result<(), Failure> {
        let known: Vec<String> = issuers.iter().map(|spec| format!("`{}`", spec.name)).collect();
        match &self.issuer {
            Some(name) if !issuers.iter().any(|spec| *spec.name == **name) => {
                Err(Failure::Usage(format!("no issuer is named `{name}`; there are {}", known.join(", "))))
            }
            Some(_) | None => Ok(()),
        }
    }
}

const MISPLACED: &str = "\
doctor takes options alone. A token is never an argument: other users of this machine can read the command
line. `--token FILE` and `--subject-token FILE` read one from a file, or from standard input by `-`";

impl GivenArgs {
    pub(super) fn read(&self) -> Result<Given, Failure> {
        if !self.misplaced.is_empty() {
            return Err(Failure::Usage(MISPLACED.to_owned()));
        }
        let is_stdin = |file: &Option<PathBuf>| file.as_deref() == Some(Path::new("-"));
        if is_stdin(&self.token) && is_stdin(&self.subject_token) {
            return Err(Failure::Usage("only one of `--token` and `--subject-token` can be standard input".to_owned()));
        }
        let read = |option: &str, file: &Option<PathBuf>| {
            file.as_deref().map(|file| input::token_of_option(option, file)).transpose()
        };
        let token = read("--token", &self.token)?;
        let subject = read("--subject-token", &self.subject_token)?;
        Ok(Given { token, subject, issuer: self.issuer.clone() })
    }
}

/// Judges a token as a request's would be.
pub(super) async fn verify(issuers: &[Arc<Issuer>], token: &str, now: Timestamp, limit: Duration) -> Report {
    explain_patiently(Accepted::all(issuers), token, &Caller::new("", ""), now, limit).await
}

/// What came of the token that was given to ask about.
pub(super) fn about(report: &Report, mask: &Mask) -> Subject {
    let issuer = report.issuer.as_deref().unwrap_or("nobody");
    let finding = match (&report.result, &report.introspected) {
        (Ok(_), Some(said)) => {
            Finding::fine(format!("accepted: issuer `{issuer}` says that it is active, and this about it"))
                .showing(Some(mask.claims(said)))
        }
        (Ok(_), None) => Finding::fine(format!(
            "accepted: a JWT of issuer `{issuer}`, which is not asked about its JWTs (`introspection.jwts`); its claims"
        ))
        .showing(report.claims.as_ref().map(|claims| mask.claims(claims))),
        (Err(error), said) => {
            refused(error.reason.http_status(), &format!("{}: {}", error.reason, mask.text(&error.detail)))
                .showing(said.as_ref().or(report.claims.as_ref()).map(|claims| mask.claims(claims)))
        }
    };
    Subject { name: "the token of --token".to_owned(), findings: vec![finding] }
}

/// A token that the gate refuses: where it is the token's fault, that is no fault of the configuration.
pub(super) fn refused(status: u16, why: &str) -> Finding {
    let text = format!("refused: {why}");
    if status >= 500 {
        Finding::fault(text, "the gate could not tell, and denies: mend what is named above and here")
    } else {
        Finding::warning(text, "`tollgate token` shows each check; a fresh token of the right issuer passes")
    }
}
