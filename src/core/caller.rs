//! The peer that Envoy authenticated: its SPIFFE id and its certificate's thumbprint.
//!
//! `source.principal` is the first URI SAN, else the first DNS SAN, else the subject; `source.certificate` is
//! URL-encoded PEM and present only with `include_peer_certificate`. Where the certificate is there, exactly one
//! URI SAN is required and it must agree with the principal.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// SHA-256 over a certificate's DER bytes: the value of `x5t#S256` (RFC 8705 §3.1), decoded.
pub type Thumbprint = [u8; 32];

/// The peer of a request, read lazily: most rules do not ask.
#[derive(Debug)]
pub struct Caller<'a> {
    principal: &'a str,
    certificate: &'a str,
    parsed: OnceLock<Option<Certificate>>,
}

#[derive(Debug)]
struct Certificate {
    uri_sans: Vec<String>,
    thumbprint: Thumbprint,
}

/// Why a caller's identity cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallerError {
    /// Neither principal nor certificate was sent.
    #[error("the proxy reported no peer identity")]
    Absent,
    /// The certificate cannot be parsed, has not exactly one URI SAN, or disagrees with the principal.
    #[error("the peer identity is ambiguous")]
    Ambiguous,
    /// The principal is a name, but not a SPIFFE id.
    #[error("the peer identity is not a SPIFFE id")]
    NotSpiffe,
}

impl<'a> Caller<'a> {
    /// From `source.principal` and `source.certificate`, either of which may be empty.
    pub fn new(principal: &'a str, certificate: &'a str) -> Self {
        Self { principal, certificate, parsed: OnceLock::new() }
    }

    /// The caller's SPIFFE id.
    ///
    /// # Errors
    /// Where there is none, or more than one reading of it.
    pub fn spiffe_id(&self) -> Result<SpiffeId<'_>, CallerError> {
        let uri = if self.certificate.is_empty() {
            if self.principal.is_empty() {
                return Err(CallerError::Absent);
            }
            self.principal
        } else {
            let certificate = self.certificate().ok_or(CallerError::Ambiguous)?;
            match certificate.uri_sans.as_slice() {
                [one] if self.principal.is_empty() || self.principal == one => one.as_str(),
                _ => return Err(CallerError::Ambiguous),
            }
        };
        SpiffeId::parse(uri).ok_or(CallerError::NotSpiffe)
    }

    /// What Envoy calls the caller, whatever its form: for logs. `None` where it was not authenticated.
    pub fn name(&self) -> Option<&'a str> {
        (!self.principal.is_empty()).then_some(self.principal)
    }

    /// The peer certificate's thumbprint.
    ///
    /// # Errors
    /// Where Envoy sent no certificate, or one that cannot be parsed.
    pub fn thumbprint(&self) -> Result<Thumbprint, CallerError> {
        if self.certificate.is_empty() {
            return Err(CallerError::Absent);
        }
        self.certificate().map(|certificate| certificate.thumbprint).ok_or(CallerError::Ambiguous)
    }

    fn certificate(&self) -> Option<&Certificate> {
        self.parsed.get_or_init(|| parse_certificate(self.certificate)).as_ref()
    }
}

fn parse_certificate(encoded: &str) -> Option<Certificate> {
    let pem = percent_encoding::percent_decode_str(encoded).decode_utf8().ok()?;
    let body = pem.trim().strip_prefix("-----BEGIN CERTIFICATE-----")?.strip_suffix("-----END CERTIFICATE-----")?;
    let packed: String = body.split_ascii_whitespace().collect();
    let der = STANDARD.decode(packed).ok()?;
    let (rest, certificate) = X509Certificate::from_der(&der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let mut uri_sans = Vec::new();
    if let Some(names) = certificate.subject_alternative_name().ok()? {
        for name in &names.value.general_names {
            if let GeneralName::URI(uri) = name {
                uri_sans.push((*uri).to_owned());
            }
        }
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
    let thumbprint = digest.as_ref().try_into().ok()?;
    Some(Certificate { uri_sans, thumbprint })
}

/// A SPIFFE id: `spiffe://trust-domain/path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpiffeId<'a>(&'a str);

impl<'a> SpiffeId<'a> {
    /// Reads an id. `None` where the scheme, the trust domain or a path segment is not as the SPIFFE-ID
    /// specification §2 has it.
    pub fn parse(uri: &'a str) -> Option<Self> {
        let rest = uri.strip_prefix("spiffe://")?;
        if uri.len() > 2048 {
            return None;
        }
        let mut parts = rest.split('/');
        let domain = parts.next()?;
        let domain_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        if domain.is_empty() || domain.len() > 255 || !domain.bytes().all(domain_byte) {
            return None;
        }
        let segment_byte = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let good = |s: &str| !s.is_empty() && s != "." && s != ".." && s.bytes().all(segment_byte);
        parts.all(good).then_some(Self(uri))
    }

    /// The whole id.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

/// Which SPIFFE ids a rule accepts: one, or all below a prefix of whole path segments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SpiffePattern {
    /// This id alone.
    Exact(Box<str>),
    /// Every id below this one, by whole segments; the text ends with `/`.
    Below(Box<str>),
}

impl SpiffePattern {
    /// Reads `spiffe://td/ns/a/sa/b`, or `spiffe://td/ns/a/**` for everything below `spiffe://td/ns/a`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix("/**") {
            Some(prefix) => SpiffeId::parse(prefix).map(|_| Self::Below(format!("{prefix}/").into())),
            None => SpiffeId::parse(text).map(|id| Self::Exact(id.as_str().into())),
        }
    }

    /// Whether `id` is one of these.
    pub fn matches(&self, id: SpiffeId<'_>) -> bool {
        match self {
            Self::Exact(want) => **want == *id.as_str(),
            Self::Below(prefix) => id.as_str().starts_with(&**prefix),
        }
    }
}

impl std::fmt::Display for SpiffePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(id) => f.write_str(id),
            Self::Below(prefix) => write!(f, "{prefix}**"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_by_whole_segments() {
        let below = SpiffePattern::parse("spiffe://cluster.local/ns/shop/**").unwrap();
        let exact = SpiffePattern::parse("spiffe://cluster.local/ns/shop/sa/order").unwrap();
        for (id, in_below, in_exact) in [
            ("spiffe://cluster.local/ns/shop/sa/order", true, true),
            ("spiffe://cluster.local/ns/shop/sa/order2", true, false),
            ("spiffe://cluster.local/ns/shopping/sa/order", false, false),
            ("spiffe://cluster.local/ns/shop", false, false),
            ("spiffe://cluster.localx/ns/shop/sa/order", false, false),
        ] {
            let id = SpiffeId::parse(id).unwrap();
            assert_eq!((below.matches(id), exact.matches(id)), (in_below, in_exact), "{id:?}");
        }
        for bad in [
            "spiffe://",
            "spiffe:///x",
            "https://td/x",
            "spiffe://TD/x",
            "spiffe://td/a//b",
            "spiffe://td/../b",
            "spiffe://td/a/",
            "spiffe://td:1/x",
        ] {
            assert!(SpiffeId::parse(bad).is_none(), "{bad}");
        }
    }
}
