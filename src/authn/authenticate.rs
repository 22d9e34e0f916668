//! The authentication of one request. What can be said at once, and above all of a token that was seen before, is said
//! without waiting: [`look_up`]. The rest is [`Pending::verify`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::accepted::Accepted;
use super::cache::{Key, TokenDigest};
use super::credential;
use super::error::AuthnError;
use super::issuer::Issuer;
use super::jwt::Token;
use super::select::{self, Selected};
use super::trace::Unwatched;
use super::verified::Verified;
use crate::clock::Timestamp;
use crate::core::caller::Caller;
use crate::core::principal::Principal;
use crate::core::request::Headers;
use crate::core::trail::{TokenId, Work};
use crate::turns::Place;

/// Longest wait for keys or an answer where nobody names a shorter one.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A request's verified token.
#[derive(Clone)]
pub struct Authenticated<'i, 'h> {
    /// The token as it was sent.
    pub token: &'h str,
    /// Who issued it. Its header carried the token.
    pub issuer: &'i Arc<Issuer>,
    /// Whom it speaks for.
    pub principal: Arc<Principal>,
    /// Whether the cache knew it.
    pub cached: bool,
}

impl Authenticated<'_, '_> {
    /// The request header that carried it, lower case.
    pub fn header(&self) -> &Arc<str> {
        self.issuer.header()
    }
}

impl fmt::Debug for Authenticated<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticated")
            .field("principal", &self.principal)
            .field("header", &self.header())
            .field("cached", &self.cached)
            .finish_non_exhaustive()
    }
}

/// What can be said of a request's credential without any wait.
#[derive(Debug)]
#[must_use]
pub enum LookUp<'i, 'h> {
    /// It carries none.
    Absent,
    /// A token that is known to be good.
    Known(Authenticated<'i, 'h>),
    /// A credential that is not accepted.
    Refused(AuthnError),
    /// A token that could be read, and is to be verified.
    Unknown(Pending<'i, 'h>),
}

/// A token that nothing is known of but the issuer that must verify it.
#[derive(Debug)]
#[must_use]
pub struct Pending<'i, 'h> {
    issuer: &'i Arc<Issuer>,
    token: &'h str,
    /// The token as it was read; an opaque one is not.
    jwt: Option<Token<'h>>,
    key: Key,
    now: Timestamp,
    /// Among those that wait for a turn at verifying.
    place: Option<Place>,
}

/// Looks for a request's credential among those of the issuers that its rule accepts, and says what can be said of it at
/// once; and the name of its token, where one was read. It neither waits nor computes a signature.
pub fn look_up<'i, 'h>(
    accepted: Accepted<'i>,
    headers: &Headers<'h>,
    caller: &Caller<'_>,
    now: Timestamp,
) -> (LookUp<'i, 'h>, Option<TokenId>) {
    let sources = accepted.iter().map(|issuer| &issuer.spec().credential);
    let credential = match credential::extract(sources, headers) {
        Ok(Some(credential)) => credential,
        Ok(None) => return (LookUp::Absent, None),
        Err(error) => return (LookUp::Refused(error), None),
    };
    let (token, accepted) = (credential.token, accepted.read_from(credential.source));
    let digest = (token.len() <= select::max_token_bytes(accepted)).then(|| TokenDigest::of(token));
    (look_up_token(accepted, token, digest.as_ref(), caller, now), digest.as_ref().map(TokenDigest::id))
}

/// `digest` is there unless the token is too long.
fn look_up_token<'i, 'h>(
    accepted: Accepted<'i>,
    token: &'h str,
    digest: Option<&TokenDigest>,
    caller: &Caller<'_>,
    now: Timestamp,
) -> LookUp<'i, 'h> {
    if let Some((issuer, verified)) = digest.and_then(|digest| find_cached(accepted, token, digest, now)) {
        issuer.report_lookup(verified.is_introspected(), true);
        return match verified.prove(caller) {
            Ok(principal) => LookUp::Known(Authenticated { token, issuer, principal, cached: true }),
            Err(error) => LookUp::Refused(error),
        };
    }
    // Before the token is read: that costs more than to refuse it. One that is too long says so itself.
    let place = match digest.and_then(|_| admit(accepted)).transpose() {
        Ok(place) => place,
        Err(error) => return LookUp::Refused(error),
    };
    let (issuer, jwt) = match select::select(accepted, token, &mut Unwatched) {
        Ok(Selected::Jwt(issuer, jwt)) => (issuer, Some(jwt)),
        Ok(Selected::Opaque(issuer)) => (issuer, None),
        Err(failure) => return LookUp::Refused(failure.error),
    };
    let introspected = jwt.is_none() || issuer.spec().introspects_jwts();
    // Whatever was selected is within the size.
    let key = issuer.cache_key(&digest.copied().unwrap_or_else(|| TokenDigest::of(token)));
    let refusal = issuer.introspector().and_then(|introspector| introspector.refusal(&key, now));
    issuer.report_lookup(introspected, refusal.is_some());
    match refusal {
        Some(error) => LookUp::Refused(error),
        None => LookUp::Unknown(Pending { issuer, token, jwt, key, now, place }),
    }
}

impl<'i, 'h> Pending<'i, 'h> {
    /// Verifies the token.
    ///
    /// Waits for a turn at verifying its signature, as long as the caller lets it. Beyond that it waits only where a token
    /// names an unknown key, or its issuer is to be asked about it; and not beyond `give_up`: the reason then is that of
    /// what was waited for. What is under way goes on without the request. `work` is told what had to be done.
    ///
    /// # Errors
    /// A token that is not accepted, with the reason.
    pub async fn verify(
        self,
        caller: &Caller<'_>,
        give_up: Instant,
        work: &mut Work,
    ) -> Result<Authenticated<'i, 'h>, AuthnError> {
        let Self { issuer, token, jwt, key, now, place } = self;
        let jwt = jwt.map(|jwt| (jwt, place));
        let principal = issuer.judge(token, jwt, key, now, give_up, work).await?.prove(caller)?;
        Ok(Authenticated { token, issuer, principal, cached: false })
    }
}

/// As [`authenticate_by`], for callers who bound the wait themselves.
///
/// # Errors
/// As there.
pub async fn authenticate<'i, 'h>(
    accepted: Accepted<'i>,
    headers: &Headers<'h>,
    caller: &Caller<'_>,
    now: Timestamp,
) -> Result<Option<Authenticated<'i, 'h>>, AuthnError> {
    authenticate_by(accepted, headers, caller, now, Instant::now() + LONGEST_WAIT).await
}

/// Authenticates a request by the issuers that its rule accepts: [`look_up`], and what it leaves to be verified. `Ok(None)`
/// where the request carries no credential.
///
/// # Errors
/// A credential that is not accepted, with the reason.
pub async fn authenticate_by<'i, 'h>(
    accepted: Accepted<'i>,
    headers: &Headers<'h>,
    caller: &Caller<'_>,
    now: Timestamp,
    give_up: Instant,
) -> Result<Option<Authenticated<'i, 'h>>, AuthnError> {
    match look_up(accepted, headers, caller, now).0 {
        LookUp::Absent => Ok(None),
        LookUp::Known(found) => Ok(Some(found)),
        LookUp::Refused(error) => Err(error),
        LookUp::Unknown(pending) => pending.verify(caller, give_up, &mut Work::None).await.map(Some),
    }
}

/// A place among those that wait for a turn, where only its signature can say whether a token is good.
fn admit(accepted: Accepted<'_>) -> Option<Result<Place, AuthnError>> {
    // Turns are the same whoever the issuer is.
    let issuer = accepted.iter().next().filter(|_| select::are_signed(accepted))?;
    let place = issuer.admit();
    if place.is_err() && accepted.is_one() {
        issuer.report_lookup(false, false);
    }
    Some(place.map_err(AuthnError::from))
}

/// Asks the issuers' caches. Whose cache knows a token once was chosen for it; it must be the choice among these
/// issuers, too.
fn find_cached<'i>(
    accepted: Accepted<'i>,
    token: &str,
    digest: &TokenDigest,
    now: Timestamp,
) -> Option<(&'i Arc<Issuer>, Verified)> {
    let (hit, verified) = accepted.iter().find_map(|issuer| Some((issuer, issuer.find_cached(digest, now)?)))?;
    let chosen = accepted.is_one()
        || match verified.key() {
            Some(_) => select::is_only_one(accepted, hit),
            None => select::is_opaque_of(accepted, token, hit),
        };
    chosen.then_some((hit, verified))
}
