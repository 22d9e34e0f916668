//! A service whose answers do not end by themselves.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

type Body = BoxBody<Bytes, hyper::Error>;

/// Starts it: messages of WebSockets and of gRPC come back, events come by themselves, uploads are waited for.
pub(crate) async fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = service_fn(async |request| Ok::<_, Infallible>(answer(request).await));
            let connection = async move {
                let builder = Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), answer).await;
            };
            tokio::spawn(connection);
        }
    });
    address
}

async fn answer(mut request: Request<Incoming>) -> Response<Body> {
    let empty = || Empty::new().map_err(|never| match never {}).boxed();
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    if let Some(key) = header("sec-websocket-key") {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let stream = TokioIo::new(upgrade.await.unwrap());
            let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
            while let Some(Ok(message)) = socket.next().await {
                if socket.send(message).await.is_err() {
                    return;
                }
            }
        });
        return Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-accept", derive_accept_key(key.as_bytes()))
            .body(empty())
            .unwrap();
    }
    if header("content-type").is_some_and(|kind| kind.starts_with("application/grpc")) {
        return Response::builder()
            .header("content-type", "application/grpc")
            .body(request.into_body().boxed())
            .unwrap();
    }
    if request.method() == http::Method::POST {
        let _ = request.into_body().collect().await;
        return Response::new(empty());
    }
    // A source of events has a pace; this is its own.
    let pace = tokio::time::interval(Duration::from_millis(50));
    let events = futures_util::stream::unfold((0_u64, pace), async |(number, mut pace)| {
        pace.tick().await;
        Some((Ok(Frame::data(Bytes::from(format!("data: {number}\n\n")))), (number + 1, pace)))
    });
    let body = BodyExt::boxed(StreamBody::new(events));
    Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
}
