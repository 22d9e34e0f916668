//! `tollgate serve`: puts a configuration into service.

mod signals;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Args;
use tokio::runtime::{self, Runtime};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::check::shown;
use super::config_file::ConfigFile;
use super::exit::{Exit, Failure};
use crate::admin::{Control, Probes};
use crate::authn::store::Deps;
use crate::clock::SystemClock;
use crate::config::server::{Address, ServerSpec};
use crate::engine::Engine;
use crate::grpc::{Health, Server};
use crate::listen::BindError;
use crate::net::HttpClient;
use crate::telemetry::{self, LogLevel, Recorder};
use signals::{Signals, Told};

/// Put a configuration into service
///
/// Opens the listeners that the configuration names and answers Envoy. Changed files (the configuration, its rule files,
/// keys, certificates) are taken up by themselves; SIGHUP does so at once. A configuration that is wrong is logged, and
/// the one in service stays. SIGTERM and SIGINT drain: health says NOT_SERVING, calls are answered for `drain.delay`
/// more, then connections are told to go away, and those in flight have `drain.grace`. A second signal ends at once.
/// SIGUSR1 opens the audit log's file anew, after it was moved away.
///
/// Log lines go to standard error, as JSON where that is not a terminal. Traces, and the audit log where it says `to: otlp`,
/// go to the OpenTelemetry collector that the standard OTEL_* variables name; without them nothing is traced.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  tollgate serve --config policy.yaml
  TOLLGATE_LOG=info,tollgate::authn=debug tollgate serve --threads 4
  OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 OTEL_TRACES_SAMPLER=parentbased_traceidratio \\
    OTEL_TRACES_SAMPLER_ARG=0.01 tollgate serve
  kill -HUP $(pidof tollgate)

Exit codes:
  0  it served, and was told to end
  1  the configuration it started with has errors
  2  the command line, or TOLLGATE_LOG, is wrong
  3  a listener or the audit log could not be opened")]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// Threads that answer; one for each processor where it is not given
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

/// Longest wait for what the process does beside answering, when it ends.
const LAST_WAIT: Duration = Duration::from_secs(2);

pub(super) fn run(arguments: &ServeArgs) -> Result<Exit, Failure> {
    // To the end of this function: the last lines say how it ended.
    let (level, _lines) = telemetry::init_logging().map_err(|error| Failure::Usage(error.to_string()))?;
    telemetry::log_panics();
    let cannot_start = |error: io::Error| Failure::NotRun(format!("cannot start: {error}"));
    let recorder = Arc::new(Recorder::of_environment());
    let runtime = runtime(arguments.threads).map_err(cannot_start)?;
    let served = runtime.block_on(async {
        // Caught from the first moment: a signal during the start ends it in the same way.
        let signals = Signals::catch().map_err(cannot_start)?;
        serve(&arguments.config.path(), signals, level, recorder).await
    });
    // A file system that hangs does not keep the process.
    runtime.shutdown_timeout(LAST_WAIT);
    served
}

/// With one thread nothing has to be shared between threads.
fn runtime(threads: Option<NonZeroUsize>) -> io::Result<Runtime> {
    let threads = threads.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    let mut runtime = match threads.get() {
        1 => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    runtime.worker_threads(threads.get()).enable_all().build()
}

async fn serve(path: &Path, mut signals: Signals, level: LogLevel, recorder: Arc<Recorder>) -> Result<Exit, Failure> {
    let deps = Deps::new(HttpClient::new(), Arc::new(SystemClock), Arc::<Recorder>::clone(&recorder));
    let engine = tokio::select! {
        loaded = Engine::load(path, deps) => loaded?,
        () = signals.end() => return Ok(Exit::Yes),
    };
    open_audit(&engine, &recorder).await?;
    let spec = engine.server().clone();
    let (draining, stop) = (CancellationToken::new(), CancellationToken::new());
    let mut admin = serve_admin(&spec, &engine, &recorder, level, &draining, &stop).await?;
    let server = Server::bind(&spec).await.map_err(|error| Failure::NotRun(error.to_string()))?;
    say_where(&spec, &server);
    let health = Health::new();
    let server = server.run(Arc::clone(&engine), Arc::clone(&recorder), health.clone());
    let ready = AbortOnDropHandle::new(tokio::spawn({
        let engine = Arc::clone(&engine);
        async move {
            engine.until_ready().await;
            health.set_serving(true);
            tracing::info!("ready");
        }
    }));
    let following = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&engine).follow_files(stop.clone())));

    loop {
        match signals.next().await {
            Told::End => break,
            Told::Reload => {
                tracing::info!("SIGHUP: reading the configuration again");
                // On its own, so that it delays no signal. The engine says in the log how it ended.
                let engine = Arc::clone(&engine);
                tokio::spawn(async move { drop(engine.reload().await) });
            }
            Told::Reopen => recorder.reopen_audit(),
        }
    }
    tracing::info!(delay = ?spec.drain.delay, grace = ?spec.drain.grace, "draining");
    // Nothing may say SERVING again, or swap what decides, from here on.
    drop((ready, following));
    draining.cancel();
    tokio::select! {
        drained = server.drain(&spec.drain) => if drained.cut_off > 0 {
            let connections = drained.cut_off;
            tracing::warn!(connections, "calls were still in flight when the grace ended");
        },
        () = signals.end() => tracing::warn!("a second signal: ending without waiting for calls in flight"),
    }
    stop.cancel();
    let _ = tokio::time::timeout(LAST_WAIT, async { while admin.join_next().await.is_some() {} }).await;
    close(&recorder).await;
    tracing::info!("ended");
    Ok(Exit::Yes)
}

/// Has written and sent what waits for it: all at the same time, so that it takes no longer than one of them may.
async fn close(recorder: &Arc<Recorder>) {
    let [audit, traces] = [Recorder::close_audit, Recorder::close_traces].map(|close| {
        let recorder = Arc::clone(recorder);
        tokio::task::spawn_blocking(move || close(&recorder, LAST_WAIT))
    });
    let lines = audit.await.unwrap_or_default();
    if lines > 0 {
        tracing::warn!(lines, "lines of the audit log were not written in time");
    }
    let spans = traces.await.unwrap_or_default();
    if spans > 0 {
        tracing::warn!(spans, "spans were not sent in time");
    }
}

/// Opens the audit log, where there is one.
async fn open_audit(engine: &Arc<Engine>, recorder: &Arc<Recorder>) -> Result<(), Failure> {
    let Some(spec) = engine.audit().cloned() else { return Ok(()) };
    let recorder = Arc::clone(recorder);
    let opening = tokio::task::spawn_blocking(move || recorder.open_audit(&spec));
    match tokio::time::timeout(LAST_WAIT, opening).await {
        Ok(Ok(opened)) => opened.map_err(|error| Failure::NotRun(error.to_string())),
        Ok(Err(error)) => Err(Failure::NotRun(format!("audit: {error}"))),
        Err(_) => {
            let message = "audit.to.file: opening it does not end; is it a pipe that nobody reads?";
            Err(Failure::NotRun(message.to_owned()))
        }
    }
}

/// Opens the listeners for people and probes, and serves them.
async fn serve_admin(
    spec: &ServerSpec,
    engine: &Arc<Engine>,
    recorder: &Arc<Recorder>,
    level: LogLevel,
    draining: &CancellationToken,
    stop: &CancellationToken,
) -> Result<JoinSet<()>, Failure> {
    let refused = |error: BindError| Failure::NotRun(error.to_string());
    let mut tasks = JoinSet::new();
    if let Some(address) = spec.probes {
        let probes = Probes::bind(address).await.map_err(refused)?;
        tracing::info!(address = probes.bound().tcp_address().map(tracing::field::display), "probes listener");
        tasks.spawn(probes.serve(Arc::clone(engine), Arc::clone(recorder), draining.clone(), stop.clone()));
    }
    if let Some(listener) = &spec.control {
        let control = Control::bind(listener).await.map_err(refused)?;
        tracing::info!(address = place(&listener.address, control.bound().tcp_address()), "control listener");
        tasks.spawn(control.serve(Arc::clone(engine), Arc::clone(recorder), level, stop.clone()));
    }
    Ok(tasks)
}

/// Says where Check is asked, with the ports that were taken.
fn say_where(spec: &ServerSpec, server: &Server) {
    for (listener, address) in spec.check.iter().zip(server.addresses()) {
        let tls = listener.tls.is_some();
        let trusted = listener.is_trusted();
        tracing::info!(address = shown(&address), direction = ?listener.direction, tls, trusted, "Check listener");
    }
}

fn place(configured: &Address, taken: Option<SocketAddr>) -> String {
    taken.map_or_else(|| shown(configured), |address| address.to_string())
}
