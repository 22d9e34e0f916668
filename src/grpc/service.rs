//! Check itself: decode, decide, encode, record.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::deadline::Due;
use super::encode::Prepared;
use super::reply::PREFIX;
use super::wire::server::authorization_server::Authorization;
use super::{decode, encode};
use crate::core::answer::{Answer, DecisionId};
use crate::core::decide;
use crate::core::event::{Event, Events as _};
use crate::core::reason::Reason;
use crate::core::request::{Direction, RawRequest};
use crate::engine::Engine;
use crate::telemetry::{Asked, Recorder, Traced};

/// Decides on requests. [`Engine`] does.
pub trait Decide: Send + Sync + 'static {
    /// Decides. An answer after `deadline` is not waited for; dropping the future must be harmless.
    fn decide(&self, request: RawRequest<'_>, deadline: Instant) -> impl Future<Output = Answer> + Send;

    /// Whether there is so much to do that the next call is to be refused before anybody looks at it.
    fn is_flooded(&self, _now: Instant) -> bool {
        false
    }
}

impl Decide for Engine {
    fn decide(&self, request: RawRequest<'_>, deadline: Instant) -> impl Future<Output = Answer> + Send {
        self.check(request, deadline)
    }

    fn is_flooded(&self, now: Instant) -> bool {
        self.is_flooded(now)
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
    /// Answers a message with a gRPC frame. Recorded, as every answer is.
    ///
    /// # Errors
    /// The message is not one of this protocol.
    pub(super) async fn answer(&self, message: &[u8], due: Due, mut traced: Traced) -> Result<Bytes, Status> {
        // A panic must neither end the process nor, as an RPC error, admit the request where Envoy is told to let
        // failures pass. What it may have left half done is the request's own.
        let answered = async {
            let (answer, asked) = self.decide(message, due, &mut traced).await?;
            Ok(self.record(&answer, due, asked.as_ref(), &traced))
        };
        match AssertUnwindSafe(answered).catch_unwind().await {
            Ok(answered) => answered,
            Err(_) => {
                self.recorder.report(Event::Panic);
                let answer = refusal(Reason::InternalError, decode::speaks_grpc(message));
                // Where it happened is in the log line of the panic itself, just before.
                tracing::error!(decision = %answer.decision_id, "this decision panicked");
                Ok(self.record(&answer, due, self.asked_again(message).as_ref(), &traced))
            }
        }
    }

    /// Answers without having looked at the message: no time, no room.
    pub(super) fn refuse(&self, prepared: &Prepared, due: Due, now: Instant) -> Bytes {
        let id = DecisionId(rand::random());
        let frame = prepared.frame(id);
        self.recorder.refusal(id, prepared.reason(), self.direction, due.since, now);
        frame
    }

    /// The decision; and what was asked, where that is to be audited.
    async fn decide<'m>(
        &self,
        message: &'m [u8],
        due: Due,
        traced: &mut Traced,
    ) -> Result<(Answer, Option<Asked<'m>>), Status> {
        let request = match decode::request(message, self.direction) {
            Ok(request) => request,
            Err(error) => {
                return match error.rpc_error() {
                    Some(status) => Err(status),
                    None => {
                        let answer = refusal(Reason::MalformedRequest, decode::speaks_grpc(message));
                        Ok((answer, self.recorder.audits().then(|| Asked::nothing(self.direction))))
                    }
                };
            }
        };
        let request = self.believed(request);
        let asked = self.recorder.audits().then(|| Asked::of(&request));
        self.recorder.trace_request(traced, &request);
        let answer = match traced.span() {
            // What waits is put aside, so that a call that is not traced, as most are not, stays small.
            Some(span) => due.bound(Box::pin(span.cover(self.decider.decide(request, due.by))).as_mut()).await,
            None => due.bound(pin!(self.decider.decide(request, due.by))).await,
        };
        let answer = answer.unwrap_or_else(|| refusal(Reason::DeadlineExceeded, decode::speaks_grpc(message)));
        Ok((answer, asked))
    }

    /// What was asked, of a message that was read before.
    fn asked_again<'m>(&self, message: &'m [u8]) -> Option<Asked<'m>> {
        let read = |message| decode::request(message, self.direction).ok();
        self.recorder.audits().then(|| {
            let request = read(message).map(|request| self.believed(request));
            request.map_or_else(|| Asked::nothing(self.direction), |request| Asked::of(&request))
        })
    }

    /// The request, without what this listener's peers cannot be believed.
    fn believed<'m>(&self, mut request: RawRequest<'m>) -> RawRequest<'m> {
        if !self.trusted {
            (request.principal, request.certificate) = ("", "");
        }
        request
    }

    fn record(&self, answer: &Answer, due: Due, asked: Option<&Asked<'_>>, traced: &Traced) -> Bytes {
        let frame = encode::frame(answer);
        self.recorder.traced_decision(answer, due.since.elapsed(), asked, traced);
        frame
    }
}

/// For messages that did not come in one piece: tonic puts them together, or says what is wrong with them.
#[tonic::async_trait]
impl<D: Decide> Authorization for CheckService<D> {
    async fn check(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        let due = request.extensions().get::<Due>().copied();
        let due = due.unwrap_or_else(|| Due::within(Instant::now(), self.limit));
        let traced = request.extensions().get::<Traced>().cloned().unwrap_or_default();
        let frame = self.answer(request.get_ref(), due, traced).await?;
        Ok(Response::new(frame.slice(PREFIX..)))
    }
}

fn refusal(reason: Reason, grpc: bool) -> Answer {
    decide::refuse(reason, grpc, DecisionId(rand::random()))
}
