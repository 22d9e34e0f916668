//! TLS of a Check listener: certificates that follow their files, client certificates, and who among them may ask.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::config::server::TlsSpec;
use crate::watch::Watch;

/// Why a listener's TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds no such thing.
    #[error("`{}` has no usable {what}: {why}", .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Certificate and key do not go together, or the authorities are of no use.
    #[error("certificate `{}` and its key cannot be used: {why}", .certificate.display())]
    Unusable {
        /// The certificate.
        certificate: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Accepts TLS with the certificates of today.
#[derive(Debug)]
pub(super) struct Tls {
    spec: TlsSpec,
    config: ArcSwap<ServerConfig>,
    handshake: Duration,
}

impl Tls {
    /// Reads the files.
    pub(super) fn new(spec: &TlsSpec, handshake: Duration) -> Result<Self, TlsError> {
        let config = ArcSwap::from(read(spec)?);
        Ok(Self { spec: spec.clone(), config, handshake })
    }

    /// Follows the files until `stop`. What cannot be used leaves the last good certificates in place.
    pub(super) async fn follow(&self, stop: CancellationToken) {
        let spec = &self.spec;
        let files = [Some(&spec.certificate), Some(&spec.key), spec.client_ca.as_ref()];
        let mut watch = Watch::start(files.into_iter().flatten().cloned());
        loop {
            let changed = tokio::select! {
                () = stop.cancelled() => false,
                changed = watch.changed() => changed,
            };
            if !changed {
                return;
            }
            match read(spec) {
                Ok(config) => {
                    self.config.store(config);
                    tracing::info!(certificate = %spec.certificate.display(), "a changed certificate is in use");
                }
                Err(error) => tracing::error!(%error, "a changed certificate is not in use; the last good one is"),
            }
        }
    }

    /// Shakes hands, in bounded time, and refuses peers that may not ask.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let acceptor = TlsAcceptor::from(self.config.load_full());
        let stream = tokio::time::timeout(self.handshake, acceptor.accept(stream))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long"))??;
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        if self.spec.allowed_peers.is_empty() || leaf.is_some_and(|leaf| self.may_ask(leaf)) {
            return Ok(stream);
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the client certificate is not on the list of allowed peers",
        ))
    }

    fn may_ask(&self, leaf: &CertificateDer<'_>) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(leaf) else { return false };
        let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
        let allowed = |name: &str| self.spec.allowed_peers.iter().any(|peer| **peer == *name);
        names.value.general_names.iter().any(|name| match name {
            GeneralName::URI(uri) => allowed(uri),
            GeneralName::DNSName(dns) => allowed(&dns.to_ascii_lowercase()),
            _ => false,
        })
    }
}

fn read(spec: &TlsSpec) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(&spec.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&spec.key).map_err(|error| TlsError::File {
        file: spec.key.clone(),
        what: "private key",
        why: error.to_string(),
    })?;
    let unusable = |why: String| TlsError::Unusable { certificate: spec.certificate.clone(), why };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?;
    let builder = match &spec.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(file)? {
                roots.add(authority).map_err(|error| unusable(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| unusable(error.to_string()))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| unusable(error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let broken = |why: String| TlsError::File { file: file.to_owned(), what: "certificate", why };
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|error| broken(error.to_string()))?.collect();
    match found {
        Ok(found) if found.is_empty() => Err(broken("there is none in it".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(broken(error.to_string())),
    }
}
