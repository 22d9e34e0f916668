//! `tollgate health`: does the gate serve? For container health checks and exec probes.

mod target;

use std::future::Future;
use std::io::Write;
use std::time::Duration;

use clap::Args;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::service_fn;
use url::Url;

use super::config_file::ConfigFile;
use super::exit::{Exit, Failure};
use super::printable::Printable;
use crate::net::spec::Transport;
use crate::net::{FetchRequest, Fetched, HttpClient};
use target::Target;

/// Ask a running gate whether it serves
///
/// Asks `grpc.health.v1.Health/Check` at a Check listener, or `/readyz` at the probes listener. Without an address the
/// configuration names it: the first Check listener without TLS, or else the probes. Of the file only the addresses are
/// read, so a rule that is being edited does not make a gate unhealthy that goes on with its old policy.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  tollgate health
  tollgate health --address unix:/run/tollgate/inbound.sock
  tollgate health --address 127.0.0.1:9191 --service envoy.service.auth.v3.Authorization
  tollgate health --address http://127.0.0.1:9100/readyz

Exit codes:
  0  it serves
  1  it does not, or could not be asked")]
pub(super) struct HealthArgs {
    /// Where to ask: unix:/path, host:port, or http://host:port/path
    #[arg(long, value_name = "ADDRESS", value_parser = Target::parse)]
    address: Option<Target>,
    /// The gRPC service to ask about; all of them where it is not given
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    service: String,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    config: ConfigFile,
}

pub(super) fn run(arguments: &HealthArgs, out: &mut impl Write) -> Result<Exit, Failure> {
    let asked = match &arguments.address {
        Some(target) => ask(target, arguments),
        None => Target::from_file(&arguments.config.path()).and_then(|target| ask(&target, arguments)),
    };
    let (exit, line) = match asked {
        Ok(()) => (Exit::Yes, "serving".to_owned()),
        Err(why) => (Exit::No, format!("not serving: {why}")),
    };
    writeln!(out, "{}", Printable::line(&line))?;
    Ok(exit)
}

/// Asks; the text says why the answer is no.
fn ask(target: &Target, arguments: &HealthArgs) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let asked = async {
        match target.clone() {
            Target::Http(url) => ask_http(url, arguments.timeout).await,
            Target::Unix(path) => {
                let connect = move |_| {
                    let path = path.clone();
                    async move { UnixStream::connect(path).await.map(TokioIo::new) }
                };
                ask_grpc(unnamed().connect_with_connector(service_fn(connect)), &arguments.service).await
            }
            Target::Tcp(address) => {
                let connect = move |_| {
                    let address = address.clone();
                    async move { TcpStream::connect(address).await.map(TokioIo::new) }
                };
                ask_grpc(unnamed().connect_with_connector(service_fn(connect)), &arguments.service).await
            }
        }
    };
    let asked = runtime.block_on(async { tokio::time::timeout(arguments.timeout, asked).await });
    asked
        .unwrap_or_else(|_| Err(format!("no answer within {}", humantime::format_duration(arguments.timeout))))
        .map_err(|why| format!("{target}: {why}"))
}

/// An endpoint whose name nobody looks at: the connector knows the way.
fn unnamed() -> Endpoint {
    Endpoint::from_static("http://localhost")
}

async fn ask_grpc(
    connecting: impl Future<Output = Result<Channel, tonic::transport::Error>>,
    service: &str,
) -> Result<(), String> {
    let channel = connecting.await.map_err(|error| innermost(&error))?;
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(channel)
        .check(request)
        .await
        .map_err(|status| format!("{}: {}", status.code(), status.message()))?;
    match answer.get_ref().status() {
        ServingStatus::Serving => Ok(()),
        status @ (ServingStatus::Unknown | ServingStatus::NotServing | ServingStatus::ServiceUnknown) => {
            Err(status.as_str_name().to_owned())
        }
    }
}

/// "transport error" says nothing; what caused it does.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

async fn ask_http(url: Url, timeout: Duration) -> Result<(), String> {
    /// `/readyz` answers in a few lines.
    const MAX_BYTES: usize = 64 << 10;
    let request = FetchRequest {
        transport: Transport { allow_insecure_http: true, ..Transport::default() },
        ..FetchRequest::json(url, timeout, MAX_BYTES)
    };
    HttpClient::new().fetch(&request).await.and_then(Fetched::ok).map(|_| ()).map_err(|error| error.to_string())
}
