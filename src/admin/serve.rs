//! HTTP/1.1 with bounds on everything a peer may use.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::body::Body;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::listen::{Socket, Stream};

/// Connections at once; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 64;
/// From the connection's opening or the last answer to the end of the next request's head.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// Largest request head.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// From a request's head to its answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(40);
/// After this a connection ends with its current answer, which may take [`LAST_WORDS`]: nobody holds one for good.
const CONNECTION_LIMIT: Duration = Duration::from_secs(300);
/// From the wish to end a connection to its end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Pause after a failed accept: where descriptors have run out, trying again at once is a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Least time between two log lines about that.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Serves until `stop`, then lets answers under way end.
pub(super) async fn serve(bound: Socket, router: Router, stop: CancellationToken) {
    let router = router.layer(middleware::from_fn(bounded));
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    let (mut said, mut failures) = (None, 0_u64);
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((slot, bound.accept().await?))
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = next => accepted,
        };
        match accepted {
            Ok((slot, stream)) => {
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(async move {
                    connection(stream, router, stop).await;
                    drop(slot);
                });
            }
            Err(error) => {
                failures += 1;
                // Where descriptors have run out it fails ten times a second.
                if said.is_none_or(|at: Instant| at.elapsed() >= SAY_AGAIN) {
                    tracing::warn!(%error, failures, "connections to an administrative listener are not accepted");
                    (said, failures) = (Some(Instant::now()), 0);
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(bound);
    connections.close();
    // Each connection heeds `stop` and LAST_WORDS by itself.
    connections.wait().await;
}

async fn connection(stream: Box<dyn Stream>, router: Router, stop: CancellationToken) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(served);
    tokio::select! {
        _ = &mut served => return,
        () = stop.cancelled() => {}
        () = tokio::time::sleep(CONNECTION_LIMIT) => {}
    }
    served.as_mut().graceful_shutdown();
    // What the peer does to its own connection is no concern of ours.
    let _ = tokio::time::timeout(LAST_WORDS, served).await;
}

/// Bounds a request in time, refuses bodies (nothing here reads one), and keeps answers out of caches.
async fn bounded(request: Request, next: Next) -> Response {
    if !request.body().is_end_stream() {
        return (StatusCode::PAYLOAD_TOO_LARGE, [("connection", "close")], "no body is expected here\n")
            .into_response();
    }
    let mut response = match tokio::time::timeout(REQUEST_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "no answer in time\n").into_response(),
    };
    response.headers_mut().insert(CACHE_CONTROL, axum::http::HeaderValue::from_static("no-store"));
    response
}
