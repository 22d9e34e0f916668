//! An engine's status as JSON: all of it for control, what strangers may see for probes.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::mask::masked;
use super::window::Seen;
use crate::authn::issuer::CacheStatus;
use crate::clock::Timestamp;
use crate::config::Source;
use crate::engine::{NamedProvider, Readiness, Snapshot, Status};
use crate::telemetry::{LevelStatus, ProviderLatency};

/// Reasons that are told; there are some dozens, and few of them matter at one time.
const TOP_REASONS: usize = 10;
/// Endpoints of providers that are told.
const SLOWEST_PROVIDERS: usize = 10;

/// For `/readyz`: counts and places, no message and no address. A configuration's error message may quote what is in
/// the file, and an issuer's what is in the network.
pub(super) fn readiness(status: &Status, ready: bool, draining: bool) -> Value {
    let issuers: Vec<Value> = status
        .issuers
        .iter()
        .map(|issuer| {
            let usable = issuer.keyless || (issuer.keys.keys > 0 && !issuer.keys.expired);
            json!({
                "name": &*issuer.name,
                "keys": issuer.keys.keys,
                "usable": usable,
                "last_attempt_failed": issuer.keys.last_error.is_some(),
            })
        })
        .collect();
    let providers: Vec<Value> = status
        .providers
        .iter()
        .map(|provider| {
            json!({
                "name": &*provider.name,
                "breaker": provider.status.breaker.as_str(),
                "in_flight": provider.status.in_flight,
            })
        })
        .collect();
    let tokens: Vec<Value> = status
        .tokens
        .iter()
        .map(|token| {
            json!({ "name": &*token.name, "kind": token.kind, "last_attempt_failed": token.last_error.is_some() })
        })
        .collect();
    let last_reload = status.last_reload.as_ref().map(|reload| {
        json!({
            "at": time(reload.at),
            "applied": reload.error.is_none(),
            "errors_at": reload.error.as_ref().map(|error| error.places()).unwrap_or_default(),
        })
    });
    json!({
        "ready": ready,
        "draining": draining,
        "waiting_for": waiting_for(status),
        "generation": status.generation,
        "issuers": issuers,
        "providers": providers,
        "tokens": tokens,
        "last_reload": last_reload,
    })
}

/// For `/status`.
pub(super) fn status(status: &Status) -> Value {
    let issuers: Vec<Value> = status
        .issuers
        .iter()
        .map(|issuer| {
            json!({
                "name": &*issuer.name,
                "keys": issuer.keys.keys,
                "last_success": issuer.keys.last_success.map(time),
                "age_seconds": issuer.age.map(|age| age.as_secs()),
                "expired": issuer.keys.expired,
                "max_age_seconds": issuer.keys.max_age.map(|age| age.as_secs()),
                "last_error": issuer.keys.last_error,
                "cache": cache(issuer.cache),
            })
        })
        .collect();
    let last_reload = status.last_reload.as_ref().map(|reload| {
        json!({
            "at": time(reload.at),
            "applied": reload.error.is_none(),
            "generation": reload.generation,
            "errors": reload.error.as_ref().map(|error| error.messages()).unwrap_or_default(),
            "restart_needed": reload.restart_needed,
        })
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": status.readiness == Readiness::Ready,
        "waiting_for": waiting_for(status),
        "generation": status.generation,
        "loaded_at": time(status.loaded_at),
        "rules": status.rules,
        "sources": sources(&status.sources),
        "issuers": issuers,
        "providers": providers(status),
        "tokens": tokens(status),
        "last_reload": last_reload,
    })
}

fn providers(status: &Status) -> Vec<Value> {
    let shown = status.providers.iter().map(|NamedProvider { name, status }| {
        let last_error = status.last_error.as_ref().map(|fault| json!({ "at": time(fault.at), "text": fault.text }));
        json!({
            "name": &**name,
            "breaker": status.breaker.as_str(),
            "in_flight": status.in_flight,
            "last_success": status.last_success.map(time),
            "last_error": last_error,
        })
    });
    shown.collect()
}

fn tokens(status: &Status) -> Vec<Value> {
    let shown = status.tokens.iter().map(|token| {
        json!({
            "name": &*token.name,
            "kind": token.kind,
            "expires_at": token.expires_at.map(time),
            "last_error": token.last_error,
            "cache": cache(token.cache),
        })
    });
    shown.collect()
}

/// For `/config`.
pub(super) fn config(snapshot: &Snapshot) -> Value {
    json!({
        "generation": snapshot.generation(),
        "sources": sources(snapshot.sources()),
        "config": masked(snapshot.document()),
    })
}

/// Why decisions were as they were, most frequent first.
pub(super) fn reasons((seen, lately): &(Vec<Seen>, Duration)) -> Value {
    let one = |seen: &Seen| {
        json!({
            "reason": seen.reason.code(),
            "allows": seen.reason.allows(),
            "fault": seen.reason.fault().as_str(),
            "last_minute": seen.lately,
            "since_start": seen.in_all,
        })
    };
    json!({ "seconds": lately.as_secs(), "top": seen.iter().take(TOP_REASONS).map(one).collect::<Vec<Value>>() })
}

/// How long calls to providers took, the slowest first.
pub(super) fn latencies(latencies: &[ProviderLatency]) -> Value {
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    let one = |latency: &ProviderLatency| {
        json!({
            "provider": &*latency.provider,
            "endpoint": latency.endpoint,
            "calls": latency.calls,
            "mean_ms": (millis(latency.mean) * 100.0).round() / 100.0,
            "p50_ms_at_most": latency.p50.map(millis),
            "p99_ms_at_most": latency.p99.map(millis),
        })
    };
    latencies.iter().take(SLOWEST_PROVIDERS).map(one).collect()
}

/// Which log lines are written.
pub(super) fn level(level: &LevelStatus) -> Value {
    let then = level.then.as_ref();
    json!({
        "filter": level.filter,
        "then": then.map(|(filter, _)| filter),
        "seconds_left": then.map(|(_, left)| left.as_secs()),
    })
}

fn cache(cache: Option<CacheStatus>) -> Option<Value> {
    cache.map(|cache| {
        json!({
            "entries": cache.entries,
            "bytes": cache.bytes,
            "max_bytes": cache.max_bytes,
            "evictions": cache.evictions,
        })
    })
}

fn sources(sources: &[Source]) -> Vec<Value> {
    sources.iter().map(|source| json!({ "path": source.path.display().to_string(), "sha256": source.sha256 })).collect()
}

fn waiting_for(status: &Status) -> Vec<&str> {
    match &status.readiness {
        Readiness::Ready => Vec::new(),
        Readiness::WaitingFor(issuers) => issuers.iter().map(|name| &**name).collect(),
    }
}

/// RFC 3339, in UTC, to the millisecond; bare seconds since 1970 for times that it has no form for.
fn time(at: Timestamp) -> String {
    const LAST: i64 = 253_402_300_799; // 9999-12-31T23:59:59Z
    let seconds = at.as_unix_seconds();
    if !(0..=LAST).contains(&seconds) {
        return seconds.to_string();
    }
    let since = Duration::from_millis(at.as_unix_millis().unsigned_abs());
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_whatever_they_are() {
        assert_eq!(time(Timestamp::from_unix_millis(1_700_000_000_042)), "2023-11-14T22:13:20.042Z");
        assert_eq!(time(Timestamp::from_unix_millis(i64::MAX)), "9223372036854775");
        assert_eq!(time(Timestamp::from_unix_seconds(-1)), "-1");
    }
}
