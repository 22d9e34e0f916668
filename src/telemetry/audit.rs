//! The audit log: a line of JSON for each decision, or an OpenTelemetry log record. `docs/audit.md` has the fields.
//!
//! The deciding thread makes the line, in a buffer of its own, and appends it to what waits to be written; one thread
//! writes. Nobody ever waits for that one: what finds no room is dropped, and counted.

mod asked;
mod counts;
mod json;
mod line;
mod output;
mod records;
mod time;
mod writer;

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::config::audit::{AuditSpec, Destination};
use crate::core::answer::DecisionId;
use crate::core::audit::Selection;
use crate::core::reason::Reason;
pub use asked::Asked;
pub(super) use counts::Counts;
pub use line::FIELDS;
pub(super) use line::Facts;
use line::Masks;
pub use output::AuditError;
use output::Output;
use records::Records;
use writer::Writer;

/// The audit log, if there is one.
#[derive(Debug, Default)]
pub(super) struct Audit {
    writer: OnceLock<Writer>,
    selected: ArcSwap<Selected>,
}

/// What is written.
#[derive(Debug, Default)]
struct Selected {
    selection: Selection,
    masks: Masks,
}

thread_local! {
    /// Of one line. It is as long as the longest one yet.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Audit {
    /// Whether there is one.
    pub(super) fn is_open(&self) -> bool {
        self.writer.get().is_some()
    }

    /// Opens it; see [`super::Recorder::open_audit`].
    pub(super) fn open(&self, spec: &AuditSpec, counts: &Counts) -> Result<(), AuditError> {
        self.select(Some(&spec.selection));
        if self.is_open() {
            return Ok(());
        }
        let writer = match &spec.to {
            Destination::Otlp => Writer::start(Records::open()?, spec.buffer, counts.clone()),
            Destination::Stdout => Writer::start(Output::stdout()?, spec.buffer, counts.clone()),
            Destination::File(file) => Writer::start(Output::file(file)?, spec.buffer, counts.clone()),
        };
        let writer = writer.map_err(AuditError::Thread)?;
        // Whoever came first has opened the same.
        let _ = self.writer.set(writer);
        Ok(())
    }

    /// Says what is written from now on. Where a configuration has no log any more, that is as it was.
    pub(super) fn select(&self, selection: Option<&Selection>) {
        if let Some(selection) = selection {
            self.selected.store(Arc::new(Selected { masks: Masks::of(selection), selection: selection.clone() }));
        }
    }

    /// Writes a line for a decision, if there is a log and the decision is one of those.
    pub(super) fn write<'f>(&self, id: DecisionId, reason: Reason, facts: impl FnOnce() -> Facts<'f>) {
        let Some(writer) = self.writer.get() else { return };
        let selected = self.selected.load();
        if reason.allows() && !selected.selection.samples(id) {
            return;
        }
        let facts = facts();
        LINE.with(|line| {
            // Nothing in here comes back to this place; if it did, it would have a buffer of its own.
            let mut fresh = Vec::new();
            let mut kept = line.try_borrow_mut().ok();
            let line = kept.as_deref_mut().unwrap_or(&mut fresh);
            line.clear();
            facts.write(line, &selected.masks, time::now());
            writer.append(line);
        });
    }

    /// See [`super::Recorder::reopen_audit`].
    pub(super) fn reopen(&self) {
        if let Some(writer) = self.writer.get() {
            writer.reopen();
        }
    }

    /// See [`super::Recorder::close_audit`].
    pub(super) fn close(&self, limit: Duration) -> u64 {
        self.writer.get().map_or(0, |writer| writer.close(limit))
    }
}
