//! What became of lines, as metrics.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::telemetry::metrics::Labels;

/// Counts lines, bytes and errors. Clones share their counts.
#[derive(Clone, Debug)]
pub(in crate::telemetry) struct Counts {
    pub(super) written: Counter,
    pub(super) dropped: Counter,
    pub(super) bytes: Counter,
    pub(super) errors: Counter,
}

impl Counts {
    /// Counts into this registry.
    pub(in crate::telemetry) fn register(registry: &mut Registry) -> Self {
        let lines = Family::<Labels<1>, Counter>::default();
        registry.register("audit_lines", "Lines of the audit log, by what became of them", lines.clone());
        let of = |outcome: &str| lines.get_or_create_owned(&[("outcome", Arc::from(outcome))]);
        let (bytes, errors) = (Counter::default(), Counter::default());
        registry.register("audit_bytes", "Bytes written to the audit log", bytes.clone());
        registry.register("audit_errors", "Writes to the audit log, and rotations of it, that failed", errors.clone());
        Self { written: of("written"), dropped: of("dropped"), bytes, errors }
    }
}
