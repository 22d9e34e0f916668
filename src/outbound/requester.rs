//! One token's terms with its provider: asks for it, and judges what comes back. Nothing is kept here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::answer;
use super::request::Form;
use super::spec::{TokenSpec, TokenType};
use super::subject::OwnSubject;
use super::verify::{self, Jwt};
use crate::authn::{AuthnError, Issuer};
use crate::clock::Timestamp;
use crate::core::event::Event;
use crate::core::reason::Reason;
use crate::provider::{CallError, Deps, Endpoint, Provider, Refusal};
use crate::secret::Secret;

/// Room for the rest of an answer beside the token: a refresh or ID token that nobody asked for, and the members' names.
const REST_BYTES: usize = 32 << 10;
/// Longest wait for the subject token's issuer, when it is asked whether the token is still good.
const RECHECK_LIMIT: Duration = Duration::from_secs(3);
/// Failures are logged as warnings at most this often for each token.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Asks for one token.
#[derive(Debug)]
pub(super) struct Requester {
    pub(super) spec: TokenSpec,
    pub(super) provider: Arc<Provider>,
    pub(super) issuers: Vec<Arc<Issuer>>,
    pub(super) deps: Deps,
    last: Mutex<Last>,
}

/// How the last attempt ended.
#[derive(Debug, Default)]
struct Last {
    error: Option<AuthnError>,
    warned: Option<Instant>,
}

/// A token that may be sent.
#[derive(Clone, Debug)]
pub(super) struct Granted {
    pub(super) token: Secret,
    /// By the answer and by the token, the earlier.
    pub(super) expires_at: Option<Timestamp>,
    pub(super) jwt: Option<Jwt>,
    /// What the answer says was granted.
    pub(super) scope: Option<Box<str>>,
}

/// A token that did not come.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) error: AuthnError,
    /// The provider answered: it need not be asked the same at once.
    pub(super) answered: bool,
    /// What stood in the way.
    pub(super) cause: Box<Cause>,
}

/// Why a token did not come, for people.
#[derive(Clone, Debug)]
pub(super) enum Cause {
    /// There was no answer.
    Call(CallError),
    /// The provider refuses.
    Refusal(Refusal),
    /// A token came, and is not one to be sent; or the answer as a whole cannot be used.
    Unfit(Option<Jwt>),
}

impl Requester {
    pub(super) fn new(spec: TokenSpec, provider: Arc<Provider>, issuers: Vec<Arc<Issuer>>, deps: &Deps) -> Self {
        Self { spec, provider, issuers, deps: deps.clone(), last: Mutex::default() }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.deps.clock.now()
    }

    /// Whether another asks the same provider for the same. Where its issuer stands among the others does not count.
    pub(super) fn asks_the_same_as(&self, other: &Self) -> bool {
        let moved = TokenSpec { provider: other.spec.provider.clone(), ..self.spec.clone() };
        moved == other.spec && self.provider.spec() == other.provider.spec()
    }

    /// Asks once. Bounded by the provider's time limit and by those of issuers that are asked afterwards.
    pub(super) async fn request(
        &self,
        subject: Option<&OwnSubject>,
        actor: Option<&(Secret, TokenType)>,
    ) -> Result<Granted, Failed> {
        let result = self.attempt(subject, actor).await;
        let expires_at = result.as_ref().ok().and_then(|granted| granted.expires_at);
        self.deps.events.report(Event::TokenObtained { token: &self.spec.name, obtained: result.is_ok(), expires_at });
        self.remember(result.as_ref().err().map(|failed| &failed.error));
        result
    }

    /// As [`Requester::request`], and nobody is told.
    pub(super) async fn attempt(
        &self,
        subject: Option<&OwnSubject>,
        actor: Option<&(Secret, TokenType)>,
    ) -> Result<Granted, Failed> {
        let actor = actor.map(|(token, kind)| (token.expose(), *kind));
        let form = Form::new(&self.spec, subject.map(|subject| subject.token.expose()), actor);
        let max_bytes = self.spec.max_token_bytes.saturating_add(REST_BYTES);
        let called = self.provider.call(Endpoint::Token, &self.spec.client, &form.pairs(), max_bytes).await;
        let fetched = called.map_err(|error| Failed {
            error: AuthnError::new(Reason::UpstreamTokenUnavailable, format!("the token endpoint: {error}")),
            answered: false,
            cause: Box::new(Cause::Call(error)),
        })?;
        let status = fetched.status;
        let refusal = (!status.is_success()).then(|| Refusal::of(&fetched));
        let (error, cause) = match answer::read(&self.spec, fetched) {
            Ok(answered) => match self.accept(&answered, subject).await {
                Ok(granted) => return Ok(granted),
                Err(error) => (error, Cause::Unfit(verify::peek(answered.token.expose()).ok().flatten())),
            },
            Err(error) => {
                let error = match subject.filter(|_| answer::may_blame_subject(status)) {
                    Some(subject) => self.recheck(subject).await.err().unwrap_or(error),
                    None => error,
                };
                (error, refusal.map_or(Cause::Unfit(None), Cause::Refusal))
            }
        };
        Err(Failed { error, answered: true, cause: Box::new(cause) })
    }

    async fn accept(&self, answered: &answer::Answered, subject: Option<&OwnSubject>) -> Result<Granted, AuthnError> {
        let now = self.now();
        let token = &answered.token;
        if subject.is_some_and(|subject| subject.token == *token) {
            return Err(answer::unusable("the new token is the one that was to be exchanged"));
        }
        let jwt = verify::inspect(&self.spec, &self.issuers, token.expose(), subject, now).await?;
        let by_answer = answered.expires_in.map(|lifetime| now.saturating_add(lifetime));
        let by_token = jwt.as_ref().and_then(Jwt::expires_at);
        let expires_at = match (by_answer, by_token) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Ok(Granted { token: token.clone(), expires_at, jwt, scope: answered.scope.clone() })
    }

    /// Whether an error answer has its reason in the subject token, which was good when the request came.
    async fn recheck(&self, subject: &OwnSubject) -> Result<(), AuthnError> {
        let asked = subject.issuer.recheck(subject.token.expose(), self.now());
        match tokio::time::timeout(RECHECK_LIMIT, asked).await {
            Ok(Err(error)) if error.reason.http_status() == 401 => Err(error),
            // An issuer that cannot be asked says nothing against the token.
            Ok(Ok(()) | Err(_)) | Err(_) => Ok(()),
        }
    }

    /// Why the last attempt failed, if it did.
    pub(super) fn last_error(&self) -> Option<AuthnError> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).error.clone()
    }

    fn remember(&self, error: Option<&AuthnError>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.error = error.cloned();
        let Some(error) = error else { return };
        let (token, reason, detail) = (&*self.spec.name, error.reason.code(), error.detail.as_str());
        // What one caller is refused is that caller's; the rest the operator has to know, but not with each request.
        let loud = error.reason.http_status() >= 500 && last.warned.is_none_or(|at| at.elapsed() >= WARN_EVERY);
        if loud {
            last.warned = Some(Instant::now());
            drop(last);
            tracing::warn!(token, reason, detail, "a token could not be obtained");
        } else {
            drop(last);
            tracing::debug!(token, reason, detail, "a token could not be obtained");
        }
    }
}
