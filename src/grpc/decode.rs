//! From the wire to what a decision looks at. Nothing is copied: a [`RawRequest`] borrows from the received message.
//!
//! This is a hand-written reader of `proto/tollgate/wire/v1/check.proto`: what is not in that lean view is skipped.
//! `tests/wire.rs` holds it to the reader that is generated from there, and to `envoy-types`.

mod protobuf;

use tonic::Status;

use crate::core::request::{Direction, Header, Headers, RawRequest, is_grpc};
use protobuf::{Fields, Malformed};

/// Most header lines of a request.
pub const MAX_HEADER_LINES: usize = 512;

/// Most bytes of a request's header names and values together.
pub const MAX_HEADER_BYTES: usize = 256 * 1024;

/// Header lines that most requests do not exceed.
const USUAL_HEADER_LINES: usize = 24;

/// Why a message cannot be decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Bytes that are no `CheckRequest`.
    #[error("the message is not a CheckRequest")]
    Malformed,
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

impl From<Malformed> for DecodeError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl DecodeError {
    /// The RPC error, where the message is not one that could be answered. `None` calls for a denial with
    /// [`MalformedRequest`](crate::core::reason::Reason::MalformedRequest).
    pub fn rpc_error(self) -> Option<Status> {
        match self {
            Self::Malformed | Self::NotText(_) => Some(Status::invalid_argument(self.to_string())),
            Self::Missing(_) | Self::TooManyHeaders | Self::HeadersTooLong => None,
        }
    }
}

/// Reads what a decision may look at. `source.service`, which a client chooses itself, is not even looked at.
///
/// # Errors
/// See [`DecodeError`].
pub fn request(message: &[u8], direction: Direction) -> Result<RawRequest<'_>, DecodeError> {
    let mut read = RawRequest {
        direction,
        method: "",
        host: "",
        path: "",
        headers: Headers::default(),
        principal: "",
        certificate: "",
        context_extensions: Vec::new(),
    };
    let mut lines = Vec::with_capacity(USUAL_HEADER_LINES);
    let mut header_bytes = 0usize;
    let mut missing = Some("attributes");
    walk(message, &mut |part| {
        match part {
            // Each is found inside the one before it, and may come in several pieces.
            Part::Attributes if missing == Some("attributes") => missing = Some("attributes.request"),
            Part::Request if missing == Some("attributes.request") => missing = Some("attributes.request.http"),
            Part::Http => missing = None,
            Part::Attributes | Part::Request => {}
            Part::Principal(bytes) => read.principal = text(bytes, "source.principal")?,
            Part::Certificate(bytes) => read.certificate = text(bytes, "source.certificate")?,
            Part::Context(key, value) => {
                let pair = (text(key, "context_extensions")?, text(value, "context_extensions")?);
                read.context_extensions.push(pair);
            }
            Part::Method(bytes) => read.method = text(bytes, "http.method")?,
            Part::Path(bytes) => read.path = text(bytes, "http.path")?,
            Part::Host(bytes) => read.host = text(bytes, "http.host")?,
            Part::Header(name, value) => {
                if lines.len() == MAX_HEADER_LINES {
                    return Err(DecodeError::TooManyHeaders);
                }
                header_bytes = header_bytes.saturating_add(name.len()).saturating_add(value.len());
                if header_bytes > MAX_HEADER_BYTES {
                    return Err(DecodeError::HeadersTooLong);
                }
                lines.push(Header { name: text(name, "http.headers")?, value });
            }
        }
        Ok(())
    })?;
    if let Some(part) = missing {
        return Err(DecodeError::Missing(part));
    }
    read.headers = Headers::new(lines);
    Ok(read)
}

/// Whether the client behind a message speaks gRPC, as far as that can be told: denials are then plain text.
pub fn speaks_grpc(message: &[u8]) -> bool {
    let mut grpc = false;
    let _ = walk(message, &mut |part| {
        if let Part::Header(name, value) = part {
            grpc |= name.eq_ignore_ascii_case(b"content-type") && is_grpc(value);
        }
        Ok(())
    });
    grpc
}

/// What a message holds. Texts are not known to be text yet.
enum Part<'m> {
    Attributes,
    Request,
    Http,
    Principal(&'m [u8]),
    Certificate(&'m [u8]),
    Context(&'m [u8], &'m [u8]),
    Method(&'m [u8]),
    Path(&'m [u8]),
    Host(&'m [u8]),
    Header(&'m [u8], &'m [u8]),
}

type Seen = Result<(), DecodeError>;

/// Shows every part of a `CheckRequest`, in the order of the wire: of a field that is there twice the last counts, of a
/// message that is there twice the parts add up, as the protocol wants it.
fn walk<'m>(message: &'m [u8], see: &mut impl FnMut(Part<'m>) -> Seen) -> Seen {
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        if field.number == 1 {
            see(Part::Attributes)?;
            walk_attributes(field.bytes()?, see)?;
        }
    }
    Ok(())
}

fn walk_attributes<'m>(message: &'m [u8], see: &mut impl FnMut(Part<'m>) -> Seen) -> Seen {
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => walk_source(field.bytes()?, see)?,
            4 => {
                see(Part::Request)?;
                walk_request(field.bytes()?, see)?;
            }
            10 => {
                let [key, value] = entry(field.bytes()?)?;
                see(Part::Context(key, value))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn walk_source<'m>(message: &'m [u8], see: &mut impl FnMut(Part<'m>) -> Seen) -> Seen {
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        match field.number {
            4 => see(Part::Principal(field.bytes()?))?,
            5 => see(Part::Certificate(field.bytes()?))?,
            _ => {}
        }
    }
    Ok(())
}

fn walk_request<'m>(message: &'m [u8], see: &mut impl FnMut(Part<'m>) -> Seen) -> Seen {
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        if field.number == 2 {
            see(Part::Http)?;
            walk_http(field.bytes()?, see)?;
        }
    }
    Ok(())
}

/// Envoy fills `headers` or `header_map`; a message that fills both hides nothing by it.
fn walk_http<'m>(message: &'m [u8], see: &mut impl FnMut(Part<'m>) -> Seen) -> Seen {
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        match field.number {
            2 => see(Part::Method(field.bytes()?))?,
            3 => {
                let [key, value] = entry(field.bytes()?)?;
                see(Part::Header(key, value))?;
            }
            4 => see(Part::Path(field.bytes()?))?,
            5 => see(Part::Host(field.bytes()?))?,
            13 => {
                let mut lines = Fields::of(field.bytes()?);
                while let Some(line) = lines.next()? {
                    if line.number == 1 {
                        raw_header(line.bytes()?, see)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Of the two forms of one value only one is filled. Where both are, both count as received.
fn raw_header<'m>(message: &'m [u8], see: &mut impl FnMut(Part<'m>) -> Seen) -> Seen {
    let [key, value, raw] = texts(message)?;
    see(Part::Header(key, if raw.is_empty() { value } else { raw }))?;
    if !value.is_empty() && !raw.is_empty() && value != raw {
        see(Part::Header(key, value))?;
    }
    Ok(())
}

/// An entry of a `map<string, string>`.
fn entry(message: &[u8]) -> Result<[&[u8]; 2], Malformed> {
    texts(message)
}

/// The fields from number 1 on, of a message that consists of texts.
fn texts<const N: usize>(message: &[u8]) -> Result<[&[u8]; N], Malformed> {
    let mut texts: [&[u8]; N] = [&[]; N];
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        let at = field.number as usize - 1;
        if let Some(text) = texts.get_mut(at) {
            *text = field.bytes()?;
        }
    }
    Ok(texts)
}

fn text<'m>(bytes: &'m [u8], field: &'static str) -> Result<&'m str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::NotText(field))
}

#[cfg(test)]
mod tests;
