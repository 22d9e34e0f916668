//! HTTP/1.1, HTTP/2, gRPC and WebSocket.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tollgate::demo::client::{Call, Protocol};

use crate::support::{HOST, Stage, assert_denied, get};

#[tokio::test]
async fn both_versions_of_http_are_allowed_and_denied_alike() {
    let stage = Stage::new().await;
    let token = stage.token(&["read:orders"]);
    for (protocol, version) in [(Protocol::Http1, "HTTP/1.1"), (Protocol::Http2, "HTTP/2.0")] {
        let seen = stage.allowed(get("/any/x?a=b").protocol(protocol).bearer(&token)).await;
        assert_eq!((seen.version.as_str(), seen.path.as_str()), (version, "/any/x?a=b"));
        stage.denied(get("/any/x").protocol(protocol), 401, "missing_token").await;
        stage.denied(get("/nowhere").protocol(protocol).bearer(&token), 403, "no_rule").await;
    }
}

/// Point 12: a denied gRPC call is HTTP 200 with the status in `grpc-status` and plain text in `grpc-message`.
#[tokio::test]
async fn point_12_grpc_calls_are_allowed_and_denied_in_grpcs_own_terms() {
    let stage = Stage::new().await;
    let method = "/test.v1.Echo/Say";
    let mut framed = BytesMut::from(&[0, 0, 0, 0, 7][..]);
    framed.put_slice(b"\x0a\x05hello");
    let mut call = Call::grpc(HOST, method).bearer(&stage.token(&["read:orders"]));
    call.body = framed.clone().freeze();
    let (reply, seen) = stage.ask(call).await;
    assert_eq!((reply.status.as_u16(), reply.header("grpc-status")), (200, Some("0")), "{reply:?}");
    assert_eq!(reply.body, framed.freeze());
    assert_eq!(seen.unwrap().header("x-service-name").as_deref(), Some("order-service"));

    for (call, status, reason) in [
        (Call::grpc(HOST, method), "16", "missing_token"),
        (Call::grpc(HOST, method).bearer("rubbish"), "16", "token_malformed"),
        (Call::grpc(HOST, method).bearer(&stage.token(&["write:orders"])), "7", "insufficient_scope"),
        (Call::grpc(HOST, "/test.v1.Echo/Shout").bearer(&stage.token(&["read:orders"])), "7", "no_rule"),
        (Call::grpc(HOST, method).bearer("a").bearer("b"), "13", "multiple_credentials"),
    ] {
        let (reply, seen) = stage.ask(call).await;
        assert_eq!(seen, None);
        assert_eq!((reply.status.as_u16(), reply.header("grpc-status")), (200, Some(status)), "{reason}: {reply:?}");
        let message = percent_encoding::percent_decode_str(reply.header("grpc-message").unwrap());
        let message = message.decode_utf8().unwrap();
        assert!(message.contains(reason) && message.contains("decision "), "{message}");
        assert!(!message.contains(['{', '"', '<']), "plain text: {message}");
        assert_eq!(reply.body, Bytes::new());
    }
}

/// The same through a real gRPC client, as services see it.
#[tokio::test]
async fn a_grpc_client_gets_an_answer_and_a_status() {
    let stage = Stage::new().await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", stage.envoy.address())).unwrap();
    let mut client = tonic::client::Grpc::new(channel.connect().await.unwrap());
    let mut say = async |token: Option<String>| {
        let mut request = tonic::Request::new("hello".to_owned());
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        client.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/test.v1.Echo/Say");
        let codec = tonic_prost::ProstCodec::<String, String>::default();
        client.unary(request, path, codec).await.map(tonic::Response::into_inner)
    };
    assert_eq!(say(Some(stage.token(&["read:orders"]))).await.unwrap(), "hello");
    let refused = say(None).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    assert!(refused.message().starts_with("a bearer token is required"), "{}", refused.message());
    let refused = say(Some(stage.token(&[]))).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
}

#[tokio::test]
async fn websockets_are_checked_when_they_are_opened() {
    let stage = Stage::new().await;
    let open = async |token: Option<String>| {
        let mut request = format!("ws://{HOST}/live").into_client_request().unwrap();
        request.headers_mut().insert("x-service-name", "admin".parse().unwrap());
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let stream = TcpStream::connect(stage.envoy.address()).await.unwrap();
        tokio_tungstenite::client_async(request, stream).await
    };
    let (mut socket, _) = open(Some(stage.token(&["read:orders"]))).await.unwrap();
    for text in ["one", "two", &"three ".repeat(50)] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
    }
    socket.close(None).await.unwrap();
    let seen = stage.upstream.take_seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].headers["x-service-name"], ["order-service"]);

    for (token, status, reason) in [
        (None, 401, "missing_token"),
        (Some("rubbish".to_owned()), 401, "token_malformed"),
        (Some(stage.token(&["write:orders"])), 403, "insufficient_scope"),
    ] {
        let Err(tungstenite::Error::Http(refused)) = open(token).await else { panic!("a refusal was expected") };
        assert_eq!(refused.status(), status);
        let body = String::from_utf8_lossy(refused.body().as_deref().unwrap_or_default()).into_owned();
        assert!(body.contains(reason), "{body}");
        assert_eq!(stage.upstream.take_seen(), []);
    }
}

/// Points 1 and 2: whatever the reason, a denial is a denial, and with the status that the gate chose.
#[tokio::test]
async fn point_1_and_2_every_denial_keeps_its_status_and_its_request_from_the_service() {
    let stage = Stage::new().await;
    let token = stage.token(&["read:orders"]);
    for (call, status, reason) in [
        (get("/any/x").header("authorization", "Bearer "), 400, "malformed_credential"),
        (get("/any/x").bearer(&token).bearer(&token), 400, "multiple_credentials"),
        (get("/any/x").header("authorization", "Basic YTpi"), 401, "unsupported_scheme"),
        (get("/any/x").bearer("a.b.c"), 401, "token_malformed"),
        (get("/any/x").bearer(&"a".repeat(9000)), 401, "token_too_large"),
        (get("/admin/x").bearer(&token), 403, "insufficient_scope"),
        (get("/nowhere").bearer(&token), 403, "no_rule"),
        (get("/internal/x"), 403, "caller_unknown"),
    ] {
        let reply = stage.denied(call, status, reason).await;
        assert!(!reply.text().contains(&token));
    }
    // An operator's own status for denials by policy.
    let hidden = Stage::with(
        tollgate::demo::envoy::Shipped::inbound(),
        |policy| policy.replace("identity_headers:", "denial: { status: 404 }\nidentity_headers:"),
        |config| config,
    )
    .await;
    let call = get("/nowhere").bearer(&hidden.token(&[]));
    let (reply, seen) = hidden.ask(call.clone()).await;
    assert_denied(&call, &reply, 404, "no_rule");
    assert_eq!(seen, None);
}
