//! Accepting connections, for as long as the listener lives and whatever the operating system says meanwhile.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Connections;
use super::quiet::Quiet;
use super::service::Decide;
use super::unix::UnixConnection;

/// Pause after an error that the next attempt would meet again (no descriptors, no memory); doubled each time …
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// … up to this.
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// Where connections come from.
pub(super) trait Source: Send + Sync + 'static {
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next one. Cancel-safe.
    fn next(&self) -> impl Future<Output = io::Result<Self::Io>> + Send;
}

impl Source for TcpListener {
    type Io = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.accept().await?;
        // Answers are small and awaited.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Source for UnixListener {
    type Io = UnixConnection;

    async fn next(&self) -> io::Result<UnixConnection> {
        UnixConnection::new(self.accept().await?.0)
    }
}

/// Accepts connections of one listener.
#[derive(Debug)]
pub(super) struct Accepting<D> {
    pub(super) listener: Arc<str>,
    pub(super) connections: Connections<D>,
    pub(super) max_connections: usize,
    /// Keeps track of every connection.
    pub(super) tasks: TaskTracker,
    /// The time to stop.
    pub(super) stop: CancellationToken,
}

impl<D: Decide> Accepting<D> {
    /// Accepts until told to stop. What waits to be accepted by then is accepted still.
    pub(super) async fn run(self, source: impl Source) {
        let places = Arc::new(Semaphore::new(self.max_connections.min(Semaphore::MAX_PERMITS)));
        let [full, failed] = [Quiet::default(), Quiet::default()];
        let mut pause = FIRST_PAUSE;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => match source.next().now_or_never() {
                    Some(Ok(io)) => Ok(io),
                    Some(Err(_)) | None => return,
                },
                accepted = source.next() => accepted,
            };
            match accepted {
                Ok(io) => {
                    pause = FIRST_PAUSE;
                    match Arc::clone(&places).try_acquire_owned() {
                        Ok(place) => {
                            let connection = self.connections.clone().serve(io);
                            self.tasks.spawn(async move {
                                connection.await;
                                drop(place);
                            });
                        }
                        Err(_) => {
                            if let Some(connections) = full.note(Instant::now()) {
                                let listener = &*self.listener;
                                let most = self.max_connections;
                                tracing::warn!(
                                    listener,
                                    connections,
                                    most,
                                    "closed new connections: there are too many"
                                );
                            }
                        }
                    }
                }
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    if let Some(errors) = failed.note(Instant::now()) {
                        tracing::error!(listener = &*self.listener, errors, last_error = %error, "cannot accept connections");
                    }
                    tokio::select! {
                        () = sleep(pause) => {}
                        () = self.stop.cancelled() => {}
                    }
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }
}

/// Whether an error is about the one connection that was to be accepted: `accept(2)` hands on what the network said
/// about it.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable, NotConnected, TimedOut,
    };
    matches!(
        error.kind(),
        BrokenPipe
            | ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | NotConnected
            | TimedOut
    )
}

#[cfg(test)]
mod tests;
