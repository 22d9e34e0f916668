//! How a provider's endpoints are found and called.

use std::sync::Arc;

use url::Url;

use super::fetch::well_known;
use super::transport::{self, Purpose, TransportFile};
use super::{Surroundings, ms, number, secs, time};
use crate::authn::spec::{FetchSpec, IssuerClaim, KeySource};
use crate::config::file::provider::{BreakerFile, ProviderFile};
use crate::config::place::At;
use crate::config::value::TrueOr;
use crate::net::spec::Transport;
use crate::provider::spec::{BreakerSpec, ProviderSpec};

/// What an issuer says that its provider need not say again.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct OfIssuer<'i> {
    /// What its tokens say in `iss`; `None` where that is in error.
    pub(in crate::config) claim: Option<&'i IssuerClaim>,
    /// Where its keys come from; `None` where that is in error.
    pub(in crate::config) keys: Option<&'i KeySource>,
}

/// Judges an issuer's `provider`, which may be left out.
pub(in crate::config) fn of_issuer(
    at: &At<'_>,
    name: &str,
    file: &ProviderFile,
    issuer: OfIssuer<'_>,
    around: Surroundings<'_>,
) -> Option<ProviderSpec> {
    if file.issuer.is_some() {
        at.key("issuer").error("is said by the issuer itself; here it is for providers of `tokens` alone");
    }
    let fetch: Option<&FetchSpec> = match issuer.keys? {
        KeySource::JwksUrl { fetch, .. } | KeySource::Discovery { fetch, .. } => Some(fetch),
        KeySource::None | KeySource::Pem(_) | KeySource::JwksFile(_) => None,
    };
    let none = Transport::default();
    let mut base = Base { transport: fetch.map_or(&none, |fetch| &fetch.transport), hosts: &[], metadata: None };
    if let Some(KeySource::Discovery { url, allowed_hosts, .. }) = issuer.keys {
        base.hosts = allowed_hosts;
        base.metadata = Some(url);
    }
    let issuer = match issuer.claim? {
        IssuerClaim::Exact(issuer) => Some(issuer),
        IssuerClaim::Absent => {
            if file.discovery.is_some() {
                at.key("discovery").error("discovery compares the metadata's `issuer` with this issuer's: it needs `issuer`, not `issuer_claim: absent`; give the endpoints instead");
                return None;
            }
            None
        }
    };
    build(at, name, file, issuer.cloned(), base, around)
}

/// Judges a `provider` that a token brings along.
pub(in crate::config) fn inline(
    at: &At<'_>,
    name: &str,
    file: &ProviderFile,
    around: Surroundings<'_>,
) -> Option<ProviderSpec> {
    if file.introspection_endpoint.is_some() {
        at.key("introspection_endpoint").error("nothing is introspected here; introspection belongs to an issuer");
    }
    let written = file.issuer.as_deref();
    if written.is_some_and(|text| text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace())) {
        at.key("issuer").error("expected the metadata's `issuer`, without white space");
    }
    // What comes before the well-known path is the issuer (OIDC Discovery 1.0 §4.1).
    let implied = match &file.discovery {
        Some(TrueOr::Text(url)) => url.strip_suffix("/.well-known/openid-configuration"),
        Some(TrueOr::True) | None => None,
    };
    let issuer = written.or(implied).map(Arc::from);
    if file.discovery.is_some() && issuer.is_none() {
        at.key("discovery").error("`issuer` is missing beside it: write what the metadata must say in `issuer`");
        return None;
    }
    if file.token_endpoint.is_none() && file.discovery.is_none() {
        at.missing("`token_endpoint` is missing: write it, or `issuer` and `discovery: true` to find it");
        return None;
    }
    let base = Base { transport: &Transport::default(), hosts: &[], metadata: None };
    build(at, name, file, issuer, base, around)
}

/// What holds where `provider` says nothing.
struct Base<'b> {
    transport: &'b Transport,
    hosts: &'b [Box<str>],
    metadata: Option<&'b Url>,
}

fn build(
    at: &At<'_>,
    name: &str,
    file: &ProviderFile,
    issuer: Option<Arc<str>>,
    base: Base<'_>,
    around: Surroundings<'_>,
) -> Option<ProviderSpec> {
    let timeout = time(at, "timeout", file.timeout, secs(2), (ms(10), secs(60)));
    let way = TransportFile {
        ca_file: file.ca_file.as_ref(),
        allow_insecure_http: file.allow_insecure_http,
        proxy: file.proxy.as_ref(),
        allowed_addresses: file.allowed_addresses.as_ref(),
        connect_timeout: file.connect_timeout,
    };
    let transport = transport::build(at, way, base.transport, timeout, around).map(|transport| Transport {
        connect_timeout: Some(transport.connect_timeout.unwrap_or(secs(1).min(timeout))),
        ..transport
    });
    let url = |at: &At<'_>, text: &str| transport::url(at, text, Purpose::Endpoint, transport.as_ref());
    let endpoint = |key: &str, text: &Option<String>| match text {
        None => Some(None),
        Some(text) => url(&at.key(key), text).map(Some),
    };
    let introspection_endpoint = endpoint("introspection_endpoint", &file.introspection_endpoint);
    let token_endpoint = endpoint("token_endpoint", &file.token_endpoint);
    let metadata = match (&file.discovery, &issuer) {
        (None, _) => Some(base.metadata.cloned()),
        (Some(TrueOr::Text(text)), _) => url(&at.key("discovery"), text).map(Some),
        (Some(TrueOr::True), Some(issuer)) => url(&at.key("discovery"), &well_known(issuer)).map(Some),
        // Its error is there already.
        (Some(TrueOr::True), None) => None,
    };
    let allowed_hosts = match &file.allowed_hosts {
        None => base.hosts.to_vec(),
        Some(hosts) => {
            let at = at.key("allowed_hosts");
            if matches!(metadata, Some(None)) {
                at.error("is of use with `discovery` alone, whose metadata names the endpoints");
            }
            transport::hosts(&at, hosts)
        }
    };
    let breaker = breaker(&at.key("breaker"), file.breaker.as_ref());
    let count = |key: &str, value: Option<u64>, default: u64, bounds| {
        let value = number(at, key, value, default, bounds);
        usize::try_from(value).unwrap_or(usize::MAX)
    };
    let max_in_flight = count("max_in_flight", file.max_in_flight, 64, (1, 65_536));
    let retries = u32::try_from(number(at, "retries", file.retries, 1, (0, 5))).unwrap_or(1);
    Some(ProviderSpec {
        name: name.into(),
        issuer,
        metadata: metadata?,
        allowed_hosts,
        introspection_endpoint: introspection_endpoint?,
        token_endpoint: token_endpoint?,
        transport: transport?,
        timeout,
        max_in_flight,
        retries,
        breaker,
    })
}

fn breaker(at: &At<'_>, file: Option<&BreakerFile>) -> BreakerSpec {
    let (failures, open) = file.map_or((None, None), |file| (file.failures, file.open));
    BreakerSpec {
        failures: u32::try_from(number(at, "failures", failures, 5, (1, 1000))).unwrap_or(5),
        open_for: time(at, "open", open, secs(5), (ms(100), secs(600))),
    }
}
