//! Tokens that the gate obtains: exchanged for the next hop (RFC 8693), or its own (RFC 6749 §4.4).
//!
//! A token is obtained after its rule has allowed the request, and never replaced by the caller's own: where it does not
//! come, the request is denied. What a provider answers is checked as if it came from a stranger.

mod actor;
mod answer;
mod cache;
mod exchange;
mod own;
mod request;
mod requester;
pub mod spec;
mod subject;
mod verify;

pub use subject::{MAX_ACTORS, Subject};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::authn::issuer::CacheStatus;
use crate::authn::{AuthnError, Issuer};
use crate::clock::Timestamp;
use crate::provider::{CallError, Deps, Provider, Refusal};
use crate::secret::Secret;
use crate::trace_context::{self, Origin};
use crate::watch::Watch;
use actor::{Actor, TokenFile};
use exchange::Exchange;
use own::Own;
use requester::{Cause, Failed, Requester};
use spec::{ActorSpec, Grant, TokenSpec};

/// A token that can be obtained. Survives reloads that leave it and what it depends on unchanged.
pub struct TokenSource {
    kind: Kind,
    /// The one that it was started with.
    actor: Option<Arc<TokenSource>>,
    /// What keeps it fresh.
    task: Option<AbortHandle>,
}

#[derive(Debug)]
enum Kind {
    Exchange(Arc<Exchange>),
    Own(Arc<Own>),
}

/// A token at one time, for people.
#[derive(Clone, Debug)]
pub struct TokenStatus {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// `exchange` or `client_credentials`.
    pub kind: &'static str,
    /// Of the client_credentials token that serves, where there is one and it says when it expires.
    pub expires_at: Option<Timestamp>,
    /// Why the last attempt failed, if it did; holds no token and no secret.
    pub last_error: Option<String>,
    /// How full the cache of an exchange is.
    pub cache: Option<CacheStatus>,
    /// How many waited for a request to the provider that others had begun.
    pub followers: u64,
}

/// What a trial brought: everything but the token.
#[derive(Clone, Debug)]
pub struct TriedOut {
    /// When the token expires, as far as the answer or the token says.
    pub expires_at: Option<Timestamp>,
    /// Its JOSE header, where it is a JWT.
    pub header: Option<Map<String, Value>>,
    /// Its claims, where it is a JWT.
    pub claims: Option<Map<String, Value>>,
    /// The issuer whose keys verified it, where one is known.
    pub verified_by: Option<Arc<str>>,
    /// The scopes that the answer names, where it names any.
    pub scope: Option<Box<str>>,
    /// How long the token is.
    pub bytes: usize,
}

/// Why a trial brought no token that the gate would send.
#[derive(Clone, Debug)]
pub struct TrialError {
    /// What a request would be denied for.
    pub error: AuthnError,
    /// Why there is no answer, where there is none.
    pub call: Option<CallError>,
    /// What the provider said instead.
    pub refusal: Option<Refusal>,
    /// The claims of the token that came and is not one to be sent, where it is a JWT.
    pub claims: Option<Map<String, Value>>,
}

impl From<Failed> for TrialError {
    fn from(Failed { error, cause, .. }: Failed) -> Self {
        let (mut call, mut refusal, mut claims) = (None, None, None);
        match *cause {
            Cause::Call(why) => call = Some(why),
            Cause::Refusal(said) => refusal = Some(said),
            Cause::Unfit(jwt) => claims = jwt.map(|jwt| jwt.claims),
        }
        Self { error, call, refusal, claims }
    }
}

impl TokenSource {
    /// Starts it: a client_credentials token is fetched soon, and kept fresh until this is dropped. Without a tokio
    /// runtime nothing happens before it is asked for.
    ///
    /// `issuers` are all that the gate knows, in the order that the spec counts them in.
    pub fn start(
        spec: TokenSpec,
        provider: Arc<Provider>,
        actor: Option<Arc<TokenSource>>,
        issuers: Vec<Arc<Issuer>>,
        deps: &Deps,
    ) -> Arc<Self> {
        Self::start_instead_of(None, spec, provider, actor, issuers, deps)
    }

    /// As [`TokenSource::start`], in the place of one that runs: where both ask the same of the same provider, a
    /// client_credentials token that serves does so until the next one is there.
    pub fn start_instead_of(
        running: Option<&Self>,
        spec: TokenSpec,
        provider: Arc<Provider>,
        actor: Option<Arc<TokenSource>>,
        issuers: Vec<Arc<Issuer>>,
        deps: &Deps,
    ) -> Arc<Self> {
        let mut source = Self::resting(spec, provider, actor, issuers, deps);
        if let Kind::Own(own) = &source.kind {
            if let Some(Kind::Own(before)) = running.map(|running| &running.kind)
                && before.requester.asks_the_same_as(&own.requester)
            {
                own.inherit(before);
            }
            let follow = |runtime: Handle| {
                // Watched first, read second: no change falls in between.
                let paths = own::watched(&own.requester.spec.client);
                let watch = (!paths.is_empty()).then(|| Watch::start(paths));
                let follow = trace_context::on_behalf_of(Some(Origin::Gate), Arc::clone(own).follow(watch));
                runtime.spawn(follow).abort_handle()
            };
            source.task = Handle::try_current().ok().map(follow);
        }
        Arc::new(source)
    }

    /// One that does nothing unless it is asked: for [`TokenSource::try_out`].
    pub fn resting(
        spec: TokenSpec,
        provider: Arc<Provider>,
        actor: Option<Arc<TokenSource>>,
        issuers: Vec<Arc<Issuer>>,
        deps: &Deps,
    ) -> Self {
        let requester = |spec| Requester::new(spec, provider, issuers, deps);
        let kind = match spec.grant.clone() {
            Grant::ClientCredentials(grant) => Kind::Own(Arc::new(Own::new(requester(spec), &grant))),
            Grant::Exchange(grant) => {
                let actor = grant.actor.as_ref().map(|from| match (from, actor.as_ref().map(|source| &source.kind)) {
                    (ActorSpec::File { path, kind }, _) => Actor::File(TokenFile::new(path.clone(), *kind)),
                    (ActorSpec::Token(_), Some(Kind::Own(own))) => Actor::Own(Arc::clone(own)),
                    (ActorSpec::Token(_), Some(Kind::Exchange(_)) | None) => Actor::Missing,
                });
                Kind::Exchange(Arc::new(Exchange::new(requester(spec), &grant, actor)))
            }
        };
        Self { kind, actor, task: None }
    }

    /// Whether it may go on in the place of one with these parts: the same in all of them.
    pub fn fits(
        &self,
        spec: &TokenSpec,
        provider: &Arc<Provider>,
        actor: Option<&Arc<TokenSource>>,
        issuers: &[Arc<Issuer>],
    ) -> bool {
        let own = self.requester();
        let same_actor = match (&self.actor, actor) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, Some(_)) | (Some(_), None) => false,
        };
        let same_issuers =
            own.issuers.len() == issuers.len() && own.issuers.iter().zip(issuers).all(|(a, b)| Arc::ptr_eq(a, b));
        own.spec == *spec && Arc::ptr_eq(&own.provider, provider) && same_actor && same_issuers
    }

    /// What the configuration says about it.
    pub fn spec(&self) -> &TokenSpec {
        &self.requester().spec
    }

    /// Whom it asks.
    pub fn provider(&self) -> &Arc<Provider> {
        &self.requester().provider
    }

    /// The token to send to the next hop. The caller bounds the wait; whatever is under way goes on without it.
    ///
    /// # Errors
    /// The reason of the denial.
    pub async fn obtain(&self, subject: Option<Subject<'_>>, now: Timestamp) -> Result<Secret, AuthnError> {
        match &self.kind {
            Kind::Exchange(exchange) => exchange.obtain(subject, now).await,
            Kind::Own(own) => own.obtain(now).await,
        }
    }

    /// Waits for the first token, at most this long. Whether it is there; an exchange has none to wait for.
    pub async fn wait(&self, limit: Duration) -> bool {
        match &self.kind {
            Kind::Exchange(_) => true,
            Kind::Own(own) => own.wait(limit).await,
        }
    }

    /// Obtains a token once, aside from whatever is kept, and says what it is. It takes as long as the provider may.
    ///
    /// # Errors
    /// As [`TokenSource::obtain`], with what is known beside the reason.
    pub async fn try_out(&self, subject: Option<Subject<'_>>) -> Result<TriedOut, Box<TrialError>> {
        let granted = match &self.kind {
            Kind::Exchange(exchange) => exchange.try_out(subject, self.requester().now()).await,
            Kind::Own(own) => own.requester.attempt(None, None).await,
        };
        let granted = granted.map_err(|failed| Box::new(TrialError::from(failed)))?;
        let verified_by = granted.jwt.as_ref().and_then(|jwt| jwt.verified_by.clone());
        let (header, claims) = granted.jwt.map(|jwt| (jwt.header, jwt.claims)).unzip();
        let (expires_at, scope, bytes) = (granted.expires_at, granted.scope, granted.token.expose().len());
        Ok(TriedOut { expires_at, header, claims, verified_by, scope, bytes })
    }

    /// For people.
    pub fn status(&self) -> TokenStatus {
        let requester = self.requester();
        let (kind, expires_at, (cache, followers)) = match &self.kind {
            Kind::Exchange(exchange) => ("exchange", None, exchange.seen()),
            Kind::Own(own) => ("client_credentials", own.expires_at(requester.now()), (None, own.followers())),
        };
        let last_error = requester.last_error().map(|error| error.to_string());
        TokenStatus { name: Arc::clone(&requester.spec.name), kind, expires_at, last_error, cache, followers }
    }

    fn requester(&self) -> &Requester {
        match &self.kind {
            Kind::Exchange(exchange) => &exchange.requester,
            Kind::Own(own) => &own.requester,
        }
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").field("spec", self.spec()).finish_non_exhaustive()
    }
}

impl Drop for TokenSource {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests;
