//! The trace that something is part of (W3C Trace Context), and how that comes along where work goes on in a task of its
//! own.

use std::future::Future;

/// What a `traceparent` says (W3C Trace Context, §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The span that it names.
    pub span: SpanRef,
    /// Whether its trace is recorded, as far as the sender knows.
    pub sampled: bool,
}

/// Names a span. Neither part is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanRef {
    /// Of the whole trace.
    pub trace_id: u128,
    /// Of the one span.
    pub span_id: u64,
}

impl TraceParent {
    /// Reads it strictly: lower case, known lengths, nothing all zeros. Of later versions, whose values may go on, the part
    /// that is as now.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (fixed, rest) = value.split_at_checked(55)?;
        let [v0, v1, b'-', ids @ .., b'-', f0, f1] = fixed else { return None };
        let (trace_id, span_id) = ids.split_at_checked(32)?;
        let (version, flags) = (hex(&[*v0, *v1])?, hex(&[*f0, *f1])?);
        let ends_well = rest.is_empty() || (version > 0 && rest.first() == Some(&b'-'));
        let trace_id = hex(trace_id)?;
        let span_id = u64::try_from(hex(span_id.strip_prefix(b"-")?)?).ok()?;
        let good = version != 0xff && ends_well && trace_id != 0 && span_id != 0;
        good.then_some(Self { span: SpanRef { trace_id, span_id }, sampled: flags & 1 == 1 })
    }
}

/// At most 32 hexadecimal digits, lower case.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// On whose behalf something is done, as far as traces are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody's: the gate does it by itself, and may begin a trace.
    Gate,
    /// What this span stands for.
    Span(SpanRef),
}

tokio::task_local! {
    static ORIGIN: Option<Origin>;
}

/// On whose behalf the current task works. `None` for calls that are not traced: what is done for them is not either.
pub fn origin() -> Option<Origin> {
    ORIGIN.try_with(|origin| *origin).ok().flatten()
}

/// Does work on behalf of this. A task that is started meanwhile does not inherit it.
pub fn on_behalf_of<F: Future>(origin: Option<Origin>, work: F) -> impl Future<Output = F::Output> {
    ORIGIN.scope(origin, work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_strictly() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (text, sampled) in [
            (format!("00-{TRACE}-00f067aa0ba902b7-01"), Some(true)),
            (format!("00-{TRACE}-00f067aa0ba902b7-00"), Some(false)),
            (format!("00-{TRACE}-00f067aa0ba902b7-fe"), Some(false)),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01"), Some(true)),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01-what-the-future-brings"), Some(true)),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01.what-the-future-brings"), None),
            (format!("00-{TRACE}-00f067aa0ba902b7-01-"), None),
            (format!("ff-{TRACE}-00f067aa0ba902b7-01"), None),
            (format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()), None),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), None),
            (format!("00-{TRACE}-0000000000000000-01"), None),
            (format!("00-{TRACE}0-00f067aa0ba902b7-01"), None),
            (format!("00-{TRACE}-00f067aa0ba902b7"), None),
            (format!("00-{TRACE}-00f067aa0ba902b7-0+"), None),
            (format!("00-{TRACE}.00f067aa0ba902b7-01"), None),
            (format!(" 00-{TRACE}-00f067aa0ba902b7-01"), None),
            (String::new(), None),
        ] {
            let read = TraceParent::parse(text.as_bytes());
            let span = SpanRef { trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, span_id: 0x00f0_67aa_0ba9_02b7 };
            assert_eq!(read, sampled.map(|sampled| TraceParent { span, sampled }), "{text}");
        }
        assert_eq!(TraceParent::parse(&[0xff; 55]), None);
    }

    #[tokio::test]
    async fn who_works_for_whom_is_told_inside_and_nowhere_else() {
        let span = Some(Origin::Span(SpanRef { trace_id: 1, span_id: 2 }));
        let inside = on_behalf_of(span, async {
            let started = tokio::spawn(async { origin() }).await.unwrap();
            (origin(), started, on_behalf_of(Some(Origin::Gate), async { origin() }).await, origin())
        });
        assert_eq!(inside.await, (span, None, Some(Origin::Gate), span));
        assert_eq!(origin(), None);
    }
}
