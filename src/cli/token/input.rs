//! What `tollgate token` is given: a token, a time, a certificate.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::path::Path;

use crate::cli::exit::Failure;
use crate::clock::Timestamp;

/// Longest text that is read as a token. An issuer's own limit is far below, and is one of the checks.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the token from a file, or from standard input. What people copy along is cut off: white space, the header's
/// name and `Bearer`.
pub(super) fn token(file: Option<&Path>) -> Result<String, Failure> {
    let text = match file.filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let fail = |error: io::Error| Failure::NotRun(format!("{}: {error}", path.display()));
            File::open(path).and_then(bounded).map_err(fail)?
        }
        None => standard_input("the token").map_err(|error| Failure::NotRun(format!("standard input: {error}")))?,
    };
    let token = bare(&text);
    if token.is_empty() {
        return Err(Failure::NotRun("no token was given: pipe one in, or name a file with --file".to_owned()));
    }
    Ok(token.to_owned())
}

/// As [`token`], for an option that names a file or, by `-`, standard input. The error does not repeat the name: people
/// who mistake the option give the token itself.
pub(in crate::cli) fn token_of_option(option: &str, file: &Path) -> Result<String, Failure> {
    let text = if file == Path::new("-") { standard_input(option) } else { File::open(file).and_then(bounded) };
    let text = text.map_err(|error| {
        Failure::NotRun(format!(
            "`{option}` names the file of a token (or `-`, for standard input), and that cannot be read: {error}. Never give \
             the token itself: other users of this machine can read the command line. If you did, treat it as leaked"
        ))
    })?;
    match bare(&text) {
        "" => Err(Failure::NotRun(format!("`{option}`: there is no token in it"))),
        token => Ok(token.to_owned()),
    }
}

fn standard_input(what: &str) -> io::Result<String> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        // Not knowing that it waits is all that is lost where this cannot be written.
        let _ = writeln!(io::stderr(), "paste {what}, then press Enter and Ctrl-D");
    }
    bounded(stdin.lock())
}

/// Bytes that are not text become replacement characters: the token's form is for the checks to judge.
fn bounded(source: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    source.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "more than 1 MiB is no token"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn bare(text: &str) -> &str {
    let mut text = text.trim();
    for prefix in ["authorization:", "bearer "] {
        if let Some((start, rest)) = text.split_at_checked(prefix.len())
            && start.eq_ignore_ascii_case(prefix)
        {
            text = rest.trim_start();
        }
    }
    text
}

/// Reads a PEM certificate.
pub(super) fn certificate(path: &Path) -> Result<String, Failure> {
    let fail = |error: &dyn std::fmt::Display| Failure::NotRun(format!("{}: {error}", path.display()));
    let text = File::open(path).and_then(bounded).map_err(|error| fail(&error))?;
    if text.contains("-----BEGIN CERTIFICATE-----") { Ok(text) } else { Err(fail(&"not a certificate in PEM")) }
}

/// Reads RFC 3339 in UTC, or seconds since 1970.
pub(in crate::cli) fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(Timestamp::from_unix_seconds(seconds));
    }
    let time = humantime::parse_rfc3339_weak(text)
        .map_err(|_| "expected a time such as 2026-05-01T12:00:00Z, or seconds since 1970".to_owned())?;
    let since = time.duration_since(std::time::UNIX_EPOCH).map_err(|_| "before 1970".to_owned())?;
    i64::try_from(since.as_millis()).map(Timestamp::from_unix_millis).map_err(|_| "too far in the future".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_along_is_cut_off() {
        for text in ["a.b.c", " a.b.c\n", "Bearer a.b.c", "bearer  a.b.c\r\n", "Authorization: Bearer a.b.c"] {
            assert_eq!(bare(text), "a.b.c", "{text:?}");
        }
        assert_eq!(bare("Bearer"), "Bearer");
        assert_eq!(bare("ü"), "ü");
    }

    #[test]
    fn times_are_read_or_refused() {
        let noon = Timestamp::from_unix_seconds(1_777_636_800);
        for text in ["2026-05-01T12:00:00Z", "2026-05-01 12:00:00", "1777636800"] {
            assert_eq!(time(text), Ok(noon), "{text}");
        }
        for text in ["", "noon", "2026-13-01T00:00:00Z", "99999999999999999999"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_endless_input_is_no_token() {
        assert!(bounded(io::repeat(b'a')).is_err());
    }
}
