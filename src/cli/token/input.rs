//! What `tollgate token` is given: a token, a time, a certificate.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

pub(in crate::cli) use crate::cases::text::time;
use crate::cases::text::{bare, bounded};
use crate::cli::exit::Failure;

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

/// Reads a PEM certificate.
pub(super) fn certificate(path: &Path) -> Result<String, Failure> {
    let fail = |error: &dyn std::fmt::Display| Failure::NotRun(format!("{}: {error}", path.display()));
    let text = File::open(path).and_then(bounded).map_err(|error| fail(&error))?;
    if text.contains("-----BEGIN CERTIFICATE-----") { Ok(text) } else { Err(fail(&"not a certificate in PEM")) }
}
