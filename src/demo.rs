//! The development issuer, the echo upstream and the guided tour of `tollgate demo`. Never part of `serve`.

pub mod client;
pub mod envoy;
pub mod gate;
pub mod issuer;
pub mod keycloak;
pub mod keys;
mod paint;
pub mod passport;
mod policy;
mod running;
mod stay;
mod tour;
pub mod upstream;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub use paint::Paint;
use running::Running;
use tour::{Tokens, Way};

/// Why the demo cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A key cannot be made or used.
    #[error("the demo's keys cannot be made")]
    Keys,
    /// A file cannot be read or written.
    #[error("`{}`: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is no room for temporary files.
    #[error("no temporary directory can be made: {0}")]
    Directory(io::Error),
    /// It was told to end.
    #[error("interrupted before the end of the tour")]
    Interrupted,
    /// A port is taken.
    #[error("{what} cannot listen on {address}: {error}")]
    Listen {
        /// Who wanted to listen.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// A request got no answer.
    #[error(transparent)]
    Call(#[from] client::CallError),
    /// `TOLLGATE_ENVOY` is wrong.
    #[error("`TOLLGATE_ENVOY` names `{}`, which is no file: correct it, or unset it", .0.display())]
    NoSuchEnvoy(PathBuf),
    /// Envoy does not run.
    #[error("envoy does not start: {why}\n{log}")]
    Envoy {
        /// What was seen.
        why: String,
        /// The end of its log.
        log: String,
    },
    /// There is no Envoy, and no way to do without.
    #[error("there is no envoy: `make envoy` fetches one, or name yours in TOLLGATE_ENVOY")]
    NoEnvoy,
    /// There is no Keycloak.
    #[error("there is no Keycloak{}: `make idp` fetches one, or name yours by --home", at(.0.as_deref()))]
    NoKeycloak(Option<PathBuf>),
    /// Keycloak does not run, or not as it should.
    #[error("Keycloak: {why}\n{log}")]
    Keycloak {
        /// What was seen.
        why: String,
        /// The end of its log, or what it said.
        log: String,
    },
    /// The policy is not usable: what is wrong with it.
    #[error("the policy is not usable:\n  {}", .0.join("\n  "))]
    Policy(Vec<String>),
    /// The gate does not listen, or does not answer.
    #[error("the gate: {0}")]
    Gate(String),
    /// A shipped configuration is not as the demo expects it.
    #[error("the shipped configuration does not hold `{0}` exactly once")]
    Shipped(String),
}

/// See the gate at work: a development issuer, an echo service, the gate with the example policy and, where there is
/// one, a real Envoy, all on loopback. A guided tour of requests comes first.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DemoOptions {
    /// End after the tour: exit code 0 where everything was as expected, 1 where it was not
    #[arg(long)]
    pub once: bool,
    /// Ask the gate itself over gRPC, even where there is an Envoy
    #[arg(long)]
    pub without_envoy: bool,
    /// Where Envoy takes requests; a free port unless given
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub envoy_port: u16,
    /// Where Envoy's admin interface is; a free port unless given
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub envoy_admin_port: u16,
    /// Where the development issuer is; a free port unless given
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub issuer_port: u16,
    /// Where the echo service is; a free port unless given
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub upstream_port: u16,
    /// Where the gate's metrics and health are; a free port unless given
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub probes_port: u16,
}

/// Runs the demo until Ctrl-C or SIGTERM, or to the end of the tour. 0: all was as expected. 1: it was not. 3: the
/// demo could not run, or not to the end of the tour.
pub async fn run(options: DemoOptions) -> ExitCode {
    until_interrupted(async |end, show| run_with(&options, Paint::for_stdout(), end, show).await).await
}

/// Runs `demo` with standard output and with a sign that is given on Ctrl-C or SIGTERM.
async fn until_interrupted(
    demo: impl AsyncFnOnce(CancellationToken, &mut (dyn FnMut(&str) + Send)) -> Result<bool, DemoError>,
) -> ExitCode {
    let mut show = |line: &str| {
        let mut out = io::stdout().lock();
        // A reader that is gone is no reason to fail.
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    };
    let end = CancellationToken::new();
    // From the first moment: Envoy and the files must not outlive this process.
    let interrupted = tokio::spawn(interruption(end.clone()));
    let ended = demo(end, &mut show).await;
    interrupted.abort();
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(3)
        }
    }
}

fn at(place: Option<&Path>) -> String {
    place.map(|place| format!(" in `{}`", place.display())).unwrap_or_default()
}

async fn interruption(end: CancellationToken) {
    if let Ok(mut terminate) = signal(SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    }
    end.cancel();
}

/// As [`run`], until `end` and line by line to `show`. Whether the tour went as expected.
///
/// # Errors
/// Where the demo cannot run, or ends before the tour does.
pub async fn run_with(
    options: &DemoOptions,
    paint: Paint,
    end: CancellationToken,
    show: &mut (dyn FnMut(&str) + Send),
) -> Result<bool, DemoError> {
    let tour = async {
        let running = Running::start(options).await?;
        for line in running.introduction(paint) {
            show(&line);
        }
        let tokens = Tokens::new(&running.issuer, &running.passport)?;
        let way = match &running.envoy {
            Some(envoy) => Way::Envoy(envoy, &running.upstream),
            None => Way::Gate(gate::Asker::connect(&running.files.socket).await?),
        };
        let all_well = tour::go(&way, &tokens, paint, show).await;
        Ok::<_, DemoError>((running, tokens, all_well))
    };
    let (running, tokens, all_well) = end.run_until_cancelled(tour).await.ok_or(DemoError::Interrupted)??;
    show("");
    show(&if all_well {
        paint.good("Everything was as expected.")
    } else {
        paint.bad("Not everything was as expected: see the lines marked `no`.")
    });
    if !options.once {
        for line in running.invitation(&tokens) {
            show(&line);
        }
        end.run_until_cancelled(stay::show_reloads(running.gate.engine(), paint, show)).await;
    }
    running.gate.stop().await;
    Ok(all_well)
}
