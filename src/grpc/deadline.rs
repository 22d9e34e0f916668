//! When an answer is due.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use http::header::{Entry, HeaderMap, HeaderName};
use tokio::time::{Instant, timeout_at};

/// The header in which a gRPC client says how long it will wait.
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Most time taken off the caller's own, for the way back.
const MAX_MARGIN: Duration = Duration::from_millis(20);

/// Least time taken off it: timers are no finer.
const MIN_MARGIN: Duration = Duration::from_millis(1);

/// When a call came, and when its answer is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    /// When the call came.
    pub(super) since: Instant,
    /// The answer must be on its way by then.
    pub(super) by: Instant,
}

impl Due {
    /// Due within `limit`.
    pub(super) fn within(since: Instant, limit: Duration) -> Self {
        // An instant too far away to be named will not come either.
        let by = since.checked_add(limit).unwrap_or(since);
        Self { since, by }
    }

    /// Due within `limit`, or some time before the caller gives up if that is earlier. Takes the caller's header away:
    /// a server that finds it would end the call itself, with an RPC error.
    pub(super) fn of(headers: &mut HeaderMap, since: Instant, limit: Duration) -> Self {
        let limit = take_timeout(headers).map_or(limit, |timeout| limit.min(before(timeout)));
        Self::within(since, limit)
    }

    /// Whether the caller left no time at all.
    pub(super) fn is_hopeless(self) -> bool {
        self.by <= self.since
    }

    /// What `work` comes to, if it comes in time. Most of it is done at once: a timer is for what is not.
    pub(super) async fn bound<T>(self, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match futures_util::poll!(work.as_mut()) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => timeout_at(self.by, work).await.ok(),
        }
    }
}

/// How long before the end of `timeout` an answer is sent.
fn before(timeout: Duration) -> Duration {
    timeout.saturating_sub((timeout / 5).clamp(MIN_MARGIN, MAX_MARGIN))
}

/// A header that cannot be read, or that is there twice, is as good as absent.
fn take_timeout(headers: &mut HeaderMap) -> Option<Duration> {
    let Entry::Occupied(there) = headers.entry(GRPC_TIMEOUT) else { return None };
    let (_, mut values) = there.remove_entry_mult();
    match (values.next(), values.next()) {
        (Some(value), None) => parse(value.as_bytes()),
        _ => None,
    }
}

/// gRPC over HTTP/2: one to eight digits and a unit. A zero needs no unit to be understood.
fn parse(value: &[u8]) -> Option<Duration> {
    let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, unit) = value.split_at_checked(digits)?;
    if !(1..=8).contains(&number.len()) {
        return None;
    }
    let number = std::str::from_utf8(number).ok()?.parse::<u64>().ok()?;
    match unit {
        b"H" => Some(Duration::from_secs(number * 3600)),
        b"M" => Some(Duration::from_secs(number * 60)),
        b"S" => Some(Duration::from_secs(number)),
        b"m" => Some(Duration::from_millis(number)),
        b"u" => Some(Duration::from_micros(number)),
        b"n" => Some(Duration::from_nanos(number)),
        b"" if number == 0 => Some(Duration::ZERO),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(150);

    fn due(values: &[&str]) -> Duration {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(GRPC_TIMEOUT, value.parse().unwrap());
        }
        let since = Instant::now();
        let due = Due::of(&mut headers, since, LIMIT);
        assert!(!headers.contains_key(GRPC_TIMEOUT));
        due.by - since
    }

    #[test]
    fn the_earlier_of_limit_and_timeout_holds() {
        assert_eq!(due(&[]), LIMIT);
        assert_eq!(due(&["500m"]), LIMIT);
        assert_eq!(due(&["1H"]), LIMIT);
        assert_eq!(due(&["99999999H"]), LIMIT);
        assert_eq!(due(&["100m"]), Duration::from_millis(80));
        assert_eq!(due(&["100000u"]), Duration::from_millis(80));
        assert_eq!(due(&["10m"]), Duration::from_millis(8));
        assert_eq!(due(&["2m"]), Duration::from_millis(1));
    }

    #[test]
    fn row_212_no_time_is_no_time() {
        for none in ["1n", "0", "0n", "0H", "00000000m", "1000u"] {
            assert_eq!(due(&[none]), Duration::ZERO, "{none}");
        }
    }

    #[test]
    fn row_212_garbage_is_absence() {
        for garbage in ["", "m", "1", "x", "-1m", "+1m", "1.5S", " 1m", "1m ", "1ms", "123456789m", "0x1m", "1 m"] {
            assert_eq!(due(&[garbage]), LIMIT, "{garbage}");
        }
        assert_eq!(due(&["1n", "1n"]), LIMIT);
    }

    #[test]
    fn an_answer_is_always_due_before_the_timeout() {
        for millis in 1..1000 {
            let timeout = Duration::from_millis(millis);
            assert!(before(timeout) < timeout);
        }
    }
}
