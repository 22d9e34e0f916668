//! What reaches the log. One subscriber serves all tests of the file; each looks for lines with its own rule's name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::io::Write;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use tollgate::core::answer::{Answer, DecisionId};
use tollgate::core::decide::refuse;
use tollgate::core::reason::Reason;
use tollgate::core::rule::{Action, DenialStyle, Effect, Injection, Rule};
use tollgate::telemetry::Recorder;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn recorder() -> Recorder {
    static START: Once = Once::new();
    START.call_once(|| {
        let level = tracing::Level::DEBUG;
        tracing_subscriber::fmt().with_max_level(level).with_ansi(true).with_writer(|| Log).init();
    });
    Recorder::default()
}

/// The log without the escape sequences that the subscriber itself writes on a terminal.
fn lines_with(word: &str) -> Vec<String> {
    let log = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    let mut plain = log;
    for own in ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[3m", "\u{1b}[31m", "\u{1b}[33m", "\u{1b}[34m"] {
        plain = plain.replace(own, "");
    }
    plain.lines().filter(|line| line.contains(word)).map(str::to_owned).collect()
}

fn denial(rule: &str, reason: Reason) -> Answer {
    let (injection, denial) = (Injection::default(), Arc::<DenialStyle>::default());
    let rule = Arc::new(Rule {
        name: rule.into(),
        effect: Arc::new(Effect { action: Action::Deny, injection, denial, upstream_token: None }),
    });
    Answer { rule: Some(rule), ..refuse(reason, false, DecisionId(7)) }
}

/// Row 219: a caller cannot flood the log.
#[test]
fn row_219_denials_do_not_flood_the_log() {
    let recorder = recorder();
    let (callers, ours) =
        (denial("flood-by-callers", Reason::TokenSignature), denial("flood-by-us", Reason::Overloaded));
    for _ in 0..1000 {
        recorder.decision(&callers, Duration::ZERO, None);
        recorder.decision(&ours, Duration::ZERO, None);
    }
    let warnings = |rule| lines_with(rule).into_iter().filter(|line| line.contains("WARN")).collect::<Vec<_>>();
    assert_eq!(warnings("flood-by-callers"), Vec::<String>::new());
    let ours = warnings("flood-by-us");
    assert_eq!(ours.len(), 1, "{ours:?}");
    assert!(ours[0].contains("reason=\"overloaded\"") && ours[0].contains("fault=\"gate\""), "{ours:?}");
}

#[test]
fn each_decision_is_a_debug_line_that_names_it() {
    recorder().decision(&denial("one-line", Reason::MissingToken), Duration::from_micros(9), None);
    let lines = lines_with("one-line");
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in ["DEBUG", "00000000000000000000000000000007", "reason=\"missing_token\"", "took_us=9"] {
        assert!(lines[0].contains(part), "{part} in {lines:?}");
    }
}

/// Row 220: what reaches the log is escaped.
#[test]
fn row_220_names_in_the_log_cannot_start_a_line_or_a_colour() {
    let hostile = "hostile\r\nERROR \u{1b}[35mx\u{202e}";
    recorder().decision(&denial(hostile, Reason::MissingToken), Duration::ZERO, None);
    let lines = lines_with("hostile");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("ERROR"), "all of it stays on its line: {lines:?}");
    assert!(!lines[0].contains(['\u{1b}', '\r', '\u{202e}']), "{lines:?}");
}
