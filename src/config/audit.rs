//! The audit log.

use std::path::PathBuf;

use crate::core::audit::Selection;

/// The audit log: where its lines go, and which there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSpec {
    /// Where its lines go.
    pub to: Destination,
    /// Most bytes that wait to be written.
    pub buffer: usize,
    /// Which decisions are written, and what of them. A reload changes this part alone.
    pub selection: Selection,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A file.
    File(FileSpec),
    /// The OpenTelemetry collector that the environment names.
    Otlp,
}

/// A file that lines are appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSpec {
    /// Where it is; it need not be there.
    pub path: PathBuf,
    /// Permission bits of a file that is made.
    pub mode: u32,
    /// When it is put aside, and how many of those are kept.
    pub rotate: Option<Rotation>,
}

/// Rotation by size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Most bytes of a file.
    pub size: u64,
    /// How many older files are kept.
    pub keep: usize,
}
