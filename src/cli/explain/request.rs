//! The request that is explained: one that was recorded, or one that is said by options.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, ValueEnum};

use super::super::exit::Failure;
use super::secret::Names;
use crate::cases::request::{self, Described};
use crate::core::request::{Direction, RawRequest};

/// The request.
#[derive(Debug, Args)]
pub(super) struct RequestArgs {
    /// A recorded CheckRequest: the file's name; `-`, or no request at all, is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["method", "host", "path", "header", "caller", "context"])]
    request: Option<PathBuf>,
    /// What the recorded request is written in
    #[arg(long, value_enum, default_value = "auto")]
    format: Format,
    /// Its method
    #[arg(long, default_value = "GET")]
    method: String,
    /// Its host, as the `Host` or `:authority` header names it
    #[arg(long, requires = "path")]
    host: Option<String>,
    /// Its path, with the query if it has one
    #[arg(long, requires = "host")]
    path: Option<String>,
    /// One of its headers, as `name: value`; may be repeated
    #[arg(long, value_name = "LINE", requires = "path", value_parser = header)]
    header: Vec<(String, String)>,
    /// The listener that is asked
    #[arg(long, value_enum, default_value = "inbound")]
    direction: Way,
    /// The calling workload, as its certificate names it: spiffe://cluster.local/ns/shop/sa/cart
    #[arg(long, value_name = "SPIFFE ID", requires = "path", value_parser = request::caller)]
    caller: Option<String>,
    /// A key of the route's `context_extensions`, and its value; may be repeated
    #[arg(long, value_name = "KEY=VALUE", requires = "path", value_parser = pair)]
    context: Vec<(String, String)>,
}

/// How a recorded request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Whichever it is
    Auto,
    /// The JSON mapping of Protocol Buffers
    Json,
    /// The bytes of the message
    Binary,
}

/// Which way the request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    Inbound,
    Outbound,
}

impl RequestArgs {
    /// Whether it is read from standard input.
    pub(super) fn is_standard_input(&self) -> bool {
        match &self.request {
            Some(file) => file == Path::new("-"),
            None => self.path.is_none(),
        }
    }

    /// The bytes of the message that Envoy would send.
    pub(super) fn message(&self, secrets: &Names) -> Result<Bytes, Failure> {
        let (Some(host), Some(path)) = (&self.host, &self.path) else { return self.recorded() };
        if let Some((name, _)) = self.header.iter().find(|(name, _)| secrets.hold(name)) {
            return Err(Failure::Usage(format!(
                "`--header` with `{name}`: a credential is never an argument, where every user of this machine can read \
                 it. `--token FILE` reads a token from a file; a request with another credential can be recorded, and \
                 named with `--request`. If the one you just gave is valid, treat it as leaked"
            )));
        }
        let described = Described {
            method: &self.method,
            host,
            path,
            headers: &self.header,
            caller: self.caller.as_deref().unwrap_or_default(),
            context_extensions: &self.context,
        };
        Ok(described.message())
    }

    /// What the gate reads there.
    pub(super) fn read<'m>(&self, message: &'m [u8]) -> Result<RawRequest<'m>, Failure> {
        let direction = match self.direction {
            Way::Inbound => Direction::Inbound,
            Way::Outbound => Direction::Outbound,
        };
        request::read(message, direction).map_err(|error| Failure::NotRun(format!("{}: {error}", self.name())))
    }

    fn recorded(&self) -> Result<Bytes, Failure> {
        let fail = |error: &dyn std::fmt::Display| Failure::NotRun(format!("{}: {error}", self.name()));
        let bytes = match self.request.as_deref().filter(|file| *file != Path::new("-")) {
            Some(file) => std::fs::File::open(file).and_then(request::bounded),
            None => standard_input(),
        };
        let bytes = bytes.map_err(|error| fail(&error))?;
        let format = match self.format {
            Format::Json => request::Format::Json,
            Format::Binary => request::Format::Binary,
            Format::Auto => request::Format::Auto,
        };
        request::recorded(bytes, format).map_err(|error| fail(&error))
    }

    /// What errors call it.
    fn name(&self) -> String {
        match self.request.as_deref().filter(|file| *file != Path::new("-")) {
            Some(file) => file.display().to_string(),
            None if self.path.is_some() => "the request".to_owned(),
            None => "standard input".to_owned(),
        }
    }
}

fn standard_input() -> io::Result<Vec<u8>> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        // Not knowing that it waits is all that is lost where this cannot be written.
        let _ = writeln!(io::stderr(), "paste a CheckRequest as JSON, then press Enter and Ctrl-D");
    }
    request::bounded(stdin.lock())
}

/// What is wrong says nothing of the value, which may be a secret.
fn header(line: &str) -> Result<(String, String), &'static str> {
    let (name, value) = line.split_once(':').ok_or("expected `name: value`")?;
    let name = request::header_name(name).ok_or("expected `name: value`, with the name of a header")?;
    Ok((name, value.trim().to_owned()))
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("expected `key=value`")?;
    Ok((key.to_owned(), value.to_owned()))
}
