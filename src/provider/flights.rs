//! One piece of work for each key at a time, however many wait for it. The work runs on its own: who stops waiting
//! leaves it running, and what it leaves behind is there for the next.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::trace_context;

/// The work that is under way, by key.
pub struct Flights<K, V> {
    map: Arc<Mutex<Map<K, V>>>,
    followers: AtomicU64,
}

type Map<K, V> = HashMap<K, watch::Receiver<Option<V>>>;

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self { map: Arc::default(), followers: AtomicU64::new(0) }
    }
}

impl<K, V> fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Flights").field(&lock(&self.map).len()).finish()
    }
}

/// Takes its key out of the map when the work has ended, however it ended.
struct Landing<K: Eq + Hash, V> {
    map: Arc<Mutex<Map<K, V>>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        lock(&self.map).remove(&self.key);
    }
}

/// Work that is waited for.
#[derive(Debug)]
pub struct Flight<V>(watch::Receiver<Option<V>>);

impl<V: Clone> Flight<V> {
    /// What came of it. `None` where it ended without a result: it panicked, or the runtime shuts down.
    pub async fn landed(mut self) -> Option<V> {
        self.0.wait_for(Option::is_some).await.ok()?.clone()
    }
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Joins the work under way for this key, or starts `work` for it on the current tokio runtime; who calls this
    /// bounds the number of keys. Work that ends leaves what it found where the next caller looks *before* its key is
    /// free again: so look there first, then join.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn join<F>(&self, key: K, work: impl FnOnce() -> F) -> Flight<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut map = lock(&self.map);
        if let Some(under_way) = map.get(&key) {
            self.followers.fetch_add(1, Ordering::Relaxed);
            return Flight(under_way.clone());
        }
        let (result, waiting) = watch::channel(None);
        map.insert(key.clone(), waiting.clone());
        drop(map);
        let landing = Landing { map: Arc::clone(&self.map), key };
        let work = work();
        // Who joins later is part of another trace, or of none: the work belongs to the one that it was begun for.
        let origin = trace_context::origin();
        tokio::spawn(trace_context::on_behalf_of(origin, async move {
            let landing = landing;
            let found = work.await;
            // First of all: who has been told, and comes again, is not told the same by this one.
            drop(landing);
            result.send_replace(Some(found));
        }));
        Flight(waiting)
    }

    /// Whether work for this key is under way.
    pub fn is_under_way(&self, key: &K) -> bool {
        lock(&self.map).contains_key(key)
    }

    /// How many joined work that was under way already.
    pub fn followers(&self) -> u64 {
        self.followers.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt as _;
    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn row_181_many_wait_for_one() {
        let flights: Flights<u8, usize> = Flights::default();
        let (runs, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let waiting: Vec<_> = (0..100)
            .map(|_| {
                let (runs, go) = (Arc::clone(&runs), Arc::clone(&go));
                flights.join(7, || async move {
                    go.notified().await;
                    runs.fetch_add(1, Ordering::SeqCst) + 1
                })
            })
            .collect();
        go.notify_one();
        let results = join_all(waiting.into_iter().map(Flight::landed)).await;
        assert_eq!(results, vec![Some(1); 100]);
        assert_eq!(flights.followers(), 99);
    }

    #[tokio::test]
    async fn row_182_who_gives_up_leaves_it_running() {
        let flights: Flights<u8, u8> = Flights::default();
        let go = Arc::new(Notify::new());
        let landed = Arc::new(Notify::new());
        let (wait, done) = (Arc::clone(&go), Arc::clone(&landed));
        let first = flights.join(1, || async move {
            wait.notified().await;
            done.notify_one();
            9
        });
        let second = flights.join(1, || async { unreachable!() });
        assert!(first.landed().now_or_never().is_none());
        go.notify_one();
        assert_eq!(second.landed().await, Some(9));
        landed.notified().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_comes_after_the_result_is_not_given_it_again() {
        let flights: Flights<u8, usize> = Flights::default();
        for run in 0..2_000 {
            assert_eq!(flights.join(1, || async move { run }).landed().await, Some(run));
            assert!(!flights.is_under_way(&1));
        }
    }

    #[tokio::test]
    async fn work_that_panics_frees_its_key() {
        let flights: Flights<u8, u8> = Flights::default();
        assert_eq!(flights.join(1, || async { panic!("on purpose") }).landed().await, None);
        while flights.is_under_way(&1) {
            tokio::task::yield_now().await;
        }
        assert_eq!(flights.join(1, || async { 2 }).landed().await, Some(2));
    }
}
