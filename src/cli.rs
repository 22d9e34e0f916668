//! The command line: one file for each command, and here what they share.
//!
//! A command returns an [`Exit`] or a `Failure`; nothing but [`main`] turns that into a process's exit code. What a
//! command found goes to standard output, what went wrong with running it to standard error.

mod check;
mod config_file;
mod demo;
mod doctor;
mod exit;
mod explain;
mod health;
mod import;
mod lint;
mod printable;
mod schema;
mod serve;
mod test;
mod token;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

pub use exit::Exit;
use exit::Failure;

/// Validate tokens, check a policy, and answer Envoy: allow or deny, and who is asking.
///
/// Tollgate is asked by Envoy's external authorization filter (`envoy.service.auth.v3.Authorization/Check`) about every
/// request. It verifies the bearer token, finds the one rule of the policy that answers, and allows the request with
/// identity headers that the upstream may trust, or denies it with a reason.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, max_term_width = 100, after_help = "`tollgate help COMMAND` teaches a command.")]
#[command(after_long_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
A first quarter of an hour:
  tollgate demo                         see it at work behind a real Envoy, with its own issuer
  tollgate check --config policy.yaml   is the file right? every error at once
  tollgate lint --config policy.yaml    does it say what was meant?
  tollgate token --config policy.yaml   why is this token refused? (paste it)
  tollgate explain --request check.json which rule answers this request, and why?
  tollgate test --config policy.yaml    does it decide as its test cases say?
  tollgate doctor --config policy.yaml  are issuers, key files and listeners as the file says?
  tollgate serve --config policy.yaml   put it into service

Exit codes:
  0  it ran, and the answer is yes
  1  it ran, and the answer is no: errors in the configuration, findings of lint, a case that
     came out otherwise, a token refused, a fault found, a gate that does not serve
  2  the command line is wrong
  3  it could not run: an address that cannot be bound, a file that cannot be read

Environment:
  TOLLGATE_CONFIG  the configuration where --config is not given;
                   /etc/tollgate/policy.yaml where neither is
  TOLLGATE_LOG     which log lines go to standard error: `debug`, or
                   `info,tollgate::authn=debug`";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Check(check::CheckArgs),
    Lint(lint::LintArgs),
    Token(token::TokenArgs),
    Explain(explain::ExplainArgs),
    Test(test::TestArgs),
    Doctor(doctor::DoctorArgs),
    Import(import::ImportArgs),
    Schema(schema::SchemaArgs),
    Demo(demo::DemoArgs),
    Health(health::HealthArgs),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    run(std::env::args_os()).into()
}

/// Runs a command line, whose first word is the program's name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to be told where the output is closed.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Yes };
        }
    };
    let out = &mut io::stdout();
    let done = match cli.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(arguments) => check::run(&arguments, out),
        Command::Lint(arguments) => lint::run(&arguments, out),
        Command::Token(arguments) => token::run(&arguments, out),
        Command::Explain(arguments) => explain::run(&arguments, out),
        Command::Test(arguments) => test::run(&arguments, out),
        Command::Doctor(arguments) => doctor::run(&arguments, out),
        Command::Import(arguments) => import::run(&arguments, out),
        Command::Schema(arguments) => schema::run(&arguments, out),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Health(arguments) => health::run(&arguments, out),
    };
    match done.and_then(|exit| out.flush().map(|()| exit).map_err(Failure::from)) {
        Ok(exit) => exit,
        Err(failure) => {
            let _ = write!(io::stderr(), "{failure}");
            failure.exit()
        }
    }
}

/// The command line's description, for help texts and completion.
pub fn command() -> clap::Command {
    Cli::command()
}
