//! One connection of Envoy's: HTTP/2 within bounds, until it ends, is asked to, or is made to.

use std::convert::Infallible;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower::Service as _;

use super::generated::authorization_server::AuthorizationServer;
use super::service::{CheckService, Decide};
use crate::config::server::Limits;

/// A connection on which nothing comes back for a ping within [`PING_LIMIT`] is closed.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_LIMIT: Duration = Duration::from_secs(10);
/// Largest gRPC metadata of a call.
const MAX_METADATA_BYTES: u32 = 64 * 1024;
/// Calls that the peer gave up before they were looked at; more of them at once close the connection. Envoy gives up
/// many at once when the gate is slow, which is no attack.
const MAX_PENDING_RESETS: usize = 512;

/// How a connection ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending {
    /// No new calls: GOAWAY.
    pub(super) goaway: CancellationToken,
    /// At once.
    pub(super) now: CancellationToken,
}

/// What is served.
pub(super) struct Services<D> {
    /// The one path that matters, without a look at a router.
    pub(super) check: AuthorizationServer<CheckService<D>>,
    /// Health, reflection, and an answer for whatever is unknown.
    pub(super) others: Routes,
}

impl<D> Clone for Services<D> {
    fn clone(&self) -> Self {
        Self { check: self.check.clone(), others: self.others.clone() }
    }
}

/// Serves a connection to its end.
pub(super) async fn serve<S, D>(stream: S, services: Services<D>, limits: &Limits, ending: Ending)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    D: Decide,
{
    let service = service_fn(move |request: http::Request<Incoming>| {
        let mut services = services.clone();
        async move {
            if request.uri().path() == "/envoy.service.auth.v3.Authorization/Check" {
                return services.check.call(request).await;
            }
            Ok::<_, Infallible>(services.others.call(request).await.unwrap_or_else(|never| match never {}))
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_header_list_size(MAX_METADATA_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_LIMIT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = ending.now.cancelled() => return,
        () = ending.goaway.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = ending.now.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}
