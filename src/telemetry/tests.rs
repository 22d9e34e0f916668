use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::authn::issuer::CacheStatus;
use crate::authn::store::KeyStatus;
use crate::clock::Timestamp;
use crate::core::answer::DecisionId;
use crate::core::decide::refuse;
use crate::core::event::{BreakerState, CallOutcome, HttpCall, IntrospectionOutcome, RefreshOutcome};
use crate::core::reason::Reason;
use crate::core::rule::{Action, DenialStyle, Effect, Injection, Rule};
use crate::engine::{IssuerStatus, NamedProvider, Readiness};
use crate::outbound::TokenStatus;
use crate::provider::ProviderStatus;

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

fn every_event() -> [Event<'static>; 15] {
    let (issuer, provider, token) = ("keycloak", "keycloak", "payments");
    let (took, expires_at) = (Duration::from_millis(30), Some(Timestamp::from_unix_seconds(1_700_000_300)));
    let http = HttpCall::default();
    [
        Event::TokenCache { issuer, hit: true },
        Event::KeyRefresh { issuer, outcome: RefreshOutcome::Fresh, keys: 3 },
        Event::KeyFetch { issuer, document: "jwks", outcome: RefreshOutcome::Fresh, took, http },
        Event::KeyRefused { issuer, why: "too short" },
        Event::UnknownKid { issuer, refetched: false },
        Event::Reload { applied: true, generation: 4, at: Timestamp::from_unix_millis(1_700_000_000_500) },
        Event::ProviderCall { provider, endpoint: "introspection", outcome: CallOutcome::Answered, took, http },
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
fn a_bucket_of_traced_decisions_names_the_last_of_them() {
    let recorder = Recorder::default();
    let decided = |trace, micros| {
        recorder.metrics.decision(None, Reason::NoRule, Work::Cached, Duration::from_micros(micros), trace);
    };
    decided(None, 5);
    assert!(!recorder.exposition(Exposition::OpenMetrics).contains("trace_id"));
    decided(Some(1), 30);
    decided(Some(2), 40);
    decided(Some(3), 2_000_000);
    let text = recorder.exposition(Exposition::OpenMetrics);
    let traced: Vec<&str> = text.lines().filter(|line| line.contains("trace_id")).collect();
    let [first, last] = traced[..] else { panic!("{traced:#?}") };
    for (line, start) in [
        (
            first,
            r#"tollgate_decision_duration_seconds_bucket{le="0.00005",work="cached"} 3 # {trace_id="00000000000000000000000000000002"} 0.00004 "#,
        ),
        (
            last,
            r#"tollgate_decision_duration_seconds_bucket{le="+Inf",work="cached"} 4 # {trace_id="00000000000000000000000000000003"} 2 "#,
        ),
    ] {
        let at = line.strip_prefix(start).unwrap_or_else(|| panic!("{start}\n{line}"));
        assert!(at.parse::<f64>().unwrap() > 1.7e9, "{line}");
    }
    assert!(!recorder.exposition(Exposition::Prometheus).contains("trace_id"), "the older format has none");
    assert!(text.ends_with("# EOF\n"));
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
    let (outcome, took, http) = (CallOutcome::Busy, Duration::ZERO, HttpCall::default());
    recorder.report(Event::ProviderCall { provider: "keycloak", endpoint: "token_exchange", outcome, took, http });
    recorder.report(Event::TokenObtained { token: "payments", obtained: false, expires_at: None });
    let text = recorder.exposition(Exposition::OpenMetrics);
    for line in [
        r#"tollgate_provider_calls_total{provider="keycloak",endpoint="introspection",outcome="answered"} 1"#,
        r#"tollgate_provider_calls_total{provider="keycloak",endpoint="token_exchange",outcome="busy"} 1"#,
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
        !text.contains(r#"le="0.05",provider="keycloak",endpoint="token_exchange""#),
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

/// An engine that has one of everything.
fn status() -> Status {
    let at = Timestamp::from_unix_seconds(1_700_000_000);
    let cache = Some(CacheStatus { entries: 3, bytes: 900, max_bytes: 4096, evictions: 7 });
    let keys =
        KeyStatus { keys: 3, last_success: Some(at), max_age: Some(Duration::from_secs(3600)), ..Default::default() };
    let breaker = BreakerState::Closed;
    Status {
        generation: 1,
        loaded_at: at,
        sources: Vec::new(),
        rules: 1,
        issuers: vec![IssuerStatus {
            name: "keycloak".into(),
            keys,
            age: None,
            keyless: false,
            cache,
            key_followers: 2,
            introspection_followers: Some(5),
        }],
        providers: vec![NamedProvider {
            name: "keycloak".into(),
            status: ProviderStatus { breaker, in_flight: 0, last_success: Some(at), last_error: None },
        }],
        tokens: vec![TokenStatus {
            name: "payments".into(),
            kind: "exchange",
            expires_at: None,
            last_error: None,
            cache,
            followers: 4,
        }],
        readiness: Readiness::Ready,
        last_reload: None,
    }
}

#[test]
fn caches_keys_and_followers_are_read_when_they_are_asked_for() {
    let text = exercised().exposition_with(&status(), Exposition::OpenMetrics);
    for line in [
        r#"tollgate_token_cache_entries{issuer="keycloak"} 3"#,
        r#"tollgate_token_cache_bytes{issuer="keycloak"} 900"#,
        r#"tollgate_token_cache_max_bytes{issuer="keycloak"} 4096"#,
        r#"tollgate_token_cache_evictions_total{issuer="keycloak"} 7"#,
        r#"tollgate_exchange_cache_entries{token="payments"} 3"#,
        r#"tollgate_keys_last_success_timestamp_seconds{issuer="keycloak"} 1700000000.0"#,
        r#"tollgate_keys_max_age_seconds{issuer="keycloak"} 3600"#,
        r#"tollgate_provider_last_success_timestamp_seconds{provider="keycloak"} 1700000000.0"#,
        r#"tollgate_single_flight_followers_total{name="keycloak",waited_for="keys"} 2"#,
        r#"tollgate_single_flight_followers_total{name="keycloak",waited_for="introspection"} 5"#,
        r#"tollgate_single_flight_followers_total{name="payments",waited_for="exchange"} 4"#,
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\nin\n{text}");
    }
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1, "{text}");
}

/// Type and label names of each family. Of a histogram, without its bounds.
fn exported(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut families = BTreeMap::new();
    for (name, kind) in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')) {
        let of_family = |line: &&str| {
            let sample = line.split(['{', ' ']).next().unwrap_or_default();
            let suffix = sample.strip_prefix(name);
            suffix.is_some_and(|rest| {
                rest.is_empty() || (kind == "histogram" && ["_sum", "_count", "_bucket"].contains(&rest))
            })
        };
        let names = text.lines().filter(of_family).flat_map(|line| {
            let labels =
                line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(labels, _)| labels);
            labels.split(',').filter_map(|label| Some(label.split_once('=')?.0.to_owned())).collect::<Vec<_>>()
        });
        let names = names.filter(|label| label != "le").collect();
        families.insert(name.to_owned(), (kind.to_owned(), names));
    }
    families
}

#[test]
fn the_documentation_lists_exactly_the_exported_families_with_types_and_labels() {
    let recorder = exercised();
    recorder.decision(
        &Answer { caller: Some("spiffe://mesh.example/a".into()), ..answer(None, Reason::NoRule) },
        Duration::ZERO,
        None,
    );
    let exported = exported(&recorder.exposition_with(&status(), Exposition::Prometheus));
    let documented: BTreeMap<String, (String, BTreeSet<String>)> = include_str!("../../docs/metrics.md")
        .lines()
        .filter(|line| line.starts_with("| `tollgate_"))
        .map(|line| {
            let family = line.split('`').nth(1).unwrap();
            let (name, labels) = family.split_once('{').unwrap_or((family, ""));
            let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
            let kind = line.split('|').nth(2).unwrap().trim();
            (name.to_owned(), (kind.to_owned(), labels.map(str::to_owned).collect()))
        })
        .collect();
    assert_eq!(exported, documented);
}
