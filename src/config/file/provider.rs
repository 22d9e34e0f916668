//! How an identity provider is called, and the gate as its client.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::value::{Size, Time, TrueOr};
use crate::core::algorithm::Algorithm;

/// How a provider's endpoints are found and called. Endpoints that are given win over those of its metadata.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ProviderFile {
    /// What the metadata's `issuer` must be. For a provider that a token brings along; that of an issuer is the issuer's.
    pub(in crate::config) issuer: Option<String>,
    /// `true` for `{issuer}/.well-known/openid-configuration`, or the URL of the metadata document. Default: what
    /// `keys.discovery` says.
    pub(in crate::config) discovery: Option<TrueOr>,
    /// Where tokens are introspected (RFC 7662).
    pub(in crate::config) introspection_endpoint: Option<String>,
    /// Where tokens are obtained (RFC 6749 §3.2).
    pub(in crate::config) token_endpoint: Option<String>,
    /// Hosts that the metadata's endpoints may name, beside the metadata's own and the issuer's. Default:
    /// `keys.allowed_hosts`.
    pub(in crate::config) allowed_hosts: Option<Vec<String>>,
    /// Time for one call, name resolution to last byte, at most `1m`. Default: `2s`.
    pub(in crate::config) timeout: Option<Time>,
    /// Time for name resolution, connection and TLS, within `timeout`. Default: `keys.connect_timeout`, else `1s`.
    pub(in crate::config) connect_timeout: Option<Time>,
    /// Calls at one time. Default: 64.
    pub(in crate::config) max_in_flight: Option<u64>,
    /// How often an idempotent call (introspection) that failed in transport or with a 5xx is tried again. Default: 1.
    #[schemars(range(max = 5))]
    pub(in crate::config) retries: Option<u64>,
    /// When a provider that fails is left alone.
    pub(in crate::config) breaker: Option<BreakerFile>,
    /// Trust these authorities (PEM) instead of the system's. Default: `keys.ca_file`.
    pub(in crate::config) ca_file: Option<String>,
    /// Allow `http:` to hosts other than loopback. Default: `keys.allow_insecure_http`.
    pub(in crate::config) allow_insecure_http: Option<bool>,
    /// The HTTP proxy to go through. Default: `keys.proxy`; the environment's variables are ignored.
    pub(in crate::config) proxy: Option<String>,
    /// Addresses that may be connected to although they are link-local or a metadata service's. Default:
    /// `keys.allowed_addresses`.
    pub(in crate::config) allowed_addresses: Option<Vec<String>>,
}

/// When a provider that fails is left alone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct BreakerFile {
    /// Failures in a row that open it. Default: 5.
    pub(in crate::config) failures: Option<u64>,
    /// How long it stays open before one call probes. Default: `5s`.
    pub(in crate::config) open: Option<Time>,
}

/// The gate as an OAuth client.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ClientFile {
    /// `client_id`.
    #[schemars(required)]
    pub(in crate::config) id: Option<String>,
    /// How it authenticates. Default: `client_secret_basic`.
    pub(in crate::config) auth: Option<ClientAuthFile>,
    /// The file that holds its secret. Read anew for each use.
    pub(in crate::config) secret_file: Option<String>,
    /// The variable of the environment that holds its secret.
    pub(in crate::config) secret_env: Option<String>,
    /// Private key, PEM. With `private_key_jwt` and `tls_client_auth`.
    pub(in crate::config) key_file: Option<String>,
    /// What assertions are signed with. With `private_key_jwt`. Default: `RS256`.
    pub(in crate::config) algorithm: Option<Algorithm>,
    /// The assertions' `kid`. With `private_key_jwt`. Default: none.
    pub(in crate::config) key_id: Option<String>,
    /// The assertions' `aud`. With `private_key_jwt`. Default: the provider's issuer, else the endpoint.
    pub(in crate::config) audience: Option<String>,
    /// A file that holds the assertion itself, such as a Kubernetes ServiceAccount token. Read anew for each use.
    pub(in crate::config) assertion_file: Option<String>,
    /// Certificate chain, PEM. With `tls_client_auth`.
    pub(in crate::config) certificate_file: Option<String>,
}

/// How a client authenticates: names of the IANA registry "OAuth Token Endpoint Authentication Methods".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum ClientAuthFile {
    /// Id and secret in `Authorization: Basic`.
    ClientSecretBasic,
    /// Id and secret in the body.
    ClientSecretPost,
    /// A signed assertion (RFC 7523).
    PrivateKeyJwt,
    /// A client certificate (RFC 8705).
    TlsClientAuth,
}

/// Asking the issuer whether a token is still good (RFC 7662).
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct IntrospectionFile {
    /// Also introspect JWTs, after they passed the local checks. Default: `false`.
    pub(in crate::config) jwts: Option<bool>,
    /// The gate as the issuer's client.
    #[schemars(required)]
    pub(in crate::config) client: Option<ClientFile>,
    /// How long answers are used.
    pub(in crate::config) cache: Option<AnswerCacheFile>,
    /// What an opaque token must look like to be asked about.
    pub(in crate::config) opaque: Option<OpaqueFile>,
    /// How often the issuer is asked about opaque texts that it never called active.
    pub(in crate::config) unknown: Option<UnknownFile>,
}

/// How long the answers of introspection are used. The room for them is the issuer's `cache.max_bytes`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct AnswerCacheFile {
    /// An active answer, and never at or past its `exp`. Default: `30s`.
    pub(in crate::config) active: Option<Time>,
    /// An inactive answer. Default: `5s`.
    pub(in crate::config) inactive: Option<Time>,
}

/// What an opaque token must look like.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct OpaqueFile {
    /// Shortest. Default: 16.
    pub(in crate::config) min_bytes: Option<Size>,
    /// Longest. Default: 1024, or the issuer's `max_token_bytes` where that is less.
    pub(in crate::config) max_bytes: Option<Size>,
    /// What it begins with. Default: nothing.
    pub(in crate::config) prefix: Option<String>,
    /// What follows is made of these. Default: `token68`.
    pub(in crate::config) alphabet: Option<OpaqueAlphabetFile>,
}

/// What opaque tokens are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum OpaqueAlphabetFile {
    /// Letters, digits, `-._~+/`, and `=` at the end (RFC 6750 §2.1).
    Token68,
    /// Letters, digits, `-` and `_`.
    Base64Url,
    /// `0-9a-fA-F`.
    Hex,
    /// Letters and digits.
    Alphanumeric,
}

/// How often the issuer is asked about opaque texts that it never called active.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct UnknownFile {
    /// Sustained. Default: 50.
    pub(in crate::config) per_second: Option<u64>,
    /// At once. Default: 100.
    pub(in crate::config) burst: Option<u64>,
    /// At one time. Default: 16.
    pub(in crate::config) max_in_flight: Option<u64>,
}
