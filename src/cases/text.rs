//! What people write down: times, and tokens with what they copy along.

use std::io::{self, Read};

use crate::clock::Timestamp;

/// Longest text that is read as a token. An issuer's own limit is far below, and is one of the checks.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a text that may hold a token. Bytes that are not text become replacement characters: the token's form is for
/// the checks to judge.
///
/// # Errors
/// What cannot be read, and what is longer than any token.
pub fn bounded(source: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    source.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "more than 1 MiB is no token"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The token alone. What people copy along is cut off: white space, the header's name and `Bearer`.
pub fn bare(text: &str) -> &str {
    let mut text = text.trim();
    for prefix in ["authorization:", "bearer "] {
        if let Some((start, rest)) = text.split_at_checked(prefix.len())
            && start.eq_ignore_ascii_case(prefix)
        {
            text = rest.trim_start();
        }
    }
    text
}

/// Reads RFC 3339 in UTC, or seconds since 1970.
///
/// # Errors
/// In words, what is wrong with it.
pub fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(Timestamp::from_unix_seconds(seconds));
    }
    let time = humantime::parse_rfc3339_weak(text)
        .map_err(|_| "expected a time such as 2026-05-01T12:00:00Z, or seconds since 1970".to_owned())?;
    let since = time.duration_since(std::time::UNIX_EPOCH).map_err(|_| "before 1970".to_owned())?;
    i64::try_from(since.as_millis()).map(Timestamp::from_unix_millis).map_err(|_| "too far in the future".to_owned())
}

/// A time that is counted from another: `+5m`, `-1h 30m`. `None` where the text says no such thing.
pub(super) fn from_now(text: &str, now: Timestamp) -> Option<Timestamp> {
    let (later, span) = match text.split_at_checked(1)? {
        ("+", span) => (true, span),
        ("-", span) => (false, span),
        _ => return None,
    };
    let span = humantime::parse_duration(span).ok()?;
    Some(if later { now.saturating_add(span) } else { now.saturating_sub(span) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_along_is_cut_off() {
        for text in ["a.b.c", " a.b.c\n", "Bearer a.b.c", "bearer  a.b.c\r\n", "Authorization: Bearer a.b.c"] {
            assert_eq!(bare(text), "a.b.c", "{text:?}");
        }
        assert_eq!(bare("Bearer"), "Bearer");
        assert_eq!(bare("ü"), "ü");
    }

    #[test]
    fn times_are_read_or_refused() {
        let noon = Timestamp::from_unix_seconds(1_777_636_800);
        for text in ["2026-05-01T12:00:00Z", "2026-05-01 12:00:00", "1777636800"] {
            assert_eq!(time(text), Ok(noon), "{text}");
        }
        for text in ["", "noon", "2026-13-01T00:00:00Z", "99999999999999999999"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_counted_from_now() {
        let now = Timestamp::from_unix_seconds(1000);
        let at = |seconds| Some(Timestamp::from_unix_seconds(seconds));
        for (text, want) in
            [("+5m", at(1300)), ("-1m 30s", at(910)), ("5m", None), ("+", None), ("-7", None), ("", None), ("ü", None)]
        {
            assert_eq!(from_now(text, now), want, "{text}");
        }
    }

    #[test]
    fn an_endless_input_is_no_token() {
        assert!(bounded(io::repeat(b'a')).is_err());
    }
}
