//! The way to an OpenTelemetry collector: where it is and how it is spoken to, as the standard `OTEL_*` variables say.
//! `docs/tracing.md` lists them.

mod client;
mod variables;

use std::io;
use std::path::Path;
use std::time::Duration;

use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{
    LogExporter, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use tokio::runtime::{Builder, Handle, Runtime};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::secret::{MAX_SECRET_BYTES, SecretError, read_bytes};
use client::Client;
pub(super) use client::Why;
pub(super) use variables::{Route, Signal, Variables, traces_wanted};

/// How long a batch waits before the collector is asked for a sign of life …
const LOOK_AFTER: Duration = Duration::from_secs(5);
/// … and the time that it has for one.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// Largest file of certificates.
const MAX_CERTIFICATE_BYTES: usize = 4 << 20;

/// Why nothing can be sent to a collector.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The variables say that nothing is to be sent.
    #[error("`{0}` says that nothing is sent to a collector; change it, or `audit.to`")]
    Off(&'static str),
    /// A file that they name is of no use.
    #[error("`{variable}`: {error}")]
    File {
        /// The variable.
        variable: String,
        /// What is wrong.
        error: SecretError,
    },
    /// What they name is no address. It is not shown: it may hold a secret.
    #[error("`{0}` is no address of a collector: expected one such as `http://collector:4318`")]
    Endpoint(String),
    /// The certificates that they name are of no use.
    #[error("the certificates for the collector are of no use: {0}")]
    Tls(String),
    /// The exporter takes them for wrong. Why is not shown: its words hold the address.
    #[error("what `{0}` and the variables beside it say does not lead to a collector")]
    Refused(String),
    /// There are no threads for it.
    #[error("no thread can be started: {0}")]
    Thread(#[from] io::Error),
}

/// A thread of its own for what goes to a collector: it takes nothing from those that answer, and they nothing from it.
#[derive(Debug)]
pub(super) struct Exporting {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Exporting {
    /// Starts it.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("otlp").enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// To run something on it.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Whoever drops this may not be allowed to wait.
            runtime.shutdown_background();
        }
    }
}

/// Who sends: the service's name and whatever else the variables say of it.
pub(super) fn resource() -> Resource {
    let (told, mut resource) = (Resource::builder().build(), Resource::builder());
    let told = |name: &'static str| told.get(&Key::from_static_str(name));
    if told("service.name").is_none_or(|name| name.as_str().starts_with("unknown_service")) {
        resource = resource.with_service_name("tollgate");
    }
    if told("service.version").is_none() {
        resource = resource.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    }
    resource.build()
}

/// Sends spans that way. The thread's runtime must be entered.
///
/// # Errors
/// The way is none.
pub(super) fn span_exporter(route: &Route) -> Result<(SpanExporter, Why), OtlpError> {
    let why = Why::default();
    let exporter = match way(route, &why)? {
        Way::Grpc(channel) => {
            SpanExporter::builder().with_tonic().with_channel(channel).with_timeout(route.timeout).build()
        }
        Way::Http(client) => SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(client)
            .with_endpoint(route.endpoint.expose())
            .with_timeout(route.timeout)
            .build(),
    };
    Ok((exporter.map_err(|_| OtlpError::Refused(route.variable.clone()))?, why))
}

/// Sends log records that way; see [`span_exporter`].
///
/// # Errors
/// The way is none.
pub(super) fn log_exporter(route: &Route) -> Result<(LogExporter, Why), OtlpError> {
    let why = Why::default();
    let exporter = match way(route, &why)? {
        Way::Grpc(channel) => {
            LogExporter::builder().with_tonic().with_channel(channel).with_timeout(route.timeout).build()
        }
        Way::Http(client) => LogExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(client)
            .with_endpoint(route.endpoint.expose())
            .with_timeout(route.timeout)
            .build(),
    };
    Ok((exporter.map_err(|_| OtlpError::Refused(route.variable.clone()))?, why))
}

/// What carries requests to a collector.
enum Way {
    Grpc(Channel),
    Http(Client),
}

fn way(route: &Route, why: &Why) -> Result<Way, OtlpError> {
    let no_address = |_| OtlpError::Endpoint(route.variable.clone());
    if route.protocol != Protocol::Grpc {
        // The exporter reads it in the same way, and would show it where it does not read.
        let _: http::Uri = route.endpoint.expose().parse().map_err(no_address)?;
        return Ok(Way::Http(Client::new(route, why.clone())));
    }
    let endpoint = route.endpoint.expose().to_owned();
    let mut endpoint = Endpoint::from_shared(endpoint).map_err(|_| OtlpError::Endpoint(route.variable.clone()))?;
    // A peer that is gone without a word is noticed while a batch waits for it: what comes afterwards is not sent to it, too.
    endpoint = endpoint
        .timeout(route.timeout)
        .connect_timeout(route.timeout)
        .http2_keep_alive_interval(LOOK_AFTER.min(route.timeout / 2))
        .keep_alive_timeout(SIGN_OF_LIFE.min(route.timeout / 4))
        .keep_alive_while_idle(false);
    if route.tls {
        endpoint = endpoint.tls_config(tls(route)?).map_err(|error| OtlpError::Tls(error.to_string()))?;
    }
    Ok(Way::Grpc(endpoint.connect_lazy()))
}

/// For gRPC; over HTTP it is the client's matter.
fn tls(route: &Route) -> Result<ClientTlsConfig, OtlpError> {
    let read = |variable: &str, path: &Path, most| {
        read_bytes(path, most).map_err(|error| OtlpError::File { variable: variable.to_owned(), error })
    };
    let mut tls = ClientTlsConfig::new();
    tls = match &route.ca_file {
        Some((variable, path)) => {
            tls.ca_certificate(Certificate::from_pem(&*read(variable, path, MAX_CERTIFICATE_BYTES)?))
        }
        None => tls.with_native_roots(),
    };
    if let Some(own) = &route.identity {
        let certificate = read("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &own.certificate, MAX_CERTIFICATE_BYTES)?;
        let key = read("OTEL_EXPORTER_OTLP_CLIENT_KEY", &own.key, MAX_SECRET_BYTES)?;
        tls = tls.identity(Identity::from_pem(&*certificate, &*key));
    }
    Ok(tls)
}

/// What came of a request to the collector, in this time.
pub(super) async fn in_time<E: std::fmt::Display>(
    limit: Duration,
    why: &Why,
    export: impl Future<Output = Result<(), E>>,
) -> Result<(), String> {
    match tokio::time::timeout(limit, export).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(why.take().unwrap_or_else(|| error.to_string())),
        Err(_) => Err(format!("it did not answer within {limit:?}")),
    }
}
