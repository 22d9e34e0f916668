//! The message of a call: as it came, in one piece, or for tonic to put together.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use hyper::body::{Body, Frame, Incoming};

use super::reply::PREFIX;

/// The message in a body's first frame, where it is whole, uncompressed and no longer than `most`: as Envoy sends it.
pub(super) fn whole(first: Option<&Result<Frame<Bytes>, hyper::Error>>, most: usize) -> Option<Bytes> {
    let data = first?.as_ref().ok()?.data_ref()?;
    let (mut prefix, message) = data.split_at_checked(PREFIX)?;
    let (compressed, length) = (prefix.get_u8(), prefix.get_u32());
    let is_whole = compressed == 0 && usize::try_from(length) == Ok(message.len()) && message.len() <= most;
    is_whole.then(|| data.slice(PREFIX..))
}

/// The body of a call of which the beginning was read.
#[derive(Debug)]
pub(super) struct Begun {
    first: Option<Result<Frame<Bytes>, hyper::Error>>,
    rest: Incoming,
}

impl Begun {
    pub(super) fn new(first: Option<Result<Frame<Bytes>, hyper::Error>>, rest: Incoming) -> Self {
        Self { first, rest }
    }
}

impl Body for Begun {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }
}
