//! Log lines about what a peer can cause at will: one in a while, with the number of those passed over.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Least time between two lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// Counts occurrences and says when to log.
#[derive(Debug, Default)]
pub(super) struct Quiet(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    last_line: Option<Instant>,
    since: u64,
}

impl Quiet {
    /// Notes one occurrence. The number of occurrences since the last line, where it is time for a line.
    pub(super) fn note(&self, now: Instant) -> Option<u64> {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.since += 1;
        if noted.last_line.is_some_and(|last| now.saturating_duration_since(last) < INTERVAL) {
            return None;
        }
        noted.last_line = Some(now);
        Some(std::mem::take(&mut noted.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line() {
        let quiet = Quiet::default();
        let start = Instant::now();
        assert_eq!(quiet.note(start), Some(1));
        for _ in 0..99 {
            assert_eq!(quiet.note(start), None);
        }
        assert_eq!(quiet.note(start + INTERVAL), Some(100));
    }
}
