//! Where the current key set stands, and how it came there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Deps, KeyStatus, KeysUnavailable};
use crate::authn::keys::{KeySet, Published};
use crate::authn::spec::IssuerSpec;
use crate::clock::{Clock, Timestamp};
use crate::core::event::{Event, Events, RefreshOutcome};

/// The current key set.
#[derive(Debug)]
pub(super) struct Slot {
    issuer: Arc<str>,
    clock: Arc<dyn Clock>,
    events: Arc<dyn Events>,
    /// How long keys may be used without a new success; `None` for ever.
    max_age: Option<Duration>,
    current: ArcSwapOption<Loaded>,
    last_error: Mutex<Option<String>>,
    complaints: Complaints,
    filled: watch::Sender<bool>,
}

/// Least time between two log lines that say the same of keys.
const SAY_AGAIN: Duration = Duration::from_secs(600);

/// When it is time to say again that keys do not come.
#[derive(Debug, Default)]
struct Complaints(Mutex<Complained>);

#[derive(Debug, Default)]
struct Complained {
    last: Option<Instant>,
    attempts: u64,
}

impl Complaints {
    /// Counts a failed attempt; for how many a line has to stand, where one is due.
    fn due(&self, is_news: bool, now: Instant) -> Option<u64> {
        let mut complained = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        complained.attempts += 1;
        let due = is_news || complained.last.is_none_or(|last| now.saturating_duration_since(last) >= SAY_AGAIN);
        due.then(|| {
            complained.last = Some(now);
            std::mem::take(&mut complained.attempts)
        })
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Complained::default();
    }
}

#[derive(Debug)]
struct Loaded {
    set: Arc<KeySet>,
    at: Timestamp,
}

impl Slot {
    pub(super) fn new(spec: &IssuerSpec, deps: &Deps, max_age: Option<Duration>) -> Self {
        Self {
            issuer: Arc::clone(&spec.name),
            clock: Arc::clone(&deps.clock),
            events: Arc::clone(&deps.events),
            max_age,
            current: ArcSwapOption::empty(),
            last_error: Mutex::default(),
            complaints: Complaints::default(),
            filled: watch::Sender::new(false),
        }
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) fn report(&self, event: Event<'_>) {
        self.events.report(event);
    }

    /// The keys that may be used now.
    pub(super) fn current(&self) -> Result<Arc<KeySet>, KeysUnavailable> {
        let loaded = self.current.load();
        match &*loaded {
            Some(loaded) if !self.is_expired(loaded) => Ok(Arc::clone(&loaded.set)),
            _ => Err(KeysUnavailable),
        }
    }

    /// The keys that may be used at `now`, without a share in them.
    pub(super) fn peek<T>(&self, now: Timestamp, look: impl FnOnce(Option<&KeySet>) -> T) -> T {
        let loaded = self.current.load();
        let usable = loaded.as_ref().filter(|loaded| !self.is_expired_at(loaded, now));
        look(usable.map(|loaded| &*loaded.set))
    }

    /// The last good keys, however old.
    pub(super) fn last_good(&self) -> Option<Arc<KeySet>> {
        self.current.load().as_ref().map(|loaded| Arc::clone(&loaded.set))
    }

    /// Puts new keys in the place of the old.
    pub(super) fn publish(&self, Published { set, refused }: Published) {
        let keys = set.len();
        for why in refused {
            self.report(Event::KeyRefused { issuer: &self.issuer, why });
        }
        self.current.store(Some(Arc::new(Loaded { set: Arc::new(set), at: self.clock.now() })));
        if self.last_error().take().is_some() {
            self.complaints.forget();
            tracing::info!(issuer = %self.issuer, keys, "keys are refreshed again");
        }
        self.filled.send_replace(true);
        // An issuer that has no keys is not one that lost them.
        if keys > 0 {
            self.report(Event::KeyRefresh { issuer: &self.issuer, outcome: RefreshOutcome::Fresh, keys });
        }
    }

    /// Keeps the old keys.
    pub(super) fn failed(&self, outcome: RefreshOutcome, why: String) {
        let keys = self.last_good().map_or(0, |set| set.len());
        // Attempts go on for as long as it fails. Each new reason is news, and that it lasts is, now and then.
        let mut last = self.last_error();
        let changed = last.as_ref() != Some(&why);
        *last = Some(why.clone());
        drop(last);
        if let Some(attempts) = self.complaints.due(changed, Instant::now()) {
            tracing::warn!(issuer = %self.issuer, error = %why, keys, attempts, "keys not refreshed");
        }
        self.report(Event::KeyRefresh { issuer: &self.issuer, outcome, keys });
    }

    pub(super) async fn wait(&self, limit: Duration) -> bool {
        let mut filled = self.filled.subscribe();
        tokio::time::timeout(limit, filled.wait_for(|filled| *filled)).await.is_ok_and(|filled| filled.is_ok())
    }

    pub(super) fn status(&self) -> KeyStatus {
        let loaded = self.current.load_full();
        KeyStatus {
            keys: loaded.as_ref().map_or(0, |loaded| loaded.set.len()),
            last_success: loaded.as_ref().map(|loaded| loaded.at),
            last_error: self.last_error().clone(),
            expired: loaded.is_some_and(|loaded| self.is_expired(&loaded)),
            max_age: self.max_age,
        }
    }

    fn is_expired(&self, loaded: &Loaded) -> bool {
        self.max_age.is_some() && self.is_expired_at(loaded, self.clock.now())
    }

    fn is_expired_at(&self, loaded: &Loaded, now: Timestamp) -> bool {
        self.max_age.is_some_and(|max_age| now.since(loaded.at) > max_age)
    }

    fn last_error(&self) -> MutexGuard<'_, Option<String>> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_said_now_and_then_and_what_is_new_at_once() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        assert_eq!(complaints.due(true, at(0)), Some(1));
        for minutes in 1..10 {
            assert_eq!(complaints.due(false, at(minutes)), None);
        }
        assert_eq!(complaints.due(false, at(10)), Some(10));
        assert_eq!(complaints.due(true, at(10)), Some(1), "another reason");
        complaints.forget();
        assert_eq!(complaints.due(false, at(10)), Some(1));
    }
}
