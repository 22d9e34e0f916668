//! Provider metadata: OpenID Connect Discovery 1.0 §4, RFC 8414 §3. What a document says is believed of one issuer, and
//! of hosts that the operator knows.

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::net::is_loopback;

/// Largest metadata document.
pub const MAX_METADATA_BYTES: usize = 1 << 20;

/// Why metadata are not believed. The texts are for the operator; none quotes the document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Not metadata.
    #[error("the metadata document is not a JSON object with the text `issuer`")]
    Malformed,
    /// Of somebody else.
    #[error("the metadata's `issuer` is not the configured one to the letter; set `issuer` to what the provider says")]
    Issuer,
    /// The member is not there, or not a text.
    #[error("the metadata document has no text `{0}`")]
    Absent(&'static str),
    /// The member is no URL, or holds credentials.
    #[error("the metadata's `{0}` is not a URL without user name")]
    NotAUrl(&'static str),
    /// The member is not `https:`.
    #[error("the metadata's `{0}` is not `https:`")]
    Scheme(&'static str),
    /// The member leads elsewhere.
    #[error("the metadata's `{0}` is on another host; name that host in `allowed_hosts` if it is right")]
    Host(&'static str),
}

/// Which URLs in a metadata document are believed.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'r> {
    /// Where the document was fetched.
    pub source: &'r Url,
    /// Whose it must be.
    pub issuer: &'r str,
    /// Hosts beside those of the two above.
    pub allowed_hosts: &'r [Box<str>],
    /// Whether URLs may be `http:` beyond loopback.
    pub allow_insecure_http: bool,
}

/// A metadata document of the issuer that was asked for.
#[derive(Debug)]
pub struct Metadata(Document);

#[derive(Debug, Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: Option<Value>,
    introspection_endpoint: Option<Value>,
    token_endpoint: Option<Value>,
    mtls_endpoint_aliases: Option<Value>,
}

/// A URL that metadata may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// Of the keys.
    JwksUri,
    /// Of introspection (RFC 8414 §2).
    IntrospectionEndpoint,
    /// Of tokens.
    TokenEndpoint,
}

impl Member {
    const fn name(self) -> &'static str {
        match self {
            Self::JwksUri => "jwks_uri",
            Self::IntrospectionEndpoint => "introspection_endpoint",
            Self::TokenEndpoint => "token_endpoint",
        }
    }
}

impl Metadata {
    /// Reads a document.
    ///
    /// # Errors
    /// Where it is no metadata document, or of another issuer (OIDC Discovery §4.3, RFC 8414 §3.3).
    pub fn read(document: &[u8], rules: &Rules<'_>) -> Result<Self, MetadataError> {
        let document: Document = serde_json::from_slice(document).map_err(|_| MetadataError::Malformed)?;
        if document.issuer == rules.issuer { Ok(Self(document)) } else { Err(MetadataError::Issuer) }
    }

    /// One of its URLs.
    ///
    /// # Errors
    /// Where it is not there, or not one that is believed.
    pub fn url(&self, member: Member, rules: &Rules<'_>) -> Result<Url, MetadataError> {
        let value = match member {
            Member::JwksUri => &self.0.jwks_uri,
            Member::IntrospectionEndpoint => &self.0.introspection_endpoint,
            Member::TokenEndpoint => &self.0.token_endpoint,
        };
        rules.url(member, value.as_ref())
    }

    /// One of its URLs for clients that authenticate by certificate, where it has another one for them (RFC 8705 §5).
    ///
    /// # Errors
    /// As [`Metadata::url`].
    pub fn mutual_tls_url(&self, member: Member, rules: &Rules<'_>) -> Result<Url, MetadataError> {
        let alias = self.0.mtls_endpoint_aliases.as_ref().and_then(|aliases| aliases.get(member.name()));
        if alias.is_some() { rules.url(member, alias) } else { self.url(member, rules) }
    }
}

impl Rules<'_> {
    fn url(&self, member: Member, value: Option<&Value>) -> Result<Url, MetadataError> {
        let name = member.name();
        let text = value.and_then(Value::as_str).ok_or(MetadataError::Absent(name))?;
        let url = Url::parse(text).map_err(|_| MetadataError::NotAUrl(name))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(MetadataError::NotAUrl(name));
        }
        let secure = match url.scheme() {
            "https" => true,
            "http" => self.allow_insecure_http || is_loopback(&url),
            _ => false,
        };
        if !secure {
            return Err(MetadataError::Scheme(name));
        }
        let host = url.host_str().ok_or(MetadataError::NotAUrl(name))?;
        let of_issuer = Url::parse(self.issuer).ok();
        let known = self.source.host_str() == Some(host)
            || of_issuer.as_ref().and_then(Url::host_str) == Some(host)
            || self.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
        if known { Ok(url) } else { Err(MetadataError::Host(name)) }
    }
}

#[cfg(test)]
mod tests;
