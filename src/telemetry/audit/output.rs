//! Where lines are written: standard output, or a file that is moved away, by others or by itself.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::config::audit::{FileSpec, Rotation};
use crate::telemetry::otlp::OtlpError;

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
    /// Records cannot be sent to a collector.
    #[error("audit.to: {0}")]
    Otlp(#[from] OtlpError),
}

/// Where lines end up.
pub(super) trait Sink: Send + 'static {
    /// Takes whole lines. What it cannot take is lost.
    fn write(&mut self, lines: &[u8]) -> Done;

    /// Begins anew, where something was moved away; whether there is anything that can be.
    ///
    /// # Errors
    /// It cannot; it goes on as before.
    fn reopen(&mut self) -> io::Result<bool> {
        Ok(false)
    }
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
    /// Standard output.
    ///
    /// # Errors
    /// It is not there.
    pub(super) fn stdout() -> Result<Self, AuditError> {
        let owned = io::stdout().as_fd().try_clone_to_owned().map_err(AuditError::Stdout)?;
        Ok(Self { file: File::from(owned), place: None, torn: false })
    }

    /// A file, opened.
    ///
    /// # Errors
    /// It cannot be, or must not be written to.
    pub(super) fn file(spec: &FileSpec) -> Result<Self, AuditError> {
        let refused = |error| AuditError::File { path: spec.path.display().to_string(), error };
        let (file, size, torn) = open(spec).map_err(refused)?;
        Ok(Self { file, place: Some(Place { spec: spec.clone(), size }), torn })
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
        // Where the last attempt put it aside and could not open it anew, only that is left to do.
        if path.symlink_metadata().is_ok() {
            // No further than to a gap: attempts that fail must not push one old file after the other out.
            let gap = (1..rotation.keep).find(|number| older(path, *number).symlink_metadata().is_err());
            for number in (1..gap.unwrap_or(rotation.keep)).rev() {
                rename_if_there(&older(path, number), &older(path, number + 1))?;
            }
            rename_if_there(path, &older(path, 1))?;
        }
        self.reopen().map(|_| ())
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

impl Sink for Output {
    fn write(&mut self, mut lines: &[u8]) -> Done {
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

    /// By its name, which another file may have by now.
    fn reopen(&mut self) -> io::Result<bool> {
        let Some(place) = &mut self.place else { return Ok(false) };
        let (file, size, torn) = open(&place.spec)?;
        (self.file, place.size, self.torn) = (file, size, torn);
        Ok(true)
    }
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The file, its size, and whether it ends in the middle of a line.
fn open(spec: &FileSpec) -> io::Result<(File, u64, bool)> {
    let file = OpenOptions::new().append(true).create(true).mode(spec.mode).open(&spec.path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        if spec.rotate.is_some() {
            return Err(io::Error::other("`rotate` is for plain files only"));
        }
        return Ok((file, 0, false));
    }
    let size = metadata.len();
    // One that cannot be read may end so: an empty line does no harm.
    let torn = size > 0 && last_byte(&spec.path, size).is_none_or(|last| last != b'\n');
    Ok((file, size, torn))
}

fn last_byte(path: &Path, size: u64) -> Option<u8> {
    let mut last = [0];
    File::open(path).ok()?.read_exact_at(&mut last, size.checked_sub(1)?).ok()?;
    last.first().copied()
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

pub(super) fn count(lines: &[u8]) -> u64 {
    u64::try_from(lines.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(u64::MAX)
}

/// Bytes of the lines that fit as a whole.
pub(super) fn whole_lines(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    match lines.get(..room) {
        None => lines.len(),
        Some(fits) => fits.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1),
    }
}

pub(super) fn first_line(lines: &[u8]) -> usize {
    lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(path: PathBuf, rotate: Option<Rotation>) -> Output {
        Output::file(&FileSpec { path, mode: 0o640, rotate }).unwrap()
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

    #[test]
    fn a_line_that_another_left_torn_is_not_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "{\"a\"").unwrap();
        let mut output = output(path.clone(), None);
        output.write(b"{\"b\":1}\n");
        put(&mut output.file, b"{\"c\"").unwrap();
        output.reopen().unwrap();
        output.write(b"{\"d\":1}\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\"\n{\"b\":1}\n{\"c\"\n{\"d\":1}\n");
    }

    #[test]
    fn attempts_that_failed_push_no_old_files_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let rotation = Rotation { size: 10, keep: 3 };
        let mut output = output(path.clone(), Some(rotation));
        let write =
            |numbers: &[usize]| numbers.iter().for_each(|n| fs::write(older(&path, *n), n.to_string()).unwrap());
        let read = |number| fs::read_to_string(older(&path, number)).unwrap();
        // It was put aside, and could not be opened anew.
        write(&[1, 2, 3]);
        fs::remove_file(&path).unwrap();
        output.rotate(rotation).unwrap();
        assert_eq!([read(1), read(2), read(3)], ["1", "2", "3"]);
        assert!(path.exists());
        // The older ones made room, and it could not be put aside.
        fs::remove_file(older(&path, 1)).unwrap();
        output.write(b"live\n");
        output.rotate(rotation).unwrap();
        assert_eq!([read(1), read(2), read(3)], ["live\n", "2", "3"]);
    }

    #[test]
    fn what_is_no_plain_file_is_not_put_aside() {
        let spec = FileSpec { path: "/dev/null".into(), mode: 0o640, rotate: Some(Rotation { size: 10, keep: 1 }) };
        let error = Output::file(&spec).unwrap_err().to_string();
        assert!(error.contains("plain files only"), "{error}");
    }
}
