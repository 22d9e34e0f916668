//! The load generator: one thread, HTTP/2 by `h2`, bodies and headers made beforehand.
//!
//! [`closed`] keeps a number of calls in flight; [`open`] sends at fixed rates whatever comes back, and counts the time
//! of a call from the moment it was due, so that a server that stalls cannot hide it by being asked less.

mod answer;
mod batch;
mod call;
pub mod closed;
mod connect;
pub mod open;
mod source;
mod tally;

pub use answer::Outcome;
pub use call::Asks;
pub use connect::{Endpoint, probe};
pub use source::{Asking, Made, Rotation, Source};
pub use tally::Tally;

/// Runs a future on a runtime of this thread alone.
///
/// # Errors
/// No runtime could be made, or the future's own.
pub fn on_this_thread<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
