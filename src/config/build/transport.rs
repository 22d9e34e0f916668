//! The way to a provider: URLs that may be called, proxies, addresses.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use url::{Host, Url};

use super::{Surroundings, ms, secs, time};
use crate::config::names::shown;
use crate::config::place::At;
use crate::config::value::Time;
use crate::net::spec::Transport;

/// What the file says about the way, under `keys` or `provider`.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::config) struct TransportFile<'f> {
    pub(in crate::config) ca_file: Option<&'f String>,
    pub(in crate::config) allow_insecure_http: Option<bool>,
    pub(in crate::config) proxy: Option<&'f String>,
    pub(in crate::config) allowed_addresses: Option<&'f Vec<String>>,
    pub(in crate::config) connect_timeout: Option<Time>,
}

/// Judges the way. What is not said is as in `base`; `timeout` is that of the whole call.
pub(in crate::config) fn build(
    at: &At<'_>,
    file: TransportFile<'_>,
    base: &Transport,
    timeout: Duration,
    around: Surroundings<'_>,
) -> Option<Transport> {
    let ca_file = match file.ca_file {
        None => Some(base.ca_file.clone()),
        Some(name) => around.file(&at.key("ca_file"), name).map(Some),
    };
    let allowed_addresses = match file.allowed_addresses {
        None => Some(base.allowed_addresses.clone()),
        Some(list) => addresses(&at.key("allowed_addresses"), list),
    };
    let proxy = match file.proxy {
        None => Some(base.proxy.clone()),
        Some(text) => proxy(&at.key("proxy"), text, allowed_addresses.as_deref().unwrap_or_default()).map(Some),
    };
    let connect_timeout = file.connect_timeout.map(|value| {
        let value = time(at, "connect_timeout", Some(value), timeout, (ms(10), secs(60)));
        if value > timeout {
            at.key("connect_timeout").error(format!(
                "is longer than `timeout` (`{}`), which the connection is a part of",
                humantime::format_duration(timeout)
            ));
        }
        value
    });
    Some(Transport {
        ca_file: ca_file?,
        allow_insecure_http: file.allow_insecure_http.unwrap_or(base.allow_insecure_http),
        proxy: proxy?,
        allowed_addresses: allowed_addresses?,
        connect_timeout: connect_timeout.or(base.connect_timeout.map(|of_base| of_base.min(timeout))),
        identity: None,
    })
}

fn addresses(at: &At<'_>, list: &[String]) -> Option<Vec<IpAddr>> {
    let mut made: Vec<IpAddr> = Vec::new();
    let before = at.sink().count();
    for (index, text) in list.iter().enumerate() {
        let at = at.index(index);
        match text.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(address) if address.is_unspecified() || address.is_multicast() => {
                at.error(format!("`{address}` is no host's address; nothing can be connected to there"));
            }
            Ok(address) if made.contains(&address) => at.error(format!("`{address}` is there twice")),
            Ok(address) => made.push(address),
            Err(_) => at.error(format!(
                "expected an IP address, without port and prefix length, such as `169.254.10.1`, found `{}`",
                shown(text)
            )),
        }
    }
    (at.sink().count() == before).then_some(made)
}

fn proxy(at: &At<'_>, text: &str, allowed: &[IpAddr]) -> Option<Url> {
    let url = parsed(at, text, "http://")?;
    let problem = if !url.has_host() && !text.contains('@') {
        Some(format!("expected a URL, such as `http://proxy:3128`, found `{}`", shown(text)))
    } else if url.scheme() != "http" {
        Some(format!(
            "`{}:` proxies are not supported; write `http:`, and `https:` goes through by `CONNECT`",
            url.scheme()
        ))
    } else if !url.username().is_empty() || url.password().is_some() {
        Some("a URL holds no user name and password; proxies that ask for them are not supported".to_owned())
    } else if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        Some("a proxy is a host and a port, such as `http://proxy:3128`, without a path".to_owned())
    } else {
        host_problem(&url, allowed)
    };
    match problem {
        None => Some(url),
        Some(problem) => {
            at.error(problem);
            None
        }
    }
}

/// Hosts that a document may name.
pub(in crate::config) fn hosts(list: &At<'_>, hosts: &[String]) -> Vec<Box<str>> {
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

/// What a URL leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Purpose {
    /// Keys, or metadata that say where they are.
    Keys,
    /// A provider's metadata or endpoints.
    Endpoint,
}

/// A URL that may be called. Names are looked up, and the addresses judged again, when it is called.
pub(in crate::config) fn url(at: &At<'_>, text: &str, purpose: Purpose, way: Option<&Transport>) -> Option<Url> {
    let url = parsed(at, text, "https://")?;
    match problem(&url, purpose, way) {
        None => Some(url),
        Some(problem) => {
            at.error(problem);
            None
        }
    }
}

fn parsed(at: &At<'_>, text: &str, from: &str) -> Option<Url> {
    match Url::parse(text) {
        Ok(url) => Some(url),
        Err(error) => {
            // What may hold a password is not shown.
            at.error(match text.contains('@') {
                true => format!("not a URL: {error}"),
                false => format!("`{}` is not a URL: {error}; write it in full, from `{from}` on", shown(text)),
            });
            None
        }
    }
}

fn problem(url: &Url, purpose: Purpose, way: Option<&Transport>) -> Option<String> {
    if !matches!(url.scheme(), "https" | "http") {
        let hint = match purpose {
            Purpose::Keys => "are not fetched; write `https:`, or `jwks_file` for a file",
            Purpose::Endpoint => "are not called; write `https:`",
        };
        return Some(format!("`{}:` URLs {hint}", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let hint = match purpose {
            Purpose::Keys => "secrets come from files, see `bearer_token_file`",
            Purpose::Endpoint => "secrets come from files or the environment, see `client`",
        };
        return Some(format!("a URL holds no user name and password; {hint}"));
    }
    if url.fragment().is_some() {
        return Some(match purpose {
            Purpose::Keys => "a URL to fetch has no fragment (`#…`)".to_owned(),
            Purpose::Endpoint => "an endpoint's URL has no fragment (`#…`; RFC 6749 §3.2)".to_owned(),
        });
    }
    // Without a way its own error is there already.
    let way = way?;
    if let Some(problem) = host_problem(url, &way.allowed_addresses) {
        return Some(problem);
    }
    // Behind a proxy, loopback would be the proxy's.
    let loopback = way.proxy.is_none()
        && match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
            None => false,
        };
    if url.scheme() == "http" && !loopback && !way.allow_insecure_http {
        let risk = match purpose {
            Purpose::Keys => "keys fetched over `http:` can be replaced on the way",
            Purpose::Endpoint => "secrets and tokens sent over `http:` can be read on the way",
        };
        return Some(format!("{risk}; write `https:`, or `allow_insecure_http: true` where the network is yours"));
    }
    None
}

fn host_problem(url: &Url, allowed: &[IpAddr]) -> Option<String> {
    let address = match url.host() {
        None => return Some("the URL has no host".to_owned()),
        Some(Host::Domain(_)) => return None,
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => address.to_canonical(),
    };
    (is_metadata(address) && !allowed.contains(&address)).then(|| {
        format!(
            "`{address}` is link-local, a cloud's metadata service or no host's address; it is never fetched from, unless it is one of `allowed_addresses`"
        )
    })
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
