//! One connection, from its first byte to its last.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::cork::Cork;
use super::front::Front;
use super::inline::Inline;
use super::preface::Greeted;
use super::quiet::Quiet;
use super::service::Decide;
use super::taken::Taken;
use super::tls::Tls;
use crate::config::server::Limits;

/// Silence after which a peer is asked for a sign of life …
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// … and time it has to give one.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time a peer has to take some of what is sent, where it is so much that the system holds no more for it.
const TAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Of the headers of a call, names and values: there are few, and Envoy's own `initial_metadata`.
const MAX_HEADER_LIST: u32 = 16 * 1024;

/// Bytes that a stream may send ahead of being read. Most messages fit.
const STREAM_WINDOW: u32 = 64 * 1024;

/// Bytes that all streams of a connection may send ahead of being read.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Bytes of answers that wait for a slow peer, for each stream.
const SEND_BUFFER: usize = 64 * 1024;

/// The stages of the server's end, as connections see it.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending {
    /// New calls go elsewhere; calls in flight are answered.
    pub(super) go_away: CancellationToken,
    /// No waiting any more.
    pub(super) close: CancellationToken,
}

/// How connections of a listener are served. Cheap to clone.
#[derive(Debug)]
pub(super) struct Connections<D> {
    listener: Arc<str>,
    http: http2::Builder<Inline>,
    front: Arc<Front<D>>,
    tls: Option<Arc<Tls>>,
    greeting: Duration,
    ending: Ending,
    refused: Arc<Quiet>,
}

impl<D> Clone for Connections<D> {
    fn clone(&self) -> Self {
        Self {
            listener: Arc::clone(&self.listener),
            http: self.http.clone(),
            front: Arc::clone(&self.front),
            tls: self.tls.clone(),
            greeting: self.greeting,
            ending: self.ending.clone(),
            refused: Arc::clone(&self.refused),
        }
    }
}

impl<D: Decide> Connections<D> {
    pub(super) fn new(
        listener: Arc<str>,
        front: Front<D>,
        tls: Option<Arc<Tls>>,
        limits: &Limits,
        ending: Ending,
    ) -> Self {
        let mut http = http2::Builder::new(Inline);
        http.timer(TokioTimer::new())
            .max_concurrent_streams(limits.max_concurrent_streams)
            // Envoy resets the calls that it gives up on, and gives up on many at once where something is slow: that
            // alone must not cost it the connection. The bound is still that of the streams.
            .max_pending_accept_reset_streams(
                usize::try_from(limits.max_concurrent_streams).unwrap_or(usize::MAX).max(20),
            )
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(MAX_HEADER_LIST)
            // Nobody asks an authorization service what day it is.
            .auto_date_header(false)
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        let front = Arc::new(front);
        Self { listener, http, front, tls, greeting: limits.tls_handshake, ending, refused: Arc::default() }
    }

    /// Serves a connection until it ends.
    pub(super) async fn serve<I>(self, io: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let close = self.ending.close.clone();
        tokio::select! {
            biased;
            () = close.cancelled() => {}
            () = self.serve_to_the_end(io) => {}
        }
    }

    async fn serve_to_the_end<I>(self, io: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let error = match &self.tls {
            None => match within(self.greeting, Greeted::read(io)).await {
                Ok(io) => return self.speak(io).await,
                Err(error) => error,
            },
            Some(tls) => match within(self.greeting, shake_hands(tls, io)).await {
                Ok(io) => return self.speak(io).await,
                Err(error) => error,
            },
        };
        self.note(&error);
    }

    async fn speak<I>(self, io: Greeted<I>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let front = self.front;
        let answer = service_fn(move |request| Arc::clone(&front).answer(request));
        let cork = Cork::default();
        let io = TokioIo::new(Taken::new(io, cork.clone(), TAKE_TIMEOUT));
        let mut connection = pin!(self.http.serve_connection(io, answer));
        let ended = tokio::select! {
            biased;
            ended = cork.around(connection.as_mut()) => ended,
            () = self.ending.go_away.cancelled() => {
                connection.as_mut().graceful_shutdown();
                cork.around(connection).await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(listener = &*self.listener, error = %error, "a connection broke");
        }
    }

    /// A peer that did not get as far as HTTP/2. Anybody who reaches the port can cause this.
    fn note(&self, error: &io::Error) {
        // A connection that is opened and closed again is a load balancer's way to see whether there is somebody.
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return;
        }
        if let Some(connections) = self.refused.note(Instant::now()) {
            tracing::warn!(listener = &*self.listener, connections, last_error = %error, "refused a connection");
        }
    }
}

async fn within<T>(limit: Duration, greeting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, greeting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn shake_hands<I>(tls: &Tls, io: I) -> io::Result<Greeted<tokio_rustls::server::TlsStream<I>>>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let io = tls.acceptor().accept(io).await?;
    if !tls.admits(io.get_ref().1.peer_certificates()) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the peer is not among `allowed_peers`"));
    }
    Greeted::read(io).await
}
