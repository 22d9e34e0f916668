//! The gate of the demo: the engine and the listeners of `serve`, in this process.

mod ask;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::DemoError;
use crate::admin::Probes;
use crate::authn::store::Deps;
use crate::clock::SystemClock;
use crate::config::server::{Address, Drain};
use crate::engine::Engine;
use crate::grpc::{Health, Running, Server};
use crate::net::HttpClient;
use crate::telemetry::Recorder;
pub use ask::{Asker, Decision};

/// A running gate. Its calls are cut off when it is dropped.
#[derive(Debug)]
pub struct LocalGate {
    engine: Arc<Engine>,
    recorder: Arc<Recorder>,
    server: Running,
    addresses: Vec<Option<SocketAddr>>,
    probes: Option<SocketAddr>,
    draining: CancellationToken,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl LocalGate {
    /// Puts a configuration file into service, and follows its changes.
    ///
    /// # Errors
    /// What is wrong with the configuration, or a listener that cannot be opened.
    pub async fn start(policy: &Path) -> Result<Self, DemoError> {
        let recorder = Arc::new(Recorder::default());
        let deps = Deps::new(HttpClient::new(), Arc::new(SystemClock), Arc::clone(&recorder) as Arc<_>);
        let engine = Engine::load(policy, deps).await.map_err(|error| DemoError::Policy(error.messages()))?;
        let spec = engine.server();
        let server = Server::bind(spec).await.map_err(|error| DemoError::Gate(error.to_string()))?;
        let tcp = |address: Address| match address {
            Address::Tcp(address) => Some(address),
            Address::Unix { .. } => None,
        };
        let addresses = server.addresses().into_iter().map(tcp).collect();
        let health = Health::new();
        let server = server.run(Arc::clone(&engine), Arc::clone(&recorder), health.clone());
        let (draining, stop) = (CancellationToken::new(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        let mut probes_address = None;
        if let Some(address) = spec.probes {
            let probes = Probes::bind(address).await.map_err(|error| DemoError::Gate(error.to_string()))?;
            probes_address = probes.bound().tcp_address();
            tasks.spawn(probes.serve(Arc::clone(&engine), Arc::clone(&recorder), draining.clone(), stop.clone()));
        }
        let ready = Arc::clone(&engine);
        tasks.spawn(async move {
            ready.until_ready().await;
            health.set_serving(true);
        });
        tasks.spawn(Arc::clone(&engine).follow_files(stop.clone()));
        Ok(Self { engine, recorder, server, addresses, probes: probes_address, draining, stop, tasks })
    }

    /// What decides.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// What counts.
    pub fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// Where it is asked, in the configuration's order; `None` for unix sockets.
    pub fn addresses(&self) -> &[Option<SocketAddr>] {
        &self.addresses
    }

    /// Where its metrics are, if the configuration says so.
    pub fn probes_address(&self) -> Option<SocketAddr> {
        self.probes
    }

    /// Ends as SIGTERM does, within the times that the configuration gives.
    pub async fn drain(self) {
        let drain = self.engine.server().drain.clone();
        self.end(&drain).await;
    }

    /// Ends at once, but for calls in flight.
    pub async fn stop(self) {
        self.end(&Drain { delay: Duration::ZERO, grace: Duration::from_secs(1) }).await;
    }

    async fn end(mut self, drain: &Drain) {
        self.draining.cancel();
        self.server.drain(drain).await;
        self.stop.cancel();
        self.tasks.shutdown().await;
    }
}
