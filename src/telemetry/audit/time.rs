//! Times, as RFC 3339 has them.

use std::time::UNIX_EPOCH;

use crate::clock::{Clock as _, SystemClock, Timestamp};

/// When a line is made.
pub(super) fn now() -> Timestamp {
    SystemClock.now()
}

/// Appends `2026-01-31T23:59:59.999Z`. Beyond the years that have four digits it is the last of those.
pub(super) fn write(out: &mut Vec<u8>, at: Timestamp) {
    const FIRST: i64 = 0;
    const LAST: i64 = 253_402_300_799_999;
    let millis = at.as_unix_millis().clamp(FIRST, LAST);
    let (days, of_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    let (year, month, day) = date(days);
    let seconds = of_day / 1000;
    for (number, digits, end) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (seconds / 3600, 2, b':'),
        (seconds / 60 % 60, 2, b':'),
        (seconds % 60, 2, b'.'),
        (of_day % 1000, 3, b'Z'),
    ] {
        digits_of(out, number, digits);
        out.push(end);
    }
}

/// Milliseconds since 1970, of what [`write`] has written.
pub(super) fn read(text: &str) -> Option<u64> {
    let since = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

fn digits_of(out: &mut Vec<u8>, number: i64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = number / 10_i64.pow(place) % 10;
        out.push(b'0' + u8::try_from(digit).unwrap_or(0));
    }
}

/// Year, month and day of a day since 1970, in the Gregorian calendar. Years begin in March here, so that a leap day is
/// the last of its year, and 400 of them always have 146097 days.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_those_that_others_write() {
        // Steps of about 37 days, and some milliseconds, over more than four hundred years.
        for step in 0..5000_u64 {
            let millis = step * 3_203_456_789;
            let mut written = Vec::new();
            write(&mut written, Timestamp::from_unix_millis(i64::try_from(millis).unwrap()));
            let other = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(millis)).to_string();
            let written = String::from_utf8(written).unwrap();
            assert_eq!(written, other);
            assert_eq!(read(&written), Some(millis));
        }
        let mut written = Vec::new();
        write(&mut written, Timestamp::from_unix_millis(i64::MAX));
        assert_eq!(written, b"9999-12-31T23:59:59.999Z");
    }
}
