//! The shipped configurations, with some of their values replaced. Each value stands in its file exactly once; a
//! test holds them to that.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::super::DemoError;

/// Where a gate is asked.
#[derive(Clone, Debug)]
pub enum Gate {
    /// On a unix socket.
    Unix(PathBuf),
    /// Over TCP.
    Tcp(SocketAddr),
}

/// A shipped configuration.
#[derive(Clone, Debug)]
pub struct Shipped {
    text: String,
}

impl Shipped {
    /// `envoy/inbound.yaml`.
    pub fn inbound() -> Self {
        Self { text: include_str!("../../../envoy/inbound.yaml").to_owned() }
    }

    /// `envoy/inbound-mtls.yaml`.
    pub fn inbound_mtls() -> Self {
        Self { text: include_str!("../../../envoy/inbound-mtls.yaml").to_owned() }
    }

    /// `envoy/outbound.yaml`.
    pub fn outbound() -> Self {
        Self { text: include_str!("../../../envoy/outbound.yaml").to_owned() }
    }

    /// The text as it stands.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// An inbound configuration that listens on loopback only: on `port` and `admin_port`, or on free ones where
    /// they are 0; in front of `service`, with `gates` beside it,
    /// any of which may be asked.
    ///
    /// # Errors
    /// Where the text does not hold a value exactly once.
    pub fn between(self, port: u16, admin_port: u16, service: SocketAddr, gates: &[Gate]) -> Result<Self, DemoError> {
        self.replace("address: 0.0.0.0, port_value: 8080", &format!("address: 127.0.0.1, port_value: {port}"))?
            .replace("port_value: 9901", &format!("port_value: {admin_port}"))?
            .replace("address: 127.0.0.1, port_value: 8081", &socket_address(service))?
            .gates("/run/tollgate/inbound.sock", gates)
    }

    /// An outbound configuration on free ports, whose plain destination is `payments`, and whose destination over TLS is
    /// `ledger`, vouched for by the authorities in the file `ca`. The name that its certificate must have stays as it
    /// is shipped: `ledger.example.com`.
    ///
    /// # Errors
    /// As above.
    pub fn towards(
        self,
        payments: SocketAddr,
        (ledger, ca): (SocketAddr, &Path),
        gates: &[Gate],
    ) -> Result<Self, DemoError> {
        self.replace("port_value: 8082", "port_value: 0")?
            .replace("port_value: 9902", "port_value: 0")?
            .replace("address: payments.internal, port_value: 8083", &socket_address(payments))?
            .replace("address: ledger.example.com, port_value: 443", &socket_address(ledger))?
            .replace("/etc/ssl/certs/ca-certificates.crt", &ca.display().to_string())?
            .gates("/run/tollgate/outbound.sock", gates)
    }

    /// With the certificate files of `directory`: `tls.crt`, `tls.key` and `ca.crt`.
    ///
    /// # Errors
    /// As above.
    pub fn certificates(self, directory: &Path) -> Result<Self, DemoError> {
        ["tls.crt", "tls.key", "ca.crt"].into_iter().try_fold(self, |config, name| {
            config.replace(&format!("/etc/tollgate/tls/{name}"), &directory.join(name).display().to_string())
        })
    }

    /// With `from`, which the text must hold exactly once, replaced by `to`.
    ///
    /// # Errors
    /// Where it does not.
    pub fn replace(self, from: &str, to: &str) -> Result<Self, DemoError> {
        if self.text.matches(from).count() != 1 {
            return Err(DemoError::Shipped(from.to_owned()));
        }
        Ok(Self { text: self.text.replace(from, to) })
    }

    fn gates(self, shipped: &str, gates: &[Gate]) -> Result<Self, DemoError> {
        let endpoint = |address: &str| format!("- endpoint: {{ address: {{ {address} }} }}");
        let pipe = |path: &str| endpoint(&format!("pipe: {{ path: {path} }}"));
        let endpoints: Vec<String> = gates
            .iter()
            .map(|gate| match gate {
                Gate::Unix(path) => pipe(&path.display().to_string()),
                Gate::Tcp(address) => endpoint(&format!("socket_address: {{ {} }}", socket_address(*address))),
            })
            .collect();
        // The list's items stand eight columns in.
        self.replace(&pipe(shipped), &endpoints.join("\n        "))
    }
}

fn socket_address(address: SocketAddr) -> String {
    format!("address: {}, port_value: {}", address.ip(), address.port())
}
