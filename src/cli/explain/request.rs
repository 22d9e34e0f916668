//! The request that is explained: one that was recorded, or one that is said by options.

use std::io::{self, IsTerminal as _, Read, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use prost::Message as _;

use super::super::exit::Failure;
use super::protobuf;
use super::secret::Names;
use crate::core::caller::SpiffeId;
use crate::core::reason::Reason;
use crate::core::request::{Direction, RawRequest, is_token};
use crate::grpc::decode;
use crate::grpc::wire::{Attributes, CheckRequest, Entry, Http, Peer, Request};

/// Longest recorded request: the largest message that a gate may be configured to read.
const MAX_BYTES: u64 = 64 << 20;

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
    #[arg(long, value_name = "SPIFFE ID", requires = "path", value_parser = caller)]
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
        let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let entry = |(key, value): &(String, String)| Entry { key: text(key), value: text(value) };
        let http = Http {
            method: text(&self.method),
            host: text(host),
            path: text(path),
            headers: self.header.iter().map(entry).collect(),
            header_map: None,
        };
        let source = Peer { principal: text(self.caller.as_deref().unwrap_or_default()), certificate: Bytes::new() };
        let attributes = Attributes {
            source: Some(source),
            request: Some(Request { http: Some(http) }),
            context_extensions: self.context.iter().map(entry).collect(),
        };
        Ok(CheckRequest { attributes: Some(attributes) }.encode_to_vec().into())
    }

    /// What the gate reads there.
    pub(super) fn read<'m>(&self, message: &'m [u8]) -> Result<RawRequest<'m>, Failure> {
        let direction = match self.direction {
            Way::Inbound => Direction::Inbound,
            Way::Outbound => Direction::Outbound,
        };
        decode::request(message, direction).map_err(|error| {
            let answered = match error.rpc_error() {
                Some(_) => "the gate answers this with an RPC error".to_owned(),
                None => format!("the gate denies this: {}", Reason::MalformedRequest),
            };
            Failure::NotRun(format!("{}: {error}; {answered}", self.name()))
        })
    }

    fn recorded(&self) -> Result<Bytes, Failure> {
        let fail = |error: &dyn std::fmt::Display| Failure::NotRun(format!("{}: {error}", self.name()));
        let bytes = match self.request.as_deref().filter(|file| *file != Path::new("-")) {
            Some(file) => std::fs::File::open(file).and_then(bounded),
            None => standard_input(),
        };
        let bytes = bytes.map_err(|error| fail(&error))?;
        let json = match self.format {
            Format::Json => true,
            Format::Binary => false,
            Format::Auto => protobuf::is_json(&bytes),
        };
        if !json {
            return Ok(bytes.into());
        }
        protobuf::from_json(&bytes).map(Bytes::from).map_err(|error| fail(&error))
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
    bounded(stdin.lock())
}

fn bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "more than 64 MiB are no CheckRequest"));
    }
    Ok(bytes)
}

/// What is wrong says nothing of the value, which may be a secret.
fn header(line: &str) -> Result<(String, String), &'static str> {
    let (name, value) = line.split_once(':').ok_or("expected `name: value`")?;
    let name = name.trim().to_ascii_lowercase();
    let is_pseudo = name.is_empty() && line.starts_with(':');
    if is_pseudo || !is_token(&name) {
        return Err("expected `name: value`, with the name of a header");
    }
    Ok((name, value.trim().to_owned()))
}

fn caller(id: &str) -> Result<String, &'static str> {
    SpiffeId::parse(id).map(|id| id.as_str().to_owned()).ok_or("expected a SPIFFE id: spiffe://trust-domain/path")
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("expected `key=value`")?;
    Ok((key.to_owned(), value.to_owned()))
}
