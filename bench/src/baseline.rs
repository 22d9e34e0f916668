//! What the gate is compared with: a handler that reads the whole request and answers three headers, and does nothing else.

use std::time::Duration;

use envoy_types::ext_authz::v3::pb::{Authorization, AuthorizationServer, CheckRequest, CheckResponse};
use envoy_types::ext_authz::v3::{CheckRequestExt as _, CheckResponseExt as _, OkHttpResponseBuilder};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::load::Endpoint;

/// The handler.
#[derive(Clone, Copy, Debug, Default)]
pub struct Empty;

#[tonic::async_trait]
impl Authorization for Empty {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let request = request.into_inner();
        let headers = request
            .get_client_headers()
            .ok_or_else(|| Status::invalid_argument("client headers not populated by envoy"))?;
        if !headers.contains_key("authorization") {
            return Ok(Response::new(CheckResponse::with_status(Status::unauthenticated("not authorized"))));
        }
        let mut ok = OkHttpResponseBuilder::new();
        ok.add_header("x-service-name", "order-service", None, false)
            .add_header("x-client-id", "m2m_0000000001", None, false)
            .add_header("x-service-scopes", "read:payments call:payment-service", None, false);
        let mut response = CheckResponse::with_status(Status::ok(""));
        response.set_http_response(ok);
        Ok(Response::new(response))
    }
}

/// Serves the handler with the settings of the gate's own connections (`src/grpc/connection.rs`).
///
/// # Errors
/// The endpoint could not be opened.
pub fn serve_tuned(endpoint: &Endpoint) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let router = Server::builder()
            .max_concurrent_streams(Some(1024))
            .initial_stream_window_size(Some(64 * 1024))
            .initial_connection_window_size(Some(1024 * 1024))
            .http2_max_header_list_size(Some(16 * 1024))
            .http2_keepalive_interval(Some(Duration::from_secs(20)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .add_service(AuthorizationServer::new(Empty));
        match endpoint {
            Endpoint::Tcp(address) => router.serve(*address).await?,
            Endpoint::Unix(path) => {
                router.serve_with_incoming(UnixListenerStream::new(UnixListener::bind(path)?)).await?;
            }
        }
        Ok(())
    })
}
