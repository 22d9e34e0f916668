//! The baseline as the documentation of tonic and `envoy-types` shows a server: `stock ENDPOINT`.

use envoy_types::ext_authz::v3::pb::AuthorizationServer;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tollgate_bench::baseline::Empty;
use tollgate_bench::load::Endpoint;
use tonic::transport::Server;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoint: Endpoint = std::env::args().nth(1).ok_or("usage: stock ENDPOINT")?.parse()?;
    let router = Server::builder().add_service(AuthorizationServer::new(Empty));
    match endpoint {
        Endpoint::Tcp(address) => router.serve(address).await?,
        Endpoint::Unix(path) => {
            let incoming = UnixListenerStream::new(UnixListener::bind(path)?);
            router.serve_with_incoming(incoming).await?;
        }
    }
    Ok(())
}
