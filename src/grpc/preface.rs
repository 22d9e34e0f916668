//! The first bytes of an HTTP/2 connection, read within a time limit: the protocol's implementation waits for them
//! without one, and a peer that never speaks would keep its place.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// RFC 9113 §3.4.
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose peer has sent the preface. It is given to the reader again.
#[derive(Debug)]
pub(super) struct Greeted<I> {
    io: I,
    unread: &'static [u8],
}

impl<I: AsyncRead + Unpin> Greeted<I> {
    /// Reads the preface.
    ///
    /// # Errors
    /// The peer closes, or speaks something else.
    pub(super) async fn read(mut io: I) -> io::Result<Self> {
        let mut first = [0; PREFACE.len()];
        io.read_exact(&mut first).await?;
        if first != PREFACE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the peer does not speak HTTP/2"));
        }
        Ok(Self { io, unread: &PREFACE })
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Greeted<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let (now, later) = self.unread.split_at(self.unread.len().min(buf.remaining()));
        buf.put_slice(now);
        self.unread = later;
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Greeted<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_preface_is_read_again() {
        let sent = [&PREFACE[..], b"and more"].concat();
        let mut greeted = Greeted::read(&sent[..]).await.unwrap();
        let mut first = [0; 5];
        greeted.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"PRI *");
        let mut rest = Vec::new();
        greeted.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, &sent[5..]);
    }

    #[tokio::test]
    async fn other_protocols_are_refused() {
        assert!(Greeted::read(&b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"[..]).await.is_err());
        assert!(Greeted::read(&b"PRI * HTTP/2.0\r\n"[..]).await.is_err());
        assert!(Greeted::read(&b""[..]).await.is_err());
    }
}
