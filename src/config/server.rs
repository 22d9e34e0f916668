//! Listeners and limits.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::core::request::Direction;
use crate::secret::Secret;

/// Listeners and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSpec {
    /// Where Envoy asks; never empty.
    pub check: Vec<CheckListener>,
    /// `/healthz /readyz /metrics`.
    pub probes: Option<SocketAddr>,
    /// `/config /status`: loopback or unix socket only.
    pub control: Option<ControlListener>,
    /// Longest time for one decision, where Envoy's `grpc-timeout` is not shorter.
    pub deadline: Duration,
    /// Bounds on what peers may use.
    pub limits: Limits,
    /// Serve `grpc.reflection.v1`.
    pub reflection: bool,
    /// What SIGTERM does.
    pub drain: Drain,
    /// How long a start waits for issuers' first keys before it serves without them.
    pub first_keys: Duration,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `unix:/path`, with the socket file's permission bits.
    Unix {
        /// The socket file; one that is left over is replaced.
        path: PathBuf,
        /// `0o660` unless configured.
        mode: u32,
    },
    /// `host:port`; port 0 takes a free one.
    Tcp(SocketAddr),
}

/// A listener for Check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckListener {
    /// Where.
    pub address: Address,
    /// Of every request asked about here.
    pub direction: Direction,
    /// TLS, where the peer is not on this host.
    pub tls: Option<TlsSpec>,
}

impl CheckListener {
    /// Whether what a peer says here about callers can be believed: a unix socket, loopback, or mutual TLS with
    /// an allow-list.
    pub fn is_trusted(&self) -> bool {
        match (&self.address, &self.tls) {
            (_, Some(tls)) => tls.client_ca.is_some() && !tls.allowed_peers.is_empty(),
            (Address::Unix { .. }, None) => true,
            (Address::Tcp(address), None) => address.ip().is_loopback(),
        }
    }
}

/// TLS of a listener. Files are re-read when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSpec {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// Authorities for client certificates; without it none is asked for.
    pub client_ca: Option<PathBuf>,
    /// SANs (URI or DNS) of which a client certificate must have one; empty where any certificate of `client_ca` will do.
    pub allowed_peers: Vec<Box<str>>,
}

/// The control listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlListener {
    /// Loopback or a unix socket.
    pub address: Address,
    /// `Authorization: Bearer` of every call.
    pub token: Secret,
}

/// Bounds on what peers may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest CheckRequest; 1 MiB unless configured.
    pub max_message_bytes: usize,
    /// HTTP/2 streams at once on a connection.
    pub max_concurrent_streams: u32,
    /// Connections at once on a listener.
    pub max_connections: usize,
    /// Time for a TLS handshake.
    pub tls_handshake: Duration,
    /// Decisions at once in the process; more are answered with a prepared 503 denial.
    pub max_in_flight: usize,
}

/// What SIGTERM does: NOT_SERVING, then `delay` of serving on, then GOAWAY and at most `grace` for calls in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Between NOT_SERVING and GOAWAY.
    pub delay: Duration,
    /// Between GOAWAY and the end.
    pub grace: Duration,
}
