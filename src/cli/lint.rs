//! `tollgate lint`: does the policy say what its author meant?

mod report;

use std::io::Write;

use clap::Args;

use super::check;
use super::config_file::ConfigFile;
use super::exit::{Exit, Failure};
use crate::config;
use crate::demo::Paint;
use crate::lint::{Code, Finding, Severity, lint};

/// Look for what loads and is probably not meant: rules that nothing reaches, requirements that nobody can meet
///
/// Reads the configuration as `check` does, and then looks at what it says: shadowed rules, conditions that contradict
/// each other, anonymous rules that are wider than they look, audiences that nobody checks, and more; `--list` names all
/// of it. Each finding has a place, a reason and a remedy, and where there is one, a request that shows it: it was asked of
/// the very table that serves. Nothing is fetched.
///
/// A finding that is meant so is allowed by a comment in the policy, at the end of the line or above it, with the reason:
/// `# tollgate: allow(audience-unchecked) the issuer sets no audience`. The configuration's `lint.allow` does so everywhere.
/// Allowances that silence nothing are findings, too.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  tollgate lint --config policy.yaml
  tollgate lint --config policy.yaml --deny all
  tollgate lint --config policy.yaml --json | jq -r '.findings[] | .code + \" \" + .path'
  tollgate lint --explain overlapping-templates

Exit codes:
  0  nothing was found that matters: nothing at all, or notes alone
  1  errors or warnings, or a code that --deny names, were found; or the configuration does not load
  2  a code does not exist")]
pub(super) struct LintArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    /// Fail for findings of this code, whatever they are otherwise; `all` for every code
    #[arg(long, value_name = "CODE")]
    deny: Vec<String>,
    /// Leave findings of this code out
    #[arg(long, value_name = "CODE")]
    allow: Vec<String>,
    /// List every code
    #[arg(long, conflicts_with_all = ["deny", "allow", "explain"])]
    list: bool,
    /// Say what a code is about, why it matters, and what to do
    #[arg(long, value_name = "CODE", conflicts_with_all = ["deny", "allow"])]
    explain: Option<String>,
}

pub(super) fn run(arguments: &LintArgs, out: &mut impl Write) -> Result<Exit, Failure> {
    if arguments.list {
        report::list(arguments.json, out)?;
        return Ok(Exit::Yes);
    }
    if let Some(text) = &arguments.explain {
        report::explain(code(text)?, arguments.json, out)?;
        return Ok(Exit::Yes);
    }
    let chosen = Chosen::read(arguments)?;
    let config = match config::load(&arguments.config.path()) {
        Ok(config) => config,
        Err(errors) => return check::tell(errors, arguments.json, out),
    };
    let mut found = lint(&config);
    found.findings.retain(|finding| !chosen.allow.contains(&finding.code));
    let fails = found.findings.iter().any(|finding| chosen.fails(finding));
    if arguments.json {
        report::json(&found, &chosen, out)?;
    } else {
        report::text(&found, &chosen, config.table.rules().len(), Paint::for_stdout(), out)?;
    }
    Ok(if fails { Exit::No } else { Exit::Yes })
}

/// What the command line says of codes.
struct Chosen {
    deny: Vec<Code>,
    allow: Vec<Code>,
}

impl Chosen {
    fn read(arguments: &LintArgs) -> Result<Self, Failure> {
        let deny = if arguments.deny.iter().any(|text| text == "all") {
            Code::ALL.to_vec()
        } else {
            arguments.deny.iter().map(|text| code(text)).collect::<Result<_, _>>()?
        };
        let allow = arguments.allow.iter().map(|text| code(text)).collect::<Result<_, _>>()?;
        Ok(Self { deny, allow })
    }

    /// How much a finding matters here.
    fn severity(&self, finding: &Finding) -> Severity {
        if self.deny.contains(&finding.code) { Severity::Error } else { finding.code.severity() }
    }

    fn fails(&self, finding: &Finding) -> bool {
        self.severity(finding) > Severity::Note
    }
}

fn code(text: &str) -> Result<Code, Failure> {
    Code::parse(text)
        .ok_or_else(|| Failure::Usage(format!("no finding has the code `{text}`; --list shows every code")))
}
