//! What a decision may look at: one HTTP request as the proxy reported it, parsed and borrowed.

use std::borrow::Cow;
use std::str::Utf8Error;

use super::caller::Caller;
use super::path::{CanonicalPath, PathError};
use super::reason::Reason;

/// Which way a request travels, seen from the workload beside the proxy. It is a property of the Check
/// listener that the operator configured, never of the request.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Towards the workload.
    Inbound,
    /// From the workload to another.
    Outbound,
}

/// One header line as received. Envoy joins repeated headers with a comma in `headers`; in `header_map` each
/// line stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name as received; compare it without regard to case.
    pub name: &'a str,
    /// The value's bytes as received; not necessarily text.
    pub value: &'a [u8],
}

impl Header<'_> {
    /// Whether this is its name.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The header lines of a request, pseudo-headers (`:path`) included where the proxy sends them.
#[derive(Clone, Debug, Default)]
pub struct Headers<'a>(Vec<Header<'a>>);

impl<'a> Headers<'a> {
    /// Takes the lines in the order they were received.
    pub fn new(lines: Vec<Header<'a>>) -> Self {
        Self(lines)
    }

    /// Every line.
    pub fn iter(&self) -> impl Iterator<Item = &Header<'a>> {
        self.0.iter()
    }

    /// The values of every line with this name.
    pub fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a [u8]> + 's {
        self.0.iter().filter(move |line| line.is(name)).map(|line| line.value)
    }

    /// The lines with this name as one value, joined by commas as Envoy joins them. `None` where there are none.
    ///
    /// # Errors
    /// Where one of them is not text.
    pub fn joined(&self, name: &str) -> Result<Option<Cow<'a, str>>, Utf8Error> {
        let mut joined: Option<Cow<'a, str>> = None;
        for value in self.values(name) {
            let text = str::from_utf8(value)?;
            match &mut joined {
                None => joined = Some(Cow::Borrowed(text)),
                Some(before) => {
                    let before = before.to_mut();
                    before.push(',');
                    before.push_str(text);
                }
            }
        }
        Ok(joined)
    }

    /// Whether any line has this name.
    pub fn contains(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }
}

/// A request as it came off the wire, before anything was judged.
#[derive(Clone, Debug)]
pub struct RawRequest<'a> {
    /// Of the listener.
    pub direction: Direction,
    /// `http.method`, as sent.
    pub method: &'a str,
    /// `http.host`: the `Host` or `:authority` header.
    pub host: &'a str,
    /// `http.path`: path and query, undecoded.
    pub path: &'a str,
    /// The header lines.
    pub headers: Headers<'a>,
    /// `source.principal`: what Envoy read from the peer certificate; empty where there is none.
    pub principal: &'a str,
    /// `source.certificate`: URL-encoded PEM of the peer certificate; empty where Envoy sends none.
    pub certificate: &'a str,
    /// `context_extensions`, set by the operator on Envoy's routes.
    pub context_extensions: Vec<(&'a str, &'a str)>,
}

/// A request that can be decided on.
#[derive(Debug)]
pub struct RequestFacts<'a> {
    /// Of the listener.
    pub direction: Direction,
    /// As sent; methods are case-sensitive (RFC 9110 §9.1).
    pub method: &'a str,
    /// Lower case, without port or trailing dot.
    pub host: Host<'a>,
    /// Decoded once, free of ambiguity.
    pub path: CanonicalPath<'a>,
    /// What follows the first `?`, undecoded.
    pub query: Option<&'a str>,
    /// The header lines.
    pub headers: Headers<'a>,
    /// The peer that Envoy authenticated.
    pub caller: Caller<'a>,
    /// Set by the operator on Envoy's routes.
    pub context_extensions: Vec<(&'a str, &'a str)>,
    /// Whether the content type is `application/grpc` or one of its variants: the denial is then plain text.
    pub grpc: bool,
}

/// Why a request cannot be decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The method is empty or not an RFC 9110 token.
    #[error("the method is not a token")]
    Method,
    /// The path has more than one reading.
    #[error("the path is ambiguous: {0}")]
    Path(#[from] PathError),
    /// The host is missing, malformed, or named differently in two places.
    #[error("the host is missing, malformed or ambiguous")]
    Host,
}

impl RequestError {
    /// The reason of the denial.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Method => Reason::MalformedRequest,
            Self::Path(_) => Reason::AmbiguousPath,
            Self::Host => Reason::AmbiguousHost,
        }
    }
}

impl<'a> RequestFacts<'a> {
    /// Judges the parts of a request that every rule relies on.
    ///
    /// # Errors
    /// The first part that is malformed or ambiguous.
    pub fn parse(raw: RawRequest<'a>) -> Result<Self, RequestError> {
        if !is_token(raw.method) {
            return Err(RequestError::Method);
        }
        let host = Host::parse(raw.host).ok_or(RequestError::Host)?;
        let mut grpc = false;
        for line in raw.headers.iter() {
            if line.is(":authority") || line.is("host") {
                let named = str::from_utf8(line.value).ok().and_then(Host::parse);
                if named.is_none_or(|named| named != host) {
                    return Err(RequestError::Host);
                }
            } else if line.is("content-type") {
                grpc |= is_grpc(line.value);
            }
        }
        let (path, query) = match raw.path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (raw.path, None),
        };
        let path = CanonicalPath::parse(path)?;
        Ok(Self {
            direction: raw.direction,
            method: raw.method,
            host,
            path,
            query,
            headers: raw.headers,
            caller: Caller::new(raw.principal, raw.certificate),
            context_extensions: raw.context_extensions,
            grpc,
        })
    }

    /// The values of a `context_extensions` key.
    pub fn context<'s>(&'s self, key: &'s str) -> impl Iterator<Item = &'a str> + 's {
        self.context_extensions.iter().filter(move |(name, _)| *name == key).map(|(_, value)| *value)
    }

    /// Whether this is a CORS preflight: `OPTIONS` with `Origin` and `Access-Control-Request-Method`.
    pub fn is_cors_preflight(&self) -> bool {
        self.method == "OPTIONS"
            && self.headers.contains("origin")
            && self.headers.contains("access-control-request-method")
    }
}

/// Whether a content type is gRPC's: `application/grpc`, `application/grpc+proto`, `application/grpc-web` …
pub fn is_grpc(content_type: &[u8]) -> bool {
    const PREFIX: &[u8] = b"application/grpc";
    match content_type.split_at_checked(PREFIX.len()) {
        Some((start, rest)) => {
            start.eq_ignore_ascii_case(PREFIX) && !matches!(rest.first(), Some(c) if c.is_ascii_alphanumeric())
        }
        None => false,
    }
}

/// RFC 9110 §5.6.2.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A host name or address: lower case, without port, user information or trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host<'a>(Cow<'a, str>);

impl<'a> Host<'a> {
    /// Reads a `Host` or `:authority` value. `None` where it is empty or malformed: user information, an
    /// invalid port, a byte outside letters, digits, `-`, `.` and `_`, an empty label.
    pub fn parse(authority: &'a str) -> Option<Self> {
        if let Some(rest) = authority.strip_prefix('[') {
            let (address, rest) = rest.split_once(']')?;
            valid_port(rest)?;
            let address: std::net::Ipv6Addr = address.parse().ok()?;
            return Some(Self(Cow::Owned(format!("[{address}]"))));
        }
        let (name, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
        valid_port(port)?;
        let name = name.strip_suffix('.').unwrap_or(name);
        let good = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if name.len() > 253 || !name.split('.').all(good) {
            return None;
        }
        let lower = !name.bytes().any(|b| b.is_ascii_uppercase());
        Some(Self(if lower { Cow::Borrowed(name) } else { Cow::Owned(name.to_ascii_lowercase()) }))
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The label at `index`, counted from the left, from zero. An IPv6 address has none.
    pub fn label(&self, index: usize) -> Option<&str> {
        if self.0.starts_with('[') { None } else { self.0.split('.').nth(index) }
    }
}

/// Accepts nothing, or a colon and a port number.
fn valid_port(rest: &str) -> Option<()> {
    if rest.is_empty() {
        return Some(());
    }
    let digits = rest.strip_prefix(':')?;
    (digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_normalised_or_refused() {
        for (sent, want) in [
            ("Example.COM", Some("example.com")),
            ("example.com:8443", Some("example.com")),
            ("example.com.", Some("example.com")),
            ("example.com.:80", Some("example.com")),
            ("xn--bcher-kva.example", Some("xn--bcher-kva.example")),
            ("127.0.0.1:80", Some("127.0.0.1")),
            ("[::1]:80", Some("[::1]")),
            ("[0:0:0:0:0:0:0:1]", Some("[::1]")),
            ("", None),
            (".", None),
            ("a..b", None),
            ("user@example.com", None),
            ("user:pass@example.com", None),
            ("example.com:", None),
            ("example.com:99999", None),
            ("example.com:80:80", None),
            ("bücher.example", None),
            ("a b", None),
            ("a,b", None),
            ("a/b", None),
            ("[::1", None),
            ("[::1]x", None),
        ] {
            assert_eq!(Host::parse(sent).as_ref().map(Host::as_str), want, "{sent:?}");
        }
    }

    #[test]
    fn content_types_of_grpc() {
        for (sent, want) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC;x=y", true),
            ("application/grpc-web", true),
            ("application/grpcx", false),
            ("application/json", false),
        ] {
            assert_eq!(is_grpc(sent.as_bytes()), want, "{sent}");
        }
    }
}
