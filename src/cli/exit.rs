//! How a command ends.

use std::fmt;
use std::io;
use std::process::ExitCode;

use super::printable::{Printable, plural};
use crate::config::ConfigErrors;
use crate::engine::LoadError;

/// How a command ended. The numbers are an API: scripts and probes branch on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It ran, and the answer is yes.
    Yes = 0,
    /// It ran, and the answer is no.
    No = 1,
    /// The command line is wrong.
    Usage = 2,
    /// It could not run.
    NotRun = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ended without doing its work. Its text ends with a line break, and holds no control characters of others.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line is wrong in a way that the grammar does not tell.
    Usage(String),
    /// The configuration is wrong.
    Configuration(LoadError),
    /// The configuration is wrong, and the answer no would be mistaken for another.
    Unusable(LoadError),
    /// An address that cannot be bound, a file that cannot be read.
    NotRun(String),
    /// Whoever read the output has closed it.
    OutputClosed,
}

impl Failure {
    /// How the process ends.
    pub(super) const fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Configuration(_) => Exit::No,
            Self::NotRun(_) | Self::Unusable(_) | Self::OutputClosed => Exit::NotRun,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::NotRun(message) => writeln!(f, "error: {}", Printable::lines(message)),
            Self::Configuration(error) | Self::Unusable(error) => {
                let messages = error.messages();
                for message in &messages {
                    writeln!(f, "{}", Printable::line(message))?;
                }
                let errors = plural(messages.len(), "error");
                writeln!(f, "error: the configuration cannot be put into service: {errors}")
            }
            Self::OutputClosed => Ok(()),
        }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self::Configuration(error)
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Configuration(errors.into())
    }
}

/// Of writing to standard output: every other I/O error is put into words where it happens.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::NotRun(format!("standard output: {error}"))
        }
    }
}
