//! Every metric there is. `docs/metrics.md` explains them to operators.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::audit::Counts;
use super::calls::Calls;
use super::decisions::Decisions;
use super::duration::DecisionDurations;
use super::names::ByName;
use super::provider::ProviderMetrics;
use super::traces;
use crate::core::event::Event;
use crate::core::reason::Reason;
use crate::core::trail::Work;

/// Label names with their values.
pub(super) type Labels<const N: usize> = [(&'static str, Arc<str>); N];
pub(super) type Counters<const N: usize> = Family<Labels<N>, Counter>;

/// Every metric there is.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    pub(super) decisions: Decisions,
    pub(super) calls: Calls,
    pub(super) durations: DecisionDurations,
    in_flight: Gauge,
    cache_lookups: Counters<2>,
    key_refreshes: Counters<2>,
    keys: Family<Labels<1>, Gauge>,
    unknown_kids: Counters<2>,
    keys_refused: Counters<2>,
    reloads: Counters<1>,
    generation: Gauge,
    last_reload: Gauge<f64, AtomicU64>,
    panics: Counter,
    audit: Counts,
    spans: traces::Counts,
    pub(super) providers: ProviderMetrics,
    issuers: ByName<IssuerHandles, 64>,
}

/// What a cache lookup counts into.
#[derive(Debug)]
struct IssuerHandles {
    hits: Counter,
    misses: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("tollgate");
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running program", version);
        macro_rules! registered {
            ($name:literal, $help:literal) => {{
                let metric = Default::default();
                registry.register($name, $help, Clone::clone(&metric));
                metric
            }};
        }
        Self {
            decisions: registered!("decisions", "Answered Checks, by rule, outcome and reason"),
            calls: registered!("calls", "Answered Checks of callers that are known, by caller, rule and outcome"),
            durations: registered!("decision_duration_seconds", "Time from the arrival of a Check to its answer"),
            in_flight: registered!("checks_in_flight", "Checks that are being decided"),
            cache_lookups: registered!("token_cache_lookups", "Lookups in the cache of validated tokens"),
            key_refreshes: registered!("key_refreshes", "Attempts to read or fetch an issuer's keys"),
            keys: registered!("keys", "Usable keys of an issuer"),
            unknown_kids: registered!("unknown_kid", "Tokens that named a key the issuer does not have"),
            keys_refused: registered!("keys_refused", "Published keys that are not used"),
            reloads: registered!("reloads", "Configurations that were put into service, or were not"),
            generation: registered!("config_generation", "The generation of the configuration in service"),
            last_reload: registered!(
                "config_last_success_timestamp_seconds",
                "When the configuration in service was loaded"
            ),
            panics: registered!("panics", "Decisions that panicked and were answered with a denial"),
            audit: Counts::register(&mut registry),
            spans: traces::Counts::register(&mut registry),
            issuers: ByName::default(),
            providers: ProviderMetrics::register(&mut registry),
            registry,
        }
    }
}

impl Metrics {
    /// For encoding.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Counts a decision, which is part of this trace.
    pub(super) fn decision(
        &self,
        rule: Option<&Arc<str>>,
        reason: Reason,
        work: Work,
        took: Duration,
        trace: Option<u128>,
    ) {
        self.durations.observe(work, took, trace);
        self.decisions.count(rule, reason);
    }

    /// What the audit log counts into.
    pub(super) fn audit(&self) -> &Counts {
        &self.audit
    }

    /// What traces count into.
    pub(super) fn spans(&self) -> &traces::Counts {
        &self.spans
    }

    /// Counts a Check as in flight until the value is dropped.
    pub(super) fn in_flight(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Counts an event.
    pub(super) fn event(&self, event: Event<'_>) {
        match event {
            Event::TokenCache { issuer, hit } => {
                let handles = self.issuers.get(issuer, || {
                    let name: Arc<str> = issuer.into();
                    let counter = |result: &str| {
                        self.cache_lookups.get_or_create_owned(&[("issuer", name.clone()), ("result", result.into())])
                    };
                    let handles = IssuerHandles { hits: counter("hit"), misses: counter("miss") };
                    (name, handles)
                });
                if let Some(handles) = handles {
                    if hit { &handles.hits } else { &handles.misses }.inc();
                }
            }
            Event::KeyRefresh { issuer, outcome, keys } => {
                let labels = [("issuer", issuer.into()), ("outcome", outcome.as_str().into())];
                self.key_refreshes.get_or_create_owned(&labels).inc();
                let keys = i64::try_from(keys).unwrap_or(i64::MAX);
                self.keys.get_or_create_owned(&[("issuer", issuer.into())]).set(keys);
            }
            Event::KeyRefused { issuer, why } => {
                self.keys_refused.get_or_create_owned(&[("issuer", issuer.into()), ("why", why.into())]).inc();
            }
            Event::UnknownKid { issuer, refetched } => {
                let labels = [("issuer", issuer.into()), ("refetched", yes_no(refetched))];
                self.unknown_kids.get_or_create_owned(&labels).inc();
            }
            Event::Reload { applied, generation, at } => {
                self.reloads.get_or_create_owned(&[("applied", yes_no(applied))]).inc();
                self.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
                if applied {
                    self.last_reload.set(Duration::from_millis(at.as_unix_millis().unsigned_abs()).as_secs_f64());
                }
            }
            Event::ProviderCall { .. }
            | Event::ProviderInFlight { .. }
            | Event::Breaker { .. }
            | Event::IntrospectionCache { .. }
            | Event::Introspected { .. }
            | Event::ExchangeCache { .. }
            | Event::TokenObtained { .. } => self.providers.event(event),
            // The refresh that it was for is counted.
            Event::KeyFetch { .. } | Event::Audit { .. } => {}
            Event::Panic => _ = self.panics.inc(),
        }
    }
}

pub(super) fn yes_no(yes: bool) -> Arc<str> {
    if yes { "true" } else { "false" }.into()
}

/// A Check that is being decided; see [`super::Recorder::in_flight`].
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
