//! One call, from its headers to its trailers.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};

use super::answer::{Outcome, decode};

/// What a call asks for.
#[derive(Clone, Debug, Default)]
pub enum Asks {
    /// A Check: what a source draws is a whole gRPC frame.
    #[default]
    Check,
    /// An HTTP request without a body, as a client behind Envoy sends it: what a source draws is the value of its
    /// `authorization`, or nothing.
    Get {
        /// Scheme, host and path.
        uri: Uri,
        /// Headers beside `authorization`.
        headers: HeaderMap,
    },
}

const PATH: &str = "http://gate/envoy.service.auth.v3.Authorization/Check";

/// What every call says before its body, made once.
#[derive(Clone, Debug)]
pub(super) struct Headers {
    method: Method,
    uri: Uri,
    map: HeaderMap,
}

impl Headers {
    /// With a `grpc-timeout`, where the caller of a Check has a limit.
    pub(super) fn new(asks: Asks, patience: Option<Duration>) -> anyhow::Result<Self> {
        if let Asks::Get { uri, headers } = asks {
            return Ok(Self { method: Method::GET, uri, map: headers });
        }
        let mut map = HeaderMap::new();
        map.insert(header::TE, HeaderValue::from_static("trailers"));
        map.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        if let Some(patience) = patience {
            map.insert("grpc-timeout", HeaderValue::from_str(&format!("{}m", patience.as_millis()))?);
        }
        Ok(Self { method: Method::POST, uri: Uri::from_static(PATH), map })
    }

    fn request(&self) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = self.method.clone();
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.map.clone();
        request
    }
}

/// Makes a call. Dropping the future resets the stream.
pub(super) async fn call(mut sender: SendRequest<Bytes>, headers: &Headers, body: Bytes) -> Outcome {
    if headers.method == Method::GET {
        return get(sender, headers, body).await;
    }
    let Ok((response, mut stream)) = sender.send_request(headers.request(), false) else {
        return Outcome::Transport;
    };
    if stream.send_data(body, true).is_err() {
        return Outcome::Transport;
    }
    match response.await {
        Ok(response) => read(response).await.unwrap_or(Outcome::Transport),
        Err(_) => Outcome::Transport,
    }
}

/// An HTTP request. Success is what an allow comes to.
async fn get(mut sender: SendRequest<Bytes>, headers: &Headers, credential: Bytes) -> Outcome {
    let mut request = headers.request();
    if !credential.is_empty() {
        let Ok(credential) = HeaderValue::from_maybe_shared(credential) else { return Outcome::Malformed };
        request.headers_mut().insert(header::AUTHORIZATION, credential);
    }
    let Ok((response, _)) = sender.send_request(request, true) else { return Outcome::Transport };
    let Ok(response) = response.await else { return Outcome::Transport };
    let (head, mut body) = response.into_parts();
    match whole(&mut body).await {
        Ok(_) if head.status.is_success() => Outcome::Allow,
        Ok(_) => Outcome::Denied(head.status.as_u16()),
        Err(_) => Outcome::Transport,
    }
}

async fn read(response: http::Response<RecvStream>) -> Result<Outcome, h2::Error> {
    let (head, mut body) = response.into_parts();
    if head.status != http::StatusCode::OK {
        return Ok(Outcome::Malformed);
    }
    // An error may come with the headers and nothing after them.
    if let Some(status) = grpc_status(&head.headers)
        && status != 0
    {
        return Ok(Outcome::Rpc(status));
    }
    let frame = whole(&mut body).await?;
    match body.trailers().await?.as_ref().and_then(grpc_status) {
        Some(0) => Ok(decode(&frame)),
        Some(status) => Ok(Outcome::Rpc(status)),
        None => Ok(Outcome::Malformed),
    }
}

/// The whole body. Most come in one piece, which is not copied.
async fn whole(body: &mut RecvStream) -> Result<Bytes, h2::Error> {
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        if first.is_empty() {
            first = piece;
        } else if !piece.is_empty() {
            rest.get_or_insert_with(|| BytesMut::from(&first[..])).extend_from_slice(&piece);
        }
    }
    Ok(rest.map_or(first, BytesMut::freeze))
}

fn grpc_status(headers: &HeaderMap) -> Option<u32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}
