//! OTLP over HTTP, by the gate's one HTTP client.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient as OtelClient, HttpError};
use url::Url;

use super::Route;
use crate::net::spec::Transport;
use crate::net::{FetchRequest, HttpClient};

/// Largest answer: it says at most what was not taken.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Why the last request had no answer. Exporters do not tell.
#[derive(Clone, Debug, Default)]
pub(in crate::telemetry) struct Why(Arc<Mutex<Option<String>>>);

impl Why {
    /// It, once.
    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn is(&self, why: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

/// Sends what an exporter has encoded. Its connections are its own: they belong to another runtime than those to providers.
#[derive(Debug)]
pub(super) struct Client {
    http: HttpClient,
    transport: Transport,
    timeout: Duration,
    why: Why,
}

impl Client {
    pub(super) fn new(route: &Route, why: Why) -> Self {
        let transport = Transport {
            ca_file: route.ca_file.as_ref().map(|(_, path)| path.clone()),
            // Collectors are near by, and what they are told holds no secret but the headers that the operator gives.
            allow_insecure_http: true,
            allowed_addresses: route.address.into_iter().collect(),
            identity: route.identity.clone().filter(|_| route.tls),
            ..Transport::default()
        };
        Self { http: HttpClient::new(), transport, timeout: route.timeout, why }
    }
}

#[async_trait]
impl OtelClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // Of attempts before this one.
        self.why.take();
        let (mut head, body) = request.into_parts();
        // The operator's headers may be credentials.
        head.headers.values_mut().for_each(|value| value.set_sensitive(true));
        let url = Url::parse(&head.uri.to_string())?;
        let mut wanted = FetchRequest::json(url, self.timeout, MAX_ANSWER_BYTES);
        wanted.accept = "application/x-protobuf";
        wanted.transport = self.transport.clone();
        let fetched = self.http.post_bytes(&wanted, head.headers, body).await.inspect_err(|error| {
            self.why.is(error.to_string());
        })?;
        let mut response = Response::new(fetched.body);
        (*response.status_mut(), *response.headers_mut()) = (fetched.status, fetched.headers);
        Ok(response)
    }
}
