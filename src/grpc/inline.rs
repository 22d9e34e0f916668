//! Where calls run.

use std::future::Future;
use std::task::{Context, Waker};

use hyper::rt::Executor;
use tokio::task::coop;

/// Runs a call at once, on the task of its connection, for as far as it goes without waiting. Most go to their end: what
/// they need is in memory, and a task of their own would cost as much as the decision. A call that waits becomes one.
///
/// How many that are in one turn of the connection is a matter of how much it reads ([`super::cork::Cork::may_read`]). Of
/// calls that say next to nothing it may be hundreds. Each is charged to the budget of the connection's task, and once that
/// is spent, after about a hundred, the others become tasks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inline;

impl<F> Executor<F> for Inline
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, call: F) {
        let mut call = Box::pin(call);
        // Whoever waits is polled again by its own task, which brings a waker of its own.
        let mut nobody = Context::from_waker(Waker::noop());
        let is_paid = coop::poll_proceed(&mut nobody).map(|charge| charge.made_progress()).is_ready();
        if !is_paid || call.as_mut().poll(&mut nobody).is_pending() {
            tokio::spawn(call);
        }
    }
}
