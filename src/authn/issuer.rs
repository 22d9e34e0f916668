//! A running issuer: its spec, keys and cache of validated tokens; and the authentication of one request.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::cache::{TokenCache, TokenDigest};
use super::claims;
use super::credential::{self, header_name};
use super::jwt::{Checked, Token, Verified, unclaimed};
use super::spec::IssuerSpec;
use super::store::{Deps, KeyFileError, KeyStore};
use super::trace::{Check, Failure, Outcome, Recorder, Trace, Unwatched};
use crate::clock::Timestamp;
use crate::core::caller::Caller;
use crate::core::event::{Event, Events};
use crate::core::principal::Principal;
use crate::core::reason::Reason;
use crate::core::request::Headers;
use crate::provider::Provider;

pub use super::error::AuthnError;

/// A running issuer. Survives reloads that leave its spec unchanged.
#[derive(Debug)]
pub struct Issuer {
    spec: IssuerSpec,
    keys: Arc<KeyStore>,
    cache: Option<TokenCache>,
    provider: Option<Arc<Provider>>,
    header: Arc<str>,
    events: Arc<dyn Events>,
}

/// A request's verified token.
#[derive(Clone)]
pub struct Authenticated<'h> {
    /// The token as it was sent.
    pub token: &'h str,
    /// Who issued it.
    pub issuer: Arc<Issuer>,
    /// Whom it speaks for.
    pub principal: Arc<Principal>,
    /// The request header that carried it, lower case.
    pub header: Arc<str>,
    /// Whether the cache knew it.
    pub cached: bool,
}

impl fmt::Debug for Authenticated<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticated")
            .field("principal", &self.principal)
            .field("header", &self.header)
            .field("cached", &self.cached)
            .finish_non_exhaustive()
    }
}

impl Issuer {
    /// Starts an issuer: reads its key files, or begins to fetch its keys.
    ///
    /// # Errors
    /// A key file that is missing or broken.
    pub fn start(spec: IssuerSpec, deps: &Deps) -> Result<Arc<Self>, KeyFileError> {
        let keys = Arc::new(KeyStore::start(&spec, deps)?);
        let provider = spec.provider.clone().map(|spec| Provider::start(spec, deps));
        Ok(Self::with_parts(spec, keys, provider, deps))
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
        Ok(Self::with_parts(spec, keys, provider, deps))
    }

    fn with_parts(spec: IssuerSpec, keys: Arc<KeyStore>, provider: Option<Arc<Provider>>, deps: &Deps) -> Arc<Self> {
        let cache = TokenCache::of(&spec);
        let header = header_name(&spec.credential).into();
        Arc::new(Self { spec, keys, cache, provider, header, events: deps.events.clone() })
    }

    /// Its endpoints, where the configuration has any: for introspection, and for tokens that are obtained there.
    pub fn provider(&self) -> Option<&Arc<Provider>> {
        self.provider.as_ref()
    }

    /// Judges anew whether a token that was accepted is still good, as far as can be told: where the issuer introspects
    /// such tokens it is asked, past the cache; elsewhere its times alone are judged. An issuer that cannot be asked
    /// says nothing against the token. The caller bounds the wait.
    ///
    /// # Errors
    /// The token has expired ([`Reason::TokenExpired`]), is no longer active ([`Reason::TokenInactive`]), or is
    /// refused for another reason that is its own.
    pub async fn recheck(&self, token: &str, now: Timestamp) -> Result<(), AuthnError> {
        let trace = &mut Unwatched;
        let token = Token::decode(token, self.spec.max_token_bytes, trace)?;
        claims::check_times(&self.spec, token.claims(), now, trace)?;
        Ok(())
    }

    /// What the configuration says about it.
    pub fn spec(&self) -> &IssuerSpec {
        &self.spec
    }

    /// Its keys.
    pub fn keys(&self) -> &KeyStore {
        &self.keys
    }

    /// Verifies with the keys there are; where the token names one that is not, asks once whether there are newer.
    async fn verify(&self, checked: Checked<'_, '_>, trace: &mut dyn Trace) -> Result<Verified, Failure> {
        let current =
            || self.keys.current().map_err(|error| Check::Key.fails(Reason::KeysUnavailable, error.to_string()));
        let mut keys = current()?;
        if let Some(kid) = checked.unknown_kid(&keys) {
            self.keys.refetch_for(kid).await;
            keys = current()?;
        }
        checked.verify(&keys, trace)
    }

    fn report_lookup(&self, hit: bool) {
        self.events.report(Event::TokenCache { issuer: &self.spec.name, hit });
    }
}

/// Authenticates a request by the issuers that its rule accepts. `Ok(None)` where it carries no credential.
///
/// Waits only where a token names an unknown key; the caller of this function bounds that wait by the call's deadline.
///
/// # Errors
/// A credential that is not accepted, with the reason.
pub async fn authenticate<'h>(
    issuers: &[&Arc<Issuer>],
    headers: &Headers<'h>,
    caller: &Caller<'_>,
    now: Timestamp,
) -> Result<Option<Authenticated<'h>>, AuthnError> {
    let sources = issuers.iter().map(|issuer| &issuer.spec.credential);
    let Some(credential) = credential::extract(sources, headers)? else { return Ok(None) };
    let candidates: Vec<&Arc<Issuer>> =
        issuers.iter().copied().filter(|issuer| issuer.spec.credential == *credential.source).collect();
    let authenticated = |issuer: &Arc<Issuer>, principal: &Arc<Principal>, cached| Authenticated {
        token: credential.token,
        issuer: Arc::clone(issuer),
        principal: Arc::clone(principal),
        header: Arc::clone(&issuer.header),
        cached,
    };
    let max_bytes = max_token_bytes(&candidates);
    let digest = (credential.token.len() <= max_bytes).then(|| TokenDigest::of(credential.token));

    if let Some((issuer, verified)) = digest.as_ref().and_then(|digest| find_cached(&candidates, digest, now)) {
        issuer.report_lookup(true);
        return Ok(Some(authenticated(issuer, verified.prove(caller)?, true)));
    }
    let trace = &mut Unwatched;
    let token = Token::decode(credential.token, max_bytes, trace)?;
    let issuer = select(&candidates, &token)?;
    if issuer.cache.is_some() {
        issuer.report_lookup(false);
    }
    let verified = issuer.verify(Checked::check(&issuer.spec, token, now, trace)?, trace).await?;
    if let (Some(cache), Some(digest)) = (&issuer.cache, &digest) {
        cache.keep(cache.key(digest), &verified, now);
    }
    Ok(Some(authenticated(issuer, verified.prove(caller)?, false)))
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

/// What the checks said of a token: the same run that decides on requests, watched.
#[derive(Debug)]
pub struct Report {
    /// The issuer whose checks ran, where one claimed the token.
    pub issuer: Option<Arc<str>>,
    /// Every check in the order in which they run.
    pub steps: Vec<(Check, Outcome)>,
    /// The JOSE header, unverified, where it can be read.
    pub header: Option<Map<String, Value>>,
    /// The claims, unverified, where they can be read.
    pub claims: Option<Map<String, Value>>,
    /// How it ended.
    pub result: Result<Arc<Principal>, AuthnError>,
}

/// Runs the checks on a token as [`authenticate`] does, for people. The cache is neither asked nor filled. Where two
/// issuers read different headers, the caller names the one that is meant by passing it alone.
pub async fn explain(issuers: &[&Arc<Issuer>], token: &str, caller: &Caller<'_>, now: Timestamp) -> Report {
    let candidates = issuers;
    let mut trace = Recorder::default();
    let (mut chosen, mut parts) = (None, None);
    let run = async {
        let token = Token::decode(token, max_token_bytes(candidates), &mut trace)?;
        parts = Some((token.header().clone(), token.claims().clone()));
        let issuer = select(candidates, &token)?;
        chosen = Some(issuer.spec.name.clone());
        let verified = issuer.verify(Checked::check(&issuer.spec, token, now, &mut trace)?, &mut trace).await?;
        let proven = verified.prove(caller).map_err(|error| Failure { check: Check::Possession, error })?;
        let proof = if proven.bound_to.is_some() { "the caller's certificate is the one" } else { "none needed" };
        trace.passed(Check::Possession, format_args!("{proof}"));
        Ok::<_, Failure>(proven.clone())
    };
    let result = run.await;
    let steps = trace.steps(result.as_ref().err());
    let (header, claims) = parts.unzip();
    Report { issuer: chosen, steps, header, claims, result: result.map_err(AuthnError::from) }
}

fn max_token_bytes(candidates: &[&Arc<Issuer>]) -> usize {
    candidates.iter().map(|issuer| issuer.spec.max_token_bytes).max().unwrap_or(0)
}

/// The one candidate whose tokens have this `iss`. No other is tried afterwards, whatever its keys would say.
fn select<'i>(candidates: &[&'i Arc<Issuer>], token: &Token<'_>) -> Result<&'i Arc<Issuer>, Failure> {
    let iss = token.issuer()?;
    let mut claiming = candidates.iter().filter(|issuer| claims::is_of(&issuer.spec.issuer, iss));
    match (claiming.next(), claiming.next()) {
        (Some(issuer), None) => Ok(issuer),
        (Some(_), Some(_)) => {
            Err(Check::Issuer.fails(Reason::UnknownIssuer, "more than one accepted issuer claims it"))
        }
        (None, _) => Err(unclaimed(candidates.iter().map(|issuer| &issuer.spec.issuer), iss)),
    }
}

/// Asks the candidates' caches. Whose cache knows a token was chosen for its `iss`, so no second candidate may claim it.
fn find_cached<'i>(
    candidates: &[&'i Arc<Issuer>],
    digest: &TokenDigest,
    now: Timestamp,
) -> Option<(&'i Arc<Issuer>, Verified)> {
    let found = candidates.iter().find_map(|issuer| {
        let cache = issuer.cache.as_ref()?;
        let keys = issuer.keys.current().ok()?;
        Some((*issuer, cache.find(&cache.key(digest), &keys, now)?))
    });
    found.filter(|(hit, _)| candidates.iter().filter(|other| other.spec.issuer == hit.spec.issuer).count() == 1)
}
