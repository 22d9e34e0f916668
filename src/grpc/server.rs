//! The gRPC server: listeners, what they serve, and the way it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::connection::{self, Ending, Services};
use super::generated::authorization_server::AuthorizationServer;
use super::service::{CheckService, Decide};
use super::tls::{Tls, TlsError};
use super::{DESCRIPTOR_SET, SERVICE};
use crate::config::server::{Drain, Limits, ServerSpec};
use crate::listen::{BindError, Bound, Stream};
use crate::telemetry::Recorder;

/// Pause after a failed accept: where descriptors have run out, trying again at once is a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener cannot be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A listener's certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Reflection cannot be built: a defect.
    #[error("reflection cannot be served: {0}")]
    Reflection(String),
}

/// A running server. Dropping it closes every connection.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<Option<SocketAddr>>,
    health: HealthReporter,
    /// No new connections.
    closing: CancellationToken,
    ending: Ending,
    tasks: TaskTracker,
}

impl Server {
    /// Opens every listener of `spec` and serves. Health says NOT_SERVING until [`Server::set_serving`] says otherwise.
    ///
    /// # Errors
    /// The first listener that cannot be opened.
    pub async fn start<D: Decide>(
        spec: &ServerSpec,
        decider: Arc<D>,
        recorder: Arc<Recorder>,
    ) -> Result<Self, StartError> {
        let (health, health_service) = tonic_health::server::health_reporter();
        let server = Self {
            addresses: Vec::new(),
            health,
            closing: CancellationToken::new(),
            ending: Ending::default(),
            tasks: TaskTracker::new(),
        };
        server.set_serving(false).await;
        let mut others = Routes::new(health_service);
        if spec.reflection {
            let broken = |error: tonic_reflection::server::Error| StartError::Reflection(error.to_string());
            let builder = || {
                tonic_reflection::server::Builder::configure()
                    .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
                    .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            };
            others = others.add_service(builder().build_v1().map_err(broken)?);
            others = others.add_service(builder().build_v1alpha().map_err(broken)?);
        }
        let others = others.prepare();
        let room = Arc::new(Semaphore::new(spec.limits.max_in_flight.min(Semaphore::MAX_PERMITS)));
        let mut opened = Vec::new();
        for listener in &spec.check {
            let tls = listener.tls.as_ref().map(|tls| Tls::new(tls, spec.limits.tls_handshake)).transpose()?;
            opened.push((Bound::open(&listener.address).await?, tls.map(Arc::new), listener.direction));
        }
        let mut server = server;
        for (bound, tls, direction) in opened {
            server.addresses.push(bound.tcp_address());
            let service = CheckService::new(
                Arc::clone(&decider),
                Arc::clone(&recorder),
                Arc::clone(&room),
                direction,
                spec.deadline,
            );
            let check = AuthorizationServer::new(service).max_decoding_message_size(spec.limits.max_message_bytes);
            let services = Services { check, others: others.clone() };
            server.listen(bound, tls, services, spec.limits.clone());
        }
        Ok(server)
    }

    /// The addresses of the listeners, in the configuration's order; `None` for unix sockets.
    pub fn addresses(&self) -> &[Option<SocketAddr>] {
        &self.addresses
    }

    /// What `grpc.health.v1` says from now on.
    pub async fn set_serving(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.health.set_service_status("", status).await;
        self.health.set_service_status(SERVICE, status).await;
    }

    /// Ends the server without failing a call: NOT_SERVING, `delay` of answering on, GOAWAY, and at most `grace` for the
    /// calls in flight. Whether all of them ended.
    pub async fn drain(&self, drain: &Drain) -> bool {
        self.set_serving(false).await;
        tokio::time::sleep(drain.delay).await;
        self.closing.cancel();
        self.ending.goaway.cancel();
        self.tasks.close();
        let ended = tokio::time::timeout(drain.grace, self.tasks.wait()).await.is_ok();
        self.ending.now.cancel();
        ended
    }

    fn listen<D: Decide>(&self, bound: Bound, tls: Option<Arc<Tls>>, services: Services<D>, limits: Limits) {
        if let Some(tls) = &tls {
            let (tls, closing) = (Arc::clone(tls), self.closing.clone());
            self.tasks.spawn(async move { tls.follow(closing).await });
        }
        let (closing, ending, tasks) = (self.closing.clone(), self.ending.clone(), self.tasks.clone());
        self.tasks.spawn(async move {
            let slots = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
            let refused = AtomicU64::new(0);
            loop {
                let accepted = tokio::select! {
                    biased;
                    () = closing.cancelled() => return,
                    accepted = bound.accept() => accepted,
                };
                let stream = match accepted {
                    Ok(stream) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                };
                let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                    let count = refused.fetch_add(1, Ordering::Relaxed) + 1;
                    if count.is_power_of_two() {
                        let cap = limits.max_connections;
                        tracing::warn!(cap, count, "connections beyond `limits.max_connections` were closed");
                    }
                    continue;
                };
                let (tls, services, limits, ending) = (tls.clone(), services.clone(), limits.clone(), ending.clone());
                tasks.spawn(async move {
                    serve(stream, tls, services, &limits, ending).await;
                    drop(slot);
                });
            }
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closing.cancel();
        self.ending.now.cancel();
    }
}

async fn serve<D: Decide>(
    stream: Box<dyn Stream>,
    tls: Option<Arc<Tls>>,
    services: Services<D>,
    limits: &Limits,
    ending: Ending,
) {
    let Some(tls) = tls else {
        return connection::serve(stream, services, limits, ending).await;
    };
    let accepted = tokio::select! {
        accepted = tls.accept(stream) => accepted,
        () = ending.goaway.cancelled() => return,
    };
    match accepted {
        Ok(stream) => connection::serve(stream, services, limits, ending).await,
        Err(error) => tracing::debug!(%error, "a TLS connection was refused"),
    }
}
