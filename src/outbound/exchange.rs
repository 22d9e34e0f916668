//! RFC 8693: the caller's token for one that the next hop takes.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::actor::Actor;
use super::cache::{ExchangeCache, Key, Terms};
use super::requester::{Cause, Failed, Granted, Requester};
use super::spec::{ExchangeSpec, TokenType};
use super::subject::{OwnSubject, Subject};
use crate::authn::AuthnError;
use crate::authn::issuer::CacheStatus;
use crate::clock::Timestamp;
use crate::core::event::Event;
use crate::core::reason::Reason;
use crate::provider::Flights;
use crate::secret::Secret;

/// Most exchanges of one token at a time, those included whose callers have given up. The provider's own places are
/// fewer: what is beyond them waits there for a moment, and is then refused.
const MAX_FLIGHTS: usize = 1024;

/// One token that callers' tokens are exchanged for.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) requester: Requester,
    actor: Option<Actor>,
    terms: Terms,
    cache: ExchangeCache,
    flights: Flights<Key, Result<Secret, AuthnError>>,
    room: Semaphore,
}

impl Exchange {
    pub(super) fn new(requester: Requester, spec: &ExchangeSpec, actor: Option<Actor>) -> Self {
        let (terms, cache) = (Terms::of(&requester), ExchangeCache::new(&spec.cache));
        Self { requester, actor, terms, cache, flights: Flights::default(), room: Semaphore::new(MAX_FLIGHTS) }
    }

    /// From the cache, or by an exchange that goes on without its callers.
    pub(super) async fn obtain(
        self: &Arc<Self>,
        subject: Option<Subject<'_>>,
        now: Timestamp,
    ) -> Result<Secret, AuthnError> {
        let subject = required(subject)?;
        let actor = self.actor(now).await?;
        let key = self.terms.key(&subject, actor.as_ref());
        // By the time that it is now: the request may have begun before the exchange that it finds had ended.
        let found = self.cache.find(&key, self.requester.now());
        let token = &*self.requester.spec.name;
        self.requester.deps.events.report(Event::ExchangeCache { token, hit: found.is_some() });
        if let Some(found) = found {
            return Ok(found);
        }
        if let Some(error) = self.cache.refusal(&key) {
            return Err(error);
        }
        let flight = self.flights.join(key, || {
            let (exchange, subject) = (Arc::clone(self), OwnSubject::from(subject));
            async move { exchange.fly(key, &subject, actor.as_ref()).await }
        });
        let ended = || AuthnError::new(Reason::UpstreamTokenUnavailable, "the exchange ended without a result");
        flight.landed().await.unwrap_or_else(|| Err(ended()))
    }

    async fn fly(
        &self,
        key: Key,
        subject: &OwnSubject,
        actor: Option<&(Secret, TokenType)>,
    ) -> Result<Secret, AuthnError> {
        let Ok(_room) = self.room.try_acquire() else {
            return Err(AuthnError::new(Reason::UpstreamTokenUnavailable, "too many exchanges are under way"));
        };
        // Another flight may have landed after its callers looked and before they joined this one.
        if let Some(found) = self.cache.find(&key, self.requester.now()) {
            return Ok(found);
        }
        match self.requester.request(Some(subject), actor).await {
            Ok(granted) => {
                self.cache.keep(key, &granted, subject, self.requester.now());
                Ok(granted.token)
            }
            Err(failed) => {
                if failed.answered {
                    self.cache.refuse(key, failed.error.clone());
                }
                Err(failed.error)
            }
        }
    }

    /// How full its cache is, and how many waited for an exchange that others had begun.
    pub(super) fn seen(&self) -> (Option<CacheStatus>, u64) {
        (self.cache.status(), self.flights.followers())
    }

    /// An exchange aside from the cache, of which nobody else is told.
    pub(super) async fn try_out(&self, subject: Option<Subject<'_>>, now: Timestamp) -> Result<Granted, Failed> {
        let not_asked = |error| Failed { error, answered: false, cause: Box::new(Cause::Unfit(None)) };
        let subject = OwnSubject::from(required(subject).map_err(not_asked)?);
        let actor = self.actor(now).await.map_err(not_asked)?;
        self.requester.attempt(Some(&subject), actor.as_ref()).await
    }

    async fn actor(&self, now: Timestamp) -> Result<Option<(Secret, TokenType)>, AuthnError> {
        match &self.actor {
            None => Ok(None),
            Some(actor) => actor.token(now).await.map(Some),
        }
    }
}

fn required(subject: Option<Subject<'_>>) -> Result<Subject<'_>, AuthnError> {
    let subject = subject.ok_or_else(|| AuthnError::new(Reason::MissingToken, "there is no token to exchange"))?;
    subject.check_actors()?;
    Ok(subject)
}
