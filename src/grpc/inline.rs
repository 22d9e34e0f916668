//! Where calls run.

use std::future::Future;
use std::task::{Context, Waker};

use hyper::rt::Executor;
use tokio::task::coop;

/// Runs a call at once, on the task of its connection, for as far as it goes without waiting. Most go to their end: what
/// they need is in memory, and a task of their own would cost as much as the decision. A call that waits becomes one.
///
/// A connection that is never idle takes its turns with the others all the same: each call is charged to the budget of
/// its task, and once that is spent nothing more is read; what was read already becomes tasks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inline;

/// What a call is charged. A task has 128 in each of its turns, so that one with 32 calls takes less than a millisecond.
const CHARGE: usize = 4;

impl<F> Executor<F> for Inline
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, call: F) {
        let mut call = Box::pin(call);
        // Whoever waits is polled again by its own task, which brings a waker of its own.
        let mut nobody = Context::from_waker(Waker::noop());
        let mut charge = || coop::poll_proceed(&mut nobody).map(|charge| charge.made_progress()).is_ready();
        let is_paid = (0..CHARGE).all(|_| charge());
        if !is_paid || call.as_mut().poll(&mut nobody).is_pending() {
            tokio::spawn(call);
        }
    }
}
