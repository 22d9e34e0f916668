//! Section `audit`.

use super::server::{secret_env, secret_file};
use super::{Surroundings, number};
use crate::config::audit::{AuditSpec, Destination, FileSpec, Rotation};
use crate::config::file::audit::{AuditFile, DestinationFile, MaskFile, NamedFile, RotateFile};
use crate::config::names::{did_you_mean, listed, shown};
use crate::config::place::At;
use crate::config::value::ByShape;
use crate::core::audit::{Mask, MaskedField, Selection};
use crate::secret::Secret;

/// Fewer could be guessed.
const LEAST_KEY: usize = 16;

/// Judges the section. The file is opened at the start, and not here: `check` often runs where it will never be.
pub(in crate::config) fn build(at: &At<'_>, file: &AuditFile, around: Surroundings<'_>) -> Option<AuditSpec> {
    let to =
        at.required("to", file.to.as_ref(), "write `stdout`, `otlp`, or `{ file: /var/log/tollgate/audit.jsonl }`");
    let to = to.and_then(|to| match to {
        ByShape::Scalar(NamedFile::Stdout) => Some(Destination::Stdout),
        ByShape::Scalar(NamedFile::Otlp) => Some(Destination::Otlp),
        ByShape::Map(file) => destination(&at.key("to"), file, around).map(Destination::File),
        ByShape::List(never) => match *never {},
    });
    let selection = Selection {
        sample_allows: share(at, file.sample_allows.map(|share| share.0)),
        masks: masks(&at.key("mask"), file),
        hash_key: hash_key(at, file, around),
    };
    let buffer = number(at, "buffer", file.buffer.map(|size| size.0), 8 << 20, (64 << 10, 1 << 30));
    Some(AuditSpec { to: to?, buffer: usize::try_from(buffer).unwrap_or(8 << 20), selection })
}

fn share(at: &At<'_>, value: Option<f64>) -> f64 {
    let Some(value) = value else { return 1.0 };
    if !(0.0..=1.0).contains(&value) {
        at.key("sample_allows").error(format!("`{value}` is out of range: at least 0, at most 1; a tenth is `0.1`"));
        return 1.0;
    }
    value
}

fn destination(at: &At<'_>, file: &DestinationFile, around: Surroundings<'_>) -> Option<FileSpec> {
    let path = at.required("file", file.file.as_ref(), "write its path")?;
    if path.is_empty() || path.ends_with('/') || path.contains('\0') {
        at.key("file").error("expected the path of a file");
        return None;
    }
    let mode = match file.mode.as_deref() {
        None => 0o640,
        Some(text) => match u32::from_str_radix(text, 8) {
            Ok(mode) if (3..=4).contains(&text.len()) && mode & 0o200 == 0o200 && mode <= 0o777 => mode,
            _ => {
                at.key("mode").error(format!(
                    "expected octal permission bits in quotes, such as `\"0640\"`, that let the owner write; found `{}`",
                    shown(text)
                ));
                return None;
            }
        },
    };
    let rotate = file.rotate.as_ref().map(|file| rotation(&at.key("rotate"), file));
    let rotate = match rotate {
        Some(rotation) => Some(rotation?),
        None => None,
    };
    Some(FileSpec { path: around.path(path), mode, rotate })
}

fn rotation(at: &At<'_>, file: &RotateFile) -> Option<Rotation> {
    let size = at.required("size", file.size, "write the most bytes of a file, such as `100MiB`")?;
    let size = number(at, "size", Some(size.0), size.0, (4 << 10, 1 << 40));
    let keep = number(at, "keep", file.keep.map(u64::from), 5, (1, 1000));
    Some(Rotation { size, keep: usize::try_from(keep).unwrap_or(5) })
}

fn masks(at: &At<'_>, file: &AuditFile) -> [Mask; MaskedField::ALL.len()] {
    let mut masks = [Mask::Keep; MaskedField::ALL.len()];
    let names = MaskedField::ALL.map(MaskedField::as_str);
    for (key, mask) in &file.mask.0 {
        let mask = match mask {
            MaskFile::Omit => Mask::Omit,
            MaskFile::Hash => Mask::Hash,
        };
        let position = names.iter().position(|name| *name == key);
        match position.and_then(|position| masks.get_mut(position)) {
            Some(place) => *place = mask,
            None => {
                let known = || names.iter().copied();
                at.key(key).error(format!(
                    "`{}` is no field that can be masked{} known here: {}",
                    shown(key),
                    did_you_mean(key, known()),
                    listed(known())
                ));
            }
        }
    }
    masks
}

fn hash_key(at: &At<'_>, file: &AuditFile, around: Surroundings<'_>) -> Option<Secret> {
    let hashes = file.mask.0.iter().any(|(_, mask)| *mask == MaskFile::Hash);
    let (key, place) = match (&file.hash_key_file, &file.hash_key_env) {
        (Some(name), None) => (secret_file(&at.key("hash_key_file"), name, around), "hash_key_file"),
        (None, Some(name)) => (secret_env(&at.key("hash_key_env"), name, around), "hash_key_env"),
        (Some(_), Some(_)) => {
            at.error("`hash_key_file` and `hash_key_env` are both there; keep one");
            return None;
        }
        (None, None) => {
            if hashes {
                at.error(
                    "`hash_key_file` or `hash_key_env` is missing: without a key anybody who can guess a value could \
                     find it by its digest",
                );
            }
            return None;
        }
    };
    if key.as_ref().is_some_and(|key| key.expose().len() < LEAST_KEY) {
        at.key(place).error(format!("the key there is shorter than {LEAST_KEY} characters, and could be guessed"));
    }
    key
}
