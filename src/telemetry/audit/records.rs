//! Lines as log records of OpenTelemetry: made and sent by the thread that would write them to a file. Nobody waits for a
//! collector, and there is one buffer, one way to drop and one way to count, wherever lines go.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry::logs::{LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::{InstrumentationScope, SpanId, TraceId};
use opentelemetry_otlp::LogExporter as OtlpExporter;
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _, SdkLogRecord, SdkLogger, SdkLoggerProvider};
use serde_json::{Map, Value};

use super::output::{AuditError, Done, Sink, count, first_line, whole_lines};
use super::time;
use crate::telemetry::otlp::{self, Exporting, OtlpError, Signal, Variables, Why};

/// Most bytes of lines that are sent at once. With what is told beside them it stays well below the four megabytes that
/// receivers of gRPC take.
const BATCH_BYTES: u64 = 512 << 10;

/// What a record has places of its own for.
const ELSEWHERE: [&str; 4] = ["v", "time", "trace_id", "span_id"];

/// The name of the event that a record is of.
const EVENT: &str = "tollgate.decision";

/// Sends lines as log records. It is not shown: its exporter would show headers that may be credentials.
pub(super) struct Records {
    exporter: OtlpExporter,
    why: Why,
    limit: Duration,
    logger: SdkLogger,
    scope: InstrumentationScope,
    /// After the exporter, whose connections it drives.
    exporting: Exporting,
}

impl Records {
    /// To the collector that the variables name. Nothing is connected to yet.
    ///
    /// # Errors
    /// They name none, or say that nothing is to be sent.
    pub(super) fn open() -> Result<Self, AuditError> {
        let read = |name: &str| std::env::var(name).ok();
        let variables = Variables(&read);
        variables.logs_allowed()?;
        let route = variables.route(Signal::Logs);
        let exporting = Exporting::start().map_err(OtlpError::Thread)?;
        let (mut exporter, why) = {
            let _entered = exporting.handle().enter();
            otlp::log_exporter(&route)?
        };
        exporter.set_resource(&otlp::resource());
        tracing::info!(collector = route.shown, "the audit log goes to a collector");
        let scope = InstrumentationScope::builder("tollgate.audit").with_version(env!("CARGO_PKG_VERSION")).build();
        // It is there to make records.
        let logger = SdkLoggerProvider::builder().build().logger("tollgate.audit");
        Ok(Self { exporter, why, limit: route.timeout, logger, scope, exporting })
    }

    fn send(&self, lines: &[u8]) -> Result<(), String> {
        let records: Vec<SdkLogRecord> =
            lines.split_inclusive(|byte| *byte == b'\n').map(|line| self.record(line)).collect();
        let batch: Vec<_> = records.iter().map(|record| (record, &self.scope)).collect();
        let export = self.exporter.export(LogBatch::new(&batch));
        self.exporting.handle().block_on(otlp::in_time(self.limit, &self.why, export))
    }

    /// Of a line: all of it as the body, and what it says in words and numbers as attributes, too.
    fn record(&self, line: &[u8]) -> SdkLogRecord {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut record = self.logger.create_log_record();
        record.set_event_name(EVENT);
        record.set_severity_number(Severity::Info);
        record.set_severity_text("INFO");
        // It is a line of ours.
        let fields: Map<String, Value> = serde_json::from_slice(line).unwrap_or_default();
        let at = fields.get("time").and_then(Value::as_str).and_then(time::read);
        let at = at.map_or_else(SystemTime::now, |millis| UNIX_EPOCH + Duration::from_millis(millis));
        record.set_timestamp(at);
        record.set_observed_timestamp(at);
        let id = |name: &str| fields.get(name).and_then(Value::as_str);
        if let Some(trace) = id("trace_id").and_then(|trace| TraceId::from_hex(trace).ok()) {
            let span = id("span_id").and_then(|span| SpanId::from_hex(span).ok());
            record.set_trace_context(trace, span.unwrap_or(SpanId::INVALID), None);
        }
        for (name, value) in fields.iter().filter(|(name, _)| !ELSEWHERE.contains(&name.as_str())) {
            let name = || format!("tollgate.{name}");
            match value {
                Value::String(text) => record.add_attribute(name(), text.clone()),
                Value::Number(number) => record.add_attribute(name(), number.as_i64().unwrap_or(i64::MAX)),
                Value::Bool(yes) => record.add_attribute(name(), *yes),
                Value::Null | Value::Array(_) | Value::Object(_) => {}
            }
        }
        record.set_body(String::from_utf8_lossy(line).into_owned().into());
        record
    }
}

impl Sink for Records {
    fn write(&mut self, mut lines: &[u8]) -> Done {
        let mut done = Done::default();
        let late = Instant::now() + self.limit;
        while !lines.is_empty() {
            let size = whole_lines(lines, BATCH_BYTES).max(first_line(lines).min(lines.len()));
            let (now, later) = lines.split_at_checked(size).unwrap_or((lines, &[]));
            match self.send(now) {
                Ok(()) => {
                    done.lines = done.lines.saturating_add(count(now));
                    done.bytes = done.bytes.saturating_add(u64::try_from(now.len()).unwrap_or(u64::MAX));
                }
                Err(error) => {
                    done.lost = done.lost.saturating_add(count(now));
                    done.errors.push(error);
                    // What is refused at once says nothing of the next. But those who come meanwhile should not wait as many
                    // times as there are batches.
                    if Instant::now() >= late {
                        done.lost = done.lost.saturating_add(count(later));
                        break;
                    }
                }
            }
            lines = later;
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::Key;
    use opentelemetry::logs::AnyValue;

    use super::*;

    fn record(line: &str) -> SdkLogRecord {
        Records::open().unwrap().record(line.as_bytes())
    }

    #[test]
    fn a_record_says_what_its_line_does() {
        let line = r#"{"v":1,"time":"2026-03-14T09:26:53.589Z","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","rule":"orders","scopes":["a"],"every_scope":true,"duration_us":412}"#;
        let record = record(&format!("{line}\n"));
        assert_eq!(record.body(), Some(&AnyValue::from(line)));
        let context = record.trace_context().unwrap();
        assert_eq!(context.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.into());
        assert_eq!(context.span_id, 0x00f0_67aa_0ba9_02b7_u64.into());
        assert_eq!(record.timestamp(), Some(UNIX_EPOCH + Duration::from_millis(1_773_480_413_589)));
        assert_eq!(record.event_name(), Some(EVENT));
        let said: Vec<(Key, AnyValue)> = record.attributes_iter().cloned().collect();
        for (name, value) in [
            ("tollgate.rule", AnyValue::from("orders")),
            ("tollgate.every_scope", AnyValue::from(true)),
            ("tollgate.duration_us", AnyValue::from(412_i64)),
        ] {
            assert!(said.contains(&(Key::new(name), value)), "{name}: {said:?}");
        }
        assert_eq!(said.len(), 3, "lists are in the body alone, and times and traces in places of their own: {said:?}");
    }

    #[test]
    fn a_line_without_a_trace_is_a_record_without_one() {
        let record = record(r#"{"v":1,"time":"2026-03-14T09:26:53.589Z","reason":"overloaded"}"#);
        assert_eq!(record.trace_context(), None);
    }
}
