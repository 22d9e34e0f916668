//! `tollgate test`: does the policy decide as its cases say?

mod html;
mod json;
mod junit;
mod lcov;
mod pass;
mod text;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::config_file::ConfigFile;
use super::exit::{Exit, Failure};
use super::printable::Printable;
use crate::demo::Paint;
use crate::watch::Watch;
use pass::{Inputs, Pass, Watched};

/// Hold the policy to its test cases, and say what of it no case exercises
///
/// A case is a request, what its token would say, and what is expected: `expect: allow`, `expect: insufficient_scope`, or the
/// rule, the status and the headers as well. Each is decided as `serve` decides, by the same code; nobody needs a token, and
/// nothing is fetched unless a case names the file of a real one. The files of keys and secrets that the policy names need not
/// be there.
///
/// Cases stand in YAML beside the policy, in files whose names end in `.test.yaml`, or in a folder `tests` there; or they are
/// named. A case that cannot be read is reported with its place, and the others run.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  tollgate test --config policy.yaml
  tollgate test --config policy.yaml tests/orders.test.yaml --filter alice --explain
  tollgate test --config policy.yaml --watch
  tollgate test --config policy.yaml --junit report.xml --coverage-min 90
  tollgate test --config policy.yaml --coverage-html coverage.html --coverage-lcov coverage.lcov

A file of cases:
  defaults: { host: shop.example, issuer: shop, claims: { aud: orders } }
  cases:
    - name: a reader reads
      request: GET /orders/7
      claims: { sub: alice, scope: orders.read }
      expect: { decision: allow, rule: read-orders, headers: { x-user: alice } }
    - name: nobody reads without a token
      request: GET /orders/7
      claims: none
      expect: missing_token

Exit codes:
  0  every case came out as expected, and --coverage-min is reached
  1  a case came out otherwise, or less is covered than --coverage-min
  2  the command line is wrong
  3  not everything was decided: the configuration or a case cannot be read, or there is no case;
     what could be decided was, and is reported")]
pub(super) struct TestArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// Files of cases, and folders that are searched for `*.test.yaml` [default: those beside the configuration, and those in
    /// the folder `tests` there]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Run only cases whose name holds this text, or whose `FILE:LINE` ends with it; may be repeated
    #[arg(long, value_name = "TEXT")]
    filter: Vec<String>,
    /// Also explain the decision on each case, as `tollgate explain` does
    #[arg(long)]
    explain: bool,
    /// Show cases that came out as expected, too
    #[arg(long, short)]
    verbose: bool,
    /// Run again whenever the configuration or a file of cases changes, until interrupted
    #[arg(long)]
    watch: bool,
    /// How long to wait for an issuer's keys, where a case names a real token
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Write JUnit XML to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write JSON to this file, as docs/testing.md describes it
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// List each rule, requirement and alternative that no case exercises
    #[arg(long)]
    coverage: bool,
    /// Fail where less than this is covered
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    coverage_min: Option<f64>,
    /// Write the coverage to this file, as a page for people
    #[arg(long, value_name = "FILE")]
    coverage_html: Option<PathBuf>,
    /// Write the coverage to this file, in LCOV's format
    #[arg(long, value_name = "FILE")]
    coverage_lcov: Option<PathBuf>,
}

pub(super) fn run(arguments: &TestArgs, out: &mut impl Write) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::NotRun(format!("cannot start: {error}")))?;
    runtime.block_on(async {
        if arguments.watch {
            watch(arguments, out).await
        } else {
            once(arguments, &Inputs::read(arguments)?, out).await
        }
    })
}

/// Runs the cases, and tells of them in each form that is asked for.
async fn once(arguments: &TestArgs, inputs: &Inputs, out: &mut impl Write) -> Result<Exit, Failure> {
    let paint = Paint::for_stdout();
    let pass = Pass::run(arguments, inputs, paint, out).await?;
    text::Text { arguments, paint, pass: &pass }.write(out)?;
    if let Some(file) = &arguments.junit {
        write(file, junit::document(&pass))?;
    }
    if let Some(file) = &arguments.json {
        write(file, format!("{:#}\n", json::document(&pass)))?;
    }
    if let Some(file) = &arguments.coverage_html {
        write(file, html::page(&pass))?;
    }
    if let Some(file) = &arguments.coverage_lcov {
        write(file, lcov::records(&pass.coverage))?;
    }
    let covered = arguments.coverage_min.is_none_or(|least| pass.coverage.counts().percent() >= least);
    Ok(match (pass.undecided() == 0, pass.failed() == 0 && covered) {
        (false, _) => Exit::NotRun,
        (true, false) => Exit::No,
        (true, true) => Exit::Yes,
    })
}

/// Runs the cases again and again.
async fn watch(arguments: &TestArgs, out: &mut impl Write) -> Result<Exit, Failure> {
    loop {
        // Watched before it is read, so that no change falls in between.
        let watched = Watched::now(arguments);
        let mut changes = Watch::start(watched.files.iter().cloned());
        let mut folders = Watch::start(watched.folders.iter().cloned());
        let done = match Inputs::read(arguments) {
            Ok(inputs) => once(arguments, &inputs, out).await.map(drop),
            Err(failure) => Err(failure),
        };
        match done {
            Err(failure @ Failure::OutputClosed) => return Err(failure),
            Err(failure) => write!(out, "{failure}")?,
            Ok(()) => {}
        }
        writeln!(out, "\nwaiting for changes; Ctrl-C ends this")?;
        out.flush()?;
        // What came to be named meanwhile is not watched yet. A report that is written beside the cases is no change.
        while Watched::now(arguments) == watched {
            tokio::select! {
                true = changes.changed() => break,
                true = folders.changed() => {}
                else => return Err(Failure::NotRun("files cannot be watched any longer".to_owned())),
            }
        }
        writeln!(out)?;
    }
}

fn write(file: &Path, text: String) -> Result<(), Failure> {
    std::fs::write(file, text).map_err(|error| {
        let name = file.display().to_string();
        Failure::NotRun(format!("{}: {error}", Printable::line(&name)))
    })
}

fn percent(text: &str) -> Result<f64, &'static str> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>().ok();
    number.filter(|number| (0.0..=100.0).contains(number)).ok_or("expected a number from 0 to 100")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_given_in_per_cent() {
        assert_eq!((percent("90"), percent("99.5%")), (Ok(90.0), Ok(99.5)));
        for text in ["", "-1", "101", "NaN", "ninety"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }
}
