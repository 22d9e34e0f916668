//! TLS to a provider that asks for a certificate, with real ones.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::json;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tollgate::net::FetchError;
use tollgate::provider::CallError;
use tollgate::provider::spec::{ClientAuth, ClientSpec, ProviderSpec};

use crate::fixture::{Fixture, bare, status};
use crate::http::{Server, kept_json};

/// An authority that signs certificates.
pub(crate) struct Authority {
    pub(crate) pem: String,
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        let certificate = parameters.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), der: certificate.der().to_vec(), issuer: Issuer::new(parameters, key) }
    }

    /// A certificate and its key, as PEM.
    pub(crate) fn sign(&self, name: &str) -> (String, String) {
        let (certificate, key) = self.signed(name);
        (certificate.pem(), key.serialize_pem())
    }

    fn signed(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new([name.to_owned()]).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        (parameters.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// TLS for a server of this name, which wants certificates of `clients`, where that is given.
    pub(crate) fn acceptor(&self, name: &str, clients: Option<&Self>) -> TlsAcceptor {
        let (certificate, key) = self.signed(name);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der.clone().into()).unwrap();
                let provider = Arc::new(default_provider());
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                config.with_client_cert_verifier(verifier)
            }
        };
        TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap()))
    }
}

/// The endpoints of a server behind TLS.
fn spec(server: &Server, authority: std::path::PathBuf) -> ProviderSpec {
    let mut spec = bare();
    let url = |path: &str| format!("https://localhost:{}{path}", server.address.port()).parse().ok();
    (spec.introspection_endpoint, spec.token_endpoint) = (url("/introspect"), url("/token"));
    spec.transport.ca_file = Some(authority);
    spec
}

#[tokio::test]
async fn a_client_is_known_by_its_certificate_and_a_renewed_one_is_used_at_once() {
    let (servers, clients, others) = (Authority::new("servers"), Authority::new("clients"), Authority::new("others"));
    let tls = servers.acceptor("localhost", Some(&clients));
    let server = Server::start_tls(kept_json(&json!({ "active": true })), tls).await;
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let fixture = Fixture::new(spec(&server, file("ca.pem", &servers.pem)));
    let (certificate, key) = clients.sign("service-b");
    let (certificate, key) = (file("c.pem", &certificate), file("k.pem", &key));
    let auth = ClientAuth::Tls { certificate: certificate.clone(), key: key.clone() };
    let client = ClientSpec { id: "service-b".into(), auth };

    assert_eq!(status(&fixture.introspect(&client).await), 200);
    assert_eq!(status(&fixture.token(&client).await), 200);
    let request = server.last();
    assert_eq!(request.field("client_id").as_deref(), Some("service-b"));
    assert_eq!((request.header("authorization"), request.field("client_secret")), (None, None));
    assert_eq!((server.count(), server.connections()), (2, 1));

    // Without a certificate: refused by the server, over a connection of its own.
    let error = fixture.introspect(&fixture.basic()).await.unwrap_err();
    assert!(matches!(error, CallError::Fetch(FetchError::Tls(_) | FetchError::Broken)), "{error:?}");
    assert!(error.is_outage());
    assert_eq!((server.count(), server.connections()), (2, 2));

    // It is replaced by one that the server does not know, by one that does not fit its key, by nothing of use, and
    // renewed: each shows with the next call.
    let (unknown, unknown_key) = others.sign("service-b");
    std::fs::write(&certificate, unknown).unwrap();
    std::fs::write(&key, unknown_key).unwrap();
    let error = fixture.introspect(&client).await.unwrap_err();
    assert!(matches!(error, CallError::Fetch(FetchError::Tls(_) | FetchError::Broken)), "{error:?}");
    let (renewed, renewed_key) = clients.sign("service-b");
    for content in [&*renewed, "no certificate", ""] {
        std::fs::write(&certificate, content).unwrap();
        let error = fixture.introspect(&client).await.unwrap_err();
        assert!(matches!(error, CallError::Credentials(_)) && !error.is_outage(), "{error:?}");
        assert!(error.to_string().contains(&*certificate.to_string_lossy()), "{error}");
        assert!(!error.to_string().contains("BEGIN"), "{error}");
    }
    std::fs::write(&certificate, renewed).unwrap();
    std::fs::write(&key, renewed_key).unwrap();
    assert_eq!(status(&fixture.introspect(&client).await), 200);
    std::fs::remove_file(&key).unwrap();
    assert!(matches!(fixture.introspect(&client).await.unwrap_err(), CallError::Credentials(_)));
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn a_certificate_needs_tls() {
    let server = Server::start(kept_json(&json!({}))).await;
    let authority = Authority::new("clients");
    let mut spec = crate::fixture::spec(&server);
    spec.transport.allow_insecure_http = true;
    let fixture = Fixture::new(spec);
    let (certificate, key) = authority.sign("service-b");
    let (certificate, key) = (fixture.file("c.pem", certificate), fixture.file("k.pem", key));
    let client = ClientSpec { id: "service-b".into(), auth: ClientAuth::Tls { certificate, key } };
    let error = fixture.token(&client).await.unwrap_err();
    assert!(matches!(error, CallError::Fetch(FetchError::Request(_))), "{error:?}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn row_187_a_server_of_another_authority_or_name_gets_no_credentials() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    for tls in [theirs.acceptor("localhost", None), ours.acceptor("elsewhere.test", None)] {
        let server = Server::start_tls(kept_json(&json!({})), tls).await;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        std::fs::write(&file, &ours.pem).unwrap();
        let mut spec = spec(&server, file);
        spec.retries = 3;
        let fixture = Fixture::new(spec);
        let error = fixture.introspect(&fixture.basic()).await.unwrap_err();
        assert!(matches!(error, CallError::Fetch(FetchError::Tls(_))) && error.is_outage(), "{error:?}");
        assert_eq!((server.count(), server.connections()), (0, 1), "it would fail again");
    }
}
