//! What files hold, in a form that can be compared.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

/// Of a file, no more than this is looked at.
const MAX_BYTES: u64 = 64 << 20;
/// Of a directory, no more entries than this are looked at.
const MAX_ENTRIES: usize = 10_000;

/// Digests of what files and directories hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contents(Vec<Content>);

#[derive(Debug, PartialEq, Eq)]
enum Content {
    Missing(io::ErrorKind),
    File(Vec<u8>),
    Directory(Vec<(PathBuf, Content)>),
    /// A pipe or device, which is not read.
    Other,
}

impl Contents {
    pub(super) fn read(paths: &[PathBuf]) -> Self {
        Self(paths.iter().map(|path| read(path, true)).collect())
    }
}

fn read(path: &Path, enter: bool) -> Content {
    let read = || {
        let kind = fs::metadata(path)?;
        if kind.is_file() {
            digest(path).map(Content::File)
        } else if kind.is_dir() && enter {
            let mut entries = Vec::new();
            for entry in fs::read_dir(path)?.take(MAX_ENTRIES) {
                let path = entry?.path();
                let content = self::read(&path, false);
                entries.push((path, content));
            }
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
            Ok(Content::Directory(entries))
        } else {
            Ok(Content::Other)
        }
    };
    read().unwrap_or_else(|error: io::Error| Content::Missing(error.kind()))
}

fn digest(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?.take(MAX_BYTES);
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = file.read(&mut buffer)?;
        match buffer.get(..count) {
            None | Some([]) => return Ok(context.finish().as_ref().to_vec()),
            Some(bytes) => context.update(bytes),
        }
    }
}
