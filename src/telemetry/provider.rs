//! Metrics of identity providers, and of tokens that are introspected or obtained.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::latency::Latencies;
use super::metrics::{Counters, Labels, yes_no};
use crate::core::event::{BreakerState, CallOutcome, Event};

/// Upper bounds, in seconds: from a provider next door to the longest time that a call may be given.
pub(super) const BOUNDS: [f64; 12] = [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Makes histograms of calls.
#[derive(Clone, Copy, Debug, Default)]
struct CallDurations;

impl MetricConstructor<Histogram> for CallDurations {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BOUNDS)
    }
}

/// Metrics of providers and tokens. Labels are names from the configuration, and words from closed lists.
#[derive(Debug)]
pub(super) struct ProviderMetrics {
    calls: Counters<3>,
    durations: Family<Labels<2>, Histogram, CallDurations>,
    pub(super) latencies: Latencies,
    in_flight: Family<Labels<1>, Gauge>,
    breaker: Family<Labels<2>, Gauge>,
    introspection_lookups: Counters<2>,
    introspections: Counters<2>,
    exchange_lookups: Counters<2>,
    obtained: Counters<2>,
    expiry: Family<Labels<1>, Gauge<f64, AtomicU64>>,
}

impl ProviderMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        macro_rules! registered {
            ($name:literal, $help:literal) => {{
                let metric = Default::default();
                registry.register($name, $help, Clone::clone(&metric));
                metric
            }};
        }
        let durations = Family::new_with_constructor(CallDurations);
        let help = "Time that calls to providers took, retries included";
        registry.register("provider_call_duration_seconds", help, durations.clone());
        Self {
            calls: registered!("provider_calls", "Calls to providers, by endpoint and outcome"),
            durations,
            latencies: Latencies::default(),
            in_flight: registered!("provider_calls_in_flight", "Calls to providers that are under way"),
            breaker: registered!("provider_breaker", "1 for the state that a provider's breaker is in"),
            introspection_lookups: registered!("introspection_cache_lookups", "Lookups in the cache of introspections"),
            introspections: registered!("introspections", "Tokens whose standing was asked for, by what came of it"),
            exchange_lookups: registered!("exchange_cache_lookups", "Lookups in the cache of exchanged tokens"),
            obtained: registered!("tokens_obtained", "Tokens that were obtained for requests, or were not"),
            expiry: registered!("token_expiry_timestamp_seconds", "When the token that was obtained last expires"),
        }
    }

    /// Counts an event of a provider or token; passes over others.
    pub(super) fn event(&self, event: Event<'_>) {
        match event {
            Event::ProviderCall { provider, endpoint, outcome, took, .. } => {
                let provider: Arc<str> = provider.into();
                if was_made(outcome) {
                    self.latencies.observe(&provider, endpoint, took);
                }
                let endpoint: Arc<str> = endpoint.into();
                let place = [("provider", Arc::clone(&provider)), ("endpoint", Arc::clone(&endpoint))];
                let [of_provider, of_endpoint] = place.clone();
                self.calls.get_or_create_owned(&[of_provider, of_endpoint, ("outcome", outcome.as_str().into())]).inc();
                if was_made(outcome) {
                    self.durations.get_or_create_owned(&place).observe(took.as_secs_f64());
                }
            }
            Event::ProviderInFlight { provider, calls } => {
                let calls = i64::try_from(calls).unwrap_or(i64::MAX);
                self.in_flight.get_or_create_owned(&[("provider", provider.into())]).set(calls);
            }
            Event::Breaker { provider, state } => {
                for each in [BreakerState::Closed, BreakerState::HalfOpen, BreakerState::Open] {
                    let labels = [("provider", provider.into()), ("state", each.as_str().into())];
                    self.breaker.get_or_create_owned(&labels).set(i64::from(each == state));
                }
            }
            Event::IntrospectionCache { issuer, hit } => {
                self.introspection_lookups.get_or_create_owned(&[("issuer", issuer.into()), result(hit)]).inc();
            }
            Event::Introspected { issuer, outcome } => {
                let labels = [("issuer", issuer.into()), ("outcome", outcome.as_str().into())];
                self.introspections.get_or_create_owned(&labels).inc();
            }
            Event::ExchangeCache { token, hit } => {
                self.exchange_lookups.get_or_create_owned(&[("token", token.into()), result(hit)]).inc();
            }
            Event::TokenObtained { token, obtained, expires_at } => {
                let labels = [("token", token.into()), ("obtained", yes_no(obtained))];
                self.obtained.get_or_create_owned(&labels).inc();
                if let Some(at) = expires_at {
                    let seconds = Duration::from_millis(at.as_unix_millis().unsigned_abs()).as_secs_f64();
                    self.expiry.get_or_create_owned(&[("token", token.into())]).set(seconds);
                }
            }
            Event::TokenCache { .. }
            | Event::KeyRefresh { .. }
            | Event::KeyFetch { .. }
            | Event::KeyRefused { .. }
            | Event::UnknownKid { .. }
            | Event::Reload { .. }
            | Event::Audit { .. }
            | Event::Panic => {}
        }
    }
}

const fn was_made(outcome: CallOutcome) -> bool {
    match outcome {
        CallOutcome::Answered | CallOutcome::Refused | CallOutcome::Failed | CallOutcome::Broken => true,
        CallOutcome::Busy | CallOutcome::Open | CallOutcome::Unsendable => false,
    }
}

fn result(hit: bool) -> (&'static str, Arc<str>) {
    ("result", if hit { "hit" } else { "miss" }.into())
}
