//! Writes in batches. HTTP/2 as we use it sends the message of each call by itself; Envoy writes whatever a round of its
//! event loop has to send together, and so does this: a server would else be charged for what no client of it does.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::AsyncWrite;

/// Most bytes that wait to be written.
const MOST: usize = 1 << 20;

/// What is to be written, at both of its ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    bytes: BytesMut,
    /// Whoever has more to write than there is room for.
    waiting: Option<Waker>,
    failed: Option<io::ErrorKind>,
}

impl Batch {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drives a connection that writes into this, and after each round of it writes what there is.
    pub(super) async fn drive(self, connection: impl Future, writer: impl AsyncWrite) {
        let (mut connection, mut writer) = (pin!(connection), pin!(writer));
        let mut is_over = false;
        poll_fn(|cx| {
            is_over = is_over || connection.as_mut().poll(cx).is_ready();
            if let Err(error) = ready!(self.write(writer.as_mut(), cx)) {
                // Calls that are still to be answered end with the connection.
                is_over = true;
                let mut state = self.state();
                state.failed = Some(error.kind());
                state.bytes.clear();
                if let Some(waiting) = state.waiting.take() {
                    waiting.wake();
                }
            }
            if is_over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn write(&self, mut writer: Pin<&mut impl AsyncWrite>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        while !state.bytes.is_empty() {
            let written = ready!(writer.as_mut().poll_write(cx, &state.bytes))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            state.bytes.advance(written);
            if let Some(waiting) = state.waiting.take() {
                waiting.wake();
            }
        }
        writer.poll_flush(cx)
    }
}

impl AsyncWrite for Batch {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if let Some(failed) = state.failed {
            return Poll::Ready(Err(failed.into()));
        }
        if state.bytes.len() >= MOST {
            state.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// A writer that notes how much it was given at a time, and takes no more than so much.
    #[derive(Default)]
    struct Noted(Arc<Mutex<Vec<usize>>>);

    impl AsyncWrite for Noted {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.0.lock().unwrap().push(bytes.len());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_one_round_has_to_send_is_written_once() {
        let (batch, noted) = (Batch::default(), Noted::default());
        let writes = Arc::clone(&noted.0);
        let mut near = batch.clone();
        let connection = async move {
            for _ in 0..3 {
                near.write_all(b"head").await.unwrap();
                near.flush().await.unwrap();
                near.write_all(b"data").await.unwrap();
                near.flush().await.unwrap();
            }
            tokio::task::yield_now().await;
            near.write_all(b"more").await.unwrap();
        };
        batch.drive(connection, noted).await;
        assert_eq!(*writes.lock().unwrap(), [24, 4]);
    }

    #[tokio::test]
    async fn what_a_slow_peer_does_not_take_waits_and_nothing_is_lost() {
        let batch = Batch::default();
        let (writer, mut peer) = duplex(1000);
        let mut near = batch.clone();
        let chunk: Vec<u8> = (0..=255).cycle().take(MOST / 4).collect();
        let all = chunk.repeat(10);
        let connection = async move { near.write_all(&chunk.repeat(10)).await.unwrap() };
        let mut seen = vec![0; all.len()];
        tokio::join!(batch.drive(connection, writer), async { peer.read_exact(&mut seen).await.unwrap() });
        assert!(seen == all, "what arrives is what was sent");
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_is_an_error_of_the_next_write() {
        let batch = Batch::default();
        let (writer, peer) = duplex(10);
        drop(peer);
        let mut near = batch.clone();
        let connection = async move {
            near.write_all(b"lost").await.unwrap();
            tokio::task::yield_now().await;
            near.write_all(b"seen").await.unwrap_err().kind()
        };
        batch.drive(async { assert_eq!(connection.await, io::ErrorKind::BrokenPipe) }, writer).await;
    }
}
