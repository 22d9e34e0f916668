//! The other side of the gate's listeners: certificates, channels, and an HTTP/2 client that says what it is told.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use envoy_types::pb::envoy::service::auth::v3::CheckRequest;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request as Inner};
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckResponse};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tollgate::config::server::Address;
use tonic::transport::{Channel, Endpoint};

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until something is so.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    crate::wait::eventually(what, async || is_so().await).await;
}

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection of whatever kind.
pub(crate) struct Connection(Box<dyn Io>);

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

pub(crate) async fn connect(address: &Address, tls: Option<&Arc<ClientConfig>>) -> io::Result<Connection> {
    let io: Box<dyn Io> = match address {
        Address::Tcp(address) => Box::new(TcpStream::connect(address).await?),
        Address::Unix { path, .. } => Box::new(UnixStream::connect(path).await?),
    };
    let Some(config) = tls else { return Ok(Connection(io)) };
    let name = ServerName::try_from("gate.test").unwrap();
    Ok(Connection(Box::new(TlsConnector::from(Arc::clone(config)).connect(name, io).await?)))
}

/// A channel as other gRPC clients have it: connects when needed, and again.
pub(crate) fn channel(address: &Address, tls: Option<Arc<ClientConfig>>) -> Channel {
    let address = address.clone();
    let connector = tower::service_fn(move |_: http::Uri| {
        let (address, tls) = (address.clone(), tls.clone());
        async move { connect(&address, tls.as_ref()).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://gate.test").connect_with_connector_lazy(connector)
}

/// An HTTP/2 connection on which everything can be said.
pub(crate) struct Raw(http2::SendRequest<BoxBody<Bytes, io::Error>>);

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Raw {
    pub(crate) async fn connect(address: &Address) -> Self {
        let io = connect(address, None).await.unwrap();
        let (send, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        Self(send)
    }

    /// Calls a method with headers and a body, as they are. Trailers are put among the headers.
    pub(crate) async fn call(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: BoxBody<Bytes, io::Error>,
    ) -> Reply {
        let mut request = Request::post(format!("http://gate.test{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.0.ready().await.unwrap();
        let response = self.0.send_request(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let mut headers = parts.headers;
        let collected = body.collect().await.unwrap();
        headers.extend(collected.trailers().cloned().unwrap_or_default());
        Reply { headers, body: collected.to_bytes() }
    }

    /// Check, with a message and headers.
    pub(crate) async fn check(&mut self, message: &[u8], headers: &[(&str, &str)]) -> Reply {
        self.call(CHECK, headers, framed(message)).await
    }
}

pub(crate) const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

pub(crate) fn framed(message: &[u8]) -> BoxBody<Bytes, io::Error> {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.len().try_into().unwrap());
    frame.put_slice(message);
    Full::new(frame.freeze()).map_err(|never| match never {}).boxed()
}

impl Reply {
    /// `grpc-status`.
    pub(crate) fn status(&self) -> i32 {
        self.headers["grpc-status"].to_str().unwrap().parse().unwrap()
    }

    /// The answer of an RPC that succeeded.
    pub(crate) fn answer(&self) -> CheckResponse {
        assert_eq!(self.status(), 0, "{:?}", self.headers);
        assert_eq!(self.headers["content-type"], "application/grpc");
        assert_eq!(self.body[0], 0);
        assert_eq!(u32::from_be_bytes(self.body[1..5].try_into().unwrap()) as usize, self.body.len() - 5);
        CheckResponse::decode(&self.body[5..]).unwrap()
    }
}

pub(crate) fn question(path: &str) -> CheckRequest {
    let http = HttpRequest {
        method: "GET".to_owned(),
        host: "api.example.com".to_owned(),
        path: path.to_owned(),
        ..Default::default()
    };
    let request = Inner { http: Some(http), ..Default::default() };
    CheckRequest { attributes: Some(AttributeContext { request: Some(request), ..Default::default() }) }
}

/// An authority of our own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn issue(&self, names: Vec<SanType>) -> Identity {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A client that trusts this authority, and shows a certificate if it has one.
    pub(crate) fn client(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_auth_cert(vec![identity.leaf()], identity.key()).unwrap(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Each connection tells about the certificates of its time.
        config.resumption = rustls::client::Resumption::disabled();
        Arc::new(config)
    }
}

impl Identity {
    pub(crate) fn leaf(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }

    /// Writes both, each replaced at once.
    pub(crate) fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        replace(&certificate, &self.certificate);
        replace(&key, &self.key);
        (certificate, key)
    }
}

pub(crate) fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, path).unwrap();
}

pub(crate) fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

pub(crate) fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

/// The certificate that a listener shows.
pub(crate) async fn shown(address: &Address, client: &Arc<ClientConfig>) -> CertificateDer<'static> {
    let Address::Tcp(address) = address else { panic!("TLS is asked over TCP here") };
    let io = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("gate.test").unwrap();
    let io = TlsConnector::from(Arc::clone(client)).connect(name, io).await.unwrap();
    io.get_ref().1.peer_certificates().unwrap()[0].clone()
}
