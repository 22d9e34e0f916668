//! HTTP/2 by hand (RFC 9113): frames as they are asked for, allowed or not.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

pub(crate) mod flag {
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_STREAM: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
    pub(crate) const PADDED: u8 = 0x8;
}

/// Error codes, RFC 9113 §7.
pub(crate) mod code {
    pub(crate) const NO_ERROR: u32 = 0;
    pub(crate) const PROTOCOL: u32 = 1;
    pub(crate) const FLOW_CONTROL: u32 = 3;
    pub(crate) const STREAM_CLOSED: u32 = 5;
    pub(crate) const FRAME_SIZE: u32 = 6;
    pub(crate) const REFUSED_STREAM: u32 = 7;
    pub(crate) const CANCEL: u32 = 8;
    pub(crate) const COMPRESSION: u32 = 9;
    pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;
}

/// A frame, whatever its payload.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// SETTINGS with these.
pub(crate) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let values = values.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    frame(kind::SETTINGS, 0, 0, &values.collect::<Vec<u8>>())
}

pub(crate) const HEADER_TABLE: u16 = 1;
pub(crate) const INITIAL_WINDOW: u16 = 4;

pub(crate) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

pub(crate) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// A header field as HPACK's literal without indexing (RFC 7541 §6.2.2), nothing compressed.
pub(crate) fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        // An integer with a prefix of seven bits, RFC 7541 §5.1.
        match text.len().checked_sub(127) {
            None => field.push(text.len() as u8),
            Some(mut rest) => {
                field.push(127);
                while rest >= 128 {
                    field.push((rest % 128) as u8 | 0x80);
                    rest /= 128;
                }
                field.push(rest as u8);
            }
        }
        field.extend(text.bytes());
    }
    field
}

pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

pub(crate) const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
pub(crate) const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// The header block of a call, with these fields at its end.
pub(crate) fn block(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "gate.test"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    [fields(&usual), fields(more)].concat()
}

/// HEADERS of a call of Check, whose message is to follow.
pub(crate) fn open(stream: u32) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS, stream, &block(CHECK, &[]))
}

/// The message about a request for this path, with its prefix.
pub(crate) fn message(path: &str) -> Vec<u8> {
    about(path, HashMap::new())
}

/// The message about a request with a token.
pub(crate) fn bearer(token: &str) -> Vec<u8> {
    about("/", HashMap::from([("authorization".to_owned(), format!("Bearer {token}"))]))
}

fn about(path: &str, headers: HashMap<String, String>) -> Vec<u8> {
    let http = HttpRequest {
        method: "GET".to_owned(),
        host: "api.example.com".to_owned(),
        path: path.to_owned(),
        headers,
        ..Default::default()
    };
    let request = Request { http: Some(http), ..Default::default() };
    let message = CheckRequest { attributes: Some(AttributeContext { request: Some(request), ..Default::default() }) };
    let message = message.encode_to_vec();
    [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat()
}

/// A whole call of Check.
pub(crate) fn call(stream: u32, path: &str) -> Vec<u8> {
    [open(stream), frame(kind::DATA, flag::END_STREAM, stream, &message(path))].concat()
}

/// The streams that a client may open, in order.
pub(crate) fn streams(number: u32) -> impl Iterator<Item = u32> {
    (0..number).map(|n| 2 * n + 1)
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn ends(&self, stream: u32) -> bool {
        let last = matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & flag::END_STREAM != 0;
        self.stream == stream && (last || self.kind == kind::RST_STREAM)
    }

    /// The error code of RST_STREAM, or of GOAWAY.
    pub(crate) fn code(&self) -> Option<u32> {
        let at = match self.kind {
            kind::RST_STREAM => 0,
            kind::GOAWAY => 4,
            _ => return None,
        };
        Some(u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap()))
    }
}

/// One side of a connection.
pub(crate) struct Wire {
    io: TcpStream,
}

impl Wire {
    /// Only connected: nothing is said yet.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let io = timeout(PATIENCE, TcpStream::connect(address)).await.expect("a connection").unwrap();
        io.set_nodelay(true).unwrap();
        Self { io }
    }

    /// Connected, and both sides know each other's settings.
    pub(crate) async fn greet(address: SocketAddr) -> Self {
        Self::greet_with(address, &[]).await
    }

    pub(crate) async fn greet_with(address: SocketAddr, values: &[(u16, u32)]) -> Self {
        let mut wire = Self::connect(address).await;
        // All the answers of a test fit into the window of the connection.
        wire.send(&[PREFACE, &settings(values), &window_update(0, 1 << 30)].concat()).await;
        wire.until(|frame| frame.kind == kind::SETTINGS && frame.flags & flag::ACK != 0).await.expect("settings");
        wire.send(&frame(kind::SETTINGS, flag::ACK, 0, &[])).await;
        wire
    }

    /// Sends all of it; the other side may not be there any more.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(PATIENCE, self.io.write_all(bytes)).await.expect("it is read")
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).await.unwrap();
    }

    /// Sends what the other side takes at once; how much that was.
    pub(crate) fn send_what_fits(&mut self, bytes: &[u8]) -> usize {
        self.io.try_write(bytes).unwrap_or(0)
    }

    /// Whether the other side still has the connection, as far as one can tell without reading.
    pub(crate) fn is_open(&self) -> bool {
        // A reset is an error of the next attempt to send, be it empty of effect.
        !matches!(self.io.try_write(&[0]), Err(error) if error.kind() != io::ErrorKind::WouldBlock)
    }

    /// The next frame; none where the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        timeout(PATIENCE, self.read()).await.expect("a frame, or an end").ok()
    }

    async fn read(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.io.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.io.read_exact(&mut payload).await?;
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame that is so; none where the connection ends before.
    pub(crate) async fn until(&mut self, is_so: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if is_so(&frame) {
                return Some(frame);
            }
        }
    }

    /// Reads to the end of the connection: the code of its GOAWAY that says why, if one arrived.
    pub(crate) async fn last_words(&mut self) -> Option<u32> {
        let mut said = None;
        while let Some(frame) = self.next().await {
            if frame.kind == kind::GOAWAY {
                said = frame.code();
            }
        }
        said
    }

    /// What is answered on a stream: the message, or the code of the reset.
    pub(crate) async fn answer(&mut self, stream: u32) -> Result<CheckResponse, u32> {
        let mut message = Vec::new();
        loop {
            let frame = self.next().await.expect("the connection is open");
            if frame.stream != stream {
                assert_ne!(frame.kind, kind::GOAWAY, "{frame:?}");
                continue;
            }
            match frame.kind {
                kind::DATA => message.extend_from_slice(&frame.payload),
                kind::RST_STREAM => return Err(frame.code().unwrap()),
                _ => {}
            }
            if frame.ends(stream) {
                return Ok(CheckResponse::decode(message.get(5..).unwrap_or_default()).unwrap());
            }
        }
    }

    /// Whether the connection works: a call on this stream, for a path that is allowed.
    pub(crate) async fn answers(&mut self, stream: u32) {
        self.send(&call(stream, "/")).await;
        let answer = self.answer(stream).await.expect("an answer");
        assert_eq!(answer.status.expect("a status").code, 0);
    }
}

/// Whether somebody who comes now gets the right answer.
pub(crate) async fn serves(address: SocketAddr) {
    Wire::greet(address).await.answers(1).await;
}
