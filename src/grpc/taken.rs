//! What is sent must be taken within a time limit. The protocol's own sign of life does not help against a peer that
//! reads nothing: the question whether it lives waits behind everything else that it does not read, and so does the
//! goodbye. Its connection would keep its place, and what is buffered for it, for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::cork::Cork;

/// A connection that fails with `TimedOut` once its peer has taken nothing for this long while there was something.
#[derive(Debug)]
pub(super) struct Taken<I> {
    io: I,
    cork: Cork,
    limit: Duration,
    /// Runs while something waits to be taken. Most connections never need one.
    patience: Option<Pin<Box<Sleep>>>,
}

impl<I> Taken<I> {
    pub(super) fn new(io: I, cork: Cork, limit: Duration) -> Self {
        Self { io, cork, limit, patience: None }
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
        if !self.cork.may_read() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_ready() {
            self.cork.heard(buf.filled().len().saturating_sub(before));
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Taken<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.cork.holds() {
            return Poll::Pending;
        }
        let sent = Pin::new(&mut self.io).poll_write(cx, buf);
        self.cork.tried(sent.is_pending());
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

    /// It could be, but then each answer is sent by itself: HTTP/2 puts short frames together in one buffer only where it
    /// does not hand over several. A copy of some hundred bytes costs less than the system's work for sending them.
    fn is_write_vectored(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;
    use crate::grpc::cork::MOST;

    /// Whatever there is to read, others have their turn: a task that read on would not end.
    #[tokio::test]
    async fn in_one_turn_no_more_is_read_than_is_due() {
        const CHUNK: usize = 16 * 1024;
        let (near, mut far) = duplex(8 * MOST);
        far.write_all(&vec![7; 4 * MOST]).await.unwrap();
        let cork = Cork::default();
        let mut near = Taken::new(near, cork.clone(), Duration::from_secs(60));
        let (mut chunk, mut turns) = (vec![0; CHUNK], Vec::new());
        let reading = std::future::poll_fn(|cx| {
            turns.push(0);
            loop {
                let mut buf = ReadBuf::new(&mut chunk);
                ready!(Pin::new(&mut near).poll_read(cx, &mut buf)).unwrap();
                *turns.last_mut().unwrap() += buf.filled().len();
                if turns.iter().sum::<usize>() == 4 * MOST {
                    return Poll::Ready(());
                }
            }
        });
        tokio::time::timeout(Duration::from_secs(60), cork.around(std::pin::pin!(reading))).await.unwrap();
        assert_eq!(turns, [MOST; 4]);
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (near, _far) = duplex(8);
        let mut near = Taken::new(near, Cork::default(), Duration::from_millis(20));
        near.write_all(&[0; 8]).await.unwrap();
        let error = near.write_all(&[0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_peer_that_takes_something_now_and_then_is_not() {
        let (near, mut far) = duplex(8);
        let mut near = Taken::new(near, Cork::default(), Duration::from_secs(60));
        let mut taken = [0; 64];
        let (sent, read) = tokio::join!(near.write_all(&[7; 64]), far.read_exact(&mut taken));
        sent.unwrap();
        read.unwrap();
        assert_eq!(taken, [7; 64]);
        assert!(near.patience.is_none());
    }
}
