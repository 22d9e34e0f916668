//! Metrics as text, in the two formats that Prometheus asks for.

use std::fmt::Write;

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use super::duration::{self, DecisionDurations};

/// A format of `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The Prometheus text format 0.0.4, for scrapers that do not ask for OpenMetrics.
    Prometheus,
}

impl Exposition {
    /// What an `Accept` header asks for. Quality values are not weighed: who names OpenMetrics gets it.
    pub fn accepted(accept: &str) -> Self {
        let wanted = |item: &str| {
            let kind = item.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/openmetrics-text")
        };
        if accept.split(',').any(wanted) { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Writes down what is registered in any of these, with exemplars where the format has them.
pub(super) fn encode(registries: &[&Registry], durations: &DecisionDurations, format: Exposition) -> String {
    let mut open_metrics = String::new();
    let mut written = registries.iter().try_for_each(|registry| text::encode_registry(&mut open_metrics, registry));
    written = written.and_then(|()| text::encode_eof(&mut open_metrics));
    if let Err(error) = written {
        tracing::error!(%error, "metrics could not be encoded");
        return String::new();
    }
    match format {
        Exposition::OpenMetrics if durations.has_exemplars() => with_exemplars(&open_metrics, durations),
        Exposition::OpenMetrics => open_metrics,
        Exposition::Prometheus => to_prometheus(&open_metrics),
    }
}

/// The same, with an exemplar behind each bucket of decisions' durations that has one. The encoder takes none that it did
/// not keep itself, under a lock that all decisions would share.
fn with_exemplars(open_metrics: &str, durations: &DecisionDurations) -> String {
    let mut out = String::with_capacity(open_metrics.len() + 4096);
    // Buckets of one histogram follow each other, from the least bound.
    let (mut bucket, mut last) = (0, "");
    for line in open_metrics.lines() {
        out.push_str(line);
        let labels = line.strip_prefix(duration::NAME).and_then(|rest| rest.strip_prefix("_bucket{"));
        if let Some((labels, _)) = labels.and_then(|rest| rest.rsplit_once("} ")) {
            let of = labels.split_once(",work=").map_or("", |(_, work)| work);
            bucket = if of == last { bucket + 1 } else { 0 };
            last = of;
            // Writing to a string cannot fail.
            let _ = durations.write_exemplar(&mut out, labels, bucket);
        }
        out.push('\n');
    }
    out
}

/// The same samples with the older format's metadata: there a counter's family is called as its sample is, an info is
/// a gauge, and `UNIT` and `EOF` do not exist.
fn to_prometheus(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    // `HELP` comes first and does not know the type, so it waits for the `TYPE` line.
    let mut help: Option<&str> = None;
    for line in open_metrics.lines() {
        let Some(metadata) = line.strip_prefix("# ") else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        if let Some(text) = metadata.strip_prefix("HELP ") {
            help = Some(text);
        } else if let Some((name, kind)) = metadata.strip_prefix("TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            if let Some((_, text)) = help.take().and_then(|help| help.split_once(' ')) {
                // Writing to a string cannot fail.
                let _ = writeln!(out, "# HELP {name}{suffix} {text}");
            }
            let _ = writeln!(out, "# TYPE {name}{suffix} {kind}");
        }
    }
    out
}
