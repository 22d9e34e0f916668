//! A request as the message that Envoy would send: one that was recorded, or one that somebody describes.

use std::io::{self, Read};

use bytes::Bytes;
use prost::Message as _;

use super::protobuf;
use crate::core::caller::SpiffeId;
use crate::core::reason::Reason;
use crate::core::request::{Direction, RawRequest, is_token};
use crate::grpc::decode;
use crate::grpc::wire::{Attributes, CheckRequest, Entry, Http, Peer, Request};

/// Longest recorded request: the largest message that a gate may be configured to read.
const MAX_BYTES: u64 = 64 << 20;

/// A request that somebody describes.
#[derive(Clone, Copy, Debug)]
pub struct Described<'d> {
    /// Its method.
    pub method: &'d str,
    /// As the `Host` or `:authority` header names it.
    pub host: &'d str,
    /// With the query, where it has one.
    pub path: &'d str,
    /// Its headers.
    pub headers: &'d [(String, String)],
    /// The calling workload's SPIFFE id; empty where there is none.
    pub caller: &'d str,
    /// Of the route.
    pub context_extensions: &'d [(String, String)],
}

impl Described<'_> {
    /// The message that Envoy would send.
    pub fn message(&self) -> Bytes {
        let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let entry = |(key, value): &(String, String)| Entry { key: text(key), value: text(value) };
        let http = Http {
            method: text(self.method),
            host: text(self.host),
            path: text(self.path),
            headers: self.headers.iter().map(entry).collect(),
            header_map: None,
        };
        let attributes = Attributes {
            source: Some(Peer { principal: text(self.caller), certificate: Bytes::new() }),
            request: Some(Request { http: Some(http) }),
            context_extensions: self.context_extensions.iter().map(entry).collect(),
        };
        CheckRequest { attributes: Some(attributes) }.encode_to_vec().into()
    }
}

/// How a recorded request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Whichever it is.
    Auto,
    /// The JSON mapping of Protocol Buffers.
    Json,
    /// The bytes of the message.
    Binary,
}

/// The message that was recorded.
///
/// # Errors
/// In words: where its JSON is wrong, and what is wrong there.
pub fn recorded(bytes: Vec<u8>, format: Format) -> Result<Bytes, String> {
    let json = match format {
        Format::Json => true,
        Format::Binary => false,
        Format::Auto => protobuf::is_json(&bytes),
    };
    if json { protobuf::from_json(&bytes).map(Bytes::from) } else { Ok(bytes.into()) }
}

/// Reads the bytes of a recorded request.
///
/// # Errors
/// What cannot be read, and what is longer than any.
pub fn bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "more than 64 MiB are no CheckRequest"));
    }
    Ok(bytes)
}

/// What the gate reads in a message.
///
/// # Errors
/// In words: why it would decide on nothing, and what it would answer.
pub fn read(message: &[u8], direction: Direction) -> Result<RawRequest<'_>, String> {
    decode::request(message, direction).map_err(|error| {
        let answered = match error.rpc_error() {
            Some(_) => "the gate answers this with an RPC error".to_owned(),
            None => format!("the gate denies this: {}", Reason::MalformedRequest),
        };
        format!("{error}; {answered}")
    })
}

/// The name of a request header, in lower case. `None` where it can be none.
pub fn header_name(name: &str) -> Option<String> {
    let name = name.trim().to_ascii_lowercase();
    is_token(&name).then_some(name)
}

/// A SPIFFE id, as a caller's certificate holds it.
///
/// # Errors
/// In words, what is expected.
pub fn caller(id: &str) -> Result<String, &'static str> {
    SpiffeId::parse(id).map(|id| id.as_str().to_owned()).ok_or("expected a SPIFFE id: spiffe://trust-domain/path")
}
