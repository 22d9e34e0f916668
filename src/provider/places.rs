//! Places for calls that are under way.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::core::event::{Event, Events};

/// For each place, so many may wait for one. Who comes after them is turned away at once, so that what waits is bounded.
const WAITING_FOR_EACH: usize = 16;

/// The places of a provider.
pub(super) struct Places {
    provider: Arc<str>,
    events: Arc<dyn Events>,
    free: Semaphore,
    waiting: AtomicUsize,
    most_waiting: usize,
    taken: Mutex<usize>,
}

/// One of them, until it is dropped.
pub(super) struct Place<'p> {
    places: &'p Places,
    _permit: SemaphorePermit<'p>,
}

impl Places {
    pub(super) fn new(provider: Arc<str>, count: usize, events: Arc<dyn Events>) -> Self {
        let count = count.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            provider,
            events,
            free: Semaphore::new(count),
            waiting: AtomicUsize::new(0),
            most_waiting: count.saturating_mul(WAITING_FOR_EACH),
            taken: Mutex::new(0),
        }
    }

    /// Takes a place, first come, first served; waits for one no longer than this.
    pub(super) async fn take(&self, wait: Duration) -> Option<Place<'_>> {
        let permit = match self.free.try_acquire() {
            Ok(permit) => permit,
            Err(_) => {
                let _waiting = Waiting::begin(&self.waiting, self.most_waiting)?;
                tokio::time::timeout(wait, self.free.acquire()).await.ok()?.ok()?
            }
        };
        self.count(|taken| taken.saturating_add(1));
        Some(Place { places: self, _permit: permit })
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        *self.lock()
    }

    fn count(&self, change: impl FnOnce(usize) -> usize) {
        // Told under the lock, so that the last number told is the right one.
        let mut taken = self.lock();
        *taken = change(*taken);
        self.events.report(Event::ProviderInFlight { provider: &self.provider, calls: *taken });
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").field("taken", &self.taken()).field("free", &self.free.available_permits()).finish()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.places.count(|taken| taken.saturating_sub(1));
    }
}

/// One that waits, until it is dropped.
struct Waiting<'w>(&'w AtomicUsize);

impl<'w> Waiting<'w> {
    fn begin(count: &'w AtomicUsize, most: usize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::AcqRel);
        let waiting = Self(count);
        (before < most).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::core::event::Silent;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn who_finds_no_place_waits_for_a_while_and_no_longer() {
        let places = Places::new("p".into(), 1, Arc::new(Silent));
        let first = places.take(LONG).await.unwrap();
        assert!(places.take(Duration::from_millis(10)).await.is_none());
        let mut second = Box::pin(places.take(LONG));
        assert!((&mut second).now_or_never().is_none());
        assert_eq!(places.taken(), 1);
        drop(first);
        assert!(second.await.is_some());
        assert_eq!(places.taken(), 0);
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_who_leaves_it_frees_its_place() {
        let places = Places::new("p".into(), 1, Arc::new(Silent));
        let _taken = places.take(LONG).await.unwrap();
        let mut waiting: Vec<_> = (0..WAITING_FOR_EACH).map(|_| Box::pin(places.take(LONG))).collect();
        assert!(waiting.iter_mut().all(|wait| wait.now_or_never().is_none()));
        assert!(places.take(LONG).now_or_never().unwrap().is_none(), "turned away at once");
        waiting.clear();
        assert!(places.take(LONG).now_or_never().is_none(), "there is room to wait again");
    }
}
