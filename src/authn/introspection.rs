//! Asking an issuer whether a token is still good (RFC 7662).
//!
//! One question a token is under way at one time, however many requests wait for it, and it runs on its own: a request
//! that gives up leaves it, and finds the answer in the cache when it comes again. What an answer says passes the
//! checks of a JWT; what a JWT says itself has passed them before ([`merge`] says how the two go together).
//!
//! Nothing but `active: true` in a whole and well-formed answer accepts a token. A refusal is remembered for a short
//! time, and apart from what is good. That there was no answer is never remembered.
//!
//! Texts that the issuer never called active have a budget of their own ([`budget`]). JWTs are only asked about after
//! their signature was verified, and so need none.
//!
//! In an outage an answer may serve beyond its age for a configured time: after the call failed in transport or with a
//! 5xx, or was not made since the breaker is open and the last one that was made did so; or when a request's time is over before the call's is,
//! and the issuer's last call is known to have failed so. Never at or after `exp`, and never after any other answer.

mod answer;
mod budget;
pub(super) mod judge;
mod memory;
mod merge;
mod trial;

pub use trial::Trial;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::cache::{Key, TokenCache, TokenDigest};
use super::claims::Claims;
use super::error::AuthnError;
use super::keys::KeySet;
use super::mapping;
use super::spec::{IntrospectionSpec, IssuerSpec};
use super::trace::{Check, Failure, Trace, Unwatched};
use super::verified::{Signed, Verified};
use crate::clock::Timestamp;
use crate::core::event::{Event, Events, IntrospectionOutcome};
use crate::core::principal::Origin;
use crate::core::reason::Reason;
use crate::provider::{Endpoint, Flights, Provider};
use answer::{Answer, MAX_BYTES, NoAnswer};
use budget::Budget;
use memory::Memory;

/// Least time between two complaints in the log.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(10);

/// Asks one issuer.
#[derive(Debug)]
pub(super) struct Introspector {
    spec: Arc<IssuerSpec>,
    origin: Arc<Origin>,
    how: IntrospectionSpec,
    provider: Arc<Provider>,
    cache: Option<Arc<TokenCache>>,
    memory: Memory,
    budget: Budget,
    flights: Flights<Key, Result<Verified, Denied>>,
    /// Whether the last call failed in a way that lets older answers serve.
    outage: AtomicBool,
    events: Arc<dyn Events>,
    complained: Mutex<Option<Instant>>,
}

/// Why a token is not accepted.
#[derive(Clone, Debug)]
struct Denied {
    error: AuthnError,
    /// Whether an older answer may serve instead.
    outage: bool,
}

/// A token to ask about.
pub(super) struct Question<'t> {
    /// Names it, under this configuration.
    pub(super) key: Key,
    pub(super) token: &'t str,
    /// A JWT that was verified.
    pub(super) own: Option<Signed>,
    /// The issuer's keys at the moment.
    pub(super) keys: Option<Arc<KeySet>>,
    pub(super) now: Timestamp,
}

impl Introspector {
    /// `None` where the issuer is not asked about anything.
    pub(super) fn of(
        spec: &Arc<IssuerSpec>,
        provider: Option<&Arc<Provider>>,
        cache: Option<&Arc<TokenCache>>,
        events: &Arc<dyn Events>,
    ) -> Option<Arc<Self>> {
        Self::with(spec, provider, cache, events, None).map(Arc::new)
    }

    /// As [`Introspector::of`], in the place of one that runs. Where both ask the same provider, the tokens that it called
    /// active before need no budget; no verdict is taken over.
    pub(super) fn instead_of(
        running: &Self,
        spec: &Arc<IssuerSpec>,
        provider: Option<&Arc<Provider>>,
        cache: Option<&Arc<TokenCache>>,
        events: &Arc<dyn Events>,
    ) -> Option<Arc<Self>> {
        Self::with(spec, provider, cache, events, Some(running)).map(Arc::new)
    }

    fn with(
        spec: &Arc<IssuerSpec>,
        provider: Option<&Arc<Provider>>,
        cache: Option<&Arc<TokenCache>>,
        events: &Arc<dyn Events>,
        running: Option<&Self>,
    ) -> Option<Self> {
        let (how, provider) = (spec.introspection.clone()?, Arc::clone(provider?));
        let mut memory = Memory::new(how.inactive_for);
        if let Some(same) = running.filter(|running| Arc::ptr_eq(&running.provider, &provider)) {
            memory.share_active(&same.memory);
        }
        Some(Self {
            spec: Arc::clone(spec),
            origin: mapping::origin(spec),
            budget: Budget::new(&how.unknown, provider.spec().max_in_flight),
            provider,
            cache: cache.cloned(),
            memory,
            how,
            flights: Flights::default(),
            outage: AtomicBool::new(false),
            events: Arc::clone(events),
            complained: Mutex::default(),
        })
    }

    /// How many waited for a question that others had asked.
    pub(super) fn followers(&self) -> u64 {
        self.flights.followers()
    }

    /// Why the token was refused lately, if it was.
    pub(super) fn refusal(&self, key: &Key, now: Timestamp) -> Option<AuthnError> {
        self.memory.refusal(key, now)
    }

    /// What the issuer says of the token, for a request that waits until `give_up` at most.
    pub(super) async fn ask(
        self: &Arc<Self>,
        question: Question<'_>,
        give_up: Instant,
    ) -> Result<Verified, AuthnError> {
        let (key, now, keys) = (question.key, question.now, question.keys.clone());
        let flight = self.flights.join(key, || Arc::clone(self).fly(question.owned(), Look::First));
        let denied = match tokio::time::timeout_at(give_up, flight.landed()).await {
            Ok(Some(Ok(verified))) => return verified.at(&self.spec, now),
            Ok(Some(Err(denied))) => denied,
            Ok(None) => Denied { error: unavailable("the call was broken off"), outage: false },
            Err(_) => Denied { error: unavailable("no answer in time"), outage: self.outage.load(Ordering::Acquire) },
        };
        let stale = || self.cache.as_ref()?.find_stale(&key, keys.as_deref(), now);
        match denied.outage.then(stale).flatten() {
            Some(verified) => {
                self.report(IntrospectionOutcome::Stale);
                Ok(verified)
            }
            None => Err(denied.error),
        }
    }

    /// As [`Introspector::ask`], past everything that is remembered. `Ok` also where the issuer cannot be asked.
    pub(super) async fn ask_again(
        self: &Arc<Self>,
        question: Question<'_>,
        give_up: Instant,
    ) -> Result<(), AuthnError> {
        let now = question.now;
        let flight = self.flights.join(question.key, || Arc::clone(self).fly(question.owned(), Look::Past));
        match tokio::time::timeout_at(give_up, flight.landed()).await {
            Ok(Some(Ok(verified))) => verified.at(&self.spec, now).map(drop),
            Ok(Some(Err(Denied { error, .. }))) if error.reason.http_status() < 500 => Err(error),
            Ok(Some(Err(_)) | None) | Err(_) => Ok(()),
        }
    }

    /// Asks once, for people: nothing is looked up, shared or remembered. With the verdict, what the issuer said.
    pub(super) async fn explain(
        &self,
        token: &str,
        own: Option<&Signed>,
        now: Timestamp,
        trace: &mut dyn Trace,
    ) -> (Option<Claims>, Result<Verified, Failure>) {
        let said = match self.call(token).await {
            Ok(Answer::Active(said)) => said,
            Ok(Answer::Inactive) => return (None, Err(inactive())),
            Err(why) => return (None, Err(Failure { check: Check::Introspection, error: no_answer(&why) })),
        };
        trace.passed(Check::Introspection, format_args!("active"));
        let verdict = judge::judge((&self.spec, &self.origin), own, said.clone(), self.how.active_for, now, trace);
        (Some(said), verdict)
    }

    /// One question, to its end.
    async fn fly(self: Arc<Self>, question: Owned, look: Look) -> Result<Verified, Denied> {
        let Owned { key, token, own, keys, now } = question;
        if look == Look::First {
            // An answer may have come between the asker's look and this flight.
            if let Some(known) = self.cache.as_ref().and_then(|cache| cache.find(&key, keys.as_deref(), now)) {
                return Ok(known);
            }
            if let Some(error) = self.memory.refusal(&key, now) {
                return Err(Denied { error, outage: false });
            }
        }
        let bare = TokenDigest::of(&token).alone();
        let vouched = own.is_some() || self.memory.was_active(&bare);
        let place = if vouched { None } else { self.budget.take() };
        if !vouched && place.is_none() {
            self.report(IntrospectionOutcome::Limited);
            let detail = "the budget for texts that the issuer never called active is used up";
            return Err(Denied { error: AuthnError::new(Reason::IntrospectionLimited, detail), outage: false });
        }
        let said = self.call(&token).await;
        drop(place);
        self.settle((key, bare), own.as_ref(), said, now)
    }

    async fn call(&self, token: &str) -> Result<Answer, NoAnswer> {
        let form = [("token", token), ("token_type_hint", "access_token")];
        let answer = self.provider.call(Endpoint::Introspection, &self.how.client, &form, MAX_BYTES).await;
        answer.map_err(NoAnswer::from).and_then(|answer| answer::read(&answer))
    }

    /// Draws the conclusions, and leaves them where the next request looks.
    fn settle(
        &self,
        (key, bare): (Key, Key),
        own: Option<&Signed>,
        said: Result<Answer, NoAnswer>,
        now: Timestamp,
    ) -> Result<Verified, Denied> {
        let outage = match &said {
            Err(NoAnswer::Outage(_)) => true,
            // The breaker opens for 429, too, and for calls to other endpoints: what was last heard on this one counts.
            Err(NoAnswer::LeftAlone(_)) => self.outage.load(Ordering::Acquire),
            Ok(_) | Err(NoAnswer::Refused(_) | NoAnswer::Unusable(_)) => false,
        };
        self.outage.store(outage, Ordering::Release);
        let judged = match said {
            Ok(Answer::Active(said)) => {
                self.report(IntrospectionOutcome::Active);
                self.memory.called(bare, true);
                judge::judge((&self.spec, &self.origin), own, said, self.how.active_for, now, &mut Unwatched)
            }
            Ok(Answer::Inactive) => {
                self.report(IntrospectionOutcome::Inactive);
                self.memory.called(bare, false);
                Err(inactive())
            }
            Err(why) => {
                self.report(IntrospectionOutcome::Failed);
                self.complain(&why);
                return Err(Denied { error: no_answer(&why), outage });
            }
        };
        match judged {
            Ok(verified) => {
                if let Some(cache) = &self.cache {
                    cache.keep(key, &verified, now);
                }
                Ok(verified)
            }
            Err(Failure { error, .. }) => {
                if let Some(cache) = &self.cache {
                    cache.forget(&key);
                }
                self.memory.refuse(key, &error, now);
                Err(Denied { error, outage: false })
            }
        }
    }

    fn report(&self, outcome: IntrospectionOutcome) {
        self.events.report(Event::Introspected { issuer: &self.spec.name, outcome });
    }

    /// Says in the log that there is no word on tokens; not for each of them.
    fn complain(&self, why: &NoAnswer) {
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if complained.is_some_and(|last| now.saturating_duration_since(last) < COMPLAINT_PAUSE) {
            return;
        }
        *complained = Some(now);
        drop(complained);
        let (issuer, client) = (&*self.spec.name, &*self.how.client.id);
        match why {
            NoAnswer::Refused(_) => {
                tracing::error!(issuer, client, error = %why, "introspection: check the client's id and credentials");
            }
            NoAnswer::Outage(_) | NoAnswer::LeftAlone(_) | NoAnswer::Unusable(_) => {
                tracing::warn!(issuer, error = %why, "introspection: no usable answer");
            }
        }
    }
}

/// Whether what is remembered is looked at before the issuer is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    First,
    Past,
}

/// A question that outlives its asker.
struct Owned {
    key: Key,
    token: Box<str>,
    own: Option<Signed>,
    keys: Option<Arc<KeySet>>,
    now: Timestamp,
}

impl Question<'_> {
    fn owned(self) -> Owned {
        let Self { key, token, own, keys, now } = self;
        Owned { key, token: token.into(), own, keys, now }
    }
}

fn inactive() -> Failure {
    Check::Introspection.fails(Reason::TokenInactive, "the issuer says that it is not active")
}

fn no_answer(why: &NoAnswer) -> AuthnError {
    match why {
        NoAnswer::Refused(_) => AuthnError::new(Reason::IntrospectionRefused, why.to_string()),
        NoAnswer::Outage(_) | NoAnswer::LeftAlone(_) | NoAnswer::Unusable(_) => unavailable(&why.to_string()),
    }
}

fn unavailable(why: &str) -> AuthnError {
    AuthnError::new(Reason::IntrospectionUnavailable, why)
}

#[cfg(test)]
mod tests;
