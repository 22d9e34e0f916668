//! Check itself: decode, decide, encode, record.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status};

use super::deadline::Due;
use super::wire::authorization::authorization_server::Authorization;
use super::{decode, encode, wire};
use crate::core::answer::{Answer, DecisionId};
use crate::core::decide;
use crate::core::event::{Event, Events as _};
use crate::core::reason::Reason;
use crate::core::request::{Direction, RawRequest};
use crate::engine::Engine;
use crate::telemetry::Recorder;

/// Decides on requests. [`Engine`] does.
pub trait Decide: Send + Sync + 'static {
    /// Decides. An answer after `deadline` is not waited for; dropping the future must be harmless.
    fn decide(&self, request: RawRequest<'_>, deadline: Instant) -> impl Future<Output = Answer> + Send;
}

impl Decide for Engine {
    fn decide(&self, request: RawRequest<'_>, deadline: Instant) -> impl Future<Output = Answer> + Send {
        self.check(request, deadline)
    }
}

/// The Check service of one listener.
#[derive(Debug)]
pub(super) struct CheckService<D> {
    pub(super) decider: Arc<D>,
    pub(super) recorder: Arc<Recorder>,
    /// Of every request asked about on this listener.
    pub(super) direction: Direction,
    /// Whether what is said here about callers can be believed. Elsewhere anybody could say it: it is not looked at.
    pub(super) trusted: bool,
    /// Longest time for a decision.
    pub(super) limit: Duration,
}

impl<D: Decide> CheckService<D> {
    /// Answers without having looked at the message: no time, no room. Recorded, as every answer is.
    pub(super) fn refuse(&self, reason: Reason, due: Due) -> wire::CheckResponse {
        self.record(&refusal(reason, false), due)
    }

    async fn answer(&self, message: &wire::CheckRequest, due: Due) -> Result<Answer, Status> {
        let mut request = match decode::request(message, self.direction) {
            Ok(request) => request,
            Err(error) => {
                return match error.rpc_error() {
                    Some(status) => Err(status),
                    None => Ok(refusal(Reason::MalformedRequest, decode::speaks_grpc(message))),
                };
            }
        };
        if !self.trusted {
            (request.principal, request.certificate) = ("", "");
        }
        match timeout_at(due.by, self.decider.decide(request, due.by)).await {
            Ok(answer) => Ok(answer),
            Err(_) => Ok(refusal(Reason::DeadlineExceeded, decode::speaks_grpc(message))),
        }
    }

    fn record(&self, answer: &Answer, due: Due) -> wire::CheckResponse {
        let response = encode::response(answer);
        self.recorder.decision(answer, due.since.elapsed());
        response
    }
}

#[tonic::async_trait]
impl<D: Decide> Authorization for CheckService<D> {
    async fn check(&self, request: Request<wire::CheckRequest>) -> Result<Response<wire::CheckResponse>, Status> {
        let due = request.extensions().get::<Due>().copied();
        let due = due.unwrap_or_else(|| Due::within(Instant::now(), self.limit));
        let message = request.into_inner();
        // A panic must neither end the process nor, as an RPC error, admit the request where Envoy is told to let
        // failures pass. What it may have left half done is the request's own.
        let answered = async { Ok(self.record(&self.answer(&message, due).await?, due)) };
        match AssertUnwindSafe(answered).catch_unwind().await {
            Ok(response) => response.map(Response::new),
            Err(_) => {
                self.recorder.report(Event::Panic);
                let answer = refusal(Reason::InternalError, decode::speaks_grpc(&message));
                // Where it happened is in the log line of the panic itself, just before.
                tracing::error!(decision = %answer.decision_id, "this decision panicked");
                Ok(Response::new(self.record(&answer, due)))
            }
        }
    }
}

fn refusal(reason: Reason, grpc: bool) -> Answer {
    decide::refuse(reason, grpc, DecisionId(rand::random()))
}
