//! A whole gate in this process: engine, recorder and gRPC server.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests; each suite uses a part of this"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use tollgate::config::server::{Address, Drain};
use tollgate::engine::Engine;
use tollgate::grpc::{Health, Running, Server};
use tollgate::telemetry::Recorder;
use tonic::transport::{Channel, Endpoint};

pub struct Gate {
    pub engine: Arc<Engine>,
    pub recorder: Arc<Recorder>,
    pub server: Running,
}

impl Gate {
    /// Serves this engine on the listeners of its own configuration.
    pub async fn start(engine: Arc<Engine>) -> Self {
        let recorder = Arc::new(Recorder::default());
        let health = Health::new();
        let server = Server::bind(engine.server()).await.unwrap();
        let server = server.run(Arc::clone(&engine), Arc::clone(&recorder), health.clone());
        health.set_serving(true);
        Self { engine, recorder, server }
    }

    /// The socket of the first listener.
    pub fn socket(&self) -> PathBuf {
        match &self.engine.server().check[0].address {
            Address::Unix { path, .. } => path.clone(),
            Address::Tcp(address) => panic!("listens on {address}"),
        }
    }

    pub async fn client(&self) -> AuthorizationClient<Channel> {
        let uri = format!("unix:{}", self.socket().display());
        AuthorizationClient::new(Endpoint::from_shared(uri).unwrap().connect().await.unwrap())
    }

    pub async fn stop(self) {
        let drain = Drain { delay: Duration::ZERO, grace: Duration::from_secs(5) };
        self.server.drain(&drain).await;
    }
}
