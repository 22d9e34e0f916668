//! Fixed rates, whatever comes back.
//!
//! A call is due at its place in a schedule that is laid down beforehand. Where it cannot be sent then, since the server
//! takes no more calls at one time or this thread is late, it is sent as soon as it can be, and its time counts from
//! when it was due (coordinated omission). A run has phases; a call belongs to the phase in which it was due.

mod schedule;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;
use bytes::Bytes;

use super::answer::Outcome;
use super::call::{Asks, Headers, call};
use super::connect::{Connection, Endpoint};
use super::source::Source;
use super::tally::Tally;
use schedule::{Due, Schedule};

/// How the calls are made.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Where to.
    pub endpoint: Endpoint,
    /// Connections.
    pub connections: usize,
    /// Most calls in flight on one connection; the server's own bound holds as well.
    pub in_flight: usize,
    /// How long a caller waits: the `grpc-timeout` of a call, from when it is sent. A call that was not even sent within
    /// that time after it was due is given up, too.
    pub patience: Option<Duration>,
}

/// A part of a run.
#[derive(Clone, Debug)]
pub struct Phase {
    /// How long.
    pub lasts: Duration,
    /// Calls in a second, for each stream.
    pub rates: Vec<f64>,
}

/// What was seen of a phase.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The answers, for each stream.
    pub tallies: Vec<Tally>,
    /// How long the phase was.
    pub took: Duration,
    /// What the probe gained from its start to its end.
    pub gained: f64,
    /// Calls that were due and had not been sent when the phase ended.
    pub waiting: usize,
}

/// Longest wait for answers after the last phase.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// One stream of calls.
pub type Stream = Box<dyn Source>;

struct InFlight {
    connection: usize,
    due: Due,
    outcome: Outcome,
    took: Duration,
}

type Finished = Arc<Mutex<Vec<InFlight>>>;

/// Runs phases one after the other, without a pause.
///
/// This keeps the thread busy: it looks at the clock all the time, for timers are too coarse.
///
/// # Errors
/// The server could not be reached, the probe failed, or a stream ran out of bodies. Calls that fail are counted, not errors.
pub async fn run(
    shape: &Shape,
    mut streams: Vec<Stream>,
    phases: &[Phase],
    probe: &mut dyn FnMut() -> anyhow::Result<f64>,
) -> anyhow::Result<Vec<Seen>> {
    let mut headers = Vec::new();
    for stream in &streams {
        headers.push(Arc::new(Headers::new(stream.asks(), shape.patience)?));
    }
    let mut connections = Vec::new();
    for _ in 0..shape.connections {
        connections.push((Connection::open(&shape.endpoint).await?, 0usize));
    }
    let mut tallies = vec![vec![Tally::default(); streams.len()]; phases.len()];
    let finished = Finished::default();
    let mut backlog: VecDeque<Due> = VecDeque::new();
    let mut under_way = 0usize;
    let mut seen = Vec::new();
    let begun = Instant::now();
    let mut schedule = Schedule::new(phases);
    let mut before = probe()?;
    let mut turn = 0usize;
    loop {
        let now = begun.elapsed();
        schedule.until(now, |due| backlog.push_back(due));
        while seen.len() < phases.len() && now >= schedule.end_of(seen.len()) {
            let after = probe()?;
            let (gained, took) = (after - before, phases[seen.len()].lasts);
            before = after;
            seen.push(Seen { tallies: Vec::new(), took, gained, waiting: backlog.len() });
        }
        for done in lock(&finished).drain(..) {
            connections[done.connection].1 -= 1;
            under_way -= 1;
            tallies[done.due.phase][done.due.stream].record(done.outcome, done.took);
        }
        if seen.len() == phases.len()
            && ((backlog.is_empty() && under_way == 0) || now > schedule.end_of(phases.len() - 1) + LAST_WAIT)
        {
            break;
        }
        while let Some(&due) = backlog.front() {
            let waited = now.saturating_sub(due.at);
            if shape.patience.is_some_and(|patience| waited > patience) {
                backlog.pop_front();
                tallies[due.phase][due.stream].record(Outcome::GaveUp, waited);
                continue;
            }
            let Some(free) = free(&connections, &mut turn, shape.in_flight) else { break };
            backlog.pop_front();
            let Some(body) = streams[due.stream].draw() else { bail!("stream {} ran out of bodies", due.stream) };
            let (connection, places) = &mut connections[free];
            *places += 1;
            under_way += 1;
            let sender = connection.sender.clone();
            let headers = Arc::clone(&headers[due.stream]);
            let (finished, patience) = (Arc::clone(&finished), shape.patience);
            tokio::spawn(async move {
                let outcome = patiently(patience, call(sender, &headers, body)).await;
                let took = begun.elapsed().saturating_sub(due.at);
                lock(&finished).push(InFlight { connection: free, due, outcome, took });
            });
        }
        tokio::task::yield_now().await;
    }
    // Nothing is dropped silently: what was never answered, and what was never sent.
    let end = begun.elapsed();
    for due in backlog {
        tallies[due.phase][due.stream].record(Outcome::GaveUp, end.saturating_sub(due.at));
    }
    anyhow::ensure!(under_way == 0, "{under_way} calls were not answered within {LAST_WAIT:?} after the run");
    for (seen, tallies) in seen.iter_mut().zip(tallies) {
        seen.tallies = tallies;
    }
    Ok(seen)
}

/// The next connection, in turn, that takes a call.
fn free(connections: &[(Connection, usize)], turn: &mut usize, most: usize) -> Option<usize> {
    for _ in 0..connections.len() {
        *turn = (*turn + 1) % connections.len();
        let (connection, places) = &connections[*turn];
        if *places < most.min(connection.room()) {
            return Some(*turn);
        }
    }
    None
}

async fn patiently(patience: Option<Duration>, call: impl Future<Output = Outcome>) -> Outcome {
    match patience {
        None => call.await,
        Some(patience) => tokio::time::timeout(patience, call).await.unwrap_or(Outcome::GaveUp),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the same calls in every phase.
pub fn steady(lasts: &[Duration], rates: &[f64]) -> Vec<Phase> {
    lasts.iter().map(|lasts| Phase { lasts: *lasts, rates: rates.to_vec() }).collect()
}

/// Bodies as a stream.
pub fn stream(source: impl Source + 'static) -> Stream {
    Box::new(source)
}

impl Source for Stream {
    fn draw(&mut self) -> Option<Bytes> {
        (**self).draw()
    }

    fn asks(&self) -> Asks {
        (**self).asks()
    }
}

#[cfg(test)]
mod tests;
