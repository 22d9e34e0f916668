//! A unix socket that wakes its task to read alone. The system tells of room to write each time the peer took something,
//! also where nobody waits for it. Whoever asks for that news from the start is woken for each answer once more.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// A connected unix socket.
#[derive(Debug)]
pub(super) struct UnixConnection {
    socket: AsyncFd<UnixStream>,
    /// The same socket, for news of room: there while something could not be written.
    blocked: Option<AsyncFd<UnixStream>>,
}

impl UnixConnection {
    /// # Errors
    /// The system's, for want of memory.
    pub(super) fn new(accepted: tokio::net::UnixStream) -> io::Result<Self> {
        Ok(Self { socket: news_of(accepted.into_std()?, Interest::READABLE)?, blocked: None })
    }
}

#[expect(
    deprecated,
    reason = "of types whose descriptor may change or close it asks for `unsafe`; a standard socket's does neither"
)]
fn news_of(socket: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    AsyncFd::with_interest(socket, interest)
}

impl AsyncRead for UnixConnection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.socket.poll_read_ready(cx))?;
            let room = buf.initialize_unfilled();
            let Ok(read) = ready.try_io(|socket| socket.get_ref().read(room)) else { continue };
            let read = match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            // There was no more: to try again would be in vain.
            if (1..room.len()).contains(&read) {
                ready.clear_ready();
            }
            buf.advance(read);
            return Poll::Ready(Ok(()));
        }
    }
}

impl AsyncWrite for UnixConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let written = match &self.blocked {
                None => self.socket.get_ref().write(bytes),
                Some(blocked) => {
                    let mut ready = ready!(blocked.poll_write_ready(cx))?;
                    match ready.try_io(|socket| socket.get_ref().write(bytes)) {
                        Ok(written) => written,
                        Err(_) => continue,
                    }
                }
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let again = self.socket.get_ref().try_clone()?;
                    self.blocked = Some(news_of(again, Interest::WRITABLE)?);
                }
                written => {
                    if written.as_ref().is_ok_and(|written| *written == bytes.len()) {
                        self.blocked = None;
                    }
                    return Poll::Ready(written);
                }
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.get_ref().shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn pair() -> (UnixConnection, tokio::net::UnixStream) {
        let (near, far) = tokio::net::UnixStream::pair().unwrap();
        (UnixConnection::new(near).unwrap(), far)
    }

    #[tokio::test]
    async fn everything_arrives_both_ways_however_much_it_is() {
        // Many times what the system keeps of a socket, in and out at once.
        let sent: Vec<u8> = (0..8 << 20).map(|n: u32| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect();
        let (near, far) = pair();
        let (mut near_read, mut near_write) = tokio::io::split(near);
        let (mut far_read, mut far_write) = tokio::io::split(far);
        let (mut there, mut back) = (vec![0; sent.len()], vec![0; sent.len()]);
        let all = async {
            tokio::try_join!(
                near_write.write_all(&sent),
                far_read.read_exact(&mut there),
                far_write.write_all(&sent),
                near_read.read_exact(&mut back),
            )
        };
        timeout(LIMIT, all).await.unwrap().unwrap();
        assert!(there == sent && back == sent);
    }

    #[tokio::test]
    async fn who_could_not_write_is_woken_when_there_is_room_and_then_no_more() {
        let (mut near, mut far) = pair();
        let chunk = vec![7; 64 * 1024];
        let mut filled = 0;
        while let Ok(written) = timeout(Duration::from_millis(50), near.write(&chunk)).await {
            filled += written.unwrap();
        }
        assert!(near.blocked.is_some());
        let mut taken = vec![0; filled];
        let (written, read) = tokio::join!(timeout(LIMIT, near.write_all(&chunk)), far.read_exact(&mut taken));
        written.unwrap().unwrap();
        read.unwrap();
        far.read_exact(&mut vec![0; chunk.len()]).await.unwrap();
        near.write_all(b"last").await.unwrap();
        assert!(near.blocked.is_none());
        assert_eq!(far.read_exact(&mut [0; 4]).await.unwrap(), 4);
    }

    #[tokio::test]
    async fn the_end_is_heard_on_both_sides() {
        let (mut near, mut far) = pair();
        far.write_all(b"last").await.unwrap();
        drop(far);
        let mut heard = Vec::new();
        timeout(LIMIT, near.read_to_end(&mut heard)).await.unwrap().unwrap();
        assert_eq!(heard, b"last");

        let (mut near, mut far) = pair();
        near.write_all(b"last").await.unwrap();
        near.shutdown().await.unwrap();
        let mut heard = Vec::new();
        timeout(LIMIT, far.read_to_end(&mut heard)).await.unwrap().unwrap();
        assert_eq!(heard, b"last");
        drop(far);
        assert!(near.write_all(b"too late").await.is_err());
    }
}
