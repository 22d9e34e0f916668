//! Requests that are decided on to see what a policy says: cases of `tollgate test`, and what a command line describes.
//!
//! A [`Question`] is a request and who sends it; [`Question::decide`] has the engine's own decision explained. Files of
//! cases are found by [`find`] and read by [`read`], which reports each fault at its place and keeps the rest. What a case
//! expects is held to what was decided in [`expect`]; what a policy's cases exercise of it is counted in [`coverage`].

pub mod coverage;
pub mod credential;
pub mod expect;
mod file;
pub mod find;
mod protobuf;
pub mod question;
pub mod read;
pub mod request;
pub mod text;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use expect::Expect;
pub use question::{Decided, Question, Sent};

use crate::authn::store::Deps;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::config::written::Place;
use crate::core::event::Silent;
use crate::engine::LoadError;
use crate::engine::explain::Explainer;
use crate::net::HttpClient;

/// What is wrong with a file of cases or with one of them, and where: `orders.test.yaml:12:5: cases[3].expect: …`.
pub use crate::config::ConfigError as Fault;

/// A request and what is expected of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// As the file has it, or the request where it has none.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// The request.
    pub question: Question,
    /// What is expected.
    pub expect: Expect,
}

/// The cases that were read.
#[derive(Debug, Default)]
pub struct Cases {
    /// In the order of the files, and in each file's own order.
    pub cases: Vec<Case>,
    /// What could not be read. The cases that have faults are left out.
    pub faults: Vec<Fault>,
    /// The files of cases that were looked at.
    pub files: Vec<PathBuf>,
    /// Files that cases name: recorded requests and tokens.
    pub named: Vec<PathBuf>,
}

/// What decides. Keys are fetched as of today, whatever the time of a decision: how old they may be is the real clock's.
/// They are fetched, and waited for this long, only where a case carries a token of theirs.
///
/// # Errors
/// An issuer that cannot be started.
pub fn explainer(config: Config, timeout: Duration) -> Result<Explainer, LoadError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Explainer::new(config, Deps::new(HttpClient::new(), clock, Arc::new(Silent)), timeout)
}
