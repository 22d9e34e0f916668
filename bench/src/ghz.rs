//! `make load`: ghz against a running gate, and the gate's own counters against what ghz counted.
//!
//! ghz cannot sign tokens. They are made before, by the development issuer, and handed over in ghz's environment; its data
//! templating picks one for each request. So the report, which holds the data, holds no token.

pub(crate) mod counters;
mod gate;
mod mix;
mod report;
mod tokens;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use tokio::process::Command;

use counters::Counters;
use gate::Gate;
use mix::Mix;
use report::Report;
use tokens::Tokens;

/// Let ghz ask a running gate at a constant rate and on a ramp, and hold the gate's counters to what ghz counted
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The program that is measured
    #[arg(long, value_name = "PATH", default_value = "target/release/tollgate")]
    gate: PathBuf,
    /// ghz
    #[arg(long, value_name = "PATH", default_value = ".tools/ghz")]
    ghz: PathBuf,
    /// Requests a second of the constant run. The ramp goes from a fifth of that to twice as much
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(50..=20_000))]
    rate: u32,
    /// How long each of the two runs takes
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Connections, as of so many Envoy workers
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: u32,
    /// Calls at one time
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=4096))]
    concurrency: u32,
    /// Where reports and the gate's log are left
    #[arg(long, value_name = "FOLDER", default_value = "target/load")]
    out: PathBuf,
}

/// One run of ghz.
struct Plan {
    name: &'static str,
    says: String,
    requests: u64,
    schedule: Vec<String>,
}

/// Runs both.
///
/// # Errors
/// They could not be run, or a counter of the gate is not what it must be.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(options.ghz.is_file(), "no ghz at `{}`: `make load` installs one", options.ghz.display());
    ensure!(options.gate.is_file(), "no gate at `{}`: `make build` builds it", options.gate.display());
    ensure!(
        options.connections <= options.concurrency,
        "each of {} connections needs a call of its own: raise --concurrency",
        options.connections
    );
    std::fs::create_dir_all(&options.out).with_context(|| format!("`{}`", options.out.display()))?;
    let tokens = Tokens::start().await?;
    let gate = Gate::start(&options.gate, &options.out, tokens.issuer()).await?;
    println!("gate: {} (log: {})", gate.address(), gate.log().display());
    let mut agree = true;
    for plan in [constant(options), ramp(options)] {
        agree &= one(options, &plan, &tokens, &gate).await?;
    }
    gate.stop().await?;
    ensure!(agree, "the gate's counters are not what they must be: see above");
    println!("\nEvery count agrees.");
    Ok(())
}

async fn one(options: &Options, plan: &Plan, tokens: &Tokens, gate: &Gate) -> anyhow::Result<bool> {
    println!("\n--- {}: {}", plan.name, plan.says);
    let mix = Mix::new(plan.requests, tokens)?;
    mix.warm_up(gate).await?;
    let before = Counters::read(gate.probes()).await?;
    let page = options.out.join(format!("{}.html", plan.name));
    ghz(options, plan, &mix, gate, &page).await?;
    let counted = Counters::read(gate.probes()).await?.since(&before);
    let report = Report::read(&page)?;
    print!("{report}");
    println!("Report: {}", page.display());
    println!("\nThe gate's counters, and what they must be:");
    let mut agree = true;
    for (what, expected, seen) in mix.against(&report, &counted) {
        let verdict = if expected == seen { "agrees" } else { "DIFFERS" };
        println!("  {what:<42} {expected:>8} {seen:>8}  {verdict}");
        agree &= expected == seen;
    }
    Ok(agree)
}

async fn ghz(options: &Options, plan: &Plan, mix: &Mix, gate: &Gate, page: &Path) -> anyhow::Result<()> {
    // A report of an earlier run must not be taken for this one's.
    if page.exists() {
        std::fs::remove_file(page).with_context(|| format!("`{}`", page.display()))?;
    }
    let data = options.out.join("request.json");
    std::fs::write(&data, mix.template()).with_context(|| format!("`{}`", data.display()))?;
    let status = Command::new(&options.ghz)
        .args(["--insecure", "--call", "envoy.service.auth.v3.Authorization/Check", "--count-errors"])
        .args(["--timeout", "5s", "--format", "html", "--name", plan.name])
        .args(["--connections", &options.connections.to_string(), "--concurrency", &options.concurrency.to_string()])
        .args(["--total", &plan.requests.to_string()])
        .args(&plan.schedule)
        .arg("--data-file")
        .arg(&data)
        .arg("--output")
        .arg(page)
        .arg(gate.address().to_string())
        .envs(mix.environment())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .with_context(|| format!("`{}`", options.ghz.display()))?;
    if !status.success() {
        bail!("ghz ended with {status}");
    }
    Ok(())
}

fn constant(options: &Options) -> Plan {
    let requests = whole(u64::from(options.rate) * u64::from(options.seconds));
    Plan {
        name: "constant",
        says: format!("{requests} requests, {} a second", options.rate),
        requests,
        schedule: vec!["--rps".to_owned(), options.rate.to_string()],
    }
}

fn ramp(options: &Options) -> Plan {
    let (start, end) = (options.rate.div_ceil(5), options.rate * 2);
    let step = ((end - start) / options.seconds).max(1);
    let requests = whole(u64::from(start + end) * u64::from(options.seconds) / 2);
    let schedule = ["--load-schedule=line".to_owned(), format!("--load-start={start}"), format!("--load-step={step}")];
    Plan {
        name: "ramp",
        says: format!("{requests} requests, from {start} a second to {end}"),
        requests,
        schedule: schedule.into_iter().chain([format!("--load-end={end}")]).collect(),
    }
}

/// A number of requests of which the mix makes whole rounds.
fn whole(requests: u64) -> u64 {
    requests.div_ceil(mix::ROUND) * mix::ROUND
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(rate: u32, seconds: u32) -> Options {
        Options {
            gate: PathBuf::new(),
            ghz: PathBuf::new(),
            rate,
            seconds,
            connections: 1,
            concurrency: 1,
            out: PathBuf::new(),
        }
    }

    #[test]
    fn runs_are_whole_rounds_of_about_the_asked_length() {
        let options = options(1010, 3);
        assert_eq!(constant(&options).requests, 3050);
        let ramp = ramp(&options);
        // From 202 to 2020 a second, for three seconds.
        assert_eq!(ramp.requests, 3350);
        assert!(ramp.schedule.contains(&"--load-step=606".to_owned()), "{:?}", ramp.schedule);
    }
}
