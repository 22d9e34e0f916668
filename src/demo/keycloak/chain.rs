//! The chain: each service beside its own Envoy and its own gate, none of which knows anything of the others but their
//! addresses.

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

use super::super::DemoError;
use super::super::client::{Call, Reply};
use super::super::envoy::{Envoy, Sidecar};
use super::super::gate::LocalGate;
use super::realm::password;
use super::service::{HOPS, Hop, Service};

/// The issuer in the shipped policies.
const SHIPPED_ISSUER: &str = "http://127.0.0.1:8080/realms/shop";

/// A service with what stands beside it. It all ends when this is dropped.
#[derive(Debug)]
pub struct Node {
    hop: Hop,
    /// Its gate.
    pub gate: LocalGate,
    /// Its Envoy: listeners `inbound` and `outbound`.
    pub envoy: Envoy,
    inbound: SocketAddr,
    outbound: SocketAddr,
    _service: Service,
    _directory: TempDir,
}

/// Every service of [`HOPS`], running.
#[derive(Debug)]
pub struct Chain {
    nodes: Vec<Node>,
}

impl Chain {
    /// Starts every service with its Envoy from `binary` and its gate, whose shipped policy trusts `issuer` instead
    /// and is changed by `edit`, which is told whose it is.
    ///
    /// # Errors
    /// Where a part does not start.
    pub async fn start(binary: &Path, issuer: &str, edit: impl Fn(&str, String) -> String) -> Result<Self, DemoError> {
        let mut nodes: Vec<Node> = Vec::new();
        // From the end: whoever calls must know where to.
        for hop in HOPS.into_iter().rev() {
            let reachable = nodes.iter().filter(|node| hop.calls.iter().any(|(name, _)| *name == node.hop.name));
            let destinations = reachable.map(|node| (Hop::host(node.hop.name), node.inbound)).collect();
            nodes.push(Node::start(hop, binary, issuer, &edit, destinations).await?);
        }
        nodes.reverse();
        Ok(Self { nodes })
    }

    /// The service with this name.
    ///
    /// # Errors
    /// Where there is none.
    pub fn node(&self, name: &str) -> Result<&Node, DemoError> {
        let named = self.nodes.iter().find(|node| node.hop.name == name);
        named.ok_or_else(|| DemoError::Gate(format!("there is no service `{name}`")))
    }

    /// Every service, in the order of [`HOPS`].
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Ends the gates in good order, and everything else with them.
    pub async fn stop(self) {
        for node in self.nodes {
            node.gate.stop().await;
        }
    }
}

impl Node {
    async fn start(
        hop: Hop,
        binary: &Path,
        issuer: &str,
        edit: impl Fn(&str, String) -> String,
        destinations: Vec<(String, SocketAddr)>,
    ) -> Result<Self, DemoError> {
        let directory = tempfile::Builder::new().prefix("tollgate-chain-").tempdir().map_err(DemoError::Directory)?;
        let at = |name: &str| directory.path().join(name);
        let write = |name: &str, text: String| {
            let path = at(name);
            std::fs::write(&path, text).map_err(|error| DemoError::File { path, error })
        };
        write("client-secret", password(hop.name))?;
        let shipped = format!("/run/tollgate/{}", hop.name);
        if !hop.policy.contains(SHIPPED_ISSUER) || !hop.policy.contains(&shipped) {
            return Err(DemoError::Shipped(shipped));
        }
        let policy =
            hop.policy.replace(SHIPPED_ISSUER, issuer).replace(&shipped, &directory.path().display().to_string());
        write("policy.yaml", edit(hop.name, policy))?;
        let gate = LocalGate::start(&at("policy.yaml")).await?;
        let service = Service::start(hop).await?;
        let (inbound, outbound) = (at("inbound.sock"), at("outbound.sock"));
        let sidecar = Sidecar { service: service.address(), inbound: &inbound, outbound: &outbound, destinations };
        let envoy = Envoy::start(binary, &sidecar.config()?).await?;
        let (inbound, outbound) = (envoy.listener("inbound").await?, envoy.listener("outbound").await?);
        service.call_through(outbound);
        Ok(Self { hop, gate, envoy, inbound, outbound, _service: service, _directory: directory })
    }

    /// What it is.
    pub fn hop(&self) -> Hop {
        self.hop
    }

    /// Where callers come in.
    pub fn inbound(&self) -> SocketAddr {
        self.inbound
    }

    /// Where the service's own calls go.
    pub fn outbound(&self) -> SocketAddr {
        self.outbound
    }

    /// Calls the service as a client with this token does.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn call(&self, token: &str) -> Result<Reply, DemoError> {
        Ok(Call::get(&Hop::host(self.hop.name), self.hop.path).bearer(token).send(self.inbound).await?)
    }
}
