//! Measures the gate.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tollgate_bench::compare::{self, Effort};
use tollgate_bench::envoy;
use tollgate_bench::ghz;
use tollgate_bench::load::on_this_thread;
use tollgate_bench::mint::Algorithm;
use tollgate_bench::process::{LOAD_CORE, pin_to};
use tollgate_bench::scene::{Scene, Subject, Transport};

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
    Envoy(envoy::Options),
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

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Compare(arguments) => compare(&arguments),
        Command::Envoy(options) => envoy::run(&options),
        Command::Ghz(options) => on_this_thread(ghz::run(&options)),
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
