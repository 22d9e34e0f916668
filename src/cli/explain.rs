//! `tollgate explain`: which rule answers this request, and why?

mod credential;
mod json;
mod request;
mod rules;
mod secret;
mod text;
pub(super) mod told;

use std::io::Write;
use std::time::Duration;

use clap::Args;

use super::config_file::ConfigFile;
use super::exit::{Exit, Failure};
use super::printable::Printable;
use super::token::input;
use crate::cases;
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config;
use crate::demo::Paint;
use credential::CredentialArgs;
use request::RequestArgs;

/// Say which rule of the configuration answers a request, and why the others do not
///
/// Decides as `serve` does, by the same code, and tells of each step: how every rule stands to the request, what the
/// checks of its token saw, what each requirement of the rule wanted and got, and the answer with every header that is
/// set and removed. The request is one that was recorded (a CheckRequest, as JSON or as protobuf), or is said by options.
///
/// Nobody needs a token for that: `--claims` says what one would hold. These claims pass the checks of a token's claims;
/// the checks of its form, key and signature are left out, and nothing is fetched. A token for the next hop is not
/// obtained: the answer is what it would be with one.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  tollgate explain --host shop.example --path /orders/7
  tollgate explain --method POST --host shop.example --path /orders --header 'x-test: 1' \\
      --issuer shop --claims '{\"sub\":\"alice\",\"aud\":\"orders\",\"scope\":\"orders.write\"}'
  tollgate explain --host shop.example --path /orders/7 --token token.txt --at 2026-05-01T12:00:00Z
  tollgate explain --request check.json --json | jq .answer.reason
  tollgate explain --request check.bin --all

Why a token is never an argument: it would land in the shell's history and in the process list,
where every user of the machine can read it.

Exit codes:
  0  the request is allowed
  1  the request is denied
  2  the command line is wrong
  3  nothing was decided: the configuration has errors, or the request, the token or the claims
     cannot be read")]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    credential: CredentialArgs,
    /// Decide as of this time: 2026-05-01T12:00:00Z, or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = input::time)]
    at: Option<Timestamp>,
    /// How long to wait for an issuer's keys
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Show how every rule stands to the request, not only those that come near
    #[arg(long)]
    all: bool,
    /// Print JSON, as docs/explain.md describes it, instead of lines
    #[arg(long)]
    json: bool,
    /// Where people put a token by mistake: refused without being shown.
    #[arg(hide = true, num_args = 0.., allow_hyphen_values = false)]
    misplaced: Vec<std::ffi::OsString>,
}

const MISPLACED: &str = "\
explain takes options alone. A token is never an argument: other users of this machine can read the command
line. `--token FILE` reads one from a file, or from standard input by `-`";

pub(super) fn run(arguments: &ExplainArgs, out: &mut impl Write) -> Result<Exit, Failure> {
    if !arguments.misplaced.is_empty() {
        return Err(Failure::Usage(MISPLACED.to_owned()));
    }
    if arguments.request.is_standard_input() && arguments.credential.is_standard_input() {
        return Err(Failure::Usage(
            "only one of the request, `--token` and `--claims` can be standard input".to_owned(),
        ));
    }
    let config = config::load(&arguments.config.path()).map_err(|errors| Failure::Unusable(errors.into()))?;
    let secrets = secret::Names::of(&config.issuers);
    let now = arguments.at.unwrap_or_else(|| SystemClock.now());
    let message = arguments.request.message(&secrets)?;
    let credential = arguments.credential.read(&config.issuers, now)?;
    let request = arguments.request.read(&message)?;
    let request = credential.carried_by(request);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::NotRun(format!("cannot start: {error}")))?;
    let headers = request.headers.clone();
    let (explainer, explanation) = runtime.block_on(async {
        let explainer = cases::explainer(config, arguments.timeout).map_err(Failure::Unusable)?;
        let explanation = explainer.explain(request, credential.stated(), now).await.map_err(Failure::Unusable)?;
        Ok::<_, Failure>((explainer, explanation))
    })?;
    let rules = rules::Rules::of(&explainer, &explanation, &headers, &secrets, arguments.all);
    if arguments.json {
        let whole = json::whole(&explanation, &rules, credential.stated().map(|(stated, _)| stated));
        writeln!(out, "{}", Printable::lines(&format!("{whole:#}")))?;
    } else {
        let stated = credential.stated().map(|(stated, _)| stated);
        text::Text { paint: Paint::for_stdout(), explanation: &explanation, rules: &rules, stated }.write(out)?;
    }
    Ok(if explanation.answer.reason.allows() { Exit::Yes } else { Exit::No })
}
