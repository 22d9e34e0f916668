//! Clients by whom they trust. Connections of different trust are never shared.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{Digest, SHA256, digest};
use reqwest::{Certificate, Client, ClientBuilder, redirect, retry};
use url::Url;

use super::FetchError;
use super::resolver::{Lookup, VettingResolver};

/// Files of authorities that have a client at one time; a reload may leave old ones behind.
const MAX_CLIENTS: usize = 64;
/// Largest file of authorities.
const MAX_CA_BYTES: usize = 4 << 20;

/// Clients by whom they trust.
#[derive(Debug)]
pub(super) struct Clients {
    resolver: VettingResolver,
    cache: Mutex<HashMap<Trust, Known>>,
}

/// A client, and the digest of the authorities it was made with.
#[derive(Clone, Debug)]
struct Known {
    version: Option<Vec<u8>>,
    client: Client,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Trust {
    /// Clear text. Kept apart, so that it works where the system has no authorities.
    Nobody,
    /// The system's authorities.
    System,
    /// Those in a file.
    File(PathBuf),
}

impl Clients {
    pub(super) fn new(lookup: Arc<dyn Lookup>) -> Self {
        Self { resolver: VettingResolver(lookup), cache: Mutex::default() }
    }

    /// The client for a URL; a new one where the file of authorities has changed.
    pub(super) async fn client(&self, url: &Url, ca_file: Option<&Path>) -> Result<Client, FetchError> {
        let (trust, authorities) = match ca_file {
            _ if url.scheme() != "https" => (Trust::Nobody, None),
            None => (Trust::System, None),
            Some(file) => (Trust::File(file.to_owned()), Some(read(file).await?)),
        };
        let version =
            authorities.as_ref().map(|pem| digest(&SHA256, pem)).as_ref().map(Digest::as_ref).map(<[u8]>::to_vec);
        let known = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(&trust).cloned();
        if let Some(known) = known.filter(|known| known.version == version) {
            return Ok(known.client);
        }
        let client = self.build(&trust, authorities.as_deref())?;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= MAX_CLIENTS {
            cache.clear();
        }
        cache.insert(trust, Known { version, client: client.clone() });
        Ok(client)
    }

    fn build(&self, trust: &Trust, authorities: Option<&[u8]>) -> Result<Client, FetchError> {
        let builder = ClientBuilder::new()
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .pool_max_idle_per_host(4)
            .pool_idle_timeout(Duration::from_secs(60))
            .http2_max_header_list_size(64 << 10)
            .dns_resolver(self.resolver.clone());
        let builder = match (trust, authorities) {
            (Trust::Nobody, _) => builder.tls_certs_only([]),
            (Trust::System, _) => builder,
            (Trust::File(file), authorities) => {
                let pem = authorities.unwrap_or_default();
                let unusable = || FetchError::Trust(format!("`{}` holds no usable certificate", file.display()));
                let certificates = Certificate::from_pem_bundle(pem).map_err(|_| unusable())?;
                if certificates.is_empty() {
                    return Err(unusable());
                }
                builder.tls_certs_only(certificates)
            }
        };
        builder.build().map_err(|_| {
            FetchError::Trust(match trust {
                Trust::Nobody => "TLS could not be set up".to_owned(),
                Trust::System => "the system has none; install its CA certificates, or name a `ca_file`".to_owned(),
                Trust::File(file) => format!("`{}` holds a certificate that is no authority", file.display()),
            })
        })
    }
}

async fn read(file: &Path) -> Result<Vec<u8>, FetchError> {
    let pem = tokio::fs::read(file).await;
    let pem = pem.map_err(|error| FetchError::Trust(format!("`{}`: {}", file.display(), error.kind())))?;
    if pem.len() > MAX_CA_BYTES {
        return Err(FetchError::Trust(format!("`{}` is larger than {MAX_CA_BYTES} bytes", file.display())));
    }
    Ok(pem)
}
