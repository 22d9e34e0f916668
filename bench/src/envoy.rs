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

use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::load::{Asks, on_this_thread};
use crate::policy::HOST;
use crate::process::{LOAD_CORE, pin_to};
use crate::scene::{Scene, Transport};

/// Measure what settings of Envoy do to its own CPU, one beside the other
#[derive(Debug, Args)]
pub struct Options {
    /// Settings to measure beside the shipped ones, by a part of their names; all where none is named
    names: Vec<String>,
    /// Short rounds, for development
    #[arg(long)]
    quick: bool,
    /// Another gate than the one that was built beside this program
    #[arg(long, value_name = "PROGRAM")]
    gate: Option<PathBuf>,
    /// Rounds, where they should be others than usual
    #[arg(long)]
    rounds: Option<usize>,
}

/// Measures settings and prints a table of them.
///
/// # Errors
/// Something could not be started, or did not answer as it must.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let scene = Scene::set(options.gate.clone(), Transport::Unix)?;
    pin_to(LOAD_CORE)?;
    let effort = if options.quick { settings::Effort::QUICK } else { settings::Effort::FULL };
    let effort = settings::Effort { rounds: options.rounds.unwrap_or(effort.rounds), ..effort };
    let seen = on_this_thread(settings::measure(&scene, &effort, &options.names))?;
    print!("{}", settings::table(&seen));
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
