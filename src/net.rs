//! The one HTTP client: a time limit, a size limit, no redirects, pooled connections, rules on addresses.
//!
//! Proxies named in the environment are not used. Compressed answers are neither asked for nor read, so that the size
//! limit counts what is kept.

mod address;
mod cache_control;
mod error;
mod resolver;
pub mod spec;
mod trust;

pub use address::is_loopback;
pub use cache_control::max_age;
pub use error::FetchError;
pub use resolver::Lookup;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_ENCODING};
use http::{HeaderMap, HeaderValue, StatusCode};
use url::{Host, Url};

use crate::secret::Secret;
use spec::Transport;
use trust::Clients;

/// The one HTTP client. Cloning it shares its connections.
#[derive(Clone, Debug)]
pub struct HttpClient {
    clients: Arc<Clients>,
}

/// What to fetch, and within which bounds.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    /// `https:`; `http:` where the host is `localhost` or a loopback address.
    pub url: Url,
    /// Media types wanted.
    pub accept: &'static str,
    /// Sent as `Authorization: Bearer`, and never in clear text beyond this host.
    pub bearer: Option<Secret>,
    /// Time for everything, name resolution to last byte.
    pub timeout: Duration,
    /// Largest body.
    pub max_bytes: usize,
    /// How to reach it.
    pub transport: Transport,
}

impl FetchRequest {
    /// A GET for JSON with these bounds.
    pub fn json(url: Url, timeout: Duration, max_bytes: usize) -> Self {
        let accept = "application/json";
        Self { url, accept, bearer: None, timeout, max_bytes, transport: Transport::default() }
    }
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Its status; a redirect is an answer like any other.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
}

impl Fetched {
    /// This answer, if its status is 200.
    ///
    /// # Errors
    /// [`FetchError::Status`] otherwise.
    pub fn ok(self) -> Result<Self, FetchError> {
        if self.status == StatusCode::OK { Ok(self) } else { Err(FetchError::Status(self.status.as_u16())) }
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpClient {
    /// A client that asks the operating system for addresses. Nothing is connected to or read before the first fetch.
    pub fn new() -> Self {
        Self::with_lookup(Arc::new(resolver::SystemLookup))
    }

    /// A client that asks `lookup` for addresses. They pass the same rules.
    pub fn with_lookup(lookup: Arc<dyn Lookup>) -> Self {
        Self { clients: Arc::new(Clients::new(lookup)) }
    }

    /// Sends a GET and reads the answer.
    ///
    /// # Errors
    /// See [`FetchError`]; any status is an answer, not an error.
    pub async fn fetch(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        check(request)?;
        tokio::time::timeout(request.timeout, self.attempt(request)).await.map_err(|_| FetchError::Timeout)?
    }

    async fn attempt(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        let client = self.clients.client(&request.url, request.transport.ca_file.as_deref()).await?;
        let mut call = client.get(request.url.clone()).header(ACCEPT, request.accept);
        if let Some(bearer) = &request.bearer {
            let mut value = HeaderValue::try_from(format!("Bearer {}", bearer.expose()))
                .map_err(|_| FetchError::Request("the bearer token does not fit a header"))?;
            value.set_sensitive(true);
            call = call.header(AUTHORIZATION, value);
        }
        let mut answer = call.send().await.map_err(|error| FetchError::from_reqwest(&error))?;
        if answer.headers().get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(FetchError::Compressed);
        }
        if answer.content_length().is_some_and(|length| length > request.max_bytes as u64) {
            return Err(FetchError::TooLarge(request.max_bytes));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| FetchError::from_reqwest(&error))? {
            if chunk.len() > request.max_bytes.saturating_sub(body.len()) {
                return Err(FetchError::TooLarge(request.max_bytes));
            }
            body.extend_from_slice(&chunk);
        }
        let headers = std::mem::take(answer.headers_mut());
        Ok(Fetched { status: answer.status(), headers, body: body.freeze() })
    }
}

/// What can be told without connecting.
fn check(request: &FetchRequest) -> Result<(), FetchError> {
    let url = &request.url;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(FetchError::Request("the URL holds a user name or password"));
    }
    match url.host() {
        Some(Host::Ipv4(address)) => address::vet(address.into())?,
        Some(Host::Ipv6(address)) => address::vet(address.into())?,
        Some(Host::Domain(_)) => {}
        None => return Err(FetchError::Request("the URL has no host")),
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(url) => Ok(()),
        "http" if request.bearer.is_some() => Err(FetchError::Request("a bearer token is not sent in clear text")),
        "http" if request.transport.allow_insecure_http => Ok(()),
        "http" => Err(FetchError::Request("`http:` is for loopback only, unless `allow_insecure_http` is set")),
        _ => Err(FetchError::Request("the URL is neither `https:` nor `http:`")),
    }
}
