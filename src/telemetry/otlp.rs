//! The way to an OpenTelemetry collector: where it is and how it is spoken to, as the standard `OTEL_*` variables say.
//! `docs/tracing.md` lists them.

mod client;
mod variables;

use std::io;
use std::path::Path;
use std::time::Duration;

use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
    WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use tokio::runtime::{Builder, Handle, Runtime};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::secret::{MAX_SECRET_BYTES, SecretError, read_bytes};
use client::Client;
pub(super) use client::Why;
pub(super) use variables::{Route, Signal, Variables, traces_wanted};

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
    /// They do not lead to a collector.
    #[error(transparent)]
    Build(#[from] ExporterBuildError),
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
    let exporter = match route.protocol {
        Protocol::Grpc => {
            let builder = SpanExporter::builder().with_tonic();
            match tls(route)? {
                Some(tls) => builder.with_tls_config(tls).build(),
                None => builder.build(),
            }
        }
        _ => {
            let builder = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
            builder.with_http_client(Client::new(route, why.clone())).build()
        }
    };
    Ok((exporter?, why))
}

/// Sends log records that way; see [`span_exporter`].
///
/// # Errors
/// The way is none.
pub(super) fn log_exporter(route: &Route) -> Result<(LogExporter, Why), OtlpError> {
    let why = Why::default();
    let exporter = match route.protocol {
        Protocol::Grpc => {
            let builder = LogExporter::builder().with_tonic();
            match tls(route)? {
                Some(tls) => builder.with_tls_config(tls).build(),
                None => builder.build(),
            }
        }
        _ => {
            let builder = LogExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
            builder.with_http_client(Client::new(route, why.clone())).build()
        }
    };
    Ok((exporter?, why))
}

/// For gRPC; over HTTP it is the client's matter.
fn tls(route: &Route) -> Result<Option<ClientTlsConfig>, OtlpError> {
    if !route.tls {
        return Ok(None);
    }
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
    Ok(Some(tls))
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
