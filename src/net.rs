//! The one HTTP client: a time limit, a size limit, no redirects, pooled connections, rules on addresses.
//!
//! Proxies named in the environment are not used. Compressed answers are neither asked for nor read, so that the size
//! limit counts what is kept.

mod address;
mod body;
mod cache_control;
mod clients;
mod error;
mod form;
mod resolver;
pub mod spec;

pub use address::is_loopback;
pub use cache_control::max_age;
pub use error::FetchError;
pub use form::{Form, urlencoded};
pub use resolver::Lookup;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::Url;
use zeroize::Zeroizing;

use crate::secret::Secret;
use clients::Clients;
use spec::Transport;

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

/// An answer, whatever its status. Its `Debug` tells the length of the body, which may hold a token.
#[derive(Clone)]
pub struct Fetched {
    /// Its status; a redirect is an answer like any other.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
}

impl Fetched {
    /// Whether its one `Content-Type` is `application/json`, with whatever parameters.
    pub fn is_json(&self) -> bool {
        let mut types = self.headers.get_all(CONTENT_TYPE).iter();
        let (Some(only), None) = (types.next(), types.next()) else { return false };
        let essence = only.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("application/json")
    }

    /// This answer, if its status is 200.
    ///
    /// # Errors
    /// [`FetchError::Status`] otherwise.
    pub fn ok(self) -> Result<Self, FetchError> {
        if self.status == StatusCode::OK { Ok(self) } else { Err(FetchError::Status(self.status.as_u16())) }
    }
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched").field("status", &self.status).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// What is sent.
enum Sent<'s> {
    /// Nothing: it is a GET.
    Nothing,
    /// A form, with credentials that are base64 already.
    Form(&'s Form, Option<&'s Secret>),
    /// Bytes, and headers that say what they are.
    Bytes(HeaderMap, Bytes),
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
        self.bounded(request, Sent::Nothing).await
    }

    /// Sends a form by POST, once, and reads the answer. `basic` is sent as `Authorization: Basic`; it is base64 already
    /// (RFC 7617). Form and credentials go over `http:` wherever the transport allows it.
    ///
    /// # Errors
    /// See [`FetchError`]; any status is an answer, not an error.
    pub async fn post(
        &self,
        request: &FetchRequest,
        form: &Form,
        basic: Option<&Secret>,
    ) -> Result<Fetched, FetchError> {
        self.bounded(request, Sent::Form(form, basic)).await
    }

    /// Sends bytes by POST, once, under headers that say what they are, and reads the answer.
    ///
    /// # Errors
    /// See [`FetchError`]; any status is an answer, not an error.
    pub async fn post_bytes(
        &self,
        request: &FetchRequest,
        headers: HeaderMap,
        bytes: Bytes,
    ) -> Result<Fetched, FetchError> {
        self.bounded(request, Sent::Bytes(headers, bytes)).await
    }

    async fn bounded(&self, request: &FetchRequest, sent: Sent<'_>) -> Result<Fetched, FetchError> {
        check(request)?;
        tokio::time::timeout(request.timeout, self.attempt(request, sent)).await.map_err(|_| FetchError::Timeout)?
    }

    async fn attempt(&self, request: &FetchRequest, sent: Sent<'_>) -> Result<Fetched, FetchError> {
        let client = self.clients.client(&request.url, &request.transport).await?;
        let method = if matches!(sent, Sent::Nothing) { Method::GET } else { Method::POST };
        let mut call = client.request(method, request.url.clone()).header(ACCEPT, request.accept);
        if let Some(bearer) = &request.bearer {
            call = call.header(AUTHORIZATION, authorization("Bearer ", bearer)?);
        }
        call = match sent {
            Sent::Nothing => call,
            Sent::Form(form, basic) => {
                if let Some(basic) = basic {
                    call = call.header(AUTHORIZATION, authorization("Basic ", basic)?);
                }
                call.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.bytes())
            }
            Sent::Bytes(headers, bytes) => call.headers(headers).body(bytes),
        };
        let mut answer = call.send().await.map_err(|error| FetchError::from_reqwest(&error))?;
        let body = body::read(&mut answer, request.max_bytes).await?;
        let headers = std::mem::take(answer.headers_mut());
        Ok(Fetched { status: answer.status(), headers, body })
    }
}

/// A value for `Authorization`. Its memory is overwritten when the last copy is dropped.
fn authorization(scheme: &str, credentials: &Secret) -> Result<HeaderValue, FetchError> {
    let credentials = credentials.expose().as_bytes();
    let mut value = Zeroizing::new(Vec::with_capacity(scheme.len() + credentials.len()));
    value.extend_from_slice(scheme.as_bytes());
    value.extend_from_slice(credentials);
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(value))
        .map_err(|_| FetchError::Request("the credentials do not fit a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What can be told without connecting.
fn check(request: &FetchRequest) -> Result<(), FetchError> {
    let FetchRequest { url, transport, .. } = request;
    if has_user(url) {
        return Err(FetchError::Request("the URL holds a user name or password"));
    }
    address::vet_literal(url, &transport.allowed_addresses)?;
    if let Some(proxy) = &transport.proxy {
        if proxy.scheme() != "http" || has_user(proxy) {
            return Err(FetchError::Request("the proxy is not an `http:` URL without user name"));
        }
        address::vet_literal(proxy, &transport.allowed_addresses)?;
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if transport.identity.is_some() => Err(FetchError::Request("a client certificate needs `https:`")),
        // Behind a proxy, loopback would be the proxy's.
        "http" if is_loopback(url) && transport.proxy.is_none() => Ok(()),
        "http" if request.bearer.is_some() => Err(FetchError::Request("a bearer token is not sent in clear text")),
        "http" if transport.allow_insecure_http => Ok(()),
        "http" => Err(FetchError::Request("`http:` is for loopback only, unless `allow_insecure_http` is set")),
        _ => Err(FetchError::Request("the URL is neither `https:` nor `http:`")),
    }
}

fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_202_credentials_are_marked_so_that_nothing_shows_or_indexes_them() {
        let value = authorization("Basic ", &Secret::new("aHVudGVyMg==")).unwrap();
        assert_eq!(value.as_bytes(), b"Basic aHVudGVyMg==");
        assert!(value.is_sensitive());
        assert_eq!(format!("{value:?}"), "Sensitive");
        assert!(authorization("Bearer ", &Secret::new("a\r\nb")).is_err());
    }

    #[test]
    fn row_202_an_answer_shows_no_body() {
        let body = Bytes::from_static(b"t0ken");
        let answer = Fetched { status: StatusCode::OK, headers: HeaderMap::new(), body };
        assert_eq!(format!("{answer:?}"), "Fetched { status: 200, bytes: 5, .. }");
    }
}
