//! The Check service: one call in, one answer out, whatever happens in between.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status};

use super::decode::{self, DecodeError};
use super::generated::authorization_server::Authorization;
use super::{encode, timeout, wire};
use crate::core::answer::{Answer, DecisionId};
use crate::core::decide;
use crate::core::event::{Event, Events as _};
use crate::core::reason::Reason;
use crate::core::request::{Direction, RawRequest, is_grpc};
use crate::engine::Engine;
use crate::telemetry::Recorder;

/// Decides on requests. [`Engine`] does; tests of the server bring deciders that misbehave.
pub trait Decide: Send + Sync + 'static {
    /// Decides, before `deadline`.
    fn decide(&self, request: RawRequest<'_>, deadline: Instant) -> impl Future<Output = Answer> + Send;
}

impl Decide for Engine {
    fn decide(&self, request: RawRequest<'_>, deadline: Instant) -> impl Future<Output = Answer> + Send {
        self.check(request, deadline)
    }
}

/// The service behind one listener.
#[derive(Debug)]
pub struct CheckService<D> {
    decider: Arc<D>,
    recorder: Arc<Recorder>,
    /// Of the process, not of the listener.
    room: Arc<Semaphore>,
    direction: Direction,
    deadline: Duration,
}

impl<D> Clone for CheckService<D> {
    fn clone(&self) -> Self {
        Self {
            decider: Arc::clone(&self.decider),
            recorder: Arc::clone(&self.recorder),
            room: Arc::clone(&self.room),
            direction: self.direction,
            deadline: self.deadline,
        }
    }
}

impl<D: Decide> CheckService<D> {
    /// A service that has `room` for so many decisions at once, shared with other listeners.
    pub fn new(
        decider: Arc<D>,
        recorder: Arc<Recorder>,
        room: Arc<Semaphore>,
        direction: Direction,
        deadline: Duration,
    ) -> Self {
        Self { decider, recorder, room, direction, deadline }
    }

    /// Answers one call. Only a message that cannot be decoded is an RPC error.
    async fn answer(&self, message: &wire::CheckRequest, deadline: Instant) -> Result<Answer, Status> {
        let request = match decode::request(message, self.direction) {
            Ok(request) => request,
            Err(DecodeError::Undecodable(status)) => return Err(status),
            Err(DecodeError::Malformed) => return Ok(refuse(Reason::MalformedRequest, speaks_grpc(message))),
        };
        let Ok(_place) = self.room.try_acquire() else {
            return Ok(refuse(Reason::Overloaded, speaks_grpc(message)));
        };
        let _counted = self.recorder.in_flight();
        if Instant::now() >= deadline {
            return Ok(refuse(Reason::DeadlineExceeded, speaks_grpc(message)));
        }
        match timeout_at(deadline, self.decider.decide(request, deadline)).await {
            Ok(answer) => Ok(answer),
            Err(_) => Ok(refuse(Reason::DeadlineExceeded, speaks_grpc(message))),
        }
    }
}

#[tonic::async_trait]
impl<D: Decide> Authorization for CheckService<D> {
    async fn check(&self, request: Request<wire::CheckRequest>) -> Result<Response<wire::CheckResponse>, Status> {
        let begun = Instant::now();
        let deadline = begun + timeout::budget(request.metadata(), self.deadline);
        let message = request.get_ref();
        let answer = match AssertUnwindSafe(self.answer(message, deadline)).catch_unwind().await {
            Ok(answer) => answer?,
            Err(_panic) => {
                self.recorder.report(Event::Panic);
                refuse(Reason::InternalError, speaks_grpc(message))
            }
        };
        self.recorder.decision(&answer, begun.elapsed());
        Ok(Response::new(encode::response(answer)))
    }
}

fn refuse(reason: Reason, grpc: bool) -> Answer {
    decide::refuse(reason, grpc, DecisionId(rand::random()))
}

/// Whether the client that is refused speaks gRPC, as far as the message tells.
fn speaks_grpc(message: &wire::CheckRequest) -> bool {
    let request = message.attributes.as_ref().and_then(|attributes| attributes.request.as_ref());
    let Some(http) = request.and_then(|request| request.http.as_ref()) else { return false };
    let named = |name: &[u8]| name.eq_ignore_ascii_case(b"content-type");
    let joined = http.headers.iter().filter(|entry| named(&entry.key)).map(|entry| &entry.value);
    let lines = http.header_map.iter().flat_map(|map| &map.headers).filter(|line| named(&line.key));
    joined.chain(lines.flat_map(|line| [&line.value, &line.raw_value])).any(|value| is_grpc(value))
}
