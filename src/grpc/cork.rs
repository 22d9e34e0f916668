//! What a connection does in one turn of its task: how much it reads, and that it sends its answers together. Each call
//! that the task answers is followed by an attempt to send; where several calls came at once, that is as many system calls,
//! which cost more than the decisions.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::task::Poll;

/// Bytes that a connection reads in one turn before others have theirs, about: some dozen calls.
pub(super) const MOST: usize = 64 * 1024;

const OPEN: u8 = 0;
const HELD: u8 = 1;
const WANTED: u8 = 2;

/// Keeps back what a connection sends until it has nothing more to do.
///
/// What could not be sent once is not kept back again: a task that has used its turn up may not send either, and would
/// otherwise read on and on in turns of which none sends.
#[derive(Clone, Debug, Default)]
pub(super) struct Cork(Arc<State>);

#[derive(Debug, Default)]
struct State {
    hold: AtomicU8,
    blocked: AtomicBool,
    heard: AtomicBool,
    /// Bytes read in this turn.
    read: AtomicUsize,
}

impl Cork {
    /// Whether what is to be sent must wait. Who is told so is polled again, and needs no waker.
    pub(super) fn holds(&self) -> bool {
        let is_held = self.0.hold.load(Ordering::Relaxed) != OPEN;
        if is_held {
            self.0.hold.store(WANTED, Ordering::Relaxed);
        }
        is_held
    }

    /// Says that so many bytes came from the peer.
    pub(super) fn heard(&self, bytes: usize) {
        self.0.heard.store(true, Ordering::Relaxed);
        self.0.read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether more may be read in this turn of the connection's task. HTTP/2 reads all there is before it hands out the
    /// first call, and where calls come faster than they are answered there is always more.
    pub(super) fn may_read(&self) -> bool {
        self.0.read.load(Ordering::Relaxed) < MOST
    }

    /// Says whether an attempt to send, which was not held, has to be made again.
    pub(super) fn tried(&self, blocked: bool) {
        self.0.blocked.store(blocked, Ordering::Relaxed);
    }

    /// Lets a connection go on for as far as it goes without sending, and then once more to send.
    ///
    /// Where there was nothing to hear, a call that had waited is answered, and others may end in the same moment: they
    /// go first.
    pub(super) async fn around<C: Future>(&self, mut connection: Pin<&mut C>) -> C::Output {
        let mut is_last = false;
        poll_fn(|cx| {
            self.0.read.store(0, Ordering::Relaxed);
            if !is_last {
                self.0.heard.store(false, Ordering::Relaxed);
                let first = if self.0.blocked.load(Ordering::Relaxed) { OPEN } else { HELD };
                self.0.hold.store(first, Ordering::Relaxed);
                let polled = connection.as_mut().poll(cx);
                let wanted = self.0.hold.swap(OPEN, Ordering::Relaxed) == WANTED;
                if polled.is_ready() || !wanted {
                    return polled;
                }
                if !self.0.heard.load(Ordering::Relaxed) {
                    is_last = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            is_last = false;
            connection.as_mut().poll(cx)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn what_is_sent_is_sent_once_at_the_end_of_a_round() {
        let cork = Cork::default();
        let mut log = Vec::new();
        let (mut to_send, mut rounds) = (0, 0);
        let connection = poll_fn(|_| {
            rounds += 1;
            for _ in 0..3 {
                if rounds == 1 {
                    to_send += 1;
                }
                if !cork.holds() && to_send > 0 {
                    log.push(std::mem::take(&mut to_send));
                }
            }
            if rounds < 2 { Poll::Pending } else { Poll::Ready(()) }
        });
        cork.around(pin!(connection)).await;
        assert_eq!((log, rounds), (vec![3], 2));
        assert!(!cork.holds(), "afterwards nothing is held");
    }

    #[tokio::test]
    async fn what_could_not_be_sent_is_not_held_again() {
        let cork = Cork::default();
        let mut held = Vec::new();
        let connection = poll_fn(|cx| {
            cx.waker().wake_by_ref();
            held.push(cork.holds());
            if held.last() == Some(&false) {
                // Of the attempts the second one succeeds.
                cork.tried(held.len() == 2);
            }
            if held.len() < 5 { Poll::Pending } else { Poll::Ready(()) }
        });
        cork.around(pin!(connection)).await;
        assert_eq!(held, [true, false, false, true, false]);
    }

    #[tokio::test]
    async fn where_nothing_is_sent_nothing_is_done_twice() {
        let (cork, mut rounds) = (Cork::default(), 0);
        let connection = poll_fn(|cx| {
            rounds += 1;
            cx.waker().wake_by_ref();
            if rounds < 5 { Poll::Pending } else { Poll::Ready(()) }
        });
        cork.around(pin!(connection)).await;
        assert_eq!(rounds, 5);
    }
}
