//! Bodies of responses.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use hyper::body::{Body, Frame};
use tonic::Status;

/// The length of a gRPC frame's prefix: whether it is compressed, and its length.
pub(super) const PREFIX: usize = 5;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// A response's body.
#[derive(Debug)]
pub(super) enum Reply {
    /// One message, then the status of a call that succeeded.
    Message(Bytes),
    /// That status.
    Success,
    /// Nothing more.
    End,
    /// What tonic makes.
    Tonic(tonic::body::Body),
}

impl Reply {
    /// A successful call with this frame.
    pub(super) fn frame(frame: Bytes) -> Response<Self> {
        let mut response = Response::new(Self::Message(frame));
        response.headers_mut().insert(http::header::CONTENT_TYPE, CONTENT_TYPE);
        response
    }

    /// What tonic answered.
    pub(super) fn of_tonic(response: Response<tonic::body::Body>) -> Response<Self> {
        response.map(Self::Tonic)
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let (now, next) = match &mut *self {
            Self::Tonic(body) => return Pin::new(body).poll_frame(cx),
            Self::Message(frame) => (Frame::data(std::mem::take(frame)), Self::Success),
            Self::Success => {
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
                (Frame::trailers(trailers), Self::End)
            }
            Self::End => return Poll::Ready(None),
        };
        *self = next;
        Poll::Ready(Some(Ok(now)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Message(_) | Self::Success => false,
            Self::End => true,
            Self::Tonic(body) => body.is_end_stream(),
        }
    }
}
