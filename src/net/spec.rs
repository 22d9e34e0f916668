//! What the configuration says about the way to a provider.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

/// How connections to a provider are made. Connections of different transports are never shared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Transport {
    /// PEM file of the authorities to trust instead of the system's. Read again at each call.
    pub ca_file: Option<PathBuf>,
    /// Allow `http:` to hosts other than loopback. Forms travel there with what they carry, client credentials and
    /// tokens included: whoever sets this trusts the network in between. A bearer token never does.
    pub allow_insecure_http: bool,
    /// The HTTP proxy to go through, by `CONNECT` for `https:`; an `http:` URL without user name. Those that the
    /// environment names are not used. The address rules then apply to the proxy's address, and to a target that is an
    /// address: names of targets are looked up by the proxy. Behind a proxy nothing is loopback, so `http:` needs
    /// `allow_insecure_http`.
    pub proxy: Option<Url>,
    /// Addresses that may be connected to although the address rules refuse them.
    pub allowed_addresses: Vec<IpAddr>,
    /// Time for name resolution, connection and TLS handshake, within the time for the whole call.
    pub connect_timeout: Option<Duration>,
    /// The client's certificate and key, PEM files (RFC 8705). Read again at each call. Needs `https:`.
    pub identity: Option<Identity>,
}

/// A client's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}
