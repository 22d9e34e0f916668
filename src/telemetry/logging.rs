//! Where log lines go, and which.

use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use super::level::{FilterError, LogLevel};

/// The environment variable that chooses levels: `debug`, or `info,tollgate::authn=debug`.
const VARIABLE: &str = "TOLLGATE_LOG";

/// Most lines that wait to be written.
const MOST_WAITING: usize = 4096;

/// Counts lines that were dropped. As logging itself it is the process's.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// How many log lines were dropped, since nobody took those before them.
pub(super) fn dropped_lines() -> u64 {
    DROPPED.get().map_or(0, |counter| u64::try_from(counter.dropped_lines()).unwrap_or(u64::MAX))
}

/// Writes log lines on a thread of its own until it is dropped, and then what still waits, for a second at most.
#[derive(Debug)]
#[must_use]
pub struct LogLines {
    _worker: WorkerGuard,
}

/// Why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The variable is there and does not read.
    #[error("the environment variable `{VARIABLE}` is {0}")]
    Filter(FilterError),
    /// The variable is there and is no text.
    #[error("the environment variable `{VARIABLE}` does not read: {0}")]
    Variable(std::env::VarError),
    /// A program may do this once.
    #[error("logging is already set up")]
    AlreadySet,
}

/// Sends log lines to standard error, as lines for people on a terminal and as JSON elsewhere. The level is `info`
/// unless `TOLLGATE_LOG` says otherwise, and can be changed by what is returned.
///
/// Nobody waits for standard error: who reads it may have stopped to. Where thousands of lines wait, more are dropped.
///
/// # Errors
/// Where the variable does not read, or logging is already set up.
pub fn init_logging() -> Result<(LogLevel, LogLines), LoggingError> {
    let filter = match std::env::var(VARIABLE) {
        Ok(filter) if !filter.trim().is_empty() => filter,
        Ok(_) | Err(std::env::VarError::NotPresent) => "info".to_owned(),
        Err(error @ std::env::VarError::NotUnicode(_)) => return Err(LoggingError::Variable(error)),
    };
    let (filtering, level) = LogLevel::new(&filter).map_err(LoggingError::Filter)?;
    let waiting = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(MOST_WAITING).thread_name("log");
    let (writer, worker) = waiting.finish(stderr());
    // Set once, where logging is set up once.
    let _ = DROPPED.set(writer.error_counter());
    let lines = fmt::layer().with_writer(writer);
    let lines = if stderr().is_terminal() {
        lines.boxed()
    } else {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    };
    let done = tracing_subscriber::registry().with(filtering).with(lines).try_init();
    done.map_err(|_| LoggingError::AlreadySet)?;
    Ok((level, LogLines { _worker: worker }))
}
