//! Streams outlive their token, and end by `max_stream_duration`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};
use tollgate::demo::client::{Call, Protocol};

use crate::support::{HOST, assert_denied};
use crate::wait::{LATE, eventually};
use crate::{Front, MANAGER, routes, service};

const POLICY: &str = "
server: { check: [{ listen: \"unix:SOCKET\", direction: inbound }], deadline: 8s }
issuers:
  shop: { issuer: ISSUER, keys: { discovery: true }, leeway: 0s, claims: { scopes: scopes } }
requirements:
  readers: { issuers: [shop], audience: { any: [shop] }, scopes: { any: [\"read:orders\"] } }
rules:
  - { name: live, match: { paths: [\"/live/**\"] }, require: readers }
  - { name: watch, match: { grpc: { service: shop.v1.Orders } }, require: readers }
";

/// Shorter than the bound, and long enough for a busy machine to open all streams.
const TOKEN_SECONDS: i64 = 5;
const BOUND: Duration = Duration::from_secs(10);

/// The page's routes with a bound that a test can wait for, and one more whose `timeout` is short.
fn bounded() -> Value {
    let mut routes = routes("streams");
    let bound = json!({"max_stream_duration": format!("{}s", BOUND.as_secs())});
    let mut replaced = 0;
    for route in routes.as_array_mut().unwrap() {
        if let Some(own) = route["route"].get_mut("max_stream_duration") {
            *own = bound.clone();
            replaced += 1;
        }
    }
    assert_eq!(replaced, 2);
    let short = json!({"cluster": "service", "timeout": "1s", "max_stream_duration": bound});
    routes.as_array_mut().unwrap().insert(0, json!({"match": {"prefix": "/live/short"}, "route": short}));
    routes
}

async fn web_socket(front: &Front, path: &str, token: &str) -> WebSocketStream<TcpStream> {
    let mut request = format!("ws://{HOST}{path}").into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let stream = TcpStream::connect(front.envoy.address()).await.unwrap();
    client_async(request, stream).await.unwrap().0
}

async fn comes_back(socket: &mut WebSocketStream<TcpStream>, text: &str) {
    socket.send(Message::text(text)).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
}

type Upload = StreamBody<futures_util::stream::BoxStream<'static, Result<Frame<Bytes>, std::convert::Infallible>>>;

/// A body that goes on for as long as its sender is there.
fn upload() -> (UnboundedSender<Bytes>, Upload) {
    let (sender, receiver) = unbounded_channel();
    let frames =
        async |mut receiver: UnboundedReceiver<Bytes>| Some((Ok(Frame::data(receiver.recv().await?)), receiver));
    (sender, StreamBody::new(futures_util::stream::unfold(receiver, frames).boxed()))
}

/// Sends a request whose body goes on, and waits for the head of the answer.
async fn begin(front: &Front, protocol: Protocol, call: (Method, &str, &str), body: Upload) -> Response<Incoming> {
    let (method, path, token) = call;
    let io = TokioIo::new(TcpStream::connect(front.envoy.address()).await.unwrap());
    let request = Request::builder().method(method).header("authorization", format!("Bearer {token}"));
    let answer = match protocol {
        Protocol::Http1 => {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request.uri(path).header("host", HOST).body(body).unwrap()).await
        }
        Protocol::Http2 => {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            let request = request.uri(format!("http://{HOST}{path}"));
            let request = match path.starts_with("/live/") {
                true => request,
                false => request.header("content-type", "application/grpc").header("te", "trailers"),
            };
            sender.send_request(request.body(body).unwrap()).await
        }
    };
    answer.unwrap()
}

async fn data(answer: &mut Response<Incoming>) -> Result<Bytes, hyper::Error> {
    let frame = answer.frame().await.expect("a stream without an end has no last frame");
    Ok(frame?.into_data().expect("no trailers"))
}

/// Reads until it breaks off.
async fn breaks_off(answer: &mut Response<Incoming>) {
    let broken = timeout(LATE, async { while data(answer).await.is_ok() {} });
    broken.await.expect("it is over by now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_outlive_their_token_and_end_by_their_bound() {
    let front = Front::new(POLICY, service::start().await, bounded(), |_| ()).await;
    let token = front.token(TOKEN_SECONDS);
    let began = Instant::now();

    let mut socket = web_socket(&front, "/live/socket", &token).await;
    let mut short = web_socket(&front, "/live/short", &token).await;
    let (calls, body) = upload();
    calls.send(Bytes::from_static(b"\0\0\0\0\0")).unwrap();
    let watch = (Method::POST, "/shop.v1.Orders/Watch", &*token);
    let mut watch = begin(&front, Protocol::Http2, watch, body).await;
    let mut events = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let call = (Method::GET, "/live/events", &*token);
        let mut answer = begin(&front, protocol, call, upload_of_nothing()).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(data(&mut answer).await.unwrap(), "data: 0\n\n");
        events.push(answer);
    }
    assert_eq!(watch.status(), 200);
    assert_eq!(data(&mut watch).await.unwrap(), Bytes::from_static(b"\0\0\0\0\0"));
    comes_back(&mut socket, "before").await;

    // Nobody else gets in with it any more.
    let call = Call::get(HOST, "/live/events").method(Method::POST).bearer(&token);
    eventually("the token has expired", async || call.clone().send(front.envoy.address()).await.unwrap().status == 401)
        .await;
    assert_denied(&call, &call.clone().send(front.envoy.address()).await.unwrap(), 401, "token_expired");
    assert!(began.elapsed() < BOUND, "this machine is too busy for this test");

    // Those that are in go on: in both directions, and whatever the route's `timeout`.
    comes_back(&mut socket, "after").await;
    comes_back(&mut short, "after").await;
    calls.send(Bytes::from_static(b"\0\0\0\0\x02\x0a\0")).unwrap();
    assert_eq!(data(&mut watch).await.unwrap(), Bytes::from_static(b"\0\0\0\0\x02\x0a\0"));
    for answer in &mut events {
        data(answer).await.unwrap();
    }
    assert!(began.elapsed() < BOUND, "this machine is too busy for this test");

    // And end without a word.
    for socket in [&mut socket, &mut short] {
        let last = timeout(LATE, socket.next()).await.expect("it is over by now");
        assert!(!matches!(last, Some(Ok(_))), "{last:?}");
    }
    breaks_off(&mut watch).await;
    for answer in &mut events {
        breaks_off(answer).await;
    }
    assert!(began.elapsed() >= BOUND, "{:?}", began.elapsed());
}

/// The body of a request that has none.
fn upload_of_nothing() -> Upload {
    StreamBody::new(futures_util::stream::empty().boxed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_answered_at_its_bound() {
    let front = Front::new(POLICY, service::start().await, bounded(), |_| ()).await;
    let began = Instant::now();
    let (chunks, body) = upload();
    chunks.send(Bytes::from_static(b"the first of many")).unwrap();
    let answer = begin(&front, Protocol::Http1, (Method::POST, "/live/upload", &front.token(60)), body).await;
    assert_eq!(answer.status(), 408);
    assert!(began.elapsed() >= BOUND, "{:?}", began.elapsed());
    drop(chunks);
}

/// Sends a `CONNECT`, and reads the head of the answer and what comes with it.
async fn connect(front: &Front, token: &str) -> String {
    let mut stream = TcpStream::connect(front.envoy.address()).await.unwrap();
    let request = format!("CONNECT {HOST}:443 HTTP/1.1\r\nhost: {HOST}:443\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let count = timeout(LATE, stream.read(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tunnels_are_refused() {
    let service = service::start().await;
    let shipped = Front::new(POLICY, service, bounded(), |_| ()).await;
    let answer = connect(&shipped, &shipped.token(60)).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");

    let with_a_route = Front::new(POLICY, service, bounded(), |config| {
        let manager = config.pointer_mut(MANAGER).unwrap();
        manager["upgrade_configs"].as_array_mut().unwrap().push(json!({"upgrade_type": "CONNECT"}));
        let routes = manager.pointer_mut("/route_config/virtual_hosts/0/routes").unwrap();
        let tunnel =
            json!({"cluster": "service", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]});
        routes.as_array_mut().unwrap().insert(0, json!({"match": {"connect_matcher": {}}, "route": tunnel}));
    });
    let with_a_route = with_a_route.await;
    let answer = connect(&with_a_route, &with_a_route.token(60)).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("ambiguous_path"), "{answer}");
}

/// A WebSocket as HTTP/2 opens them: `CONNECT` with a `:protocol` (RFC 8441).
async fn connect_web_socket(front: &Front, token: &str) -> Result<u16, hyper::Error> {
    let io = TokioIo::new(TcpStream::connect(front.envoy.address()).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::connect(format!("http://{HOST}/live/socket"))
        .header("authorization", format!("Bearer {token}"))
        .header("sec-websocket-version", "13")
        .extension(hyper::ext::Protocol::from_static("websocket"));
    let answer = timeout(LATE, sender.send_request(request.body(upload_of_nothing()).unwrap())).await.unwrap()?;
    Ok(answer.status().as_u16())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn web_sockets_over_http2_are_not_opened_and_never_without_the_gate() {
    let service = service::start().await;
    let shipped = Front::new(POLICY, service, routes("streams"), |_| ()).await;
    let answer = connect_web_socket(&shipped, &shipped.token(60)).await;
    assert!(answer.is_err(), "{answer:?}");

    // Envoy takes them, and the gate decides; the service, to which Envoy speaks HTTP/2 as well, is not asked for such.
    let with_connect = Front::new(POLICY, service, routes("streams"), |config| {
        config.pointer_mut(MANAGER).unwrap()["http2_protocol_options"]["allow_connect"] = true.into();
    });
    let with_connect = with_connect.await;
    assert_eq!(connect_web_socket(&with_connect, "nonsense").await.unwrap(), 401);
    assert_eq!(connect_web_socket(&with_connect, &with_connect.token(60)).await.unwrap(), 502);
}
