//! Exchanged tokens, for a while: bounded in bytes, and judged again by the wall clock on every hit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256, digest};
use moka::Expiry;
use moka::notification::RemovalCause;
use moka::sync::Cache;

use super::requester::{Granted, Requester};
use super::spec::{ExchangeCacheSpec, TokenType};
use super::subject::{OwnSubject, Subject};
use crate::authn::AuthnError;
use crate::authn::issuer::CacheStatus;
use crate::clock::Timestamp;
use crate::secret::Secret;

/// How long a refusal is believed, so that a caller who tries again and again does not reach the provider each time.
const REFUSED_FOR: Duration = Duration::from_secs(1);
/// Most refusals that are kept.
const MAX_REFUSALS: u64 = 4096;
/// What an entry takes beside its token: moka's table, queues and timer, the reference count.
const OVERHEAD: usize = 512;

/// What an exchange depends on: the subject token and its issuer, the actor token, and everything that the configuration
/// says of this token and its provider. Two requests share an exchange only where all of it is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

/// The part of every key of one token that the configuration makes. Secrets are not in it: one that rotates leaves what
/// was exchanged before as good as it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms([u8; 32]);

impl Terms {
    pub(super) fn of(requester: &Requester) -> Self {
        Self(sha256(format!("{:?}{:?}", requester.spec, requester.provider.spec()).as_bytes()))
    }

    pub(super) fn key(&self, subject: &Subject<'_>, actor: Option<&(Secret, TokenType)>) -> Key {
        let mut context = Context::new(&SHA256);
        // Every part has a length of its own, so that no two ways to write them look alike.
        context.update(&self.0);
        context.update(&sha256(subject.token.as_bytes()));
        context.update(&sha256(subject.issuer.spec().name.as_bytes()));
        match actor {
            None => context.update(&[0]),
            Some((token, kind)) => {
                context.update(&[1]);
                context.update(&sha256(token.expose().as_bytes()));
                context.update(&sha256(kind.urn().as_bytes()));
            }
        }
        Key(fixed(context.finish().as_ref()))
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    fixed(digest(&SHA256, bytes).as_ref())
}

fn fixed(digest: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest) {
        *to = *from;
    }
    out
}

/// One token's cache.
#[derive(Debug)]
pub(super) struct ExchangeCache {
    /// `None` where the configuration gives it no room or no time.
    tokens: Option<Cache<Key, Arc<Entry>>>,
    refusals: Cache<Key, AuthnError>,
    evictions: Arc<AtomicU64>,
    spec: ExchangeCacheSpec,
}

#[derive(Debug)]
struct Entry {
    token: Secret,
    kept_at: Timestamp,
    /// Not at this time, nor after.
    until: Timestamp,
    time_to_live: Duration,
}

impl ExchangeCache {
    pub(super) fn new(spec: &ExchangeCacheSpec) -> Self {
        let evictions = Arc::new(AtomicU64::new(0));
        let used = spec.max_bytes > 0 && !spec.max_age.is_zero();
        let tokens = used.then(|| {
            let weigher = |_: &Key, entry: &Arc<Entry>| {
                u32::try_from(entry.token.expose().len().saturating_add(OVERHEAD)).unwrap_or(u32::MAX)
            };
            let evictions = Arc::clone(&evictions);
            let evicted = move |_, _, cause| {
                if cause == RemovalCause::Size {
                    evictions.fetch_add(1, Ordering::Relaxed);
                }
            };
            let cache = Cache::builder().max_capacity(spec.max_bytes).weigher(weigher).expire_after(TimeToLive);
            cache.eviction_listener(evicted).build()
        });
        let refusals = Cache::builder().max_capacity(MAX_REFUSALS).time_to_live(REFUSED_FOR).build();
        Self { tokens, refusals, evictions, spec: spec.clone() }
    }

    /// The token that an earlier exchange brought, if it is as good as a new one.
    pub(super) fn find(&self, key: &Key, now: Timestamp) -> Option<Secret> {
        let tokens = self.tokens.as_ref()?;
        let entry = tokens.get(key)?;
        let fresh = entry.kept_at <= now && now.since(entry.kept_at) < self.spec.max_age && now < entry.until;
        if fresh {
            return Some(entry.token.clone());
        }
        tokens.invalidate(key);
        None
    }

    /// Keeps a token that came at `now`: for the configured time, and no longer than it or its subject token lives, less
    /// the margin. One that does not say when it expires is not kept.
    pub(super) fn keep(&self, key: Key, granted: &Granted, subject: &OwnSubject, now: Timestamp) {
        let (Some(tokens), Some(expires_at)) = (&self.tokens, granted.expires_at) else { return };
        let until = expires_at.min(subject.expires_at).saturating_sub(self.spec.margin);
        let time_to_live = until.since(now).min(self.spec.max_age);
        if !time_to_live.is_zero() {
            let token = granted.token.clone();
            tokens.insert(key, Arc::new(Entry { token, kept_at: now, until, time_to_live }));
        }
    }

    /// Why the provider refused just now.
    pub(super) fn refusal(&self, key: &Key) -> Option<AuthnError> {
        self.refusals.get(key)
    }

    /// Remembers a refusal for a moment.
    pub(super) fn refuse(&self, key: Key, error: AuthnError) {
        self.refusals.insert(key, error);
    }

    /// How full it is, where there is room for anything.
    pub(super) fn status(&self) -> Option<CacheStatus> {
        let tokens = self.tokens.as_ref()?;
        Some(CacheStatus {
            entries: tokens.entry_count(),
            bytes: tokens.weighted_size(),
            max_bytes: self.spec.max_bytes,
            evictions: self.evictions.load(Ordering::Relaxed),
        })
    }

    #[cfg(test)]
    fn settle(&self) -> (u64, u64) {
        let tokens = self.tokens.as_ref().unwrap();
        tokens.run_pending_tasks();
        (tokens.entry_count(), tokens.weighted_size())
    }
}

struct TimeToLive;

impl Expiry<Key, Arc<Entry>> for TimeToLive {
    fn expire_after_create(&self, _: &Key, entry: &Arc<Entry>, _: Instant) -> Option<Duration> {
        Some(entry.time_to_live)
    }

    fn expire_after_update(&self, _: &Key, entry: &Arc<Entry>, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(entry.time_to_live)
    }
}

#[cfg(test)]
mod tests;
