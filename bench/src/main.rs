//! Measures the gate.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tollgate_bench::compare::{self, Effort};
use tollgate_bench::document::{self, Document};
use tollgate_bench::envoy;
use tollgate_bench::ghz;
use tollgate_bench::load::on_this_thread;
use tollgate_bench::machine;
use tollgate_bench::mint::Algorithm;
use tollgate_bench::process::{LOAD_CORE, pin_to};
use tollgate_bench::rows;
use tollgate_bench::scene::{Scene, Subject, Transport};
use tollgate_bench::table::{self, Bench, Verdict};

/// The load has one core: what it does not spend on itself it can offer.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the gate.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare gate, stock and tuned on cached allows
    Compare(CompareArgs),
    /// Measure the table and write it down
    Table(TableArgs),
    EnvoySettings(envoy::Options),
    Ghz(ghz::Options),
}

#[derive(Debug, Args)]
struct Common {
    /// Short rounds, for development
    #[arg(long)]
    quick: bool,
    /// Another gate than the one that was built beside this program
    #[arg(long, value_name = "PROGRAM")]
    gate: Option<PathBuf>,
    /// Sockets between load and server
    #[arg(long, value_enum, default_value_t)]
    transport: Transport,
    /// Rounds, where they should be others than usual
    #[arg(long)]
    rounds: Option<usize>,
}

impl Common {
    /// Whether what is measured is what the document is about.
    fn is_usual(&self) -> bool {
        !self.quick
            && self.gate.is_none()
            && self.transport == Transport::default()
            && self.rounds.is_none_or(|n| n >= 5)
    }

    fn effort(&self) -> Effort {
        let effort = if self.quick { Effort::QUICK } else { Effort::FULL };
        Effort { rounds: self.rounds.unwrap_or(effort.rounds), ..effort }
    }
}

#[derive(Debug, Args)]
struct CompareArgs {
    #[command(flatten)]
    common: Common,
    /// Calls in flight
    #[arg(long, default_value_t = Effort::FULL.in_flight)]
    in_flight: usize,
    /// Connections
    #[arg(long, default_value_t = Effort::FULL.connections)]
    connections: usize,
    /// Tokens in rotation
    #[arg(long, default_value_t = Effort::FULL.tokens)]
    tokens: usize,
}

#[derive(Debug, Args)]
struct TableArgs {
    #[command(flatten)]
    common: Common,
    /// Rows, by number; where none is named all but 17, a soak of twenty minutes
    #[arg(long, value_delimiter = ',')]
    rows: Vec<u32>,
    /// Where the documents are
    #[arg(long, value_name = "FOLDER", default_value = "docs")]
    docs: PathBuf,
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Compare(arguments) => compare(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Table(arguments) => table(&arguments),
        Command::EnvoySettings(options) => envoy::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Ghz(options) => on_this_thread(ghz::run(&options)).map(|()| ExitCode::SUCCESS),
    }
}

fn compare(arguments: &CompareArgs) -> anyhow::Result<()> {
    let scene = Scene::set(arguments.common.gate.clone(), arguments.common.transport)?;
    let effort = Effort {
        in_flight: arguments.in_flight,
        connections: arguments.connections,
        tokens: arguments.tokens,
        ..arguments.common.effort()
    };
    pin_to(LOAD_CORE)?;
    let subjects = [Subject::Gate, Subject::Stock, Subject::Tuned];
    let rounds = on_this_thread(compare::cached_allows(&scene, &subjects, &effort, Algorithm::Rs256))?;
    print!("{}", compare::report(&rounds));
    Ok(())
}

fn table(arguments: &TableArgs) -> anyhow::Result<ExitCode> {
    let common = &arguments.common;
    if let Some(load) = machine::load().filter(|load| *load > 0.3) {
        eprintln!("this machine is busy (load {load}): figures will be off");
    }
    let scene = Scene::set(common.gate.clone(), common.transport)?;
    let bench = Bench { scene, effort: common.effort(), quick: common.quick };
    // It is read first: what cannot be read is not overwritten after an hour.
    let mut document = Document::kept_in(&arguments.docs)?;
    pin_to(LOAD_CORE)?;
    let groups =
        if arguments.rows.is_empty() { rows::GROUPS.to_vec() } else { [rows::GROUPS, rows::ON_REQUEST].concat() };
    let found = table::run(&groups, &bench, &arguments.rows.iter().copied().collect());
    let held = found.rows.iter().all(|row| row.held != Verdict::NotHeld);
    if common.is_usual() {
        document.merge(machine::this(), found, &document::today());
        document.write(&arguments.docs)?;
    } else {
        eprintln!("not a full run: {} is left as it is", arguments.docs.display());
    }
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
