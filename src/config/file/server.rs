//! Section `server`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::value::{Size, Time};
use crate::core::request::Direction;

/// Listeners and limits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ServerFile {
    /// Where Envoy asks; one or more.
    #[serde(default)]
    #[schemars(required, length(min = 1))]
    pub(in crate::config) check: Vec<CheckFile>,
    /// Serves `/healthz`, `/readyz` and `/metrics`. Default: nowhere.
    pub(in crate::config) probes: Option<ProbesFile>,
    /// Serves `/config` and `/status`, on loopback or a unix socket, with a token. Default: nowhere.
    pub(in crate::config) control: Option<ControlFile>,
    /// Longest time for one decision, where Envoy's `grpc-timeout` is not shorter. Default: `150ms`.
    pub(in crate::config) deadline: Option<Time>,
    /// How long a start waits for the issuers' first keys before it serves without them. Default: `2s`.
    pub(in crate::config) first_keys: Option<Time>,
    /// Serve `grpc.reflection.v1`. Default: `false`.
    pub(in crate::config) reflection: Option<bool>,
    /// Bounds on what peers may use.
    pub(in crate::config) limits: Option<LimitsFile>,
    /// What SIGTERM does.
    pub(in crate::config) drain: Option<DrainFile>,
}

/// A listener for Check.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct CheckFile {
    /// `unix:/path` or `address:port`; an IPv6 address in brackets. Port 0 takes a free one.
    #[schemars(required)]
    pub(in crate::config) listen: Option<String>,
    /// Of every request that is asked about here: `inbound` towards the workload, `outbound` from it.
    #[schemars(required)]
    pub(in crate::config) direction: Option<Direction>,
    /// Permission bits of the unix socket's file, octal, in quotes. Default: `"0660"`.
    pub(in crate::config) mode: Option<String>,
    /// TLS, for `address:port`.
    pub(in crate::config) tls: Option<TlsFile>,
}

/// TLS of a listener. The files are read again when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct TlsFile {
    /// Certificate chain, PEM.
    #[schemars(required)]
    pub(in crate::config) certificate: Option<String>,
    /// Private key, PEM.
    #[schemars(required)]
    pub(in crate::config) key: Option<String>,
    /// Authorities for client certificates, PEM. Without it no client certificate is asked for.
    pub(in crate::config) client_ca: Option<String>,
    /// Names (URI or DNS SANs) of which a client certificate must have one. Without it any certificate of
    /// `client_ca` may ask, and rules that trust caller identity do not load.
    #[schemars(length(min = 1))]
    pub(in crate::config) allowed_peers: Option<Vec<String>>,
}

/// The listener for probes and metrics.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ProbesFile {
    /// `address:port`.
    #[schemars(required)]
    pub(in crate::config) listen: Option<String>,
}

/// The control listener. Exactly one of `token_file` and `token_env` is needed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ControlFile {
    /// A loopback address and port, or `unix:/path`.
    #[schemars(required)]
    pub(in crate::config) listen: Option<String>,
    /// Permission bits of the unix socket's file, octal, in quotes. Default: `"0660"`.
    pub(in crate::config) mode: Option<String>,
    /// A file that holds the bearer token of every call. White space around it does not count.
    pub(in crate::config) token_file: Option<String>,
    /// An environment variable that holds the bearer token of every call.
    pub(in crate::config) token_env: Option<String>,
}

/// Bounds on what peers may use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct LimitsFile {
    /// Largest CheckRequest. Default: `1MiB`; 4 KiB to 64 MiB.
    pub(in crate::config) max_message_bytes: Option<Size>,
    /// HTTP/2 streams at once on a connection. Default: 1024.
    #[schemars(range(min = 1))]
    pub(in crate::config) max_concurrent_streams: Option<u32>,
    /// Connections at once on a listener. Default: 1024.
    #[schemars(range(min = 1))]
    pub(in crate::config) max_connections: Option<u32>,
    /// Time for a TLS handshake. Default: `5s`.
    pub(in crate::config) tls_handshake: Option<Time>,
    /// Decisions at once in the process; more are answered with a prepared 503 denial. Default: 4096.
    #[schemars(range(min = 1))]
    pub(in crate::config) max_in_flight: Option<u32>,
}

/// What SIGTERM does: health turns to NOT_SERVING, calls are answered for `delay`, then GOAWAY, and calls in flight
/// have `grace`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct DrainFile {
    /// Between NOT_SERVING and GOAWAY. Default: `2s`.
    pub(in crate::config) delay: Option<Time>,
    /// Between GOAWAY and the end. Default: `10s`.
    pub(in crate::config) grace: Option<Time>,
}
