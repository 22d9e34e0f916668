//! What happens to a call before its message is read: the time is taken, and a place among the calls in flight.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tonic::Status;
use tonic::service::Routes;
use tower::Service as _;

use super::deadline::Due;
use super::message::Begun;
use super::reply::Reply;
use super::service::{CheckService, Decide};
use super::wire::CHECK_PATH;
use super::wire::server::authorization_server::AuthorizationServer;
use crate::core::reason::Reason;

/// Longest wait for the rest of a message that will not be looked at. Answering in the middle of it would end the
/// stream with a reset, which some clients take for a failure.
const LAST_BYTES: Duration = Duration::from_millis(10);

/// The header that says how messages are compressed. Here none is.
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// The server's side of every stream.
pub(super) struct Front<D> {
    check: Arc<CheckService<D>>,
    /// Check by the book, for calls that do not come as Envoy makes them.
    server: AuthorizationServer<CheckService<D>>,
    /// Everything but Check.
    routes: Routes,
    /// Places of calls in flight, in the whole process.
    places: Arc<Semaphore>,
    max_message_bytes: usize,
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

    /// Answers a call.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Reply>, Infallible> {
        if request.uri().path() == CHECK_PATH {
            return Ok(self.check(request).await);
        }
        let answered = Box::pin(self.routes.clone().call(request.map(tonic::body::Body::new)));
        // Until the answer begins, that is: who watches health may do so for ever.
        match timeout(self.check.limit, answered).await {
            Ok(answered) => answered.map(Reply::of_tonic),
            Err(_) => Ok(Reply::of_tonic(Status::deadline_exceeded("the message did not come in time").into_http())),
        }
    }

    async fn check(&self, mut request: Request<Incoming>) -> Response<Reply> {
        let due = Due::of(request.headers_mut(), Instant::now(), self.check.limit);
        let _in_flight = self.check.recorder.in_flight();
        let Ok(_place) = self.places.try_acquire() else {
            return self.refuse(Reason::Overloaded, due, request.into_body()).await;
        };
        if due.is_hopeless() {
            return self.refuse(Reason::DeadlineExceeded, due, request.into_body()).await;
        }
        let (head, mut body) = request.into_parts();
        let is_plain = !head.headers.contains_key(GRPC_ENCODING);
        let Some(first) = due.bound(body.frame()).await else {
            return Reply::frame(self.check.refuse(Reason::DeadlineExceeded, due));
        };
        let body = Begun::new(first, body);
        if let Some(message) = body.whole(self.max_message_bytes).filter(|_| is_plain) {
            return match self.check.answer(&message, due).await {
                Ok(frame) => Reply::frame(frame),
                Err(status) => Reply::of_tonic(status.into_http()),
            };
        }
        let mut request = Request::from_parts(head, body);
        request.extensions_mut().insert(due);
        let mut server = self.server.clone();
        // The service keeps the time of a decision itself. This is about a message that does not end.
        match due.bound(Box::pin(server.call(request))).await {
            Some(Ok(response)) => Reply::of_tonic(response),
            Some(Err(never)) => match never {},
            None => Reply::frame(self.check.refuse(Reason::DeadlineExceeded, due)),
        }
    }

    async fn refuse(&self, reason: Reason, due: Due, body: Incoming) -> Response<Reply> {
        let frame = self.check.refuse(reason, due);
        if !body.is_end_stream() {
            let _ = timeout(LAST_BYTES, skip(body, self.max_message_bytes)).await;
        }
        Reply::frame(frame)
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
