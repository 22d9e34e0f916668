//! A service that answers with what it saw: which headers arrived is what the demo and the tests want to know.
//!
//! It speaks HTTP/1.1, HTTP/2 with prior knowledge, gRPC (any unary method answers with the message it got) and
//! WebSocket over HTTP/1.1 (frames come back).

mod websocket;

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::DemoError;

/// Largest body that is read.
const MAX_BODY_BYTES: usize = 1 << 20;
/// How many requests are remembered.
const MAX_SEEN: usize = 4096;

/// A running echo service on loopback. It ends when it is dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    seen: Seen,
    task: AbortHandle,
}

/// A request as the service saw it; also the JSON of its answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenRequest {
    /// Method.
    pub method: String,
    /// Path and query, as they arrived.
    pub path: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// Every value of every header, bytes that are not text replaced.
    pub headers: BTreeMap<String, Vec<String>>,
}

impl SeenRequest {
    /// The values of a header, by its lower-case name, joined by a comma; `None` where it was not there.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).map(|values| values.join(","))
    }
}

#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<VecDeque<SeenRequest>>>);

impl Seen {
    fn push(&self, request: SeenRequest) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() == MAX_SEEN {
            seen.pop_front();
        }
        seen.push_back(request);
    }
}

impl Upstream {
    /// Starts on loopback, on `port` or a free one where that is 0.
    ///
    /// # Errors
    /// Where the port is taken.
    pub async fn start(port: u16) -> Result<Self, DemoError> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let fail = |error| DemoError::Listen { what: "the echo service", address: wanted, error };
        let listener = TcpListener::bind(wanted).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        let seen = Seen::default();
        let task = tokio::spawn(accept(listener, seen.clone()));
        Ok(Self { address, seen, task: task.abort_handle() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests that arrived since this was last asked, oldest first; the last few thousand are kept.
    pub fn take_seen(&self) -> Vec<SeenRequest> {
        self.seen.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, seen: Seen) {
    // Dropping the set ends its connections: they do not outlive the service.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, seen.clone()));
                }
                // Out of descriptors, most likely: let other tasks close some.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, seen: Seen) {
    let service = service_fn(move |request| {
        let seen = seen.clone();
        async move { Ok::<_, Infallible>(answer(request, &seen).await) }
    });
    let builder = Builder::new(TokioExecutor::new());
    // A client that goes away is nothing to report.
    let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

async fn answer(mut request: Request<Incoming>, seen: &Seen) -> Response<Reply> {
    let record = describe(&request);
    seen.push(record.clone());
    if let Some(accept) = websocket::accept_key(request.headers()) {
        tokio::spawn(websocket::echo(hyper::upgrade::on(&mut request)));
        return response(
            StatusCode::SWITCHING_PROTOCOLS,
            [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", accept.as_str())],
            Reply::empty(),
        );
    }
    let is_grpc =
        request.headers().get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let Ok(body) = Limited::new(request.into_body(), MAX_BODY_BYTES).collect().await else {
        return response(StatusCode::PAYLOAD_TOO_LARGE, [], Reply::empty());
    };
    if is_grpc {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        return response(
            StatusCode::OK,
            [("content-type", "application/grpc")],
            Reply { data: Some(body.to_bytes()), trailers: Some(trailers) },
        );
    }
    let json = serde_json::to_vec_pretty(&record).unwrap_or_default();
    let reply = Reply { data: Some(Bytes::from(json)), trailers: None };
    response(StatusCode::OK, [("content-type", "application/json")], reply)
}

fn describe(request: &Request<Incoming>) -> SeenRequest {
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in request.headers() {
        headers.entry(name.to_string()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    SeenRequest {
        method: request.method().to_string(),
        path: request.uri().path_and_query().map_or_else(|| request.uri().to_string(), ToString::to_string),
        version: format!("{:?}", request.version()),
        headers,
    }
}

fn response<const N: usize>(status: StatusCode, headers: [(&'static str, &str); N], reply: Reply) -> Response<Reply> {
    let mut response = Response::new(reply);
    *response.status_mut() = status;
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// A body of at most one data frame, and trailers after it.
struct Reply {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Reply {
    fn empty() -> Self {
        Self { data: None, trailers: None }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = match self.data.take() {
            Some(data) => Some(Frame::data(data)),
            None => self.trailers.take().map(Frame::trailers),
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }
}
