//! What Envoy asks: a `CheckRequest` with the attributes and headers that it sends for an HTTP request.

use std::collections::HashMap;

use bytes::{BufMut as _, Bytes, BytesMut};
use envoy_types::ext_authz::v3::pb::CheckRequest;
use envoy_types::pb::envoy::config::core::v3::address::Address as Kind;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, Metadata, SocketAddress};
use envoy_types::pb::envoy::service::auth::v3::AttributeContext;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use envoy_types::pb::google::protobuf::Timestamp;
use prost::Message as _;

use crate::shuffle::Shuffle;

/// An HTTP request that Envoy asks about.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The method.
    pub method: &'a str,
    /// The host.
    pub host: &'a str,
    /// The path, with its query.
    pub path: &'a str,
    /// The bearer token, if there is one.
    pub token: Option<&'a str>,
    /// What the route says of itself.
    pub context_extensions: &'a [(&'a str, &'a str)],
    /// Headers beside the thirteen (twelve without a token).
    pub headers: &'a [(&'a str, &'a str)],
    /// Tells this request from others: its id, and the trace it belongs to.
    pub nth: u64,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        Self {
            method: "GET",
            host: "payments.internal",
            path: "/",
            token: None,
            context_extensions: &[],
            headers: &[],
            nth: 0,
        }
    }
}

/// The gRPC frame of a request.
pub fn frame(ask: &Ask<'_>) -> Bytes {
    let message = message(ask);
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(5 + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // A buffer that grows cannot be too small.
    let _ = message.encode(&mut frame);
    frame.freeze()
}

/// The message of a request.
pub fn message(ask: &Ask<'_>) -> CheckRequest {
    let mut random = Shuffle::new(ask.nth);
    let id = format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        random.draw() as u32,
        random.draw() as u16,
        random.draw() & 0xfff,
        random.draw() & 0xfff,
        random.draw() & 0xffff_ffff_ffff
    );
    let (trace, span) = (random.draw(), random.draw());
    let mut headers: HashMap<String, String> = [
        (":authority", ask.host.to_owned()),
        (":method", ask.method.to_owned()),
        (":path", ask.path.to_owned()),
        (":scheme", "https".to_owned()),
        ("accept", "application/json".to_owned()),
        ("accept-encoding", "gzip, deflate, br".to_owned()),
        ("content-type", "application/json".to_owned()),
        ("traceparent", format!("00-{trace:016x}{span:016x}-{span:016x}-01")),
        ("user-agent", "order-service/4.12.0 (linux; x86_64) axios/1.7.9".to_owned()),
        ("x-forwarded-for", "10.4.17.23".to_owned()),
        ("x-forwarded-proto", "https".to_owned()),
        ("x-request-id", id.clone()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    headers.extend(ask.token.map(|token| ("authorization".to_owned(), format!("Bearer {token}"))));
    headers.extend(ask.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let http = HttpRequest {
        id,
        method: ask.method.to_owned(),
        headers,
        path: ask.path.to_owned(),
        host: ask.host.to_owned(),
        scheme: "https".to_owned(),
        protocol: "HTTP/2".to_owned(),
        size: 0,
        ..HttpRequest::default()
    };
    let time = Timestamp { seconds: 1_700_000_000, nanos: 123_456_000 };
    let extensions = ask.context_extensions.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let attributes = AttributeContext {
        source: Some(peer("10.4.17.23", 48_122, "spiffe://cluster.local/ns/shop/sa/order-service")),
        destination: Some(peer("10.4.31.7", 8443, "spiffe://cluster.local/ns/shop/sa/payment-service")),
        request: Some(Request { time: Some(time), http: Some(http) }),
        context_extensions: extensions.collect(),
        metadata_context: Some(Metadata::default()),
        route_metadata_context: Some(Metadata::default()),
        ..AttributeContext::default()
    };
    CheckRequest { attributes: Some(attributes) }
}

fn peer(address: &str, port: u32, principal: &str) -> Peer {
    let socket = SocketAddress {
        address: address.to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(port)),
        ..SocketAddress::default()
    };
    Peer {
        address: Some(Address { address: Some(Kind::SocketAddress(socket)) }),
        principal: principal.to_owned(),
        ..Peer::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirteen_headers_and_a_frame_that_says_its_length() {
        let ask = Ask { token: Some("t"), ..Ask::default() };
        let http = message(&ask).attributes.unwrap().request.unwrap().http.unwrap();
        assert_eq!(http.headers.len(), 13);
        assert_eq!(http.headers["authorization"], "Bearer t");
        let frame = frame(&ask);
        assert_eq!(frame[0], 0);
        assert_eq!(u32::from_be_bytes(frame[1..5].try_into().unwrap()) as usize, frame.len() - 5);
        assert_eq!(CheckRequest::decode(&frame[5..]).unwrap(), message(&ask));
    }

    #[test]
    fn no_two_requests_have_one_id() {
        let id = |nth| message(&Ask { nth, ..Ask::default() }).attributes.unwrap().request.unwrap().http.unwrap().id;
        assert_ne!(id(1), id(2));
        assert_eq!(id(1).len(), 36);
    }
}
