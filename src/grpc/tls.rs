//! TLS of a listener: certificates that follow their files, and an allow-list of peers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::config::server::TlsSpec;
use crate::watch::Watch;

/// Why a listener's TLS files are not usable.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM of the kind that is wanted.
    #[error("`{}`: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: pem::Error,
    },
    /// A file holds no certificate at all.
    #[error("`{}` holds no certificate", .0.display())]
    Empty(PathBuf),
    /// Certificate and key do not belong together, or are not fit for TLS.
    #[error("`{}` and `{}`: {error}", certificate.display(), key.display())]
    Identity {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        error: rustls::Error,
    },
    /// An authority is not usable.
    #[error("`{}`: {error}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: String,
    },
    /// No client certificate is asked for, so none can be on the list.
    #[error("`allowed_peers` needs `client_ca`: without it no peer shows a certificate")]
    PeersWithoutAuthority,
}

/// TLS of a listener.
#[derive(Debug)]
pub(super) struct Tls {
    spec: TlsSpec,
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    pub(super) fn load(spec: &TlsSpec) -> Result<Self, TlsError> {
        Ok(Self { spec: spec.clone(), config: ArcSwap::new(read(spec)?) })
    }

    /// For new connections, with the certificates of now.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }

    /// Whether a peer may speak here. `certificates` is what it showed, the leaf first, already verified.
    pub(super) fn admits(&self, certificates: Option<&[CertificateDer<'_>]>) -> bool {
        self.spec.allowed_peers.is_empty()
            || certificates.and_then(<[_]>::first).is_some_and(|leaf| is_one_of(leaf, &self.spec.allowed_peers))
    }

    /// Follows the files for as long as it is polled. Connections that are open keep what they were opened with; a
    /// replacement that cannot be used changes nothing.
    pub(super) async fn follow(self: Arc<Self>, listener: String) {
        let spec = &self.spec;
        let files = [Some(&spec.certificate), Some(&spec.key), spec.client_ca.as_ref()];
        let mut watch = Watch::start(files.into_iter().flatten().cloned());
        // What changed between the first reading and the start of the watch is read now.
        loop {
            let same = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || read(&same.spec)).await {
                Ok(Ok(config)) => {
                    self.config.store(config);
                    tracing::debug!(listener, "tls files were read");
                }
                Ok(Err(error)) => {
                    tracing::error!(listener, error = %error, "tls files are not usable; the ones before stay in use");
                }
                Err(_) => tracing::error!(listener, "tls files were not read; the ones before stay in use"),
            }
            if !watch.changed().await {
                return;
            }
        }
    }
}

fn read(spec: &TlsSpec) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let identity = |error| TlsError::Identity { certificate: spec.certificate.clone(), key: spec.key.clone(), error };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(identity)?;
    let builder = match &spec.client_ca {
        None if !spec.allowed_peers.is_empty() => return Err(TlsError::PeersWithoutAuthority),
        None => builder.with_no_client_auth(),
        Some(path) => {
            let refused = |error: String| TlsError::Authority { path: path.clone(), error };
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| refused(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| refused(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = certificates(&spec.certificate)?;
    let key =
        PrivateKeyDer::from_pem_file(&spec.key).map_err(|error| TlsError::File { path: spec.key.clone(), error })?;
    let mut config = builder.with_single_cert(chain, key).map_err(identity)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |error| TlsError::File { path: path.to_owned(), error };
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    if found.is_empty() { Err(TlsError::Empty(path.to_owned())) } else { Ok(found) }
}

/// Whether a certificate has one of these as URI or DNS SAN. URIs are compared as they are, DNS names without regard to
/// case; a wildcard in a certificate stands for itself alone.
fn is_one_of(leaf: &CertificateDer<'_>, allowed: &[Box<str>]) -> bool {
    let Ok((_, leaf)) = X509Certificate::from_der(leaf) else { return false };
    let Ok(Some(names)) = leaf.subject_alternative_name() else { return false };
    names.value.general_names.iter().any(|name| match name {
        GeneralName::URI(uri) => allowed.iter().any(|peer| **peer == **uri),
        GeneralName::DNSName(dns) => allowed.iter().any(|peer| peer.eq_ignore_ascii_case(dns)),
        _ => false,
    })
}
