//! Issuers and providers: how they are reached, and how long what they said is believed.

use std::time::Duration;

use url::{Host, Url};

use super::policy::Policy;
use super::{Code, Finding};
use crate::authn::spec::{IssuerClaim, IssuerSpec, KeySource};
use crate::config::written::Spot;
use crate::outbound::spec::ProviderRef;
use crate::provider::spec::ProviderSpec;

const REVOKED_FOR: Duration = Duration::from_secs(300);
const LEEWAY: Duration = Duration::from_secs(60);
const STALE_KEYS: Duration = Duration::from_secs(86_400);

pub(super) fn find(policy: &Policy<'_>, findings: &mut Vec<Finding>) {
    let issuers = policy.root.key("issuers");
    for spec in &policy.config.issuers {
        let Some(spot) = issuers.find(&spec.name) else { continue };
        times(spec, &spot, findings);
        ways(spec, &spot, findings);
    }
    let tokens = policy.root.key("tokens");
    for spec in &policy.config.tokens {
        let ProviderRef::Own(provider) = &spec.provider else { continue };
        let Some(spot) = tokens.find(&spec.name) else { continue };
        let grant = spot.find("exchange").or_else(|| spot.find("client_credentials"));
        let Some(spot) = grant.and_then(|grant| grant.find("provider")) else { continue };
        endpoints(provider, &spot, findings);
        needless(
            &spot,
            &[provider.metadata.as_ref(), provider.introspection_endpoint.as_ref(), provider.token_endpoint.as_ref()],
            findings,
        );
    }
}

fn times(spec: &IssuerSpec, spot: &Spot<'_>, findings: &mut Vec<Finding>) {
    let shown = humantime::format_duration;
    if let Some(asked) = &spec.introspection {
        let age = asked.active_for.min(spec.cache.max_age);
        if age > REVOKED_FOR {
            let place = spot.key("introspection").key("cache").key("active");
            let message = format!("an answer of introspection is used for `{}`", shown(age));
            findings.push(Finding::new(Code::SlowRevocation, &place, message));
        } else if asked.stale_for > REVOKED_FOR {
            let place = spot.key("outage").key("stale_introspection");
            let message = format!(
                "an answer of introspection is used for `{}` more where the issuer is down",
                shown(asked.stale_for)
            );
            findings.push(Finding::new(Code::SlowRevocation, &place, message));
        }
    }
    if spec.leeway > LEEWAY {
        let message = format!("expired tokens are accepted for `{}`", shown(spec.leeway));
        findings.push(Finding::new(Code::LongLeeway, &spot.key("leeway"), message));
    }
    if let KeySource::JwksUrl { fetch, .. } | KeySource::Discovery { fetch, .. } = &spec.keys
        && fetch.stale_keys > STALE_KEYS
    {
        let message = format!("keys are used for `{}` after they were last fetched", shown(fetch.stale_keys));
        findings.push(Finding::new(Code::StaleKeys, &spot.key("outage").key("stale_keys"), message));
    }
}

fn ways(spec: &IssuerSpec, spot: &Spot<'_>, findings: &mut Vec<Finding>) {
    if let IssuerClaim::Exact(iss) = &spec.issuer
        && let Ok(url) = Url::parse(iss)
    {
        plain(&url, &spot.key("issuer"), "the issuer's name", findings);
    }
    let keys = spot.key("keys");
    let of_keys = match &spec.keys {
        KeySource::JwksUrl { url, .. } => Some((url, "jwks")),
        KeySource::Discovery { url, .. } => Some((url, "discovery")),
        KeySource::None | KeySource::Pem(_) | KeySource::JwksFile(_) => None,
    };
    if let Some((url, key)) = of_keys {
        plain(url, &keys.key(key), "the keys' source", findings);
    }
    if let Some(keys) = spot.find("keys") {
        let provider = spec.provider.as_ref();
        let inherits = spot.find("provider").is_none_or(|own| own.find("allow_insecure_http").is_none());
        let of_provider = provider.filter(|_| inherits);
        let urls = [
            of_keys.map(|(url, _)| url),
            of_provider.and_then(|of| of.metadata.as_ref()),
            of_provider.and_then(|of| of.introspection_endpoint.as_ref()),
            of_provider.and_then(|of| of.token_endpoint.as_ref()),
        ];
        needless(&keys, &urls, findings);
    }
    if let (Some(provider), Some(spot)) = (&spec.provider, spot.find("provider")) {
        endpoints(provider, &spot, findings);
        needless(
            &spot,
            &[provider.metadata.as_ref(), provider.introspection_endpoint.as_ref(), provider.token_endpoint.as_ref()],
            findings,
        );
    }
}

/// What is written of a provider.
fn endpoints(provider: &ProviderSpec, spot: &Spot<'_>, findings: &mut Vec<Finding>) {
    let written = [
        ("discovery", &provider.metadata),
        ("introspection_endpoint", &provider.introspection_endpoint),
        ("token_endpoint", &provider.token_endpoint),
    ];
    for (key, url) in written {
        if let (Some(url), Some(place)) = (url, spot.find(key)) {
            plain(url, &place, &format!("`{key}`"), findings);
        }
    }
}

fn plain(url: &Url, place: &Spot<'_>, what: &str, findings: &mut Vec<Finding>) {
    if is_plain(url) {
        let message = format!("{what} is plain `http:`, on another host: `{}`", url.host_str().unwrap_or_default());
        findings.push(Finding::new(Code::PlainHttp, place, message));
    }
}

/// `allow_insecure_http` beside URLs of which none needs it.
fn needless(spot: &Spot<'_>, urls: &[Option<&Url>], findings: &mut Vec<Finding>) {
    let Some(place) = spot.find("allow_insecure_http").filter(Spot::is_true) else { return };
    // Behind a proxy nothing is loopback.
    let proxied = spot.find("proxy").is_some();
    let needs = |url: &&Url| is_plain(url) || (proxied && url.scheme() == "http");
    if !urls.iter().flatten().any(needs) {
        findings.push(Finding::new(
            Code::NeedlessInsecureHttp,
            &place,
            "`allow_insecure_http` is set, and every URL here is `https:` or loopback",
        ));
    }
}

/// Whether others can be on the way.
fn is_plain(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost") || name.ends_with(".localhost"),
        None => true,
    };
    url.scheme() == "http" && !loopback
}
