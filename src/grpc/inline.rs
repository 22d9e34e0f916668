//! Where calls run.

use std::future::Future;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use hyper::rt::Executor;
use tokio::task::coop;

/// Runs a call at once, on the task of its connection, for as far as it goes without waiting. Most go to their end: what
/// they need is in memory, and a task of their own would cost as much as the decision. A call that waits becomes one.
///
/// How many that are in one turn of the connection is a matter of how much it reads ([`super::cork::Cork::may_read`]). Of
/// calls that say next to nothing it may be hundreds. Their time is charged to the budget of the connection's task, and once
/// that is spent, after about a millisecond, the others become tasks, but for those that are refused unread; and nothing more
/// is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inline;

/// The time that one unit of a task's budget stands for. A task has 128 of them in each of its turns.
const UNIT: Duration = Duration::from_micros(8);

/// Most that one call is charged. What took longer was waiting for a processor.
const MOST: u128 = 32;

impl<F> Executor<F> for Inline
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, call: F) {
        let mut call = Box::pin(call);
        // Whoever waits is polled again by its own task, which brings a waker of its own.
        let mut nobody = Context::from_waker(Waker::noop());
        if !coop::has_budget_remaining() {
            tokio::spawn(call);
            return;
        }
        let since = Instant::now();
        if call.as_mut().poll(&mut nobody).is_pending() {
            tokio::spawn(call);
        }
        charge((since.elapsed().as_nanos() / UNIT.as_nanos()).min(MOST));
    }
}
/// Charges so many units to the budget of the task that runs.
pub(super) fn charge(units: u128) {
    let mut nobody = Context::from_waker(Waker::noop());
    for _ in 0..units {
        let _ = coop::poll_proceed(&mut nobody).map(|charge| charge.made_progress());
    }
}
