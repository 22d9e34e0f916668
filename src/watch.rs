//! Tells when files are replaced: an editor's rename, an atomic replacement, a ConfigMap's symlink swap.
//!
//! Directories are watched rather than files, since a replaced file takes its watch with it. Events only say when to
//! look: what counts is whether the contents differ. A slow poll does the same where file systems have no events.

mod digest;
mod places;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use digest::Contents;

/// How a [`Watch`] waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Contents are looked at when nothing has happened for this long …
    pub quiet: Duration,
    /// … or when things have been happening for this long.
    pub impatience: Duration,
    /// Contents are looked at this often without any event.
    pub poll: Duration,
    /// Whether events are asked for at all.
    pub events: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(150),
            impatience: Duration::from_secs(2),
            poll: Duration::from_secs(30),
            events: true,
        }
    }
}

/// Watches a set of files until it is dropped. Start it before you read them, so that no change falls in between.
#[derive(Debug)]
pub struct Watch {
    changes: watch::Receiver<u64>,
    task: AbortHandle,
}

impl Watch {
    /// Watches the contents of files, and of the files right in directories. They need not exist yet.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self::with_pace(paths, Pace::default())
    }

    /// As [`Watch::start`], at another pace.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn with_pace(paths: impl IntoIterator<Item = PathBuf>, pace: Pace) -> Self {
        let paths: Arc<[PathBuf]> = paths.into_iter().collect();
        let (news, changes) = watch::channel(0);
        // Events first, contents second: a change after this line is seen by one or the other.
        let (watcher, events) = Directories::watch(&paths, pace.events);
        let seen = Contents::read(&paths);
        let task = tokio::spawn(follow(paths, pace, watcher, events, seen, news)).abort_handle();
        Self { changes, task }
    }

    /// Waits until contents have changed since the last call, or since the start. Cancel-safe. False where no further
    /// change will be told.
    pub async fn changed(&mut self) -> bool {
        self.changes.changed().await.is_ok()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    paths: Arc<[PathBuf]>,
    pace: Pace,
    mut directories: Directories,
    mut events: mpsc::Receiver<()>,
    mut seen: Contents,
    news: watch::Sender<u64>,
) {
    loop {
        // Without a watcher the channel is closed: then only time passes.
        match timeout(pace.poll, events.recv()).await {
            Ok(Some(())) => settle(&mut events, pace).await,
            Ok(None) => tokio::time::sleep(pace.poll).await,
            Err(_) => {}
        }
        let looked = tokio::task::spawn_blocking({
            let paths = Arc::clone(&paths);
            move || {
                // Links may lead elsewhere now, and directories may have been made anew.
                directories.add(&paths);
                (directories, Contents::read(&paths))
            }
        });
        let Ok((same, found)) = looked.await else {
            tracing::error!(files = ?paths, "these files are no longer followed: restart to follow them again");
            return;
        };
        directories = same;
        if found != seen {
            seen = found;
            news.send_modify(|count| *count += 1);
        }
    }
}

/// Waits for a lull, so that a file is not looked at while it is being written.
async fn settle(events: &mut mpsc::Receiver<()>, pace: Pace) {
    let end = Instant::now() + pace.impatience;
    loop {
        let lull = Instant::now() + pace.quiet;
        if !matches!(timeout_at(lull.min(end), events.recv()).await, Ok(Some(()))) {
            return;
        }
    }
}

/// The directories in which a replacement shows.
#[derive(Debug)]
struct Directories(Option<RecommendedWatcher>);

impl Directories {
    fn watch(paths: &[PathBuf], events: bool) -> (Self, mpsc::Receiver<()>) {
        let (sender, receiver) = mpsc::channel(1);
        let tell = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| is_reading(event.kind)) {
                return;
            }
            // A full channel holds the same news already.
            let _ = sender.try_send(());
        };
        let watcher = if events { notify::recommended_watcher(tell).map_err(explain).ok() } else { None };
        let mut directories = Self(watcher);
        directories.add(paths);
        (directories, receiver)
    }

    fn add(&mut self, paths: &[PathBuf]) {
        let Some(watcher) = &mut self.0 else { return };
        for directory in places::to_watch(paths) {
            // One that does not exist, or one watch too many, is left to the poll.
            let _ = watcher.watch(&directory, RecursiveMode::NonRecursive);
        }
    }
}

fn explain(error: notify::Error) {
    tracing::warn!(error = %error, "no file system events; changes of files are found by polling only");
}

/// Looking at files makes events of its own.
fn is_reading(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
