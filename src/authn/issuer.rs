//! A running issuer: its spec, keys, provider and what it knows of tokens.

use std::sync::Arc;

use tokio::time::Instant;

use super::accepted::Accepted;
use super::authenticate::LONGEST_WAIT;
use super::cache::{ConfigDigest, Key, TokenCache, TokenDigest};
use super::credential::header_name;
use super::error::AuthnError;
use super::introspection::{Introspector, Question};
use super::jwt::{Checked, Token};
use super::keys::KeySet;
use super::mapping;
use super::select::{self, Selected};
use super::spec::IssuerSpec;
use super::store::{Deps, KeyFileError, KeyStore};
use super::trace::{Check, Failure, Unwatched};
use super::verified::{Signed, Verified};
use crate::clock::Timestamp;
use crate::core::event::{Event, Events};
use crate::core::principal::Origin;
use crate::core::reason::Reason;
use crate::core::trail::Work;
use crate::provider::Provider;
use crate::turns::{Overloaded, Place, Turns};

pub use super::cache::CacheStatus;
pub use super::explain::{Report, explain};
pub use super::introspection::Trial;

/// Why a signature was not looked at, which says nothing against the token.
const SAYS_NOTHING: [Reason; 2] = [Reason::KeysUnavailable, Reason::Overloaded];

/// A running issuer. Survives reloads that leave its spec unchanged.
#[derive(Debug)]
pub struct Issuer {
    spec: Arc<IssuerSpec>,
    keys: Arc<KeyStore>,
    config: ConfigDigest,
    cache: Option<Arc<TokenCache>>,
    provider: Option<Arc<Provider>>,
    introspector: Option<Arc<Introspector>>,
    header: Arc<str>,
    origin: Arc<Origin>,
    events: Arc<dyn Events>,
    turns: Arc<Turns>,
}

impl Issuer {
    /// Starts an issuer: reads its key files, or begins to fetch its keys.
    ///
    /// # Errors
    /// A key file that is missing or broken.
    pub fn start(spec: IssuerSpec, deps: &Deps) -> Result<Arc<Self>, KeyFileError> {
        let keys = Arc::new(KeyStore::start(&spec, deps)?);
        let provider = spec.provider.clone().map(|spec| Provider::start(spec, deps));
        Ok(Self::with_parts(None, spec, keys, provider, deps))
    }

    /// As [`Issuer::start`], in the place of one that runs: where both have their keys from the same source, they share
    /// them, and so they do where both call the same provider. What was verified under the other spec is forgotten all
    /// the same.
    ///
    /// # Errors
    /// As there.
    pub fn start_instead_of(running: &Self, spec: IssuerSpec, deps: &Deps) -> Result<Arc<Self>, KeyFileError> {
        let old = &running.spec;
        let keys = if (&old.name, &old.issuer, &old.keys) == (&spec.name, &spec.issuer, &spec.keys) {
            Arc::clone(&running.keys)
        } else {
            Arc::new(KeyStore::start(&spec, deps)?)
        };
        let provider = spec.provider.as_ref().map(|wanted| {
            let same = running.provider.as_ref().filter(|provider| provider.spec() == wanted);
            same.map_or_else(|| Provider::start(wanted.clone(), deps), Arc::clone)
        });
        Ok(Self::with_parts(Some(running), spec, keys, provider, deps))
    }

    fn with_parts(
        running: Option<&Self>,
        spec: IssuerSpec,
        keys: Arc<KeyStore>,
        provider: Option<Arc<Provider>>,
        deps: &Deps,
    ) -> Arc<Self> {
        let (spec, events) = (Arc::new(spec), deps.events.clone());
        let cache = TokenCache::of(&spec).map(Arc::new);
        let (of_provider, of_cache) = (provider.as_ref(), cache.as_ref());
        let introspector = match running.and_then(|running| running.introspector.as_deref()) {
            Some(running) => Introspector::instead_of(running, &spec, of_provider, of_cache, &events),
            None => Introspector::of(&spec, of_provider, of_cache, &events),
        };
        let header = header_name(&spec.credential).into();
        let (config, origin) = (ConfigDigest::of(&spec), mapping::origin(&spec));
        Arc::new(Self {
            spec,
            keys,
            config,
            cache,
            provider,
            introspector,
            header,
            origin,
            events,
            turns: Arc::clone(&deps.turns),
        })
    }

    /// What the configuration says about it.
    pub fn spec(&self) -> &IssuerSpec {
        &self.spec
    }

    /// Its keys.
    pub fn keys(&self) -> &KeyStore {
        &self.keys
    }

    /// How full its cache of validated tokens is, where it has one.
    pub fn cache(&self) -> Option<CacheStatus> {
        self.cache.as_ref().map(|cache| cache.status())
    }

    /// How many waited for a question to the issuer that others had asked, where it is asked at all.
    pub fn introspection_followers(&self) -> Option<u64> {
        self.introspector.as_ref().map(|introspector| introspector.followers())
    }

    /// Its endpoints, where the configuration has any: for introspection, and for tokens that are obtained there.
    pub fn provider(&self) -> Option<&Arc<Provider>> {
        self.provider.as_ref()
    }

    /// Judges anew whether a token that was accepted is still good, as far as can be told: where the issuer introspects
    /// such tokens it is asked, past the cache; elsewhere its signature and times alone are judged. An issuer that
    /// cannot be asked, and keys that are not there, say nothing against the token. The caller bounds the wait.
    ///
    /// # Errors
    /// The token has expired ([`Reason::TokenExpired`]), is no longer active ([`Reason::TokenInactive`]), or is
    /// refused for another reason that is its own.
    pub async fn recheck(self: &Arc<Self>, token: &str, now: Timestamp) -> Result<(), AuthnError> {
        let give_up = Instant::now() + LONGEST_WAIT;
        let trace = &mut Unwatched;
        let own = match select::select(Accepted::all(std::slice::from_ref(self)), token, trace)? {
            Selected::Opaque(_) => None,
            Selected::Jwt(_, token) => {
                let checked = Checked::check(&self.spec, token, now, trace)?;
                let verify = |_: &Self, checked: Checked<'_>, keys: &KeySet| checked.verify(keys, &mut Unwatched);
                match self.in_turn(checked, None, give_up, verify).await {
                    Ok(signed) => Some(signed),
                    Err(failure) if SAYS_NOTHING.contains(&failure.error.reason) => return Ok(()),
                    Err(failure) => return Err(failure.into()),
                }
            }
        };
        match &self.introspector {
            Some(introspector) if own.is_none() || self.spec.introspects_jwts() => {
                let key = self.config.key(&TokenDigest::of(token));
                let question = Question { key, token, own, keys: self.keys.current().ok(), now };
                introspector.ask_again(question, give_up).await
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Asks its introspection endpoint about a text that is nobody's token. `None` where it has none.
    pub async fn try_introspection(&self) -> Option<Trial> {
        Some(self.introspector.as_ref()?.try_out().await)
    }

    /// The request header that carries its tokens, lower case.
    pub fn header(&self) -> &Arc<str> {
        &self.header
    }

    /// What whoever its tokens speak for has in common.
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    pub(super) fn introspector(&self) -> Option<&Arc<Introspector>> {
        self.introspector.as_ref()
    }

    /// The keys to verify a token with. Whoever waits for them gives a place among those that wait for turns up.
    pub(super) async fn keys_for(
        &self,
        checked: &Checked<'_>,
        place: &mut Option<Place>,
        give_up: Instant,
    ) -> Result<Arc<KeySet>, Failure> {
        let unavailable = |why: String| Check::Key.fails(Reason::KeysUnavailable, why);
        let current = || self.keys.current().map_err(|error| unavailable(error.to_string()));
        let keys = current()?;
        let Some(kid) = checked.unknown_kid(&keys) else { return Ok(keys) };
        drop(place.take());
        let refetched = tokio::time::timeout_at(give_up, self.keys.refetch_for(kid)).await;
        refetched.map_err(|_| unavailable("newer keys did not come in time".to_owned()))?;
        current()
    }

    /// Has `then` done with a token and its keys when it is its turn, if there is a signature to be verified.
    async fn in_turn<T: Send + 'static>(
        self: &Arc<Self>,
        checked: Checked<'_>,
        mut place: Option<Place>,
        give_up: Instant,
        then: impl FnOnce(&Self, Checked<'static>, &KeySet) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let keys = self.keys_for(&checked, &mut place, give_up).await?;
        if !checked.has_key_in(&keys) {
            return then(self, checked.into_owned(), &keys);
        }
        let place = match place {
            Some(place) => place,
            None => self.admit()?,
        };
        let (issuer, checked) = (Arc::clone(self), checked.into_owned());
        place.run(move || then(&issuer, checked, &keys)).await.map_err(too_much)?
    }

    /// A place among those that wait for a turn at verifying a signature.
    ///
    /// # Errors
    /// There is too much to do.
    pub(super) fn admit(&self) -> Result<Place, Failure> {
        self.turns.admit().map_err(too_much)
    }

    /// What the token comes to, all checks together. `work` is told what had to be done.
    pub(super) async fn judge(
        self: &Arc<Self>,
        token: &str,
        jwt: Option<(Token<'_>, Option<Place>)>,
        key: Key,
        now: Timestamp,
        give_up: Instant,
        work: &mut Work,
    ) -> Result<Verified, AuthnError> {
        let own = match jwt {
            None => None,
            Some((jwt, place)) => {
                let checked = Checked::check(&self.spec, jwt, now, &mut Unwatched)?;
                let is_known = self.current_keys().is_some_and(|keys| checked.has_key_in(&keys));
                *work = if is_known { Work::Verified } else { Work::CalledOut };
                let settle =
                    move |issuer: &Self, checked: Checked<'_>, keys: &KeySet| issuer.settle(checked, keys, &key, now);
                match self.in_turn(checked, place, give_up, settle).await? {
                    Settled::Verified(verified) => return Ok(verified),
                    Settled::Signed(signed) => Some(signed),
                }
            }
        };
        let Some(introspector) = &self.introspector else {
            return Err(AuthnError::new(
                Reason::InternalError,
                "the issuer has no introspection, which such tokens need",
            ));
        };
        *work = Work::CalledOut;
        introspector.ask(Question { key, token, own, keys: self.current_keys(), now }, give_up).await
    }

    /// What a token comes to by its signature. Where many bring the same new token at once, it is known after the first turn.
    fn settle(&self, checked: Checked<'_>, keys: &KeySet, key: &Key, now: Timestamp) -> Result<Settled, Failure> {
        if let Some(verified) = self.cache.as_ref().and_then(|cache| cache.find(key, Some(keys), now)) {
            return Ok(Settled::Verified(verified));
        }
        let signed = checked.verify(keys, &mut Unwatched)?;
        if self.spec.introspects_jwts() {
            return Ok(Settled::Signed(signed));
        }
        let verified = signed.alone(&self.spec, &self.origin)?;
        if let Some(cache) = &self.cache {
            cache.keep(*key, &verified, now);
        }
        Ok(Settled::Verified(verified))
    }

    /// The token with this digest, if it is known and as good as if it were validated now.
    pub(super) fn find_cached(&self, digest: &TokenDigest, now: Timestamp) -> Option<Verified> {
        let (cache, key) = (self.cache.as_ref()?, self.cache_key(digest));
        self.keys.peek(now, |keys| cache.find(&key, keys, now))
    }

    /// Names a token under this configuration.
    pub(super) fn cache_key(&self, digest: &TokenDigest) -> Key {
        self.config.key(digest)
    }

    fn current_keys(&self) -> Option<Arc<KeySet>> {
        self.keys.current().ok()
    }

    /// Reports a look-up for a token that is introspected, or is not.
    pub(super) fn report_lookup(&self, introspected: bool, hit: bool) {
        let issuer = &*self.spec.name;
        if introspected {
            self.events.report(Event::IntrospectionCache { issuer, hit });
        } else if self.cache.is_some() {
            self.events.report(Event::TokenCache { issuer, hit });
        }
    }
}

/// What a token comes to by its signature.
enum Settled {
    Verified(Verified),
    /// What its issuer says of it is still to come.
    Signed(Signed),
}

fn too_much(error: Overloaded) -> Failure {
    Check::Signature.fails(Reason::Overloaded, error.to_string())
}

/// The request headers that carry credentials of these issuers, lower case: what is removed where nothing was verified.
pub fn credential_headers<'i>(issuers: impl IntoIterator<Item = &'i Arc<Issuer>>) -> Vec<Arc<str>> {
    let mut headers: Vec<Arc<str>> = Vec::new();
    for issuer in issuers {
        if !headers.contains(&issuer.header) {
            headers.push(issuer.header.clone());
        }
    }
    headers
}
