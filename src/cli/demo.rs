//! `tollgate demo`: the gate at work, for people.

use std::io;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::exit::{Exit, Failure};
use crate::demo::keycloak::{self, KeycloakOptions};
use crate::demo::{self, DemoOptions};

/// See the gate at work behind a real Envoy, with a development issuer and an echo service
///
/// Starts all of them on loopback, and walks real requests through: allowed, no token, wrong audience, missing scope, a
/// forged identity header, and more. Then it stays up, prints `curl` lines with live tokens, and takes up what you change
/// in the policy. The development issuer is part of this command alone; no configuration can switch it on.
///
/// Envoy is the one that TOLLGATE_ENVOY names, that `make envoy` fetched, or that is on the PATH. Without one, the gate
/// is asked directly.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "\
Examples:
  tollgate demo
  tollgate demo --once
  tollgate demo --envoy-port 10000
  tollgate demo keycloak --home /opt/keycloak

Exit codes:
  0  the tour went as it should
  1  it did not
  3  the demo could not run"
)]
pub(super) struct DemoArgs {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    options: DemoOptions,
}

#[derive(Debug, Subcommand)]
enum Other {
    Keycloak(KeycloakOptions),
}

pub(super) fn run(arguments: &DemoArgs) -> Result<Exit, Failure> {
    let cannot_start = |error: io::Error| Failure::NotRun(format!("cannot start: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(cannot_start)?;
    let ended = match &arguments.other {
        None => runtime.block_on(demo::run(arguments.options.clone())),
        Some(Other::Keycloak(options)) => runtime.block_on(keycloak::run(options.clone())),
    };
    Ok(match ended {
        code if code == ExitCode::SUCCESS => Exit::Yes,
        code if code == ExitCode::FAILURE => Exit::No,
        _ => Exit::NotRun,
    })
}
