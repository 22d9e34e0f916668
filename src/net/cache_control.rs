//! How long an answer says it is fresh.

use std::time::Duration;

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL};

/// The `max-age` of an answer less its `Age` (RFC 9111 §4.2), zero for `no-store` and `no-cache`, or `None` where it
/// says nothing that can be read. Numbers out of range count as very long; callers clamp.
pub fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let mut found = None;
    for value in headers.get_all(CACHE_CONTROL) {
        for directive in value.to_str().ok()?.split(',') {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" => return Some(Duration::ZERO),
                "max-age" if found.is_none() => found = Some(seconds(argument.trim().trim_matches('"'))?),
                // Said twice: the shorter one (RFC 9111 §4.2.1).
                "max-age" => found = found.min(Some(seconds(argument.trim().trim_matches('"'))?)),
                _ => {}
            }
        }
    }
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()).and_then(seconds).unwrap_or_default();
    found.map(|max_age| max_age.saturating_sub(age))
}

fn seconds(digits: &str) -> Option<Duration> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // RFC 9111 §1.2.2: what does not fit is as good as 2^31.
    Some(Duration::from_secs(digits.parse().unwrap_or(u64::from(u32::MAX))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cache_control: &str, age: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, cache_control.parse().unwrap());
        if let Some(age) = age {
            headers.insert(AGE, age.parse().unwrap());
        }
        max_age(&headers).map(|age| age.as_secs())
    }

    #[test]
    fn row_194_cache_control_is_read_or_passed_over_and_never_fails() {
        assert_eq!(read("max-age=300", None), Some(300));
        assert_eq!(read("public, Max-Age=\"60\", must-revalidate", None), Some(60));
        assert_eq!(read("max-age=300", Some("100")), Some(200));
        assert_eq!(read("max-age=300", Some("400")), Some(0));
        assert_eq!(read("max-age=300", Some("-1")), Some(300));
        assert_eq!(read("max-age=300, max-age=10", None), Some(10));
        assert_eq!(read("max-age=0", None), Some(0));
        assert_eq!(read("no-store, max-age=300", None), Some(0));
        assert_eq!(read("max-age=315360000", None), Some(315_360_000));
        assert_eq!(read("max-age=99999999999999999999999", None), Some(u64::from(u32::MAX)));
        for garbage in
            ["max-age", "max-age=", "max-age=-5", "max-age=1.5", "max-age=ten", "private", "s-maxage=5", ",,=,"]
        {
            assert_eq!(read(garbage, None), None, "{garbage}");
        }
        assert_eq!(max_age(&HeaderMap::new()), None);
    }
}
