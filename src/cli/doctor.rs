//! `tollgate doctor`: is the world as the configuration says?

mod client;
mod finding;
mod given;
mod issuer;
mod listener;
mod mask;
mod provider;
mod remedy;
mod tls;
mod tokens;
mod visit;

use std::io::Write;

use clap::Args;
use serde_json::{Value, json};

use super::config_file::ConfigFile;
use super::exit::{Exit, Failure};
use super::printable::{Printable, plural};
use crate::config;
use finding::{Finding, Mark, Subject};

/// Look at everything that a configuration names, and say what is wrong and what to do
///
/// Asks every issuer for its metadata and keys, with the limits and checks that `serve` has; asks introspection endpoints
/// about a text that is nobody's token; obtains each token that the gate would, and shows its claims, never the token;
/// reads files of keys, secrets and certificates; tries the listeners' addresses. A gate that is running is not disturbed.
/// Run it where the gate runs: from elsewhere it sees another network.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  tollgate doctor --config policy.yaml
  kubectl exec deploy/shop -c tollgate -- tollgate doctor
  tollgate doctor --subject-token alice.txt        try the exchanges, with her token
  pbpaste | tollgate doctor --token -              what does its issuer say of this token?
  tollgate doctor --json | jq '.findings[] | select(.mark == \"fault\")'

Exit codes:
  0  nothing is wrong; there may be warnings
  1  something is wrong, or the configuration has errors
  2  the command line is wrong
  3  it could not run, or a token could not be read")]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    given: given::GivenArgs,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &DoctorArgs, out: &mut impl Write) -> Result<Exit, Failure> {
    let path = arguments.config.path();
    let given = arguments.given.read()?;
    let config = config::load(&path)?;
    given.check(&config.issuers)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::NotRun(format!("cannot start: {error}")))?;
    let subjects = runtime.block_on(visit::all(&config, &given));
    if arguments.json {
        writeln!(out, "{}", Printable::lines(&format!("{:#}", as_json(&subjects))))?;
    } else {
        let rules = plural(config.table.rules().len(), "rule");
        writeln!(out, "{}", Printable::line(&format!("{}: {rules}", path.display())))?;
        for subject in &subjects {
            subject.show(out)?;
        }
        let (faults, warnings) = (count(&subjects, Mark::Fault), count(&subjects, Mark::Warning));
        writeln!(out, "\n{}, {}", plural(faults, "fault"), plural(warnings, "warning"))?;
    }
    Ok(if count(&subjects, Mark::Fault) == 0 { Exit::Yes } else { Exit::No })
}

fn count(subjects: &[Subject], mark: Mark) -> usize {
    subjects.iter().flat_map(|subject| &subject.findings).filter(|finding| finding.mark == mark).count()
}

fn as_json(subjects: &[Subject]) -> Value {
    let findings: Vec<Value> = subjects
        .iter()
        .flat_map(|Subject { name, findings }| findings.iter().map(move |finding| (name, finding)))
        .map(|(subject, Finding { mark, text, remedy, claims })| {
            json!({ "subject": subject, "mark": mark.as_str(), "text": text, "remedy": remedy, "claims": claims })
        })
        .collect();
    json!({ "ok": count(subjects, Mark::Fault) == 0, "findings": findings })
}
