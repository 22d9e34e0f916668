//! What is read of the running parts when somebody scrapes: nothing of it is counted while deciding.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::logging::dropped_lines;
use super::metrics::{Counters, Labels};
use crate::authn::issuer::CacheStatus;
use crate::clock::Timestamp;
use crate::engine::Status;

type Gauges = Family<Labels<1>, Gauge>;
type Times = Family<Labels<1>, Gauge<f64, AtomicU64>>;

/// The metrics of an engine as it is now, and of the log.
pub(super) fn registry(status: &Status) -> Registry {
    let mut registry = Registry::with_prefix("tollgate");
    let token_cache = Caches::register(&mut registry, "token", "validated tokens");
    let exchange_cache = Caches::register(&mut registry, "exchange", "exchanged tokens");
    macro_rules! registered {
        ($kind:ty, $name:literal, $help:literal) => {{
            let metric = <$kind>::default();
            registry.register($name, $help, metric.clone());
            metric
        }};
    }
    let keys_at = registered!(Times, "keys_last_success_timestamp_seconds", "When keys were last read or fetched");
    let keys_for = registered!(Gauges, "keys_max_age_seconds", "How old keys that are fetched may become");
    let answered_at =
        registered!(Times, "provider_last_success_timestamp_seconds", "When the provider last answered a call");
    let dropped = registered!(Counter, "log_lines_dropped", "Log lines that nobody took in time");
    add(&dropped, dropped_lines());
    let followers: Counters<2> =
        registered!(Counters<2>, "single_flight_followers", "Waits for a call that was under way for somebody else");
    let follow = |name: &Arc<str>, waited_for: &str, count: u64| {
        let labels = [("name", Arc::clone(name)), ("waited_for", waited_for.into())];
        add(&followers.get_or_create_owned(&labels), count);
    };
    for issuer in &status.issuers {
        let label = || [("issuer", Arc::clone(&issuer.name))];
        token_cache.set(&label(), issuer.cache);
        if let Some(at) = issuer.keys.last_success.filter(|_| !issuer.keyless) {
            keys_at.get_or_create_owned(&label()).set(seconds(at));
        }
        if let Some(max_age) = issuer.keys.max_age {
            keys_for.get_or_create_owned(&label()).set(i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX));
            follow(&issuer.name, "keys", issuer.key_followers);
        }
        if let Some(count) = issuer.introspection_followers {
            follow(&issuer.name, "introspection", count);
        }
    }
    for provider in &status.providers {
        if let Some(at) = provider.status.last_success {
            answered_at.get_or_create_owned(&[("provider", Arc::clone(&provider.name))]).set(seconds(at));
        }
    }
    for token in &status.tokens {
        exchange_cache.set(&[("token", Arc::clone(&token.name))], token.cache);
        follow(&token.name, token.kind, token.followers);
    }
    registry
}

/// How full the caches of one kind are.
struct Caches {
    entries: Gauges,
    bytes: Gauges,
    max_bytes: Gauges,
    evictions: Counters<1>,
}

impl Caches {
    fn register(registry: &mut Registry, kind: &str, of: &str) -> Self {
        let mut gauges = |what: &str, help: String| {
            let gauges = Gauges::default();
            registry.register(format!("{kind}_cache_{what}"), help, gauges.clone());
            gauges
        };
        let entries = gauges("entries", format!("Entries in the cache of {of}"));
        let bytes = gauges("bytes", format!("What the cache of {of} takes"));
        let max_bytes = gauges("max_bytes", format!("What the cache of {of} may take"));
        let evictions = Counters::default();
        let help = format!("Entries of the cache of {of} that gave way to others");
        registry.register(format!("{kind}_cache_evictions"), help, evictions.clone());
        Self { entries, bytes, max_bytes, evictions }
    }

    fn set(&self, labels: &Labels<1>, cache: Option<CacheStatus>) {
        let Some(cache) = cache else { return };
        let number = |number| i64::try_from(number).unwrap_or(i64::MAX);
        self.entries.get_or_create_owned(labels).set(number(cache.entries));
        self.bytes.get_or_create_owned(labels).set(number(cache.bytes));
        self.max_bytes.get_or_create_owned(labels).set(number(cache.max_bytes));
        add(&self.evictions.get_or_create_owned(labels), cache.evictions);
    }
}

fn add(counter: &Counter, count: u64) {
    counter.inc_by(count);
}

fn seconds(at: Timestamp) -> f64 {
    Duration::from_millis(at.as_unix_millis().unsigned_abs()).as_secs_f64()
}
