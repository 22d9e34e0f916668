//! Why a fetch failed. No message holds a credential, a URL or bytes of an answer; a certificate's names it may hold.

use std::error::Error;
use std::io;
use std::net::IpAddr;

/// Why a fetch failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The request is one that is never sent.
    #[error("not fetched: {0}")]
    Request(&'static str),
    /// The host's address is one that is never connected to.
    #[error("not fetched: `{0}` is not an address that is connected to")]
    RefusedAddress(IpAddr),
    /// The host name has no address.
    #[error("the host name could not be resolved")]
    Dns,
    /// No connection.
    #[error("could not connect{}", .0.map(|kind| format!(": {kind}")).unwrap_or_default())]
    Connect(Option<io::ErrorKind>),
    /// The TLS handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Tls(String),
    /// The authorities to trust could not be read.
    #[error("authorities to trust: {0}")]
    Trust(String),
    /// The client's own certificate or key could not be read or used.
    #[error("client certificate: {0}")]
    Identity(String),
    /// Not done within the time limit.
    #[error("no complete answer in time")]
    Timeout,
    /// A status other than the one that is wanted.
    #[error("answered with status {0}")]
    Status(u16),
    /// The body is larger than the limit, in bytes.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The body is compressed, which was not asked for.
    #[error("the answer is compressed, which was not asked for")]
    Compressed,
    /// The connection broke, or what came over it is not HTTP.
    #[error("the connection broke, or the answer is not HTTP")]
    Broken,
}

impl FetchError {
    /// Whether the way to the provider failed, as opposed to what was asked or answered.
    pub fn is_transport(&self) -> bool {
        match self {
            Self::Dns | Self::Connect(_) | Self::Tls(_) | Self::Timeout | Self::Broken => true,
            Self::Status(status) => *status >= 500,
            Self::Request(_)
            | Self::RefusedAddress(_)
            | Self::Trust(_)
            | Self::Identity(_)
            | Self::TooLarge(_)
            | Self::Compressed => false,
        }
    }

    /// Whether nothing was sent because the configuration, or a file that it names, does not allow it.
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Request(_) | Self::RefusedAddress(_) | Self::Trust(_) | Self::Identity(_) => true,
            Self::Dns
            | Self::Connect(_)
            | Self::Tls(_)
            | Self::Timeout
            | Self::Status(_)
            | Self::TooLarge(_)
            | Self::Compressed
            | Self::Broken => false,
        }
    }

    pub(super) fn from_reqwest(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        let mut kind = None;
        let mut cause: Option<&(dyn Error + 'static)> = error.source();
        while let Some(found) = cause {
            if let Some(refused) = found.downcast_ref::<FetchError>() {
                return refused.clone();
            }
            if let Some(tls) = found.downcast_ref::<rustls::Error>() {
                return Self::Tls(tls.to_string());
            }
            let io = found.downcast_ref::<io::Error>();
            kind = io.map(io::Error::kind).or(kind);
            // An I/O error's `source` passes over the error it wraps.
            cause = match io.and_then(io::Error::get_ref) {
                Some(wrapped) => Some(wrapped),
                None => found.source(),
            };
        }
        if error.is_dns() {
            Self::Dns
        } else if error.is_connect() {
            Self::Connect(kind)
        } else {
            Self::Broken
        }
    }
}
