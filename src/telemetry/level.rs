//! Which log lines are written: changed while the program runs, for good or for a while.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// What is not heard unless it is named more precisely, as `notify::inotify` and `h2::proto` are.
const QUIET: [&str; 2] = [
    // The file watcher tells of every event in a watched folder. Where the log is written to such a folder, each line
    // would be an event and each event a line.
    "notify=warn",
    // It warns of some frames that make no sense, each time: whoever reaches the port could fill the log with them.
    "h2=error",
];

/// Why a filter is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It does not read.
    #[error("not a log filter such as `info,tollgate=debug`: {0}")]
    Unreadable(String),
    /// It is as good as none.
    #[error("empty: write a log filter such as `info`, or `off`")]
    Empty,
    /// The log that it is for has ended.
    #[error("of no use: the log has ended")]
    Ended,
}

/// What decides about log lines. Clones change the same.
#[derive(Clone, Debug)]
pub struct LogLevel(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    handle: reload::Handle<EnvFilter, Registry>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    current: String,
    /// What comes back, and when.
    then: Option<(String, Instant)>,
    /// Changes so far: who would undo one sees whether there was another.
    changes: u64,
}

/// What is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelStatus {
    /// The filter, as it was given.
    pub filter: String,
    /// The one that comes back, and after which time, where this one is for a while.
    pub then: Option<(String, Duration)>,
}

impl LogLevel {
    /// A layer that filters, and what changes it. The syntax is that of `TOLLGATE_LOG`: `debug`, or
    /// `info,tollgate::authn=debug`.
    ///
    /// # Errors
    /// Where it does not read.
    pub fn new(filter: &str) -> Result<(reload::Layer<EnvFilter, Registry>, Self), FilterError> {
        let (layer, handle) = reload::Layer::new(parse(filter)?);
        let state = Mutex::new(State { current: filter.to_owned(), then: None, changes: 0 });
        Ok((layer, Self(Arc::new(Shared { handle, state }))))
    }

    /// What is in force.
    pub fn status(&self) -> LevelStatus {
        let state = self.state();
        let left = |(filter, at): (String, Instant)| (filter, at.saturating_duration_since(Instant::now()));
        LevelStatus { filter: state.current.clone(), then: state.then.clone().map(left) }
    }

    /// Puts a filter in force: for good, or for this time and then the last one that was put in force for good. On a
    /// tokio runtime.
    ///
    /// # Errors
    /// Where it does not read. The one before stays.
    pub fn set(&self, filter: &str, time: Option<Duration>) -> Result<(), FilterError> {
        let parsed = parse(filter)?;
        let mut state = self.state();
        self.0.handle.reload(parsed).map_err(|_| FilterError::Ended)?;
        let lasting = state.then.take().map_or_else(|| state.current.clone(), |(lasting, _)| lasting);
        filter.clone_into(&mut state.current);
        state.changes += 1;
        if let Some(time) = time {
            let at = Instant::now() + time;
            state.then = Some((lasting, at));
            let (level, change) = (self.clone(), state.changes);
            tokio::spawn(async move {
                tokio::time::sleep_until(at).await;
                level.come_back(change);
            });
        }
        Ok(())
    }

    /// Ends what was for a while, unless there was another change.
    fn come_back(&self, change: u64) {
        let mut state = self.state();
        if state.changes != change {
            return;
        }
        let Some((filter, _)) = state.then.take() else { return };
        // It was in force before, so it reads.
        if let Ok(parsed) = parse(&filter)
            && self.0.handle.reload(parsed).is_ok()
        {
            state.current = filter;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(filter: &str) -> Result<EnvFilter, FilterError> {
    if filter.trim().is_empty() {
        return Err(FilterError::Empty);
    }
    let refused = |error: tracing_subscriber::filter::ParseError| FilterError::Unreadable(error.to_string());
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
        assert!(error.contains("`info,tollgate=debug`"), "{error}");
        assert_eq!(parse(" ").unwrap_err(), FilterError::Empty);
    }

    #[tokio::test]
    async fn what_is_for_a_while_ends_and_a_later_change_stays() {
        let lasting = |filter: &str| LevelStatus { filter: filter.to_owned(), then: None };
        let (layer, level) = LogLevel::new("info").unwrap();
        level.set("debug", Some(Duration::from_secs(60))).unwrap();
        assert_eq!(level.status().then.unwrap().0, "info");
        let moment = Duration::from_millis(20);
        level.set("trace", Some(moment)).unwrap();
        assert_eq!(level.status().filter, "trace");
        let until = Instant::now() + Duration::from_secs(20);
        while level.status() != lasting("info") {
            assert!(Instant::now() < until, "the lasting one comes back: {:?}", level.status());
            tokio::time::sleep(moment).await;
        }
        level.set("debug", Some(moment)).unwrap();
        level.set("warn", None).unwrap();
        // What would have brought `info` back, had there been no other change.
        let changes = level.state().changes;
        level.come_back(changes - 1);
        assert_eq!(level.status(), lasting("warn"));
        assert!(level.set("tollgate=loud", None).is_err());
        assert_eq!(level.status(), lasting("warn"));
        drop(layer);
        assert_eq!(level.set("info", None), Err(FilterError::Ended));
    }
}
