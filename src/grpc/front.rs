//! What happens to a call before its message is read: the time is taken, and a place among the calls in flight. In a
//! flood it is refused.

use std::convert::Infallible;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Either, ready};
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tonic::Status;
use tonic::service::Routes;
use tower::Service as _;

use super::deadline::Due;
use super::encode::Prepared;
use super::inline;
use super::message::{self, Begun};
use super::reply::Reply;
use super::service::{CheckService, Decide};
use super::wire::CHECK_PATH;
use super::wire::server::authorization_server::AuthorizationServer;
use crate::core::reason::Reason;
use crate::telemetry::{InFlight, Traced};

/// Longest wait for the rest of a message that is not looked at.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// Most messages of one listener that are waited for so: some megabytes of memory.
const MOST_UNENDED: usize = 4096;

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
    /// Places of calls that were refused and whose message has not ended.
    unended: Arc<Semaphore>,
    max_message_bytes: usize,
    /// Denials of calls that nobody looks at: there is too much to do …
    overloaded: Prepared,
    /// … or no time.
    late: Prepared,
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
        let [overloaded, late] = [Reason::Overloaded, Reason::DeadlineExceeded].map(Prepared::new);
        let unended = Arc::new(Semaphore::new(MOST_UNENDED));
        Self { check, server, routes, places, unended, max_message_bytes, overloaded, late }
    }

    /// Answers a call. Where calls wait there are many of them, and where they are refused even more: what comes of this is
    /// small, and lets go of the call's headers at once.
    pub(super) fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Reply>, Infallible>> + Send {
        if request.uri().path() != CHECK_PATH {
            return Either::Right(Box::pin(self.route(request)) as BoxFuture<'static, _>);
        }
        let (mut head, body) = request.into_parts();
        let due = Due::of(&mut head.headers, Instant::now(), self.check.limit);
        let refused = match Arc::clone(&self.places).try_acquire_owned() {
            Err(_) => &self.overloaded,
            Ok(_) if self.check.decider.is_flooded(due.since) => &self.overloaded,
            Ok(_) if due.is_hopeless() => &self.late,
            Ok(place) => {
                let encoding = head.headers.remove(GRPC_ENCODING);
                let in_flight = (place, self.check.recorder.in_flight());
                let traced = self.check.recorder.trace_call(&head.headers, self.check.direction);
                return Either::Right(Box::pin(self.check(in_flight, encoding, body, due, traced)));
            }
        };
        inline::charge(1);
        Either::Left(ready(Ok(self.refuse(refused, due, due.since, body))))
    }

    async fn route(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Reply>, Infallible> {
        let answered = self.routes.clone().call(request.map(tonic::body::Body::new));
        // Until the answer begins, that is: who watches health may do so for ever.
        match timeout(self.check.limit, answered).await {
            Ok(answered) => answered.map(Reply::of_tonic),
            Err(_) => Ok(Reply::of_tonic(Status::deadline_exceeded("the message did not come in time").into_http())),
        }
    }

    async fn check(
        self: Arc<Self>,
        _in_flight: (OwnedSemaphorePermit, InFlight),
        encoding: Option<HeaderValue>,
        mut body: Incoming,
        due: Due,
        traced: Traced,
    ) -> Result<Response<Reply>, Infallible> {
        let Some(first) = due.bound(pin!(body.frame())).await else {
            return Ok(self.refuse(&self.late, due, Instant::now(), body));
        };
        let is_alone = body.is_end_stream() && encoding.is_none();
        let Some(message) = message::whole(first.as_ref(), self.max_message_bytes).filter(|_| is_alone) else {
            return Ok(Box::pin(self.check_in_pieces(encoding, Begun::new(first, body), due, traced)).await);
        };
        Ok(match self.check.answer(&message, due, traced).await {
            Ok(frame) => Reply::frame(frame),
            Err(status) => Reply::of_tonic(status.into_http()),
        })
    }

    /// Has tonic put a message together, or say what is wrong with it.
    async fn check_in_pieces(
        &self,
        encoding: Option<HeaderValue>,
        body: Begun,
        due: Due,
        traced: Traced,
    ) -> Response<Reply> {
        let mut request = Request::new(body);
        *request.uri_mut() = Uri::from_static(CHECK_PATH);
        if let Some(encoding) = encoding {
            request.headers_mut().insert(GRPC_ENCODING, encoding);
        }
        request.extensions_mut().insert(due);
        request.extensions_mut().insert(traced);
        // The service keeps the time of a decision itself. This is about a message that does not end.
        match due.bound(pin!(self.server.clone().call(request))).await {
            Some(Ok(response)) => Reply::of_tonic(response),
            Some(Err(never)) => match never {},
            None => Reply::frame(self.check.refuse(&self.late, due, Instant::now())),
        }
    }

    /// Refuses a call whose message is not looked at. The rest of it may come after the answer: a stream that ended in the
    /// middle of it would end with a reset, which some clients take for a failure, and of which a connection bears only so
    /// many. Where too many do not end, the others have to bear it.
    fn refuse(&self, prepared: &Prepared, due: Due, now: Instant, mut body: Incoming) -> Response<Reply> {
        let most = self.max_message_bytes;
        if skip(&mut body, most).now_or_never().is_none()
            && let Ok(place) = Arc::clone(&self.unended).try_acquire_owned()
        {
            tokio::spawn(async move {
                let _ = timeout(LAST_BYTES, skip(&mut body, most)).await;
                drop(place);
            });
        }
        Reply::frame(self.check.refuse(prepared, due, now))
    }
}

/// Reads on to the end, but no more than `most` bytes.
async fn skip(body: &mut Incoming, most: usize) {
    let mut bytes = 0usize;
    while !body.is_end_stream() && bytes <= most {
        let Some(Ok(frame)) = body.frame().await else { return };
        bytes = bytes.saturating_add(frame.data_ref().map_or(0, Bytes::len));
    }
}
