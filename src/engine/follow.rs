//! Reloads when files change.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Engine, LoadError};
use crate::config::ConfigErrors;
use crate::watch::Watch;

/// How long after a refused reload the next is tried without any change: a key file or a mounted secret that was
/// missing is not among the files that are watched.
const RETRY: Duration = Duration::from_secs(30);

impl Engine {
    /// Reloads whenever a file of the configuration changes, until `stop`. Returns at once where there are no files.
    pub async fn follow_files(self: Arc<Self>, stop: CancellationToken) {
        let mut paths = self.watched();
        if paths.is_empty() {
            return;
        }
        let mut watch = Watch::start(paths.iter().cloned());
        loop {
            // Also at first and after each new watch, since a change may have come before the watch did. What is wrong
            // is logged and kept where it happens.
            let _ = self.reload_if_changed().await;
            let now = self.watched();
            if now != paths {
                watch = Watch::start(now.iter().cloned());
                paths = now;
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                told = watch.changed() => {
                    if !told {
                        tracing::warn!("changed files are found by trying every {} s only", RETRY.as_secs());
                        tokio::select! {
                            () = stop.cancelled() => return,
                            () = tokio::time::sleep(RETRY) => watch = Watch::start(paths.iter().cloned()),
                        }
                    }
                }
                () = tokio::time::sleep(RETRY), if self.last_error().is_some() => {}
            }
        }
    }

    /// What serves, and what the last attempt stumbled over.
    fn watched(&self) -> BTreeSet<PathBuf> {
        let mut paths: BTreeSet<PathBuf> = self.snapshot.load().watched().iter().cloned().collect();
        if let Some(LoadError::Config(ConfigErrors(errors))) = self.last_error() {
            paths.extend(errors.iter().map(|error| error.file.to_path_buf()));
        }
        paths
    }

    pub(super) fn last_error(&self) -> Option<LoadError> {
        self.last_reload.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|last| last.error.clone())
    }
}
