//! The development issuer, the echo upstream and the guided tour of `tollgate demo`. Never part of `serve`.

pub mod client;
pub mod envoy;
pub mod gate;
pub mod issuer;
pub mod keys;
mod paint;
pub mod passport;
mod policy;
mod stay;
mod tour;
pub mod upstream;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub use paint::Paint;
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

/// Runs the demo until it is interrupted, or to the end of the tour. 0: all was as expected. 1: it was not. 3: the
/// demo could not run.
pub async fn run(options: DemoOptions) -> ExitCode {
    let show = |line: &str| {
        let mut out = io::stdout().lock();
        // A reader that is gone is no reason to fail.
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    };
    match run_with(&options, Paint::for_stdout(), &mut { show }).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(3)
        }
    }
}

/// As [`run`], line by line to `show`. Whether the tour went as expected.
///
/// # Errors
/// Where the demo cannot run.
pub async fn run_with(
    options: &DemoOptions,
    paint: Paint,
    show: &mut (dyn FnMut(&str) + Send),
) -> Result<bool, DemoError> {
    let binary = if options.without_envoy { None } else { envoy::find()? };
    let directory = tempfile::Builder::new().prefix("tollgate-demo-").tempdir().map_err(DemoError::Directory)?;
    let issuer = issuer::DevIssuer::start(options.issuer_port).await?;
    let passport = passport::Passport::new()?;
    let upstream = upstream::Upstream::start(options.upstream_port).await?;
    let files = policy::write(directory.path(), issuer.url(), options.probes_port)?;
    passport.write_public_key(&files.public_key)?;
    let gate = gate::LocalGate::start(&files.policy).await?;
    let envoy = match &binary {
        Some(binary) => Some(start_envoy(binary, options, &upstream, &files).await?),
        None => None,
    };
    let place = stay::Place { issuer: &issuer, upstream: &upstream, envoy: envoy.as_ref(), gate: &gate, files: &files };
    for line in place.introduction(paint) {
        show(&line);
    }
    let tokens = Tokens::new(&issuer, &passport)?;
    let way = match &envoy {
        Some(envoy) => Way::Envoy(envoy, &upstream),
        None => Way::Gate(gate::Asker::connect(&files.socket).await?),
    };
    let all_well = tour::go(&way, &tokens, paint, show).await;
    show("");
    show(&if all_well {
        paint.good("Everything was as expected.")
    } else {
        paint.bad("Not everything was as expected: see the lines marked `no`.")
    });
    if !options.once {
        stay::until_interrupted(&place, &tokens, paint, show).await;
    }
    gate.stop().await;
    Ok(all_well)
}

async fn start_envoy(
    binary: &Path,
    options: &DemoOptions,
    upstream: &upstream::Upstream,
    files: &policy::Files,
) -> Result<envoy::Envoy, DemoError> {
    let gate = envoy::Gate::Unix(files.socket.clone());
    let config = envoy::Shipped::inbound()
        .between(options.envoy_port, options.envoy_admin_port, upstream.address(), &gate)?
        // As patient as the demo's policy: this is a machine that does other things, and maybe a debug build.
        .replace(" timeout: 0.25s\n", " timeout: 2s\n")?;
    envoy::Envoy::start(binary, config.text()).await
}
