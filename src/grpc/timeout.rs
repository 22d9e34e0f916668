//! When an answer is due.

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// The time there is for a decision: the configured one, or less where the caller waits for less. A caller that counts
/// from when it sent the call gets its answer a little before its time is over.
pub(super) fn budget(metadata: &MetadataMap, configured: Duration) -> Duration {
    let Some(value) = metadata.get("grpc-timeout") else { return configured };
    match value.to_str().ok().and_then(parse) {
        Some(timeout) => {
            let margin = (timeout / 10).clamp(Duration::from_millis(1), Duration::from_millis(20));
            configured.min(timeout.saturating_sub(margin))
        }
        None => configured,
    }
}

/// Reads the value of `grpc-timeout`: at most eight digits and a unit. `None` for anything else.
fn parse(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_212_timeouts_shorten_the_time_and_garbage_does_not() {
        let configured = Duration::from_millis(150);
        for (sent, want) in [
            (None, configured),
            (Some("500m"), configured),
            (Some("100m"), Duration::from_millis(90)),
            (Some("1S"), configured),
            (Some("5m"), Duration::from_millis(4)),
            (Some("1n"), Duration::ZERO),
            (Some("0m"), Duration::ZERO),
            (Some("99999999H"), configured),
            (Some("999999999m"), configured),
            (Some("-1m"), configured),
            (Some("m"), configured),
            (Some(""), configured),
            (Some("10"), configured),
            (Some("1.5S"), configured),
        ] {
            let mut metadata = MetadataMap::new();
            if let Some(sent) = sent {
                metadata.insert("grpc-timeout", sent.parse().unwrap());
            }
            assert_eq!(budget(&metadata, configured), want, "{sent:?}");
        }
    }
}
