//! `tollgate doctor`: is the world as the configuration says?

mod finding;
mod issuer;
mod listener;
mod tls;

use std::io::Write;

use clap::Args;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::config_file::ConfigFile;
use super::exit::{Exit, Failure};
use super::printable::{Printable, plural};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{self, Config};
use crate::net::HttpClient;
use finding::{Finding, Mark, Subject};

/// Look at everything that a configuration names, and say what is wrong and what to do
///
/// Asks every issuer for its metadata and keys, with the limits and checks that `serve` has; reads key files and TLS
/// files; tries the listeners' addresses. Nothing is changed, and a gate that is running is not disturbed. Run it where
/// the gate runs: from elsewhere it sees another network.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  tollgate doctor --config policy.yaml
  kubectl exec deploy/shop -c tollgate -- tollgate doctor
  tollgate doctor --json | jq '.findings[] | select(.mark == \"fault\")'

Exit codes:
  0  nothing is wrong; there may be warnings
  1  something is wrong, or the configuration has errors
  3  it could not run")]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &DoctorArgs, out: &mut impl Write) -> Result<Exit, Failure> {
    let path = arguments.config.path();
    let config = config::load(&path)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::NotRun(format!("cannot start: {error}")))?;
    let subjects = runtime.block_on(examine(&config));
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

/// Everything at once: an issuer that does not answer holds up nobody else.
async fn examine(config: &Config) -> Vec<Subject> {
    let http = HttpClient::new();
    let now = SystemClock.now();
    let issuers = config.issuers.iter().map(|spec| issuer::examine(spec, config.server.first_keys, &http));
    let listeners = listener::all(&config.server).into_iter().map(|listener| listener.examine(now));
    let (mut subjects, listeners) = tokio::join!(join_all(issuers), join_all(listeners));
    subjects.extend(listeners);
    subjects
}

fn count(subjects: &[Subject], mark: Mark) -> usize {
    subjects.iter().flat_map(|subject| &subject.findings).filter(|finding| finding.mark == mark).count()
}

fn as_json(subjects: &[Subject]) -> Value {
    let findings: Vec<Value> = subjects
        .iter()
        .flat_map(|Subject { name, findings }| findings.iter().map(move |finding| (name, finding)))
        .map(|(subject, Finding { mark, text, remedy })| {
            json!({ "subject": subject, "mark": mark.as_str(), "text": text, "remedy": remedy })
        })
        .collect();
    json!({ "ok": count(subjects, Mark::Fault) == 0, "findings": findings })
}
