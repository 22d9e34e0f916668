//! `tollgate token`: why is this token accepted, or refused?

pub(super) mod input;
pub(super) mod report;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::config_file::ConfigFile;
use super::exit::{Exit, Failure};
use crate::authn::explain::explain_patiently;
use crate::authn::spec::IssuerSpec;
use crate::authn::store::Deps;
use crate::authn::{Accepted, Issuer};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::{self, Config};
use crate::core::caller::Caller;
use crate::core::event::Silent;
use crate::engine::LoadError;
use crate::net::HttpClient;

/// Verify a token against the configuration and say which check fails, and why
///
/// Runs the checks that decide on requests, with the keys that `serve` would use (fetched, where the issuer publishes
/// them), and shows each with what it saw. An issuer that introspects such tokens is asked, as `serve` would ask it.
/// What a rule asks beyond a valid token (audience, scopes, roles, claims) is not judged here. The token is read from
/// standard input or from a file, and from nowhere else.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  tollgate token --config policy.yaml < token.txt
  xclip -o | tollgate token --config policy.yaml --issuer keycloak
  tollgate token --file token.txt --at 2026-05-01T12:00:00Z --json | jq .reason

Why not as an argument: the token would land in the shell's history and in the process list,
where every user of the machine can read it. A token is a password.

Exit codes:
  0  an issuer of the configuration accepts the token
  1  the token is refused, or the configuration has errors
  2  the command line is wrong
  3  the token could not be read")]
pub(super) struct TokenArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// Read the token from a file; `-` or nothing is standard input
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Ask this issuer alone; needed where two issuers with the same `iss` read different headers
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Judge as of this time: 2026-05-01T12:00:00Z, or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = input::time)]
    at: Option<Timestamp>,
    /// The caller's certificate (PEM), for a token that is bound to one
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// How long to wait for an issuer's keys
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
    /// Where people put the token by mistake: refused without being shown.
    #[arg(hide = true, num_args = 0.., allow_hyphen_values = false)]
    misplaced: Vec<std::ffi::OsString>,
    /// As `misplaced`.
    #[arg(hide = true, long = "token", num_args = 0..=1, default_missing_value = "")]
    misplaced_option: Option<std::ffi::OsString>,
}

const MISPLACED: &str = "\
a token is never an argument: it would land in the shell's history and in the process list, where
every user of this machine can read it. Pipe it in (`tollgate token < token.txt`) or name a file
(`--file token.txt`). If the one you just gave is valid, treat it as leaked";

pub(super) fn run(arguments: &TokenArgs, out: &mut impl Write) -> Result<Exit, Failure> {
    if !arguments.misplaced.is_empty() || arguments.misplaced_option.is_some() {
        return Err(Failure::Usage(MISPLACED.to_owned()));
    }
    let config = config::load(&arguments.config.path())?;
    let specs = chosen(config, arguments.issuer.as_deref())?;
    let certificate = arguments.certificate.as_deref().map(input::certificate).transpose()?.unwrap_or_default();
    let token = input::token(arguments.file.as_deref())?;
    let now = arguments.at.unwrap_or_else(|| SystemClock.now());

    let certificate = utf8_percent_encode(&certificate, NON_ALPHANUMERIC).to_string();
    let caller = Caller::new("", &certificate);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::NotRun(format!("cannot start: {error}")))?;
    let report = runtime.block_on(async {
        let issuers = start(specs)?;
        Ok::<_, Failure>(explain_patiently(Accepted::all(&issuers), &token, &caller, now, arguments.timeout).await)
    })?;
    if arguments.json {
        report::json(&report, now, out)?;
    } else {
        report::text(&report, now, out)?;
    }
    Ok(if report.result.is_ok() { Exit::Yes } else { Exit::No })
}

/// The issuers to ask.
fn chosen(config: Config, name: Option<&str>) -> Result<Vec<IssuerSpec>, Failure> {
    let Some(name) = name else { return Ok(config.issuers) };
    let known: Vec<String> = config.issuers.iter().map(|issuer| format!("`{}`", issuer.name)).collect();
    let specs: Vec<IssuerSpec> = config.issuers.into_iter().filter(|issuer| *issuer.name == *name).collect();
    if specs.is_empty() {
        return Err(Failure::Usage(format!("no issuer is named `{name}`; there are {}", known.join(", "))));
    }
    Ok(specs)
}

fn start(specs: Vec<IssuerSpec>) -> Result<Vec<Arc<Issuer>>, Failure> {
    let deps = Deps::new(HttpClient::new(), Arc::new(SystemClock), Arc::new(Silent));
    let mut issuers = Vec::new();
    let mut errors = Vec::new();
    for spec in specs {
        let name = Arc::clone(&spec.name);
        match Issuer::start(spec, &deps) {
            Ok(issuer) => issuers.push(issuer),
            Err(error) => errors.push((name, error)),
        }
    }
    if errors.is_empty() { Ok(issuers) } else { Err(LoadError::Keys(errors).into()) }
}
