//! An issuer's key set over time: read or fetched, refreshed in the background, swapped whole.

use std::sync::Arc;
use std::time::Duration;

use super::keys::KeySet;
use super::spec::IssuerSpec;
use crate::clock::{Clock, Timestamp};
use crate::core::event::Events;
use crate::net::HttpClient;

/// What issuers need from the process.
#[derive(Clone, Debug)]
pub struct Deps {
    /// The one HTTP client.
    pub http: HttpClient,
    /// The one clock.
    pub clock: Arc<dyn Clock>,
    /// The one recorder.
    pub events: Arc<dyn Events>,
}

/// Keys cannot be used at the moment: none were ever there, or the last success is too long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the issuer's keys are unavailable")]
pub struct KeysUnavailable;

/// A key file that cannot be used; names file, line and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyFileError(pub String);

/// What `/status` and `/readyz` show of a store.
#[derive(Clone, Debug, Default)]
pub struct KeyStatus {
    /// Usable keys.
    pub keys: usize,
    /// When they were last read or fetched with success.
    pub last_success: Option<Timestamp>,
    /// Why the last attempt failed, if it did.
    pub last_error: Option<String>,
    /// Whether they are too old to be used.
    pub expired: bool,
}

/// An issuer's key set over time.
#[derive(Debug)]
pub struct KeyStore {}

impl KeyStore {
    /// Reads file keys, or starts fetching remote ones in the background (on the current tokio runtime). Background
    /// work ends when the store is dropped.
    ///
    /// # Errors
    /// A key file that is missing or broken.
    pub fn start(_spec: &IssuerSpec, _deps: &Deps) -> Result<Self, KeyFileError> {
        Ok(Self {})
    }

    /// The keys to use now.
    ///
    /// # Errors
    /// Where there are none that may be used.
    pub fn current(&self) -> Result<Arc<KeySet>, KeysUnavailable> {
        Err(KeysUnavailable)
    }

    /// Fetches again because a token named an unknown key, or waits for the flight that is already under way. At once
    /// where the source is a file, the id was missed lately, or the cooldown is on. The caller decides how long to wait:
    /// a caller that gives up leaves the fetch running.
    pub async fn refetch_for(&self, _kid: &str) {}

    /// Waits for first keys, at most this long. Whether they are there.
    pub async fn wait(&self, _limit: Duration) -> bool {
        false
    }

    /// For people.
    pub fn status(&self) -> KeyStatus {
        KeyStatus::default()
    }
}
