//! Name resolution that hands out vetted addresses only, so that the address that was vetted is the one connected to.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::FetchError;
use super::address::{is_localhost, vet};

/// Finds a name's addresses.
pub trait Lookup: fmt::Debug + Send + Sync + 'static {
    /// The addresses of `name`; none is an answer, too.
    fn lookup(&self, name: &str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;
}

/// The operating system's resolver.
#[derive(Debug)]
pub(super) struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: &str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> {
        let name = name.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|found| found.ip()).collect()) })
    }
}

/// Passes on what a [`Lookup`] finds and the address rules let pass.
#[derive(Clone, Debug)]
pub(super) struct VettingResolver {
    lookup: Arc<dyn Lookup>,
    allowed: Arc<[IpAddr]>,
}

impl VettingResolver {
    /// `allowed` pass although the address rules refuse them.
    pub(super) fn new(lookup: Arc<dyn Lookup>, allowed: &[IpAddr]) -> Self {
        Self { lookup, allowed: allowed.into() }
    }
}

impl Resolve for VettingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, allowed) = (Arc::clone(&self.lookup), Arc::clone(&self.allowed));
        Box::pin(async move {
            let found = lookup.lookup(name.as_str()).await.map_err(|_| FetchError::Dns)?;
            let vetted = vetted(name.as_str(), &found, &allowed)?;
            let addresses: Addrs = Box::new(vetted.into_iter().map(|address| (address, 0).into()));
            Ok(addresses)
        })
    }
}

fn vetted(name: &str, found: &[IpAddr], allowed: &[IpAddr]) -> Result<Vec<IpAddr>, FetchError> {
    let mut refused = FetchError::Dns;
    let mut vetted = Vec::new();
    for address in found {
        // `http:` is allowed to `localhost` because it is this machine; so it has to be.
        if is_localhost(name) && !address.is_loopback() {
            refused = FetchError::RefusedAddress(*address);
            continue;
        }
        match vet(*address, allowed) {
            Ok(()) => vetted.push(*address),
            Err(error) => refused = error,
        }
    }
    if vetted.is_empty() { Err(refused) } else { Ok(vetted) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_this_machine_whatever_a_resolver_says() {
        let elsewhere: IpAddr = "10.0.0.7".parse().unwrap();
        let here: IpAddr = "::1".parse().unwrap();
        let vetted = |name: &str, found: &[IpAddr]| vetted(name, found, &[elsewhere]);
        assert_eq!(vetted("localhost", &[elsewhere]), Err(FetchError::RefusedAddress(elsewhere)));
        assert_eq!(vetted("localhost", &[elsewhere, here]), Ok(vec![here]));
        assert_eq!(vetted("issuer.test", &[elsewhere]), Ok(vec![elsewhere]));
        assert_eq!(vetted("issuer.test", &[]), Err(FetchError::Dns));
    }
}
