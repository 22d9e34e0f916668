//! Measures the gate.

mod ghz;

use std::process::ExitCode;

use clap::Parser;

/// Measures the gate
#[derive(Debug, Parser)]
enum Command {
    Ghz(ghz::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Ghz(options) => ghz::run(&options).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(3)
        }
    }
}
