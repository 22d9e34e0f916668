//! Values that must not be shown: client secrets, control tokens, private keys.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Longest secret that is read from a file or variable.
pub const MAX_SECRET_BYTES: usize = 64 << 10;

/// A secret text. It has no `Display`, its `Debug` is redacted, it compares in constant time, and its memory is
/// overwritten when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Box<str>>);

impl Secret {
    /// Takes a text into custody.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes()).is_ok()
    }
}

impl Eq for Secret {}

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretSource {
    /// A file, read anew for each use, so that a rotated secret is used at once. White space around it does not count.
    File(PathBuf),
    /// A variable of the environment. White space around it does not count.
    Env(Box<str>),
}

impl SecretSource {
    /// The secret as it is now. Reads a file: not for a thread that must not block.
    ///
    /// # Errors
    /// [`SecretError`] where it is not there, empty, too long or not UTF-8.
    pub fn read(&self) -> Result<Secret, SecretError> {
        match self {
            Self::File(path) => read_text(path),
            Self::Env(name) => {
                let fail = |why| SecretError { place: format!("variable `{name}`"), why };
                let value = std::env::var(&**name).map(Zeroizing::new).map_err(|error| {
                    fail(match error {
                        std::env::VarError::NotPresent => "is not set",
                        std::env::VarError::NotUnicode(_) => "is not UTF-8 text",
                    })
                })?;
                trimmed(&value).map_err(fail)
            }
        }
    }
}

/// Why a secret, or a file that goes with one, could not be read. It names the place and never what is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place} {why}")]
pub struct SecretError {
    place: String,
    why: &'static str,
}

/// Reads a secret text from a file, without the white space around it. Blocks.
///
/// # Errors
/// [`SecretError`] where it is not there, empty, longer than [`MAX_SECRET_BYTES`] or not UTF-8.
pub fn read_text(path: &Path) -> Result<Secret, SecretError> {
    let fail = |why| SecretError { place: in_file(path), why };
    let bytes = read_bytes(path, MAX_SECRET_BYTES)?;
    trimmed(std::str::from_utf8(&bytes).map_err(|_| fail("is not UTF-8 text"))?).map_err(fail)
}

/// Reads a file of at most `max_bytes`. What it held is overwritten in memory when it is dropped. Blocks.
///
/// # Errors
/// [`SecretError`] where it is not there, no file, or larger.
pub fn read_bytes(path: &Path, max_bytes: usize) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let fail = |why| SecretError { place: in_file(path), why };
    let unreadable = |error: io::Error| {
        fail(match error.kind() {
            io::ErrorKind::NotFound => "is not there; check the path, and that it is mounted",
            io::ErrorKind::PermissionDenied => "may not be read; check its permissions",
            _ => "cannot be read",
        })
    };
    // A pipe would be waited for.
    let about = std::fs::metadata(path).map_err(unreadable)?;
    if !about.is_file() {
        return Err(fail("is not a file"));
    }
    if about.len() > max_bytes as u64 {
        return Err(fail("is too large"));
    }
    // Room for all of it at once: growing would leave copies behind.
    let room = usize::try_from(about.len()).unwrap_or(max_bytes).saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    let limit = (max_bytes as u64).saturating_add(1);
    File::open(path).map_err(unreadable)?.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > max_bytes { Err(fail("is too large")) } else { Ok(bytes) }
}

fn in_file(path: &Path) -> String {
    format!("file `{}`", path.display())
}

fn trimmed(text: &str) -> Result<Secret, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Err("is empty");
    }
    if text.len() > MAX_SECRET_BYTES { Err("is too large") } else { Ok(Secret::new(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_trimmed_and_never_empty_or_endless() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let source = SecretSource::File(path.clone());
        let fails = |why: &str| {
            let error = source.read().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(&*path.to_string_lossy()), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        };
        fails("is not there");
        std::fs::create_dir(&path).unwrap();
        fails("is not a file");
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, " \n").unwrap();
        fails("is empty");
        std::fs::write(&path, b"hunter2\xff").unwrap();
        fails("UTF-8");
        std::fs::write(&path, "hunter2".repeat(MAX_SECRET_BYTES / 7 + 1)).unwrap();
        fails("too large");
        std::fs::write(&path, "\thunter2 %&\n").unwrap();
        assert_eq!(source.read().unwrap().expose(), "hunter2 %&");
    }

    #[test]
    fn a_variable_that_is_not_there_is_named() {
        let error = SecretSource::Env("TOLLGATE_NO_SUCH_VARIABLE".into()).read().unwrap_err();
        assert_eq!(error.to_string(), "variable `TOLLGATE_NO_SUCH_VARIABLE` is not set");
        let path = std::env::var("PATH").unwrap();
        assert_eq!(SecretSource::Env("PATH".into()).read().unwrap().expose(), path.trim());
    }

    #[test]
    fn row_202_debug_is_redacted() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }
}
