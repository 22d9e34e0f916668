//! What the configuration says about an identity provider's endpoints, and about the gate as their client.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::core::algorithm::Algorithm;
use crate::net::spec::Transport;
use crate::secret::SecretSource;

/// An identity provider's endpoints: where they are, and within which bounds they are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderSpec {
    /// The name of the issuer, or of the token that brings its own provider; a metric label.
    pub name: Arc<str>,
    /// What the metadata's `issuer` must be, and the default audience of client assertions.
    pub issuer: Option<Arc<str>>,
    /// The metadata document (OIDC Discovery 1.0 §4, RFC 8414 §3), where endpoints are not given. Needs `issuer`.
    pub metadata: Option<Url>,
    /// Hosts that the metadata's endpoints may name beside the metadata's own and the issuer's.
    pub allowed_hosts: Vec<Box<str>>,
    /// RFC 7662 §2.
    pub introspection_endpoint: Option<Url>,
    /// RFC 6749 §3.2.
    pub token_endpoint: Option<Url>,
    /// How they are reached.
    pub transport: Transport,
    /// Time for one call, name resolution to last byte.
    pub timeout: Duration,
    /// Calls at one time.
    pub max_in_flight: usize,
    /// How often an idempotent call that failed in transport or with a 5xx is tried again.
    pub retries: u32,
    /// When it is left alone for a while.
    pub breaker: BreakerSpec,
}

/// When a provider that fails is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSpec {
    /// Failures in a row (transport, timeout, 5xx, 429) that open it.
    pub failures: u32,
    /// How long it stays open before one call probes.
    pub open_for: Duration,
}

/// The gate as an OAuth client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientSpec {
    /// `client_id`.
    pub id: Box<str>,
    /// How it proves that it is.
    pub auth: ClientAuth,
}

/// How a client authenticates; the names are those of the IANA registry "OAuth Token Endpoint Authentication Methods".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientAuth {
    /// `client_secret_basic` (RFC 6749 §2.3.1).
    SecretBasic(SecretSource),
    /// `client_secret_post` (RFC 6749 §2.3.1).
    SecretPost(SecretSource),
    /// `private_key_jwt` (RFC 7523 §2.2) with an assertion that is signed here.
    PrivateKeyJwt {
        /// PEM file of the private key: PKCS#8, PKCS#1 or SEC1. Read again for each assertion.
        key: PathBuf,
        /// What it signs with.
        algorithm: Algorithm,
        /// The assertion's `kid`.
        key_id: Option<Box<str>>,
        /// The assertion's `aud`: the provider's issuer, else the endpoint, unless configured.
        audience: Option<Box<str>>,
    },
    /// `private_key_jwt` with an assertion that somebody else signs and renews: a Kubernetes ServiceAccount token. Read
    /// again for each call.
    AssertionFile(PathBuf),
    /// `tls_client_auth` (RFC 8705 §2.1).
    Tls {
        /// PEM file of the certificate chain.
        certificate: PathBuf,
        /// PEM file of its private key.
        key: PathBuf,
    },
}
