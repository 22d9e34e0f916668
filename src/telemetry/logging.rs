//! Where log lines go, and which.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// The environment variable that chooses levels: `debug`, or `info,tollgate::authn=debug`.
const VARIABLE: &str = "TOLLGATE_LOG";

/// What is not heard unless it is named more precisely, as `notify::inotify` and `h2::proto` are.
const QUIET: [&str; 2] = [
    // The file watcher tells of every event in a watched folder. Where the log is written to such a folder, each line
    // would be an event and each event a line.
    "notify=warn",
    // It warns of some frames that make no sense, each time: whoever reaches the port could fill the log with them.
    "h2=error",
];

/// Why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The variable is there and does not read.
    #[error("the environment variable `{VARIABLE}` is not a log filter such as `info,tollgate=debug`: {0}")]
    Filter(String),
    /// A program may do this once.
    #[error("logging is already set up")]
    AlreadySet,
}

/// Sends log lines to standard error, as lines for people on a terminal and as JSON elsewhere. The level is `info`
/// unless `TOLLGATE_LOG` says otherwise.
///
/// # Errors
/// Where the variable does not read, or logging is already set up.
pub fn init_logging() -> Result<(), LoggingError> {
    let filter = match std::env::var(VARIABLE) {
        Ok(filter) => parse(&filter)?,
        Err(std::env::VarError::NotPresent) => parse("info")?,
        Err(error @ std::env::VarError::NotUnicode(_)) => return Err(LoggingError::Filter(error.to_string())),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let done = if stderr().is_terminal() {
        builder.finish().try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).finish().try_init()
    };
    done.map_err(|_| LoggingError::AlreadySet)
}

fn parse(filter: &str) -> Result<EnvFilter, LoggingError> {
    let refused = |error: tracing_subscriber::filter::ParseError| LoggingError::Filter(error.to_string());
    let mut filter = EnvFilter::try_new(filter).map_err(refused)?;
    for quiet in QUIET {
        filter = filter.add_directive(quiet.parse().map_err(refused)?);
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_or_refused() {
        assert!(parse("info,tollgate::authn=debug").is_ok());
        let trace = parse("trace").unwrap().to_string();
        assert!(QUIET.iter().all(|quiet| trace.contains(quiet)), "{trace}");
        let error = parse("tollgate=loud").unwrap_err().to_string();
        assert!(error.contains("`TOLLGATE_LOG`"), "{error}");
    }
}
