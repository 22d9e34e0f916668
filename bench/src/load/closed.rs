//! A number of calls in flight at all times, as fast as the server answers.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::answer::Outcome;
use super::call::{Headers, call};
use super::connect::{Connection, Endpoint};
use super::source::Source;
use super::tally::Tally;
use crate::process::cpu_seconds;

/// How the calls are made.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Where to.
    pub endpoint: Endpoint,
    /// Connections.
    pub connections: usize,
    /// Calls in flight, in all.
    pub in_flight: usize,
}

/// When a window ends.
pub struct Window<'a> {
    /// Calls before anything is counted …
    pub warm_up_calls: u64,
    /// … and time.
    pub warm_up: Duration,
    /// Least time that is measured.
    pub least: Duration,
    /// Most time that is measured.
    pub most: Duration,
    /// The server's CPU, or whatever is looked at, in seconds: at the start, at the end, and between.
    pub probe: &'a mut dyn FnMut() -> anyhow::Result<f64>,
    /// How much of it is enough, once `least` is over.
    pub enough: f64,
}

/// What a window saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The answers.
    pub tally: Tally,
    /// How long it was.
    pub took: Duration,
    /// What the probe gained.
    pub gained: f64,
    /// CPU that this process itself used, in seconds.
    pub own_cpu: f64,
    /// Whether the source gave out before the window was full.
    pub ran_out: bool,
}

impl Seen {
    /// What was probed for each call, in millionths: with CPU seconds, microseconds of CPU for each call.
    pub fn micros_per_call(&self) -> f64 {
        self.gained * 1e6 / self.tally.total() as f64
    }

    /// CPU of the load itself for each call, microseconds.
    pub fn own_micros_per_call(&self) -> f64 {
        self.own_cpu * 1e6 / self.tally.total() as f64
    }

    /// Calls in a second.
    pub fn per_second(&self) -> f64 {
        self.tally.total() as f64 / self.took.as_secs_f64()
    }
}

struct Shared<S> {
    source: Mutex<S>,
    tally: Mutex<Tally>,
    done: AtomicU64,
    counting: AtomicBool,
    stop: AtomicBool,
    ran_out: AtomicBool,
    callers: AtomicUsize,
}

/// Loads a server and measures one window. The source is given back: what it has left can be used again.
///
/// # Errors
/// The server could not be reached, the probe failed, or all calls failed to be sent.
pub async fn run<S: Source + 'static>(shape: &Shape, source: S, window: Window<'_>) -> anyhow::Result<(Seen, S)> {
    let headers = Arc::new(Headers::new(source.asks(), None)?);
    let shared = Arc::new(Shared {
        source: Mutex::new(source),
        tally: Mutex::default(),
        done: AtomicU64::new(0),
        counting: AtomicBool::new(false),
        stop: AtomicBool::new(false),
        ran_out: AtomicBool::new(false),
        callers: AtomicUsize::new(shape.in_flight),
    });
    let mut connections = Vec::new();
    for _ in 0..shape.connections {
        connections.push(Connection::open(&shape.endpoint).await?);
    }
    let mut callers = JoinSet::new();
    for n in 0..shape.in_flight {
        let sender = connections[n % connections.len()].sender.clone();
        let (shared, headers) = (Arc::clone(&shared), Arc::clone(&headers));
        callers.spawn(async move {
            while let Some(body) = shared.take() {
                let sent = Instant::now();
                let outcome = call(sender.clone(), &headers, body).await;
                shared.note(outcome, sent.elapsed());
                // Its connection is gone, and a loop without a wait would keep this thread.
                if outcome == Outcome::Transport {
                    break;
                }
            }
            shared.callers.fetch_sub(1, Relaxed);
        });
    }
    let seen = watch(&shared, window).await;
    shared.stop.store(true, Relaxed);
    while callers.join_next().await.is_some() {}
    drop(connections);
    let shared = Arc::into_inner(shared).ok_or_else(|| anyhow::anyhow!("a caller is left"))?;
    Ok((seen?, shared.source.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

async fn watch<S>(shared: &Shared<S>, window: Window<'_>) -> anyhow::Result<Seen> {
    const LOOK: Duration = Duration::from_millis(20);
    let begun = Instant::now();
    let over = || shared.ran_out.load(Relaxed) || shared.callers.load(Relaxed) == 0;
    while (begun.elapsed() < window.warm_up || shared.done.load(Relaxed) < window.warm_up_calls) && !over() {
        tokio::time::sleep(LOOK).await;
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(600), "the warm-up does not end");
    }
    let own = || cpu_seconds(std::process::id());
    let (before, own_before) = ((window.probe)()?, own()?);
    let begun = Instant::now();
    shared.counting.store(true, Relaxed);
    let mut gained = 0.0;
    while (begun.elapsed() < window.least || gained < window.enough) && begun.elapsed() < window.most && !over() {
        tokio::time::sleep(LOOK).await;
        gained = (window.probe)()? - before;
    }
    shared.counting.store(false, Relaxed);
    let took = begun.elapsed();
    let (gained, own_cpu) = ((window.probe)()? - before, own()? - own_before);
    let tally = std::mem::take(&mut *lock(&shared.tally));
    anyhow::ensure!(tally.total() > 0, "no call was answered");
    Ok(Seen { tally, took, gained, own_cpu, ran_out: shared.ran_out.load(Relaxed) })
}

impl<S: Source> Shared<S> {
    fn take(&self) -> Option<bytes::Bytes> {
        if self.stop.load(Relaxed) {
            return None;
        }
        let body = lock(&self.source).draw();
        if body.is_none() {
            self.ran_out.store(true, Relaxed);
        }
        body
    }

    fn note(&self, outcome: Outcome, took: Duration) {
        self.done.fetch_add(1, Relaxed);
        if self.counting.load(Relaxed) {
            lock(&self.tally).record(outcome, took);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
