//! Where keys come from, and URLs that may be fetched.

use std::net::{IpAddr, Ipv6Addr};

use url::{Host, Url};

use super::{Surroundings, ms, secs, time};
use crate::authn::spec::{FetchSpec, IssuerClaim, KeySource};
use crate::config::file::issuer::{KeysFile, OutageFile};
use crate::config::names::{listed, shown};
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
    let insecure = file.allow_insecure_http.unwrap_or(false);
    let fetch = fetch(at, file, stale_keys, around);
    if let Some(text) = &file.jwks {
        if file.allowed_hosts.is_some() {
            at.key("allowed_hosts").error("is of use with `discovery` alone, whose metadata names another URL");
        }
        let url = url(&at.key("jwks"), text, insecure)?;
        return Some(KeySource::JwksUrl { url, fetch: fetch? });
    }
    let allowed_hosts = allowed_hosts(at, file.allowed_hosts.as_deref().unwrap_or_default());
    let at = at.key("discovery");
    if issuer == Some(&IssuerClaim::Absent) {
        at.error("discovery compares the metadata's `issuer` with this issuer's: it needs `issuer`, not `issuer_claim: absent`");
        return None;
    }
    let url = match (file.discovery.as_ref()?, issuer) {
        (TrueOr::Text(text), _) => url(&at, text, insecure)?,
        (TrueOr::True, Some(IssuerClaim::Exact(issuer))) => {
            let text = format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer));
            url(&at, &text, insecure)?
        }
        // Its error is there already.
        (TrueOr::True, Some(IssuerClaim::Absent) | None) => return None,
    };
    Some(KeySource::Discovery { url, allowed_hosts, fetch: fetch? })
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
    let path = |key: &str, value: &Option<String>| match value {
        None => Some(None),
        Some(text) => around.file(&at.key(key), text).map(Some),
    };
    let (ca_file, bearer_token_file) =
        (path("ca_file", &file.ca_file), path("bearer_token_file", &file.bearer_token_file));
    Some(FetchSpec {
        refresh,
        refresh_bounds: (least, most),
        timeout: time(at, "timeout", file.timeout, secs(5), (ms(10), secs(60))),
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
        transport: Transport {
            ca_file: ca_file?,
            allow_insecure_http: file.allow_insecure_http.unwrap_or(false),
            ..Transport::default()
        },
        bearer_token_file: bearer_token_file?,
    })
}

fn allowed_hosts(at: &At<'_>, hosts: &[String]) -> Vec<Box<str>> {
    let list = at.key("allowed_hosts");
    let mut names = Vec::new();
    for (index, text) in hosts.iter().enumerate() {
        match Host::parse(text) {
            Ok(Host::Domain(name)) if !text.contains(['*', ':', '/', '@']) => {
                names.push(name.to_ascii_lowercase().trim_end_matches('.').into());
            }
            Ok(Host::Ipv4(address)) if *text == address.to_string() && !is_metadata(address.into()) => {
                names.push(text.as_str().into());
            }
            _ => list.index(index).error(format!(
                "expected a host name, without scheme, port, path and wildcard, found `{}`",
                shown(text)
            )),
        }
    }
    names
}

/// A URL that may be fetched. Names are looked up, and the addresses judged again, when it is fetched.
pub(in crate::config) fn url(at: &At<'_>, text: &str, insecure: bool) -> Option<Url> {
    let problem = match Url::parse(text) {
        // What may hold a password is not shown.
        Err(error) if text.contains('@') => format!("not a URL: {error}"),
        Err(error) => format!("`{}` is not a URL: {error}; write it in full, from `https://` on", shown(text)),
        Ok(url) => match problem(&url, insecure) {
            None => return Some(url),
            Some(problem) => problem,
        },
    };
    at.error(problem);
    None
}

fn problem(url: &Url, insecure: bool) -> Option<String> {
    if !matches!(url.scheme(), "https" | "http") {
        return Some(format!("`{}:` URLs are not fetched; write `https:`, or `jwks_file` for a file", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some(
            "a URL holds no user name and password; secrets come from files, see `bearer_token_file`".to_owned(),
        );
    }
    if url.fragment().is_some() {
        return Some("a URL to fetch has no fragment (`#…`)".to_owned());
    }
    let address = match url.host() {
        None => return Some("the URL has no host".to_owned()),
        Some(Host::Domain(_)) => None,
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(address.to_canonical()),
    };
    if let Some(address) = address
        && is_metadata(address)
    {
        return Some(format!(
            "`{address}` is link-local, a cloud's metadata service or no host's address; it is never fetched from"
        ));
    }
    let loopback = address.is_some_and(|address| address.is_loopback())
        || matches!(url.host(), Some(Host::Domain(name)) if is_localhost(name));
    if url.scheme() == "http" && !loopback && !insecure {
        return Some("keys fetched over `http:` can be replaced on the way; write `https:`, or `allow_insecure_http: true` where the network is yours".to_owned());
    }
    None
}

fn is_localhost(name: &str) -> bool {
    name == "localhost"
}

/// Addresses that are no host's, link-local ones, and those of instance metadata services. The client that fetches
/// judges every address again, looked-up ones included.
fn is_metadata(address: IpAddr) -> bool {
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address {
        IpAddr::V4(v4) => {
            v4.is_link_local() || v4.octets() == [100, 100, 100, 200] || v4.is_unspecified() || v4.is_multicast()
        }
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6 == METADATA || v6.is_unspecified() || v6.is_multicast(),
    }
}
