//! Asks the gate as Envoy asks it: for a demo without Envoy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use super::super::DemoError;
use super::super::client::Call;
use crate::grpc::wire::check_response::HttpResponse;
use crate::grpc::wire::client::authorization_client::AuthorizationClient;
use crate::grpc::wire::value::Kind;
use crate::grpc::wire::{Attributes, CheckRequest, CheckResponse, Entry, Http, Request, Struct};

/// Time for one Check.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client of the gate.
#[derive(Clone, Debug)]
pub struct Asker {
    channel: Channel,
}

/// What the gate answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The HTTP status of a denial; 200 otherwise.
    pub status: u16,
    /// The reason's code.
    pub reason: String,
    /// The request headers that would be sent on; `None` where the request is denied.
    pub headers: Option<Vec<(String, String)>>,
}

impl Asker {
    /// Connects to a gate's unix socket.
    ///
    /// # Errors
    /// Where nobody listens there.
    pub async fn connect(socket: &Path) -> Result<Self, DemoError> {
        let socket: PathBuf = socket.to_owned();
        // The address is never used: the connector knows better.
        let endpoint = Endpoint::from_static("http://gate").timeout(PATIENCE).connect_timeout(PATIENCE);
        let connector = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let channel = endpoint.connect_with_connector(connector).await;
        Ok(Self { channel: channel.map_err(|error| DemoError::Gate(error.to_string()))? })
    }

    /// Asks about a request.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn ask(&self, call: &Call) -> Result<Decision, DemoError> {
        let answer = AuthorizationClient::new(self.channel.clone()).check(check_request(call)).await;
        Ok(decision(call, answer.map_err(|status| DemoError::Gate(status.to_string()))?.into_inner()))
    }
}

/// What Envoy would send about this request.
fn check_request(call: &Call) -> CheckRequest {
    let entry = |name: &str, value: &str| Entry {
        key: Bytes::copy_from_slice(name.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
    };
    let mut headers = vec![
        entry(":authority", &call.host),
        entry(":method", call.method.as_str()),
        entry(":path", &call.path),
        entry(":scheme", "http"),
    ];
    headers.extend(call.headers.iter().map(|(name, value)| entry(&name.to_ascii_lowercase(), value)));
    let http = Http {
        method: Bytes::copy_from_slice(call.method.as_str().as_bytes()),
        headers,
        path: Bytes::copy_from_slice(call.path.as_bytes()),
        host: Bytes::copy_from_slice(call.host.as_bytes()),
        header_map: None,
    };
    let attributes = Attributes { request: Some(Request { http: Some(http) }), ..Attributes::default() };
    CheckRequest { attributes: Some(attributes) }
}

/// What Envoy would make of the answer.
fn decision(call: &Call, answer: CheckResponse) -> Decision {
    let ok = answer.status.is_some_and(|status| status.code == 0);
    let reason = answer.dynamic_metadata.as_ref().and_then(reason).unwrap_or_else(|| "?".to_owned());
    let (status, headers) = match answer.http_response {
        Some(HttpResponse::OkResponse(allowed)) if ok => {
            let mut headers = call.headers.clone();
            let sets: Vec<_> = allowed.headers.into_iter().filter_map(|option| option.header).collect();
            headers.retain(|(name, _)| !sets.iter().any(|set| set.key.eq_ignore_ascii_case(name)));
            headers.extend(sets.into_iter().map(|set| (set.key, set.value)));
            headers.retain(|(name, _)| !allowed.headers_to_remove.iter().any(|gone| gone.eq_ignore_ascii_case(name)));
            (200, Some(headers))
        }
        Some(HttpResponse::DeniedResponse(denied)) if !ok => {
            let code = denied.status.and_then(|status| u16::try_from(status.code).ok());
            (code.unwrap_or(403), None)
        }
        _ => (if ok { 200 } else { 403 }, None),
    };
    Decision { status, reason, headers }
}

fn reason(metadata: &Struct) -> Option<String> {
    let find = |within: &Struct, name: &str| {
        within.fields.iter().find(|field| field.key == name)?.value.as_ref()?.kind.clone()
    };
    let Kind::StructValue(ours) = find(metadata, "tollgate")? else { return None };
    match find(&ours, "reason")? {
        Kind::StringValue(reason) => Some(reason),
        Kind::StructValue(_) => None,
    }
}
