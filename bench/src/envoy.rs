//! What a client sees: requests through a real Envoy with the shipped configuration.
//!
//! Envoy has one worker. It answers what is allowed itself, so that no service behind it costs anything. Envoy and whoever
//! authorizes share one core, as a proxy and its gate share a pod, and the load has the other: what is counted is the CPU
//! of both together, and the load's clock is not held up by what it measures.

mod config;
mod jwt_authn;
pub mod mix;
mod probes;
mod running;
pub mod settings;
pub mod through;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::load::{Asks, on_this_thread};
use crate::policy::HOST;
use crate::process::{LOAD_CORE, pin_to};
use crate::scene::{Scene, Transport};

/// Measure through a real Envoy
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
    /// Short rounds, for development
    #[arg(long, global = true)]
    quick: bool,
    /// Another gate than the one that was built beside this program
    #[arg(long, global = true, value_name = "PROGRAM")]
    gate: Option<PathBuf>,
    /// Rounds, where they should be others than usual
    #[arg(long, global = true)]
    rounds: Option<usize>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// CPU and added time: the gate, the baselines, and Envoy's own `jwt_authn` and `rbac`
    Through,
    /// A thousand requests a second of a realistic mix of clients
    Mix,
    /// What settings of Envoy do to its own CPU
    Settings {
        /// Settings to measure beside the shipped ones; all where none is named
        names: Vec<String>,
    },
}

/// Measures one of them and prints what was seen.
///
/// # Errors
/// Something could not be started, or did not answer as it must, or what must hold does not.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let scene = Scene::set(options.gate.clone(), Transport::Unix)?;
    pin_to(LOAD_CORE)?;
    match &options.what {
        What::Through => {
            let effort = if options.quick { through::Effort::QUICK } else { through::Effort::FULL };
            let effort = through::Effort { rounds: options.rounds.unwrap_or(effort.rounds), ..effort };
            let seen = on_this_thread(through::measure(&scene, &effort))?;
            print!("{}", seen.table());
            anyhow::ensure!(seen.held(), "NOT HELD");
        }
        What::Mix => {
            let effort = if options.quick { mix::Effort::QUICK } else { mix::Effort::FULL };
            let seen = on_this_thread(mix::measure(&scene, &effort))?;
            print!("{}", seen.table());
            anyhow::ensure!(seen.held(), "NOT HELD");
        }
        What::Settings { names } => {
            let effort = if options.quick { settings::Effort::QUICK } else { settings::Effort::FULL };
            let effort = settings::Effort { rounds: options.rounds.unwrap_or(effort.rounds), ..effort };
            let seen = on_this_thread(settings::measure(&scene, &effort, names))?;
            print!("{}", settings::table(&seen));
        }
    }
    Ok(())
}

/// The client's request, but for its token. With what Envoy adds, the gate sees thirteen headers.
fn request() -> anyhow::Result<Asks> {
    let uri = Uri::try_from(format!("http://{HOST}/api/internal/payments/pay_00000017"))?;
    let headers = [
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate, br"),
        ("content-type", "application/json"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("user-agent", "order-service/4.12.0 (linux; x86_64) axios/1.7.9"),
    ];
    let headers: HeaderMap = headers
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    Ok(Asks::Get { uri, headers })
}

/// The value of `authorization`.
fn credential(token: &str) -> bytes::Bytes {
    format!("Bearer {token}").into()
}
