//! What is sent must be taken within a time limit. The protocol's own sign of life does not help against a peer that
//! reads nothing: the question whether it lives waits behind everything else that it does not read, and so does the
//! goodbye. Its connection would keep its place, and what is buffered for it, for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A connection that fails with `TimedOut` once its peer has taken nothing for this long while there was something.
#[derive(Debug)]
pub(super) struct Taken<I> {
    io: I,
    limit: Duration,
    /// Runs while something waits to be taken. Most connections never need one.
    patience: Option<Pin<Box<Sleep>>>,
}

impl<I> Taken<I> {
    pub(super) fn new(io: I, limit: Duration) -> Self {
        Self { io, limit, patience: None }
    }

    /// The result of an attempt to send, or the end of patience.
    fn judge<T>(&mut self, cx: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.patience = None;
            return sent;
        }
        let limit = self.limit;
        ready!(self.patience.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not take what is sent")))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Taken<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Taken<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.io).poll_write(cx, buf);
        self.judge(cx, sent)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.io).poll_flush(cx);
        self.judge(cx, sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.io).poll_shutdown(cx);
        self.judge(cx, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.judge(cx, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (near, _far) = duplex(8);
        let mut near = Taken::new(near, Duration::from_millis(20));
        near.write_all(&[0; 8]).await.unwrap();
        let error = near.write_all(&[0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_peer_that_takes_something_now_and_then_is_not() {
        let (near, mut far) = duplex(8);
        let mut near = Taken::new(near, Duration::from_secs(60));
        let mut taken = [0; 64];
        let (sent, read) = tokio::join!(near.write_all(&[7; 64]), far.read_exact(&mut taken));
        sent.unwrap();
        read.unwrap();
        assert_eq!(taken, [7; 64]);
        assert!(near.patience.is_none());
    }
}
