//! An issuer's key set over time: read or fetched, refreshed in the background, swapped whole.
//!
//! Whatever goes wrong, the last good keys stay in service: file keys without limit, fetched ones for the configured
//! time. Keys that their source no longer lists are gone with the next reading.

mod discovery;
mod file;
mod flights;
mod probe;
mod remote;
mod slot;

pub use probe::{Probe, ProbeError, ProbeStep, probe};

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::keys::{KeySet, Published};
use super::spec::{IssuerSpec, KeySource};
use crate::clock::Timestamp;
use crate::core::event::Event;
pub use crate::provider::Deps;
use file::FileKeys;
use remote::{Remote, Source};
use slot::Slot;

/// Keys cannot be used at the moment: none were ever there, or the last success is too long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the issuer's keys are unavailable")]
pub struct KeysUnavailable;

/// A key file that cannot be used; names file, line and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyFileError(pub String);

/// What `/status` and `/readyz` show of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyStatus {
    /// Usable keys.
    pub keys: usize,
    /// When they were last read or fetched with success.
    pub last_success: Option<Timestamp>,
    /// Why the last attempt failed, if it did.
    pub last_error: Option<String>,
    /// Whether they are too old to be used.
    pub expired: bool,
    /// How old they may become, where there is a limit: there is none for files.
    pub max_age: Option<Duration>,
}

/// An issuer's key set over time.
#[derive(Debug)]
pub struct KeyStore {
    slot: Arc<Slot>,
    /// Where keys are fetched from; `None` for files.
    remote: Option<Arc<Remote>>,
    /// What follows the source.
    task: Option<AbortHandle>,
}

impl KeyStore {
    /// Reads file keys, or starts fetching remote ones in the background (on the current tokio runtime). Background
    /// work ends when the store is dropped. Without a runtime, files are read once and nothing is fetched.
    ///
    /// # Errors
    /// A key file that is missing or broken.
    pub fn start(spec: &IssuerSpec, deps: &Deps) -> Result<Self, KeyFileError> {
        let runtime = Handle::try_current().ok();
        let (source, fetch) = match &spec.keys {
            KeySource::None => {
                let slot = Arc::new(Slot::new(spec, deps, None));
                slot.publish(Published::default());
                return Ok(Self { slot, remote: None, task: None });
            }
            KeySource::Pem(paths) => return Self::start_file(FileKeys::Pem(paths.clone()), spec, deps, runtime),
            KeySource::JwksFile(path) => return Self::start_file(FileKeys::Jwks(path.clone()), spec, deps, runtime),
            KeySource::JwksUrl { url, fetch } => (Source::Jwks(url.clone()), fetch),
            KeySource::Discovery { url, allowed_hosts, fetch } => {
                let allowed_hosts = allowed_hosts.clone();
                (Source::Discovery { url: url.clone(), issuer: spec.issuer.clone(), allowed_hosts }, fetch)
            }
        };
        let slot = Arc::new(Slot::new(spec, deps, Some(fetch.stale_keys)));
        let remote = Arc::new(Remote::new(source, fetch.clone(), deps.http.clone(), Arc::clone(&slot)));
        let task = runtime.map(|runtime| runtime.spawn(Arc::clone(&remote).follow()).abort_handle());
        Ok(Self { slot, remote: Some(remote), task })
    }

    fn start_file(
        keys: FileKeys,
        spec: &IssuerSpec,
        deps: &Deps,
        runtime: Option<Handle>,
    ) -> Result<Self, KeyFileError> {
        let slot = Arc::new(Slot::new(spec, deps, None));
        // Watched first, read second: no change falls in between.
        let watch = runtime.as_ref().map(|_| keys.watch());
        slot.publish(keys.read()?);
        let follow =
            |(runtime, watch): (Handle, _)| runtime.spawn(keys.follow(watch, Arc::clone(&slot))).abort_handle();
        let task = runtime.zip(watch).map(follow);
        Ok(Self { slot, remote: None, task })
    }

    /// The keys to use now.
    ///
    /// # Errors
    /// Where there are none that may be used.
    pub fn current(&self) -> Result<Arc<KeySet>, KeysUnavailable> {
        let current = self.slot.current();
        if current.is_err()
            && let Some(remote) = &self.remote
        {
            remote.nudge();
        }
        current
    }

    /// Looks at the keys to use at `now`, for callers that are done at once.
    pub(super) fn peek<T>(&self, now: Timestamp, look: impl FnOnce(Option<&KeySet>) -> T) -> T {
        self.slot.peek(now, |keys| {
            if let (None, Some(remote)) = (keys, &self.remote) {
                remote.nudge();
            }
            look(keys)
        })
    }

    /// Fetches again because a token named an unknown key, or waits for the flight that is already under way. At once
    /// where the source is a file, the id was missed lately, or the cooldown is on. The caller decides how long to wait:
    /// a caller that gives up leaves the fetch running.
    ///
    /// Reports [`Event::UnknownKid`].
    pub async fn refetch_for(&self, kid: &str) {
        let flight = self.remote.as_ref().and_then(|remote| remote.board(kid));
        self.slot.report(Event::UnknownKid { issuer: self.slot.issuer(), refetched: flight.is_some() });
        if let Some(flight) = flight {
            flight.landed().await;
        }
    }

    /// Waits for first keys, at most this long. Whether they are there.
    pub async fn wait(&self, limit: Duration) -> bool {
        self.slot.wait(limit).await
    }

    /// How many waited for a fetch that others had called for.
    pub fn followers(&self) -> u64 {
        self.remote.as_ref().map_or(0, |remote| remote.followers())
    }

    /// For people.
    pub fn status(&self) -> KeyStatus {
        self.slot.status()
    }
}

impl Drop for KeyStore {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
