//! The one thread that writes, and the two buffers between it and those who decide: one is filled, the other written.

use std::io;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::counts::Counts;
use super::output::{Done, Sink};
use crate::telemetry::SUMMARY_INTERVAL;
use crate::telemetry::summary::Pace;

/// How long lines wait for others to be written with them.
const GATHER: Duration = Duration::from_millis(50);

/// Appends lines, and has them written.
#[derive(Debug)]
pub(super) struct Writer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// For the thread: there is something to do.
    work: Condvar,
    /// For who closes: everything was written.
    ended: Condvar,
    /// Of each of the two buffers.
    most: usize,
    counts: Counts,
    drops: Pace,
    errors: Pace,
}

#[derive(Debug, Default)]
struct State {
    filling: Vec<u8>,
    lines: u64,
    /// Lines that are being written.
    writing: u64,
    reopen: bool,
    closing: bool,
    ended: bool,
}

impl Writer {
    /// Starts the thread. `room` is that of both buffers.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn start(output: impl Sink, room: usize, counts: Counts) -> io::Result<Self> {
        let most = room / 2;
        // All of it at once: a buffer that grows is copied while everybody waits. It takes no memory before it is used.
        let state = Mutex::new(State { filling: Vec::with_capacity(most), ..State::default() });
        let [drops, errors] = [(); 2].map(|()| Pace::since(Instant::now(), SUMMARY_INTERVAL));
        let (work, ended) = (Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { state, work, ended, most, counts, drops, errors });
        let own = Arc::clone(&shared);
        thread::Builder::new().name("audit".to_owned()).spawn(move || own.run(output))?;
        Ok(Self(shared))
    }

    /// Appends a line, or drops it where there is no room.
    pub(super) fn append(&self, line: &[u8]) {
        let shared = &*self.0;
        let mut state = shared.lock();
        if state.closing || state.filling.len().saturating_add(line.len()) > shared.most {
            drop(state);
            shared.dropped(1);
            return;
        }
        let before = state.filling.len();
        state.filling.extend_from_slice(line);
        state.lines += 1;
        let half = shared.most / 2;
        let wakes = before == 0 || (before < half && state.filling.len() >= half);
        drop(state);
        if wakes {
            shared.work.notify_one();
        }
    }

    /// Has the file opened anew.
    pub(super) fn reopen(&self) {
        self.0.lock().reopen = true;
        self.0.work.notify_one();
    }

    /// Has everything written that waits, at most this long; how many lines were not.
    pub(super) fn close(&self, limit: Duration) -> u64 {
        let mut state = self.0.lock();
        state.closing = true;
        self.0.work.notify_one();
        let waited = self.0.ended.wait_timeout_while(state, limit, |state| !state.ended);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.lines + state.writing
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.lock().closing = true;
        self.0.work.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut output: impl Sink) {
        let mut writing = Vec::with_capacity(self.most);
        loop {
            let idle = |state: &mut State| state.filling.is_empty() && !state.reopen && !state.closing;
            let state = self.work.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
            // Others come. Who fills half of the room in this time does not wait for the end of it.
            let few = |state: &mut State| state.filling.len() < self.most / 2 && !state.reopen && !state.closing;
            let waited = self.work.wait_timeout_while(state, GATHER, few);
            let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            mem::swap(&mut state.filling, &mut writing);
            state.writing = mem::take(&mut state.lines);
            let reopen = mem::take(&mut state.reopen);
            let closing = state.closing;
            drop(state);
            if reopen {
                self.reopen(&mut output);
            }
            if !writing.is_empty() {
                self.account(&output.write(&writing));
                writing.clear();
            }
            let mut state = self.lock();
            state.writing = 0;
            if closing && state.filling.is_empty() {
                state.ended = true;
                drop(state);
                self.ended.notify_all();
                return;
            }
        }
    }

    fn reopen(&self, output: &mut impl Sink) {
        match output.reopen() {
            Ok(true) => tracing::info!("the audit log's file was opened anew"),
            Ok(false) => tracing::info!("the audit log goes to no file: there is nothing to open anew"),
            Err(error) => {
                self.counts.errors.inc();
                tracing::error!(%error, "the audit log's file cannot be opened anew; lines go to the old one");
            }
        }
    }

    fn account(&self, done: &Done) {
        self.counts.written.inc_by(done.lines);
        self.counts.bytes.inc_by(done.bytes);
        self.counts.errors.inc_by(u64::try_from(done.errors.len()).unwrap_or(u64::MAX));
        if done.lost > 0 {
            self.dropped(done.lost);
        }
        if let Some(error) = done.errors.first()
            && let Some(errors) = self.errors.note(1, Instant::now())
        {
            tracing::warn!(errors, error, "the audit log cannot be written, or its file not be put aside");
        }
    }

    /// Counts, and says so once in a while.
    fn dropped(&self, lines: u64) {
        self.counts.dropped.inc_by(lines);
        if let Some(lines) = self.drops.note(lines, Instant::now()) {
            tracing::warn!(lines, "lines of the audit log were dropped: it cannot be written, or not fast enough");
        }
    }
}
