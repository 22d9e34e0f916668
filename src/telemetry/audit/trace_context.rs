//! The trace that a request is part of (W3C Trace Context, §3.2).

/// The trace id in a `traceparent`, read strictly: lower case, known lengths, not all zeros. Of later versions, whose
/// values may go on, the part that is as now.
pub(super) fn trace_id(traceparent: &[u8]) -> Option<&str> {
    let text = str::from_utf8(traceparent).ok()?;
    let mut parts = text.splitn(5, '-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let ends = parts.next().is_none();
    let hex = |part: &str, length| part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let some = |part: &str| part.bytes().any(|b| b != b'0');
    let good = hex(version, 2)
        && version != "ff"
        && (ends || version != "00")
        && (hex(trace, 32) && some(trace))
        && (hex(parent, 16) && some(parent))
        && hex(flags, 2);
    good.then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_strictly() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (text, read) in [
            (format!("00-{TRACE}-00f067aa0ba902b7-01"), true),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01-what-the-future-brings"), true),
            (format!("00-{TRACE}-00f067aa0ba902b7-01-"), false),
            (format!("ff-{TRACE}-00f067aa0ba902b7-01"), false),
            (format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()), false),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), false),
            (format!("00-{TRACE}-0000000000000000-01"), false),
            (format!("00-{TRACE}0-00f067aa0ba902b7-01"), false),
            (format!("00-{TRACE}-00f067aa0ba902b7"), false),
            (format!(" 00-{TRACE}-00f067aa0ba902b7-01"), false),
            (String::new(), false),
        ] {
            assert_eq!(trace_id(text.as_bytes()), read.then_some(TRACE), "{text}");
        }
        assert_eq!(trace_id(b"00-\xff"), None);
    }
}
