use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::clock::Timestamp;
use crate::core::answer::DecisionId;
use crate::core::decide::refuse;
use crate::core::event::{BreakerState, CallOutcome, IntrospectionOutcome, RefreshOutcome};
use crate::core::reason::Reason;
use crate::core::rule::{Action, DenialStyle, Effect, Injection, Rule};

fn answer(rule: Option<&str>, reason: Reason) -> Answer {
    let rule = rule.map(|name| {
        let (injection, denial) = (Injection::default(), Arc::<DenialStyle>::default());
        Arc::new(Rule {
            name: name.into(),
            effect: Arc::new(Effect { action: Action::Deny, injection, denial, upstream_token: None }),
        })
    });
    Answer { rule, reason, ..refuse(reason, false, DecisionId(7)) }
}

fn every_event() -> [Event<'static>; 14] {
    let (issuer, provider, token) = ("keycloak", "keycloak", "payments");
    let (took, expires_at) = (Duration::from_millis(30), Some(Timestamp::from_unix_seconds(1_700_000_300)));
    [
        Event::TokenCache { issuer, hit: true },
        Event::KeyRefresh { issuer, outcome: RefreshOutcome::Fresh, keys: 3 },
        Event::KeyRefused { issuer, why: "too short" },
        Event::UnknownKid { issuer, refetched: false },
        Event::Reload { applied: true, generation: 4, at: Timestamp::from_unix_millis(1_700_000_000_500) },
        Event::ProviderCall { provider, endpoint: "introspection", outcome: CallOutcome::Answered, took },
        Event::ProviderInFlight { provider, calls: 3 },
        Event::Breaker { provider, state: BreakerState::HalfOpen },
        Event::IntrospectionCache { issuer, hit: true },
        Event::Introspected { issuer, outcome: IntrospectionOutcome::Inactive },
        Event::ExchangeCache { token, hit: false },
        Event::TokenObtained { token, obtained: true, expires_at },
        Event::Audit { selection: None },
        Event::Panic,
    ]
}

fn exercised() -> Recorder {
    let recorder = Recorder::default();
    for event in every_event() {
        recorder.report(event);
    }
    recorder.decision(&answer(Some("health"), Reason::DeniedByRule), Duration::from_micros(30), None);
    recorder
}

#[test]
fn decisions_are_counted_by_rule_outcome_and_reason() {
    let recorder = Recorder::default();
    for _ in 0..3 {
        recorder.decision(&answer(Some("a\"b\n"), Reason::MissingToken), Duration::from_micros(30), None);
    }
    recorder.decision(&answer(None, Reason::NoRule), Duration::from_secs(2), None);
    let text = recorder.exposition(Exposition::OpenMetrics);
    for line in [
        r#"tollgate_decisions_total{rule="a\"b\n",outcome="deny",reason="missing_token"} 3"#,
        r#"tollgate_decisions_total{rule="-",outcome="deny",reason="no_rule"} 1"#,
        r#"tollgate_decision_duration_seconds_bucket{le="0.000025",work="none"} 0"#,
        r#"tollgate_decision_duration_seconds_bucket{le="0.00005",work="none"} 3"#,
        r#"tollgate_decision_duration_seconds_bucket{le="1.0",work="none"} 3"#,
        r#"tollgate_decision_duration_seconds_bucket{le="+Inf",work="none"} 4"#,
        r#"tollgate_decision_duration_seconds_bucket{le="+Inf",work="cached"} 0"#,
        r#"tollgate_decision_duration_seconds_count{work="none"} 4"#,
        r#"tollgate_decision_duration_seconds_sum{work="none"} 2.00009"#,
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\nin\n{text}");
    }
}

#[test]
fn every_reason_has_a_counter_of_its_own() {
    let recorder = Recorder::default();
    for reason in Reason::ALL {
        recorder.decision(&answer(Some("r"), *reason), Duration::ZERO, None);
    }
    let text = recorder.exposition(Exposition::OpenMetrics);
    for reason in Reason::ALL {
        let outcome = if reason.allows() { "allow" } else { "deny" };
        let line = format!(r#"tollgate_decisions_total{{rule="r",outcome="{outcome}",reason="{reason}"}} 1"#);
        assert!(text.lines().any(|have| have == line), "{line}");
    }
}

#[test]
fn events_are_counted() {
    let recorder = exercised();
    recorder.report(Event::TokenCache { issuer: "keycloak", hit: false });
    let at = Timestamp::from_unix_seconds(1);
    recorder.report(Event::Reload { applied: false, generation: 4, at });
    let busy = (recorder.in_flight(), recorder.in_flight());
    let text = recorder.exposition(Exposition::OpenMetrics);
    for line in [
        r#"tollgate_token_cache_lookups_total{issuer="keycloak",result="hit"} 1"#,
        r#"tollgate_token_cache_lookups_total{issuer="keycloak",result="miss"} 1"#,
        r#"tollgate_key_refreshes_total{issuer="keycloak",outcome="fresh"} 1"#,
        r#"tollgate_keys{issuer="keycloak"} 3"#,
        r#"tollgate_unknown_kid_total{issuer="keycloak",refetched="false"} 1"#,
        r#"tollgate_keys_refused_total{issuer="keycloak",why="too short"} 1"#,
        r#"tollgate_reloads_total{applied="true"} 1"#,
        r#"tollgate_reloads_total{applied="false"} 1"#,
        "tollgate_config_generation 4",
        "tollgate_config_last_success_timestamp_seconds 1700000000.5",
        "tollgate_panics_total 1",
        "tollgate_checks_in_flight 2",
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\nin\n{text}");
    }
    drop(busy);
    assert!(recorder.exposition(Exposition::OpenMetrics).contains("\ntollgate_checks_in_flight 0\n"));
}

#[test]
fn providers_and_their_tokens_are_counted() {
    let recorder = exercised();
    let busy = CallOutcome::Busy;
    let call = Event::ProviderCall { provider: "keycloak", endpoint: "token", outcome: busy, took: Duration::ZERO };
    recorder.report(call);
    recorder.report(Event::TokenObtained { token: "payments", obtained: false, expires_at: None });
    let text = recorder.exposition(Exposition::OpenMetrics);
    for line in [
        r#"tollgate_provider_calls_total{provider="keycloak",endpoint="introspection",outcome="answered"} 1"#,
        r#"tollgate_provider_calls_total{provider="keycloak",endpoint="token",outcome="busy"} 1"#,
        r#"tollgate_provider_call_duration_seconds_bucket{le="0.025",provider="keycloak",endpoint="introspection"} 0"#,
        r#"tollgate_provider_call_duration_seconds_bucket{le="0.05",provider="keycloak",endpoint="introspection"} 1"#,
        r#"tollgate_provider_calls_in_flight{provider="keycloak"} 3"#,
        r#"tollgate_provider_breaker{provider="keycloak",state="closed"} 0"#,
        r#"tollgate_provider_breaker{provider="keycloak",state="half_open"} 1"#,
        r#"tollgate_provider_breaker{provider="keycloak",state="open"} 0"#,
        r#"tollgate_introspection_cache_lookups_total{issuer="keycloak",result="hit"} 1"#,
        r#"tollgate_introspections_total{issuer="keycloak",outcome="inactive"} 1"#,
        r#"tollgate_exchange_cache_lookups_total{token="payments",result="miss"} 1"#,
        r#"tollgate_tokens_obtained_total{token="payments",obtained="true"} 1"#,
        r#"tollgate_tokens_obtained_total{token="payments",obtained="false"} 1"#,
        r#"tollgate_token_expiry_timestamp_seconds{token="payments"} 1700000300.0"#,
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\nin\n{text}");
    }
    assert!(
        !text.contains(r#"le="0.05",provider="keycloak",endpoint="token""#),
        "a call that was not made took no time"
    );
}

#[test]
fn the_older_format_names_counters_as_their_samples() {
    let text = exercised().exposition(Exposition::Prometheus);
    for line in [
        "# HELP tollgate_decisions_total Answered Checks, by rule, outcome and reason.",
        "# TYPE tollgate_decisions_total counter",
        "# TYPE tollgate_build_info gauge",
        "# TYPE tollgate_decision_duration_seconds histogram",
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\nin\n{text}");
    }
    assert!(!text.contains("# EOF"));
    assert_eq!(Exposition::accepted("application/openmetrics-text; version=1.0.0,text/plain"), Exposition::OpenMetrics);
    assert_eq!(Exposition::accepted("text/plain, */*"), Exposition::Prometheus);
}

#[test]
fn the_documentation_lists_exactly_the_exported_families() {
    let text = exercised().exposition(Exposition::Prometheus);
    let exported: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let documented: BTreeSet<&str> = include_str!("../../docs/metrics.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `tollgate_").map(|_| line))
        .filter_map(|line| line.split('`').nth(1)?.split('{').next())
        .collect();
    assert_eq!(exported, documented);
}
