//! What the operating system tells a process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals, caught from the moment this is made.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user_1: Signal,
}

impl Signals {
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits for what happens next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.hang_up.recv() => Told::Reload,
            _ = self.user_1.recv() => Told::Reopen,
        }
    }

    /// Waits until it is told to end. Cancel-safe.
    pub(super) async fn end(&mut self) {
        while self.next().await != Told::End {}
    }
}

/// What a process is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// SIGTERM or SIGINT.
    End,
    /// SIGHUP.
    Reload,
    /// SIGUSR1.
    Reopen,
}
