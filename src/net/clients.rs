//! Clients by transport. Connections of different transports are never shared.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use reqwest::{Certificate, Client, ClientBuilder, Proxy, redirect, retry};
use url::Url;
use zeroize::Zeroizing;

use super::FetchError;
use super::resolver::{Lookup, VettingResolver};
use super::spec::{Identity, Transport};
use crate::secret::{MAX_SECRET_BYTES, SecretError, read_bytes};

/// Transports that have a client at one time; a reload may leave old ones behind.
const MAX_CLIENTS: usize = 64;
/// Largest file of certificates.
const MAX_CERTIFICATE_BYTES: usize = 4 << 20;
/// Idle connections are closed after this long: before servers that close theirs after five seconds do, since a request
/// that meets a closing connection is lost, and one that is not idempotent is not sent again.
const IDLE: Duration = Duration::from_secs(4);
/// A connection of many requests (HTTP/2) that is silent for this long is asked whether it is still there …
const PING_AFTER: Duration = Duration::from_secs(5);
/// … and given up where it does not answer in time.
const PONG_WITHIN: Duration = Duration::from_secs(2);

/// Clients by transport.
#[derive(Debug)]
pub(super) struct Clients {
    lookup: Arc<dyn Lookup>,
    cache: Mutex<HashMap<Key, Known>>,
}

/// What may share connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// Clear text has no authorities and no client certificate: kept apart, it works where the system has none.
    tls: bool,
    transport: Transport,
}

/// A client, and the digests of the files it was made with.
#[derive(Clone, Debug)]
struct Known {
    files: Digests,
    client: Client,
}

/// What files hold, to be compared.
type Digests = [Option<Vec<u8>>; 3];

/// The files that a transport names.
struct Files {
    authorities: Option<Zeroizing<Vec<u8>>>,
    certificate: Option<Zeroizing<Vec<u8>>>,
    key: Option<Zeroizing<Vec<u8>>>,
}

impl Clients {
    pub(super) fn new(lookup: Arc<dyn Lookup>) -> Self {
        Self { lookup, cache: Mutex::default() }
    }

    /// The client for a URL; a new one where a file that the transport names has changed.
    pub(super) async fn client(&self, url: &Url, transport: &Transport) -> Result<Client, FetchError> {
        let tls = url.scheme() == "https";
        let mut transport = transport.clone();
        // Judged for each request; connections do not differ by it.
        transport.allow_insecure_http = false;
        if !tls {
            (transport.ca_file, transport.identity) = (None, None);
        }
        let files = Files::read(&transport).await?;
        let key = Key { tls, transport };
        let digests = files.digests();
        let known = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known.filter(|known| known.files == digests) {
            return Ok(known.client);
        }
        let client = self.build(&key, &files)?;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= MAX_CLIENTS {
            cache.clear();
        }
        cache.insert(key, Known { files: digests, client: client.clone() });
        Ok(client)
    }

    fn build(&self, key: &Key, files: &Files) -> Result<Client, FetchError> {
        let trusting = self.trusting(key, files)?;
        let Some(identity) = &key.transport.identity else {
            return trusting.build().map_err(|_| untrusted(key));
        };
        let refused = |why| FetchError::Identity(format!("{}: {why}", named(identity)));
        let parts = || [&files.certificate, &files.key].into_iter().flatten();
        let mut pem = Zeroizing::new(Vec::with_capacity(parts().map(|part| part.len() + 1).sum()));
        for part in parts() {
            pem.extend_from_slice(part);
            pem.push(b'\n');
        }
        let pair = reqwest::Identity::from_pem(&pem)
            .map_err(|_| refused("hold no certificate in PEM with its private key (PKCS#8, PKCS#1 or SEC1)"))?;
        match trusting.identity(pair).build() {
            Ok(client) => Ok(client),
            // Whose fault it is shows without the certificate.
            Err(_) => match self.trusting(key, files)?.build() {
                Ok(_) => Err(refused("do not belong together, or are of a kind that is not supported")),
                Err(_) => Err(untrusted(key)),
            },
        }
    }

    /// All but the client's own certificate.
    fn trusting(&self, key: &Key, files: &Files) -> Result<ClientBuilder, FetchError> {
        let transport = &key.transport;
        let mut builder = ClientBuilder::new()
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .pool_max_idle_per_host(16)
            .pool_idle_timeout(IDLE)
            .http2_max_header_list_size(64 << 10)
            .http2_keep_alive_interval(PING_AFTER)
            .http2_keep_alive_timeout(PONG_WITHIN)
            .dns_resolver(VettingResolver::new(Arc::clone(&self.lookup), &transport.allowed_addresses));
        if let Some(limit) = transport.connect_timeout {
            builder = builder.connect_timeout(limit);
        }
        if let Some(proxy) = &transport.proxy {
            let proxy = Proxy::all(proxy.clone()).map_err(|_| FetchError::Request("the proxy's URL cannot be used"))?;
            builder = builder.proxy(proxy);
        }
        if !key.tls {
            return Ok(builder.tls_certs_only([]));
        }
        let Some(file) = &transport.ca_file else { return Ok(builder) };
        let unusable = || FetchError::Trust(format!("`{}` holds no usable certificate", file.display()));
        let pem = files.authorities.as_deref().map(Vec::as_slice).unwrap_or_default();
        let certificates = Certificate::from_pem_bundle(pem).map_err(|_| unusable())?;
        if certificates.is_empty() { Err(unusable()) } else { Ok(builder.tls_certs_only(certificates)) }
    }
}

fn untrusted(key: &Key) -> FetchError {
    FetchError::Trust(match &key.transport.ca_file {
        _ if !key.tls => "TLS could not be set up".to_owned(),
        None => "the system has none; install its CA certificates, or name a `ca_file`".to_owned(),
        Some(file) => format!("`{}` holds a certificate that is no authority", file.display()),
    })
}

fn named(identity: &Identity) -> String {
    format!("`{}` and `{}`", identity.certificate.display(), identity.key.display())
}

impl Files {
    async fn read(transport: &Transport) -> Result<Self, FetchError> {
        let certificates = |path: &Path| read_bytes(path, MAX_CERTIFICATE_BYTES);
        let Transport { ca_file, identity, .. } = transport.clone();
        if ca_file.is_none() && identity.is_none() {
            return Ok(Self { authorities: None, certificate: None, key: None });
        }
        let trust = |error: SecretError| FetchError::Trust(error.to_string());
        let own = |error: SecretError| FetchError::Identity(error.to_string());
        let read = move || {
            Ok(Self {
                authorities: ca_file.as_deref().map(certificates).transpose().map_err(trust)?,
                certificate: identity.as_ref().map(|own| certificates(&own.certificate)).transpose().map_err(own)?,
                key: identity.as_ref().map(|own| read_bytes(&own.key, MAX_SECRET_BYTES)).transpose().map_err(own)?,
            })
        };
        // It fails where the process ends.
        tokio::task::spawn_blocking(read).await.unwrap_or(Err(FetchError::Timeout))
    }

    fn digests(&self) -> Digests {
        [&self.authorities, &self.certificate, &self.key]
            .map(|file| file.as_ref().map(|bytes| digest(&SHA256, bytes).as_ref().to_vec()))
    }
}
