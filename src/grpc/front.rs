//! What happens to a call before its message is read: the time is taken, and a place among the calls in flight.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use prost::Message as _;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service as _;

use super::deadline::Due;
use super::service::{CheckService, Decide};
use super::wire::authorization::authorization_server::AuthorizationServer;
use super::wire::{self, CHECK_PATH};
use crate::core::reason::Reason;

/// Longest wait for the rest of a message that will not be looked at. Answering in the middle of it would end the
/// stream with a reset, which some clients take for a failure.
const LAST_BYTES: Duration = Duration::from_millis(10);

/// The server's side of every stream.
pub(super) struct Front<D> {
    check: Arc<CheckService<D>>,
    server: AuthorizationServer<CheckService<D>>,
    /// Everything but Check.
    routes: Routes,
    /// Places of calls in flight, in the whole process.
    places: Arc<Semaphore>,
    max_message_bytes: usize,
}

impl<D> Clone for Front<D> {
    fn clone(&self) -> Self {
        Self {
            check: Arc::clone(&self.check),
            server: self.server.clone(),
            routes: self.routes.clone(),
            places: Arc::clone(&self.places),
            max_message_bytes: self.max_message_bytes,
        }
    }
}

impl<D> fmt::Debug for Front<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("places", &self.places).finish_non_exhaustive()
    }
}

impl<D: Decide> Front<D> {
    pub(super) fn new(
        check: CheckService<D>,
        routes: Routes,
        places: Arc<Semaphore>,
        max_message_bytes: usize,
    ) -> Self {
        let check = Arc::new(check);
        let server = AuthorizationServer::from_arc(Arc::clone(&check)).max_decoding_message_size(max_message_bytes);
        Self { check, server, routes, places, max_message_bytes }
    }

    async fn check(mut self, mut request: Request<Incoming>) -> Response<Body> {
        let due = Due::of(request.headers_mut(), Instant::now(), self.check.limit);
        let _in_flight = self.check.recorder.in_flight();
        let Ok(_place) = self.places.try_acquire() else {
            return self.refuse(Reason::Overloaded, due, request.into_body()).await;
        };
        if due.is_past() {
            return self.refuse(Reason::DeadlineExceeded, due, request.into_body()).await;
        }
        request.extensions_mut().insert(due);
        // The service keeps the time of a decision itself. This is about a message that does not end.
        match timeout_at(due.by, self.server.call(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => respond(&self.check.refuse(Reason::DeadlineExceeded, due)),
        }
    }

    async fn refuse(&self, reason: Reason, due: Due, body: Incoming) -> Response<Body> {
        let response = respond(&self.check.refuse(reason, due));
        let _ = timeout(LAST_BYTES, skip(body, self.max_message_bytes)).await;
        response
    }
}

impl<D: Decide> hyper::service::Service<Request<Incoming>> for Front<D> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if request.uri().path() == CHECK_PATH {
            let answer = self.clone().check(request);
            Box::pin(async move { Ok(answer.await) })
        } else {
            let mut routes = self.routes.clone();
            Box::pin(async move { routes.call(request).await })
        }
    }
}

/// Reads on to the end, but no more than `most` bytes.
async fn skip(mut body: Incoming, most: usize) {
    let mut bytes = 0usize;
    while !body.is_end_stream() && bytes <= most {
        let Some(Ok(frame)) = body.frame().await else { return };
        bytes = bytes.saturating_add(frame.data_ref().map_or(0, Bytes::len));
    }
}

/// A successful RPC with this message.
fn respond(message: &wire::CheckResponse) -> Response<Body> {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(5 + length);
    // gRPC over HTTP/2, Length-Prefixed-Message: not compressed, its length.
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    message.encode_raw(&mut frame);
    let trailers =
        HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let body = Full::new(frame.freeze()).with_trailers(ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
