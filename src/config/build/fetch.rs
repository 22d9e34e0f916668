//! Where keys come from.

use super::transport::{self, Purpose, TransportFile};
use super::{Surroundings, ms, secs, time};
use crate::authn::spec::{FetchSpec, IssuerClaim, KeySource};
use crate::config::file::issuer::{KeysFile, OutageFile};
use crate::config::names::listed;
use crate::config::place::At;
use crate::config::value::TrueOr;
use crate::net::spec::Transport;

/// Judges `keys`. `issuer` is what tokens say in `iss`, where that is known.
pub(in crate::config) fn keys(
    at: &At<'_>,
    file: &KeysFile,
    issuer: Option<&IssuerClaim>,
    stale_keys: (&At<'_>, Option<&OutageFile>),
    around: Surroundings<'_>,
) -> Option<KeySource> {
    let sources = [
        ("pem", file.pem.is_some()),
        ("jwks_file", file.jwks_file.is_some()),
        ("jwks", file.jwks.is_some()),
        ("discovery", file.discovery.is_some()),
    ];
    let named: Vec<&str> = sources.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
    if named.is_empty() {
        at.missing("no source of keys: write one of `pem`, `jwks_file`, `jwks` and `discovery`");
        return None;
    }
    if named.len() > 1 {
        at.error(format!("{} are there together; keep one source of keys, or make two issuers", listed(named)));
        return None;
    }
    let fetched = file.jwks.is_some() || file.discovery.is_some();
    if !fetched {
        refuse_fetch_keys(at, file);
    }
    if let Some(files) = &file.pem {
        let at = at.key("pem");
        if files.is_empty() {
            at.missing("the list is empty; name the PEM files of the issuer's public keys");
        }
        let paths = files.iter().enumerate().map(|(index, file)| around.file(&at.index(index), file));
        let paths: Vec<_> = paths.collect::<Vec<_>>().into_iter().flatten().collect();
        return (paths.len() == files.len() && !files.is_empty()).then_some(KeySource::Pem(paths));
    }
    if let Some(file) = &file.jwks_file {
        return around.file(&at.key("jwks_file"), file).map(KeySource::JwksFile);
    }
    let fetch = fetch(at, file, stale_keys, around);
    let way = fetch.as_ref().map(|fetch| &fetch.transport);
    let url = |at: &At<'_>, text: &str| transport::url(at, text, Purpose::Keys, way);
    if let Some(text) = &file.jwks {
        if file.allowed_hosts.is_some() {
            at.key("allowed_hosts").error("is of use with `discovery` alone, whose metadata names another URL");
        }
        let url = url(&at.key("jwks"), text)?;
        return Some(KeySource::JwksUrl { url, fetch: fetch? });
    }
    let allowed_hosts = transport::hosts(&at.key("allowed_hosts"), file.allowed_hosts.as_deref().unwrap_or_default());
    let at = at.key("discovery");
    if issuer == Some(&IssuerClaim::Absent) {
        at.error("discovery compares the metadata's `issuer` with this issuer's: it needs `issuer`, not `issuer_claim: absent`");
        return None;
    }
    let url = match (file.discovery.as_ref()?, issuer) {
        (TrueOr::Text(text), _) => url(&at, text)?,
        (TrueOr::True, Some(IssuerClaim::Exact(issuer))) => url(&at, &well_known(issuer))?,
        // Its error is there already.
        (TrueOr::True, Some(IssuerClaim::Absent) | None) => return None,
    };
    Some(KeySource::Discovery { url, allowed_hosts, fetch: fetch? })
}

/// Where an issuer's metadata are (OIDC Discovery 1.0 §4).
pub(in crate::config) fn well_known(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer))
}

fn refuse_fetch_keys(at: &At<'_>, file: &KeysFile) {
    let keys = [
        ("allowed_hosts", file.allowed_hosts.is_some()),
        ("refresh", file.refresh.is_some()),
        ("refresh_min", file.refresh_min.is_some()),
        ("refresh_max", file.refresh_max.is_some()),
        ("timeout", file.timeout.is_some()),
        ("unknown_kid_cooldown", file.unknown_kid_cooldown.is_some()),
        ("allow_insecure_http", file.allow_insecure_http.is_some()),
        ("ca_file", file.ca_file.is_some()),
        ("bearer_token_file", file.bearer_token_file.is_some()),
        ("proxy", file.proxy.is_some()),
        ("allowed_addresses", file.allowed_addresses.is_some()),
        ("connect_timeout", file.connect_timeout.is_some()),
    ];
    for (key, _) in keys.iter().filter(|(_, there)| *there) {
        at.key(key).error("is of use with `jwks` and `discovery` alone; files are read again when they change");
    }
}

fn fetch(
    at: &At<'_>,
    file: &KeysFile,
    (issuer_at, outage): (&At<'_>, Option<&OutageFile>),
    around: Surroundings<'_>,
) -> Option<FetchSpec> {
    let day = secs(86_400);
    let least = time(at, "refresh_min", file.refresh_min, secs(30), (secs(1), day));
    let most = time(at, "refresh_max", file.refresh_max, secs(3600), (secs(1), day));
    let refresh = time(at, "refresh", file.refresh, secs(600).clamp(least.min(most), most), (secs(1), day));
    if least > most {
        at.key("refresh_min").error("is longer than `refresh_max`");
    } else if refresh < least || refresh > most {
        at.key("refresh").error("is not between `refresh_min` (default `30s`) and `refresh_max` (default `1h`)");
    }
    let timeout = time(at, "timeout", file.timeout, secs(5), (ms(10), secs(60)));
    let bearer_token_file = match &file.bearer_token_file {
        None => Some(None),
        Some(name) => around.file(&at.key("bearer_token_file"), name).map(Some),
    };
    let way = TransportFile {
        ca_file: file.ca_file.as_ref(),
        allow_insecure_http: file.allow_insecure_http,
        proxy: file.proxy.as_ref(),
        allowed_addresses: file.allowed_addresses.as_ref(),
        connect_timeout: file.connect_timeout,
    };
    let transport = transport::build(at, way, &Transport::default(), timeout, around);
    Some(FetchSpec {
        refresh,
        refresh_bounds: (least, most),
        timeout,
        stale_keys: time(
            &issuer_at.key("outage"),
            "stale_keys",
            outage.and_then(|outage| outage.stale_keys),
            secs(3600),
            // Keys are renewed well before they run out, whatever `refresh` says: shorter would be a flood of fetches.
            (secs(10), secs(30 * 86_400)),
        ),
        unknown_kid_cooldown: time(
            at,
            "unknown_kid_cooldown",
            file.unknown_kid_cooldown,
            secs(15),
            (secs(1), secs(3600)),
        ),
        transport: transport?,
        bearer_token_file: bearer_token_file?,
    })
}
