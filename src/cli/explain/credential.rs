//! The credential of a request that is explained: a token from a file, or claims that stand for one.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value};

use super::super::exit::Failure;
use super::super::token::input;
use crate::authn::json;
use crate::authn::spec::IssuerSpec;
use crate::cases::credential::{Given, Whose};
use crate::clock::Timestamp;

/// Longest file of claims.
const MAX_BYTES: u64 = 1 << 20;

/// The credential that the request carries.
#[derive(Debug, Args)]
pub(super) struct CredentialArgs {
    /// The request carries the token in this file (`-` is standard input), in the place of its own
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// The request carries a token with these claims: a file (`-` is standard input), or JSON; `iss`, `iat` and `exp` are
    /// added where they are not there
    #[arg(long, value_name = "FILE|JSON", conflicts_with = "token")]
    claims: Option<String>,
    /// Whose token it is; needed for claims without `iss`, and where issuers read different headers
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
}

impl CredentialArgs {
    pub(super) fn is_standard_input(&self) -> bool {
        self.token.as_deref() == Some(Path::new("-")) || self.claims.as_deref() == Some("-")
    }

    /// Reads it.
    pub(super) fn read(&self, issuers: &[IssuerSpec], now: Timestamp) -> Result<Given, Failure> {
        let whose = Whose { name: self.issuer.as_deref(), named_by: "--issuer" };
        match (&self.token, &self.claims) {
            (None, None) if self.issuer.is_some() => {
                Err(Failure::Usage("`--issuer` goes with `--token` or `--claims`".to_owned()))
            }
            (None, None) => Ok(Given::Nothing),
            (Some(file), _) => {
                // What is wrong with the command line is told before anything is read.
                whose.check(issuers).map_err(Failure::Usage)?;
                let token = input::token_of_option("--token", file)?;
                Given::token(issuers, whose, &token).map_err(Failure::Usage)
            }
            (None, Some(claims)) => {
                whose.check(issuers).map_err(Failure::Usage)?;
                Given::claims(issuers, whose, self::claims(claims)?, now).map_err(Failure::Usage)
            }
        }
    }
}

/// Reads claims: JSON, or the name of a file that holds it.
fn claims(given: &str) -> Result<Map<String, Value>, Failure> {
    if given.trim_start().starts_with('{') {
        return json::parse_object(given.as_bytes()).map_err(|error| Failure::NotRun(format!("`--claims`: {error}")));
    }
    // The name is not repeated: people who mistake the option give the token itself.
    let fail = |error: &dyn std::fmt::Display| {
        Failure::NotRun(format!(
            "`--claims` is JSON, or names a file of it (`-` is standard input), and that cannot be read: {error}. A token \
             goes into a file for `--token`; if you just gave one here, treat it as leaked"
        ))
    };
    let mut bytes = Vec::new();
    let read = if given == "-" {
        std::io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(given).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| fail(&error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(fail(&"more than 1 MiB are no claims"));
    }
    json::parse_object(&bytes).map_err(|error| fail(&error))
}
