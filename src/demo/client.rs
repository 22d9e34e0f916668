//! A client that sends exactly what it is told: no path is tidied up, no header added but those that HTTP asks for.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Time for one call, from connecting to the last byte.
const PATIENCE: Duration = Duration::from_secs(20);
/// Largest body that is read.
const MAX_BODY_BYTES: usize = 4 << 20;

/// The version of HTTP to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Call {
    /// The version of HTTP.
    pub protocol: Protocol,
    /// Its method.
    pub method: Method,
    /// `Host`, or `:authority`.
    pub host: String,
    /// Path and query, sent as they are.
    pub path: String,
    /// Headers in order; names may repeat.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Its trailers, where there were any.
    pub trailers: HeaderMap,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It took too long.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
    /// The request cannot be sent as it was given.
    #[error("the request cannot be sent: {0}")]
    Request(#[from] http::Error),
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Connection(#[from] std::io::Error),
    /// HTTP failed.
    #[error("the exchange failed: {0}")]
    Http(#[from] hyper::Error),
    /// The body is too large, or broke off.
    #[error("the body cannot be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

impl Call {
    /// A GET over HTTP/1.1.
    pub fn get(host: &str, path: &str) -> Self {
        Self {
            protocol: Protocol::Http1,
            method: Method::GET,
            host: host.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// A unary gRPC call of an empty message.
    pub fn grpc(host: &str, path: &str) -> Self {
        Self {
            protocol: Protocol::Http2,
            method: Method::POST,
            // Not compressed, no bytes: an empty message of any type.
            body: Bytes::from_static(&[0; 5]),
            ..Self::get(host, path)
        }
        .header("content-type", "application/grpc")
        .header("te", "trailers")
    }

    /// With another method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// With another version of HTTP.
    #[must_use]
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Sends it over a new connection to loopback.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn send(self, address: std::net::SocketAddr) -> Result<Reply, CallError> {
        let whole = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            self.exchange(stream).await
        };
        timeout(PATIENCE, whole).await.map_err(|_| CallError::Late)?
    }

    /// Sends it over a connection that is there: TLS, for example.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn send_over(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Reply, CallError> {
        timeout(PATIENCE, self.exchange(stream)).await.map_err(|_| CallError::Late)?
    }

    async fn exchange(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Reply, CallError> {
        let io = TokioIo::new(stream);
        let protocol = self.protocol;
        let request = self.into_request()?;
        let response = match protocol {
            Protocol::Http1 => {
                let (mut sender, connection) = http1::handshake(io).await?;
                tokio::spawn(connection);
                sender.send_request(request).await?
            }
            Protocol::Http2 => {
                let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                sender.send_request(request).await?
            }
        };
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY_BYTES).collect().await.map_err(CallError::Body)?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        Ok(Reply { status: parts.status, headers: parts.headers, body: body.to_bytes(), trailers })
    }

    fn into_request(self) -> Result<Request<Full<Bytes>>, CallError> {
        let uri = Uri::builder().path_and_query(self.path.as_str());
        let mut builder = Request::builder().method(self.method);
        builder = match self.protocol {
            Protocol::Http1 => builder.uri(uri.build()?).header(http::header::HOST, &self.host),
            Protocol::Http2 => builder.uri(uri.scheme("http").authority(self.host.as_str()).build()?),
        };
        for (name, value) in &self.headers {
            let name = HeaderName::try_from(name).map_err(http::Error::from)?;
            let value = HeaderValue::try_from(value).map_err(http::Error::from)?;
            builder = builder.header(name, value);
        }
        Ok(builder.body(Full::new(self.body))?)
    }
}

impl Reply {
    /// A header's first value, where it is text; for gRPC, a trailer's.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).or_else(|| self.trailers.get(name))?.to_str().ok()
    }

    /// The body as JSON, or null.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text, broken bytes replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
