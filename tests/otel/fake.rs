//! A collector of our own: OTLP over gRPC or HTTP, kept as the JSON that the real one writes.

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_stream::StreamExt as _;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};

use crate::world::{Collector, RECORDS, SPANS, items, set};

/// How it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Grpc,
    Http,
    /// As `Http`, and it takes nothing.
    Refusing,
}

/// What came.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Value>>>, Arc<Mutex<Vec<HeaderMap>>>);

impl Kept {
    fn keep(&self, headers: HeaderMap, document: impl serde::Serialize) {
        self.0.lock().unwrap().push(serde_json::to_value(document).unwrap());
        self.1.lock().unwrap().push(headers);
    }

    fn items(&self, names: [&str; 3]) -> Vec<Value> {
        self.0.lock().unwrap().iter().flat_map(|document| items(document, names)).collect()
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        self.keep(headers, request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Kept {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        self.keep(headers, request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

async fn traces(State(kept): State<Kept>, headers: HeaderMap, body: Bytes) -> StatusCode {
    kept.keep(headers.clone(), ExportTraceServiceRequest::decode(&*plain(&headers, &body)).unwrap());
    StatusCode::OK
}

async fn logs(State(kept): State<Kept>, headers: HeaderMap, body: Bytes) -> StatusCode {
    kept.keep(headers.clone(), ExportLogsServiceRequest::decode(&*plain(&headers, &body)).unwrap());
    StatusCode::OK
}

fn plain(headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    if headers.get("content-encoding").is_none_or(|encoding| encoding != "gzip") {
        return body.to_vec();
    }
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap();
    plain
}

/// It ends when it is dropped.
pub(crate) struct Fake {
    way: Way,
    address: SocketAddr,
    kept: Kept,
    /// With the authority's certificate.
    folder: Option<TempDir>,
    task: JoinHandle<()>,
}

impl Fake {
    pub(crate) async fn start(way: Way) -> Self {
        Self::with(way, None).await
    }

    /// Behind a certificate whose authority only its variables name.
    pub(crate) async fn start_tls(way: Way) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = || KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, key()).unwrap();
        let own_key = key();
        let own =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&own_key, &authority).unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let der = PrivateKeyDer::try_from(own_key.serialize_der()).unwrap();
        let server = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![own.der().clone()], der);
        let mut server = server.unwrap();
        server.alpn_protocols = vec![if way == Way::Grpc { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let mut fake = Self::with(way, Some(TlsAcceptor::from(Arc::new(server)))).await;
        fake.folder = Some(folder);
        fake
    }

    async fn with(way: Way, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, kept) = (listener.local_addr().unwrap(), Kept::default());
        let routes = match way {
            Way::Grpc => {
                let traces = TraceServiceServer::new(kept.clone()).accept_compressed(CompressionEncoding::Gzip);
                let logs = LogsServiceServer::new(kept.clone()).accept_compressed(CompressionEncoding::Gzip);
                tonic::service::Routes::new(traces).add_service(logs).prepare().into_axum_router()
            }
            Way::Http => {
                Router::new().route("/v1/traces", post(traces)).route("/v1/logs", post(logs)).with_state(kept.clone())
            }
            Way::Refusing => Router::new().fallback(async || StatusCode::BAD_REQUEST),
        };
        let task = tokio::spawn(serve(listener, routes, tls));
        Self { way, address, kept, folder: None, task }
    }

    /// A header of the last request.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let headers = self.kept.1.lock().unwrap();
        headers.last()?.get(name)?.to_str().ok().map(str::to_owned)
    }
}

async fn serve(listener: TcpListener, routes: Router, tls: Option<TlsAcceptor>) {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use hyper_util::server::conn::auto::Builder;
    use hyper_util::service::TowerToHyperService;
    let mut connections = tokio_stream::wrappers::TcpListenerStream::new(listener);
    while let Some(Ok(stream)) = connections.next().await {
        let (routes, tls) = (TowerToHyperService::new(routes.clone()), tls.clone());
        tokio::spawn(async move {
            // A client that hangs up is no reason to leave the others alone.
            let server = Builder::new(TokioExecutor::new());
            let _ = match tls {
                None => server.serve_connection(TokioIo::new(stream), routes).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => server.serve_connection(TokioIo::new(stream), routes).await,
                    Err(_) => return,
                },
            };
        });
    }
}

impl Collector for Fake {
    fn variables(&self) -> Vec<(String, String)> {
        let (scheme, host) = match &self.folder {
            None => ("http", "127.0.0.1"),
            Some(_) => ("https", "localhost"),
        };
        let protocol = if self.way == Way::Grpc { "grpc" } else { "http/protobuf" };
        let mut variables = vec![
            set("OTEL_EXPORTER_OTLP_ENDPOINT", format!("{scheme}://{host}:{}", self.address.port())),
            set("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ];
        if let Some(folder) = &self.folder {
            variables.push(set("OTEL_EXPORTER_OTLP_CERTIFICATE", folder.path().join("ca.pem").display()));
        }
        variables
    }

    fn spans(&self) -> Vec<Value> {
        self.kept.items(SPANS)
    }

    fn records(&self) -> Vec<Value> {
        self.kept.items(RECORDS)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}
