//! Which addresses are never connected to: those where a cloud keeps its credentials, and those that are no host's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use super::FetchError;

/// Instance metadata of AWS over IPv6; over IPv4 it is link-local, as everybody else's.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254);
/// Instance metadata of Alibaba Cloud, and Azure's WireServer.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];

/// Whether a URL's host is this machine: `localhost`, or a loopback address.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_localhost(name),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether a name may only ever mean this machine (RFC 6761 §6.3).
pub(super) fn is_localhost(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
}

/// Lets an address pass, or says that it is refused. Those in `allowed` pass: the operator named them.
pub(super) fn vet(address: IpAddr, allowed: &[IpAddr]) -> Result<(), FetchError> {
    let named = || allowed.iter().any(|allowed| allowed.to_canonical() == address.to_canonical());
    if is_refused(address) && !named() { Err(FetchError::RefusedAddress(address)) } else { Ok(()) }
}

/// [`vet`] for a URL's host, where it is an address. A name is vetted when it is looked up.
pub(super) fn vet_literal(url: &Url, allowed: &[IpAddr]) -> Result<(), FetchError> {
    match url.host() {
        Some(Host::Ipv4(address)) => vet(address.into(), allowed),
        Some(Host::Ipv6(address)) => vet(address.into(), allowed),
        Some(Host::Domain(_)) => Ok(()),
        None => Err(FetchError::Request("the URL has no host")),
    }
}

fn is_refused(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_refused_v4(v4),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            // `::1` reads as an embedded 0.0.0.1; it is loopback.
            Some(v4) if !v6.is_loopback() => is_refused_v4(v4),
            _ => v6.is_unspecified() || v6.is_unicast_link_local() || v6.is_multicast() || v6 == METADATA_V6,
        },
    }
}

fn is_refused_v4(v4: Ipv4Addr) -> bool {
    let [first, ..] = v4.octets();
    first == 0 || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || METADATA_V4.contains(&v4)
}

/// The IPv4 address that an IPv6 address leads to: mapped and compatible (RFC 4291 §2.5.5), NAT64 (RFC 6052 §2.1),
/// 6to4 (RFC 3056 §2).
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(from(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(from(high, low)),
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_191_metadata_link_local_and_multicast_addresses_are_refused_in_every_form() {
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "239.1.1.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:169.254.169.254",
            "::ffff:100.100.100.200",
            "::ffff:0.0.0.0",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(vet(address, &[]), Err(FetchError::RefusedAddress(address)), "{address}");
        }
    }

    #[test]
    fn row_191_an_address_that_the_operator_named_passes_and_no_other() {
        let named: IpAddr = "169.254.10.1".parse().unwrap();
        assert_eq!(vet(named, &[named]), Ok(()));
        assert_eq!(vet("::ffff:169.254.10.1".parse().unwrap(), &[named]), Ok(()));
        for other in ["169.254.10.2", "169.254.169.254", "64:ff9b::a9fe:0a01", "fe80::1"] {
            assert!(vet(other.parse().unwrap(), &[named]).is_err(), "{other}");
        }
    }

    #[test]
    fn loopback_private_and_public_addresses_pass() {
        for address in [
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "10.0.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "fd00::1",
            "168.63.129.17",
            "8.8.8.8",
            "2600::1",
        ] {
            assert_eq!(vet(address.parse().unwrap(), &[]), Ok(()), "{address}");
        }
    }

    #[test]
    fn loopback_is_an_address_or_localhost_and_nothing_that_looks_like_it() {
        let is = |url: &str| is_loopback(&Url::parse(url).unwrap());
        for url in [
            "http://localhost:1/x",
            "http://LOCALHOST",
            "http://127.9.9.9",
            "http://[::1]",
            "http://0x7f000001",
            "http://127.1",
        ] {
            assert!(is(url), "{url}");
        }
        for url in [
            "http://localhost.evil.example",
            "http://127.0.0.1.nip.io",
            "http://10.0.0.1",
            "http://a@b",
            "http://localhost.",
        ] {
            assert!(!is(url), "{url}");
        }
    }
}
