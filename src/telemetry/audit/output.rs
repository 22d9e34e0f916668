//! Where lines are written: standard output, or a file that is moved away, by others or by itself.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::config::audit::{Destination, FileSpec, Rotation};

/// Why there is no audit log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be opened.
    #[error(
        "audit.to.file: `{path}` cannot be opened for appending: {error}; its directory must be there, and the user that \
         tollgate runs as must be able to write there"
    )]
    File {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// Standard output is not there.
    #[error("audit.to: standard output cannot be written to: {0}")]
    Stdout(io::Error),
    /// There is no thread for it.
    #[error("audit: its thread cannot be started: {0}")]
    Thread(io::Error),
}

/// What lines are written to.
#[derive(Debug)]
pub(super) struct Output {
    file: File,
    /// Where lines go to a file.
    place: Option<Place>,
    /// The last thing that was written is the beginning of a line.
    torn: bool,
}

#[derive(Debug)]
struct Place {
    spec: FileSpec,
    /// Bytes of the file.
    size: u64,
}

/// How writing ended.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Lines that are there, whole.
    pub(super) lines: u64,
    /// Lines that are not.
    pub(super) lost: u64,
    /// Bytes that are there.
    pub(super) bytes: u64,
    /// What went wrong, each as a text of ours.
    pub(super) errors: Vec<String>,
}

impl Output {
    /// Opens it.
    ///
    /// # Errors
    /// It is not there, or must not be written to.
    pub(super) fn open(to: &Destination) -> Result<Self, AuditError> {
        let (file, place) = match to {
            Destination::Stdout => {
                let owned = io::stdout().as_fd().try_clone_to_owned().map_err(AuditError::Stdout)?;
                (File::from(owned), None)
            }
            Destination::File(spec) => {
                let refused = |error| AuditError::File { path: spec.path.display().to_string(), error };
                let (file, size) = open(spec).map_err(refused)?;
                (file, Some(Place { spec: spec.clone(), size }))
            }
        };
        Ok(Self { file, place, torn: false })
    }

    /// Opens the file anew by its name, which another one may have by now. Where that fails the old one goes on.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        let Some(place) = &mut self.place else { return Ok(()) };
        let (file, size) = open(&place.spec)?;
        (self.file, place.size, self.torn) = (file, size, false);
        Ok(())
    }

    /// Writes whole lines. What cannot be written is lost.
    pub(super) fn write(&mut self, mut lines: &[u8]) -> Done {
        let mut done = Done::default();
        while !lines.is_empty() {
            let (now, later) = lines.split_at_checked(self.room_for(lines, &mut done)).unwrap_or((lines, &[]));
            if !self.write_piece(now, &mut done) {
                done.lost = done.lost.saturating_add(count(later));
                break;
            }
            lines = later;
        }
        done
    }

    /// How many bytes of these lines belong into the file as it is, which is put aside where none does.
    fn room_for(&mut self, lines: &[u8], done: &mut Done) -> usize {
        let Some(Place { spec: FileSpec { rotate: Some(rotation), .. }, size }) = &self.place else {
            return lines.len();
        };
        let (rotation, room) = (*rotation, rotation.size.saturating_sub(*size));
        let fits = whole_lines(lines, room);
        if fits > 0 || *size == 0 {
            return fits.max(first_line(lines));
        }
        match self.rotate(rotation) {
            Ok(()) => whole_lines(lines, rotation.size).max(first_line(lines)),
            // A file that is too large is better than none.
            Err(error) => {
                done.errors.push(format!("the file cannot be put aside: {error}"));
                lines.len()
            }
        }
    }

    /// `audit.jsonl.4` becomes `audit.jsonl.5`, and so on; the oldest one is replaced.
    fn rotate(&mut self, rotation: Rotation) -> io::Result<()> {
        let Some(place) = &self.place else { return Ok(()) };
        let path = &place.spec.path;
        for number in (1..rotation.keep).rev() {
            match fs::rename(older(path, number), older(path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        match fs::rename(path, older(path, 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.reopen()
    }

    /// Whether all of it was written.
    fn write_piece(&mut self, lines: &[u8], done: &mut Done) -> bool {
        if self.torn {
            // The next line begins on a line of its own.
            match put(&mut self.file, b"\n") {
                Ok(()) => self.torn = false,
                Err((_, error)) => {
                    done.errors.push(error.to_string());
                    done.lost = done.lost.saturating_add(count(lines));
                    return false;
                }
            }
        }
        let (written, error) = match put(&mut self.file, lines) {
            Ok(()) => (lines.len(), None),
            Err((written, error)) => (written, Some(error)),
        };
        let there = lines.get(..written).unwrap_or(lines);
        let bytes = u64::try_from(written).unwrap_or(u64::MAX);
        if let Some(place) = &mut self.place {
            place.size = place.size.saturating_add(bytes);
        }
        self.torn = there.last().is_some_and(|last| *last != b'\n');
        let whole = count(there);
        done.lines = done.lines.saturating_add(whole);
        done.bytes = done.bytes.saturating_add(bytes);
        done.lost = done.lost.saturating_add(count(lines).saturating_sub(whole));
        done.errors.extend(error.as_ref().map(ToString::to_string));
        error.is_none()
    }
}

fn open(spec: &FileSpec) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).mode(spec.mode).open(&spec.path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

/// Writes all, or says how much of it was written.
fn put(to: &mut impl Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match to.write(rest) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

fn older(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn count(lines: &[u8]) -> u64 {
    u64::try_from(lines.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(u64::MAX)
}

/// Bytes of the lines that fit as a whole.
fn whole_lines(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    match lines.get(..room) {
        None => lines.len(),
        Some(fits) => fits.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1),
    }
}

fn first_line(lines: &[u8]) -> usize {
    lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(path: PathBuf, rotate: Option<Rotation>) -> Output {
        Output::open(&Destination::File(FileSpec { path, mode: 0o640, rotate })).unwrap()
    }

    #[test]
    fn files_are_put_aside_between_lines_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "0000\n").unwrap();
        let mut output = output(path.clone(), Some(Rotation { size: 10, keep: 2 }));
        let done = output.write(b"1111\n2222\n3333\n4444\n5555\n6666\nlonger than a file\n8888\n");
        assert_eq!((done.lines, done.lost, done.errors.len()), (8, 0, 0));
        let read = |path: PathBuf| fs::read_to_string(path).unwrap();
        assert_eq!(read(path.clone()), "8888\n");
        assert_eq!(read(older(&path, 1)), "longer than a file\n");
        assert_eq!(read(older(&path, 2)), "6666\n");
        assert!(!older(&path, 3).exists());
    }

    #[test]
    fn a_file_that_cannot_be_put_aside_grows_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut output = output(path.clone(), Some(Rotation { size: 6, keep: 1 }));
        fs::create_dir(older(&path, 1)).unwrap();
        let done = output.write(b"1111\n2222\n3333\n");
        assert_eq!((done.lines, done.lost), (3, 0));
        assert!(!done.errors.is_empty());
        assert_eq!(fs::read_to_string(&path).unwrap(), "1111\n2222\n3333\n");
    }

    #[test]
    fn a_full_disk_loses_lines_and_says_so() {
        let mut output = output("/dev/full".into(), None);
        let done = output.write(b"1\n2\n");
        assert_eq!((done.lines, done.lost, done.bytes, done.errors.len()), (0, 2, 0, 1));
    }

    #[test]
    fn after_a_torn_line_the_next_one_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut output = output(path.clone(), None);
        output.write(b"{\"a\":1}\n");
        // As if the disk had been full in the middle of a line.
        put(&mut output.file, b"{\"b\"").unwrap();
        output.torn = true;
        output.write(b"{\"c\":1}\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"b\"\n{\"c\":1}\n");
    }
}
