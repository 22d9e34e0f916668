//! Keys in files, followed as the files are replaced.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::KeyFileError;
use super::slot::Slot;
use crate::authn::keys::{KeySet, Published};
use crate::core::event::RefreshOutcome;
use crate::watch::Watch;

/// Largest key file.
const MAX_BYTES: u64 = 4 << 20;
/// A file that lists fewer keys than before may be half-written: it counts when it still does so after this time.
const CONFIRM: Duration = Duration::from_secs(1);
/// Readings until a file that keeps changing is taken as it is.
const CONFIRM_TRIES: usize = 10;

/// Keys in files.
#[derive(Clone, Debug)]
pub(super) enum FileKeys {
    Pem(Vec<PathBuf>),
    Jwks(PathBuf),
}

impl FileKeys {
    /// Watches the files.
    pub(super) fn watch(&self) -> Watch {
        Watch::start(self.paths().iter().cloned())
    }

    /// Reads the files.
    pub(super) fn read(&self) -> Result<Published, KeyFileError> {
        let mut files = Vec::new();
        for path in self.paths() {
            files.push((path.as_path(), read(path)?));
        }
        match self {
            Self::Pem(_) => {
                let set = KeySet::from_pem(files.iter().map(|(path, text)| (*path, text.as_slice())));
                let set = set.map_err(|error| KeyFileError(error.to_string()))?;
                if set.is_empty() {
                    return Err(KeyFileError("no PEM file is named; name one at least".to_owned()));
                }
                Ok(Published { set, refused: Vec::new() })
            }
            Self::Jwks(path) => {
                let document = files.first().map(|(_, text)| text.as_slice()).unwrap_or_default();
                KeySet::from_jwks(document)
                    .map_err(|error| KeyFileError(format!("{}:{}: {error}", path.display(), error.line())))
            }
        }
    }

    /// Reads again whenever a file changes, until dropped.
    pub(super) async fn follow(self, mut watch: Watch, slot: Arc<Slot>) {
        while watch.changed().await {
            let mut found = self.read_aside().await;
            for _ in 0..CONFIRM_TRIES {
                if !lost_keys(&slot, &found) {
                    break;
                }
                tokio::time::sleep(CONFIRM).await;
                let again = self.read_aside().await;
                let same = same_keys(&found, &again);
                found = again;
                if same {
                    break;
                }
            }
            match found {
                Ok(published) => slot.publish(published),
                Err(error) => slot.failed(RefreshOutcome::Invalid, error.to_string()),
            }
        }
    }

    async fn read_aside(&self) -> Result<Published, KeyFileError> {
        let keys = self.clone();
        match tokio::task::spawn_blocking(move || keys.read()).await {
            Ok(read) => read,
            Err(_) => Err(KeyFileError("the key files could not be read".to_owned())),
        }
    }

    pub(super) fn paths(&self) -> &[PathBuf] {
        match self {
            Self::Pem(paths) => paths,
            Self::Jwks(path) => std::slice::from_ref(path),
        }
    }
}

/// Whether this reading lists fewer of the keys in service. One that failed changes nothing.
fn lost_keys(slot: &Slot, found: &Result<Published, KeyFileError>) -> bool {
    match (slot.last_good(), found) {
        (Some(old), Ok(new)) => !old.is_subset_of(&new.set),
        _ => false,
    }
}

fn same_keys(one: &Result<Published, KeyFileError>, other: &Result<Published, KeyFileError>) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => one.set.is_subset_of(&other.set) && other.set.is_subset_of(&one.set),
        (Err(one), Err(other)) => one == other,
        _ => false,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, KeyFileError> {
    let fail = |why: &str| KeyFileError(format!("{}:1: {why}", path.display()));
    let unreadable =
        |error: std::io::Error| fail(&format!("not readable: {}; check the path and its permissions", error.kind()));
    let kind = std::fs::metadata(path).map_err(unreadable)?;
    if !kind.is_file() {
        return Err(fail("not a regular file; name the file that holds the keys"));
    }
    let mut text = Vec::new();
    File::open(path).map_err(unreadable)?.take(MAX_BYTES + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(fail("larger than 4 MiB; name a file that holds keys only"));
    }
    Ok(text)
}
