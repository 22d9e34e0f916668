//! From the wire to what a decision looks at. Nothing is copied: a [`RawRequest`] borrows from the received frame.

use tonic::Status;

use super::wire;
use crate::core::request::{Direction, Header, Headers, RawRequest, is_grpc};

/// Most header lines of a request.
pub const MAX_HEADER_LINES: usize = 512;

/// Most bytes of a request's header names and values together.
pub const MAX_HEADER_BYTES: usize = 256 * 1024;

/// Why a message cannot be decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A string that the protocol wants in UTF-8 is not: the message is not of this protocol.
    #[error("`{0}` is not UTF-8")]
    NotText(&'static str),
    /// A part is missing that every HTTP request has.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// More than [`MAX_HEADER_LINES`].
    #[error("there are more than {MAX_HEADER_LINES} header lines")]
    TooManyHeaders,
    /// More than [`MAX_HEADER_BYTES`].
    #[error("the headers are longer than {MAX_HEADER_BYTES} bytes")]
    HeadersTooLong,
}

impl DecodeError {
    /// The RPC error, where the message is not one that could be answered. `None` calls for a denial with
    /// [`MalformedRequest`](crate::core::reason::Reason::MalformedRequest).
    pub fn rpc_error(self) -> Option<Status> {
        match self {
            Self::NotText(_) => Some(Status::invalid_argument(self.to_string())),
            Self::Missing(_) | Self::TooManyHeaders | Self::HeadersTooLong => None,
        }
    }
}

/// Reads what a decision may look at. `source.service`, which a client chooses itself, is not even decoded.
///
/// # Errors
/// See [`DecodeError`].
pub fn request(message: &wire::CheckRequest, direction: Direction) -> Result<RawRequest<'_>, DecodeError> {
    let attributes = message.attributes.as_ref().ok_or(DecodeError::Missing("attributes"))?;
    let request = attributes.request.as_ref().ok_or(DecodeError::Missing("attributes.request"))?;
    let http = request.http.as_ref().ok_or(DecodeError::Missing("attributes.request.http"))?;
    let (principal, certificate) = match &attributes.source {
        Some(source) => {
            (text(&source.principal, "source.principal")?, text(&source.certificate, "source.certificate")?)
        }
        None => ("", ""),
    };
    let mut context_extensions = Vec::with_capacity(attributes.context_extensions.len());
    for entry in &attributes.context_extensions {
        context_extensions.push((text(&entry.key, "context_extensions")?, text(&entry.value, "context_extensions")?));
    }
    Ok(RawRequest {
        direction,
        method: text(&http.method, "http.method")?,
        host: text(&http.host, "http.host")?,
        path: text(&http.path, "http.path")?,
        headers: headers(http)?,
        principal,
        certificate,
        context_extensions,
    })
}

/// Whether the client behind a message speaks gRPC, as far as that can be told: denials are then plain text.
pub fn speaks_grpc(message: &wire::CheckRequest) -> bool {
    let http = message.attributes.as_ref().and_then(|a| a.request.as_ref()).and_then(|r| r.http.as_ref());
    http.is_some_and(|http| {
        lines(http).any(|(name, value)| name.eq_ignore_ascii_case(b"content-type") && is_grpc(value))
    })
}

fn headers(http: &wire::Http) -> Result<Headers<'_>, DecodeError> {
    let expected = http.headers.len() + http.header_map.as_ref().map_or(0, |map| map.headers.len());
    let mut found = Vec::with_capacity(expected.min(MAX_HEADER_LINES));
    let mut bytes = 0usize;
    for (name, value) in lines(http) {
        if found.len() == MAX_HEADER_LINES {
            return Err(DecodeError::TooManyHeaders);
        }
        bytes = bytes.saturating_add(name.len()).saturating_add(value.len());
        if bytes > MAX_HEADER_BYTES {
            return Err(DecodeError::HeadersTooLong);
        }
        found.push(Header { name: text(name, "http.headers")?, value });
    }
    Ok(Headers::new(found))
}

/// Every line of both forms: Envoy fills one or the other, and a message that fills both hides nothing by it.
fn lines(http: &wire::Http) -> impl Iterator<Item = (&[u8], &[u8])> {
    let joined = http.headers.iter().map(|entry| (&entry.key[..], &entry.value[..]));
    let single = http.header_map.iter().flat_map(|map| &map.headers).flat_map(|header| {
        let [value, raw] = [&header.value[..], &header.raw_value[..]];
        // Of the two forms of one value only one is filled. Where both are, both count as received.
        let second = (!value.is_empty() && !raw.is_empty() && value != raw).then_some(value);
        let first = if raw.is_empty() { value } else { raw };
        [Some(first), second].into_iter().flatten().map(|value| (&header.key[..], value))
    });
    joined.chain(single)
}

fn text<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::NotText(field))
}

#[cfg(test)]
mod tests;
