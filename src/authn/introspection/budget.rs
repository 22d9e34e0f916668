//! How often an issuer is asked about texts that nobody vouches for.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::authn::spec::UnknownBudget;

/// A token bucket, and a number of places.
#[derive(Debug)]
pub(super) struct Budget {
    spec: UnknownBudget,
    bucket: Mutex<Bucket>,
    places: Arc<Semaphore>,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Budget {
    /// A full one, for a provider that takes so many calls at one time: half of them at most are for these texts.
    pub(super) fn new(spec: &UnknownBudget, provider_places: usize) -> Self {
        let places = spec.max_in_flight.min((provider_places / 2).max(1)).min(Semaphore::MAX_PERMITS);
        Self {
            spec: spec.clone(),
            bucket: Mutex::new(Bucket { left: f64::from(spec.burst), at: Instant::now() }),
            places: Arc::new(Semaphore::new(places)),
        }
    }

    /// A place to ask from, which is free again when it is dropped. `None` where it would be too much.
    pub(super) fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let earned = now.saturating_duration_since(bucket.at).as_secs_f64() * f64::from(self.spec.per_second);
        bucket.left = (bucket.left + earned).min(f64::from(self.spec.burst));
        bucket.at = now.max(bucket.at);
        if bucket.left < 1.0 {
            return None;
        }
        bucket.left -= 1.0;
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_budget_is_spent_and_earned_again() {
        let budget = Budget::new(&UnknownBudget { per_second: 2, burst: 3, max_in_flight: 100 }, 64);
        let began = Instant::now();
        let spend = |millis| {
            let now = began + Duration::from_millis(millis);
            std::iter::from_fn(|| budget.take_at(now)).take(50).count()
        };
        assert_eq!(spend(0), 3);
        assert_eq!(spend(400), 0);
        assert_eq!(spend(100), 0, "time that goes back earns nothing");
        assert_eq!(spend(501), 1);
        assert_eq!(spend(3_600_000), 3, "no more than the burst");
    }

    #[test]
    fn places_are_few_and_cost_nothing_while_taken() {
        let budget = Budget::new(&UnknownBudget { per_second: 0, burst: 3, max_in_flight: 1 }, 64);
        let place = budget.take();
        assert!(place.is_some());
        assert!(budget.take().is_none());
        drop(place);
        // What was refused for want of a place was not counted.
        assert!(budget.take().is_some());
        assert!(budget.take().is_some());
        assert!(budget.take().is_none());
    }
}
