//! From a `CheckRequest` to a request that the core can judge. Everything is borrowed.

use std::str::from_utf8;

use tonic::Status;

use super::wire;
use crate::core::request::{Direction, Header, Headers, RawRequest};

/// Most header bytes, names and values together, that a request may have.
pub const MAX_HEADER_BYTES: usize = 256 * 1024;
/// Most header lines that a request may have.
const MAX_HEADER_LINES: usize = 512;

/// Why a message is not a request that can be judged.
#[derive(Debug)]
pub(super) enum DecodeError {
    /// The message is no valid protobuf: an RPC error, as for any other undecodable message.
    Undecodable(Status),
    /// A part that every HTTP request has is missing, or there is more of it than is sensible: a denial.
    Malformed,
}

/// Reads a request. A text that is not UTF-8 makes the message undecodable, except in header values: there it is what
/// the client sent, and no reason to fail the RPC.
pub(super) fn request(message: &wire::CheckRequest, direction: Direction) -> Result<RawRequest<'_>, DecodeError> {
    let attributes = message.attributes.as_ref().ok_or(DecodeError::Malformed)?;
    let http = attributes.request.as_ref().and_then(|request| request.http.as_ref()).ok_or(DecodeError::Malformed)?;
    let mut headers = Vec::with_capacity(http.headers.len());
    for entry in &http.headers {
        headers.push(Header { name: text(&entry.key, "header name")?, value: &entry.value });
    }
    for line in http.header_map.iter().flat_map(|map| &map.headers) {
        let value = if line.raw_value.is_empty() { &line.value } else { &line.raw_value };
        headers.push(Header { name: text(&line.key, "header name")?, value });
    }
    let bytes: usize = headers.iter().map(|line| line.name.len() + line.value.len()).sum();
    if headers.len() > MAX_HEADER_LINES || bytes > MAX_HEADER_BYTES {
        return Err(DecodeError::Malformed);
    }
    let source = attributes.source.as_ref();
    let mut context_extensions = Vec::with_capacity(attributes.context_extensions.len());
    for entry in &attributes.context_extensions {
        context_extensions.push((text(&entry.key, "context extension")?, text(&entry.value, "context extension")?));
    }
    Ok(RawRequest {
        direction,
        method: text(&http.method, "method")?,
        host: text(&http.host, "host")?,
        path: text(&http.path, "path")?,
        headers: Headers::new(headers),
        principal: source.map_or(Ok(""), |peer| text(&peer.principal, "principal"))?,
        certificate: source.map_or(Ok(""), |peer| text(&peer.certificate, "certificate"))?,
        context_extensions,
    })
}

fn text<'m>(bytes: &'m [u8], what: &'static str) -> Result<&'m str, DecodeError> {
    from_utf8(bytes)
        .map_err(|_| DecodeError::Undecodable(Status::invalid_argument(format!("the {what} is not valid UTF-8"))))
}
