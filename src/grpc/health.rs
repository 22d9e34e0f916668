//! `grpc.health.v1`: whether to send calls here.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::wire;

/// What health checks are told: NOT_SERVING, until [`Health::set_serving`] says otherwise and again from the
/// beginning of a drain. Clones share it.
#[derive(Clone, Debug)]
pub struct Health(watch::Sender<Phase>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Serving,
    /// For good.
    Draining,
    /// No connection outlives this for the sake of a health check.
    Closing,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Not serving yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(Phase::Starting))
    }

    /// Says whether calls are welcome. Without effect once a drain has begun.
    pub fn set_serving(&self, serving: bool) {
        let phase = if serving { Phase::Serving } else { Phase::Starting };
        self.advance(phase, |now| matches!(now, Phase::Starting | Phase::Serving));
    }

    /// Whether calls are welcome.
    pub fn is_serving(&self) -> bool {
        *self.0.borrow() == Phase::Serving
    }

    pub(super) fn drain(&self) {
        self.advance(Phase::Draining, |now| now != Phase::Closing);
    }

    /// Ends the streams of those who watch: they would keep their connections from closing.
    pub(super) fn close(&self) {
        self.advance(Phase::Closing, |_| true);
    }

    pub(super) fn server(&self) -> HealthServer<Self> {
        HealthServer::new(self.clone()).max_decoding_message_size(wire::MAX_SMALL_MESSAGE)
    }

    fn advance(&self, to: Phase, allowed: impl Fn(Phase) -> bool) {
        self.0.send_if_modified(|now| {
            let changes = *now != to && allowed(*now);
            if changes {
                *now = to;
            }
            changes
        });
    }
}

/// The services that have a health: the server as a whole, and Check.
fn is_known(service: &str) -> bool {
    service.is_empty() || service == wire::SERVICE
}

fn told(phase: Phase) -> HealthCheckResponse {
    let status = if phase == Phase::Serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if !is_known(&request.get_ref().service) {
            return Err(Status::not_found("no such service"));
        }
        Ok(Response::new(told(*self.0.borrow())))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let known = is_known(&request.get_ref().service);
        let phases = WatchStream::new(self.0.subscribe());
        let phases = phases.take_while(|phase| std::future::ready(*phase != Phase::Closing));
        // The protocol wants watchers of unknown services to be told so and kept.
        let told = phases.map(move |phase| match known {
            true => Ok(told(phase)),
            false => Ok(HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() }),
        });
        Ok(Response::new(Box::pin(told)))
    }
}

#[cfg(test)]
mod tests {
    use tonic_health::pb::health_server::Health as _;

    use super::*;

    async fn told_by(stream: &mut <Health as health_server::Health>::WatchStream) -> Option<ServingStatus> {
        Some(stream.next().await?.unwrap().status())
    }

    #[tokio::test]
    async fn a_drain_is_final_and_watchers_are_let_go() {
        let health = Health::new();
        let request = HealthCheckRequest { service: wire::SERVICE.to_owned() };
        let mut stream = health.watch(Request::new(request)).await.unwrap().into_inner();
        assert_eq!(told_by(&mut stream).await, Some(ServingStatus::NotServing));
        health.set_serving(true);
        assert_eq!(told_by(&mut stream).await, Some(ServingStatus::Serving));
        health.drain();
        assert_eq!(told_by(&mut stream).await, Some(ServingStatus::NotServing));
        health.set_serving(true);
        assert!(!health.is_serving());
        health.close();
        assert_eq!(told_by(&mut stream).await, None);
    }

    #[tokio::test]
    async fn unknown_services_are_unknown() {
        let health = Health::new();
        let request = || Request::new(HealthCheckRequest { service: "other".to_owned() });
        assert_eq!(health.check(request()).await.unwrap_err().code(), tonic::Code::NotFound);
        let mut stream = health.watch(request()).await.unwrap().into_inner();
        assert_eq!(told_by(&mut stream).await, Some(ServingStatus::ServiceUnknown));
    }
}
