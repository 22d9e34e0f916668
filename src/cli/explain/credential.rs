//! The credential of a request that is explained: a token from a file, or claims that stand for one.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::{Map, Value};

use super::super::exit::Failure;
use super::super::token::input;
use crate::authn::credential::header_name;
use crate::authn::json;
use crate::authn::spec::{CredentialSource, IssuerSpec};
use crate::authn::stated::Stated;
use crate::clock::Timestamp;
use crate::core::request::{Header, Headers, RawRequest};
use crate::secret::Secret;

/// What the request carries where a token would be, if claims are stated: no token looks like this.
const STAND_IN: &str = "claims-stated-to-tollgate-explain";

/// Longest file of claims.
const MAX_BYTES: u64 = 1 << 20;

/// The credential that the request carries.
#[derive(Debug, Args)]
pub(super) struct CredentialArgs {
    /// The request carries the token in this file (`-` is standard input), in the place of its own
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// The request carries a token with these claims: a file (`-` is standard input), or JSON; `iss`, `iat` and `exp` are
    /// added where they are not there
    #[arg(long, value_name = "FILE|JSON", conflicts_with = "token")]
    claims: Option<String>,
    /// Whose token it is; needed for claims without `iss`, and where issuers read different headers
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
}

/// A credential that was given.
#[derive(Debug)]
pub(super) enum Given {
    /// None: the request's own counts.
    Nothing,
    /// The header's name and value.
    Token(CredentialSource, Secret),
    /// Claims, in the place of a token in this header, whose value this is.
    Claims(CredentialSource, Secret, Stated),
}

impl CredentialArgs {
    pub(super) fn is_standard_input(&self) -> bool {
        self.token.as_deref() == Some(Path::new("-")) || self.claims.as_deref() == Some("-")
    }

    /// Reads it.
    pub(super) fn read(&self, issuers: &[IssuerSpec], now: Timestamp) -> Result<Given, Failure> {
        let named = self.issuer.as_deref().map(|name| find(issuers, name)).transpose()?;
        match (&self.token, &self.claims) {
            (None, None) if self.issuer.is_some() => {
                Err(Failure::Usage("`--issuer` goes with `--token` or `--claims`".to_owned()))
            }
            (None, None) => Ok(Given::Nothing),
            (Some(file), _) => {
                let source = source(issuers, named)?;
                let token = input::token_of_option("--token", file)?;
                Ok(Given::Token(source.clone(), value(source, &token)))
            }
            (None, Some(claims)) => {
                let claims = self::claims(claims)?;
                let of = named.or_else(|| whose(issuers, &claims));
                let source = source(issuers, of)?;
                let name = named.map(|spec| Arc::clone(&spec.name));
                let stated = Stated::complete(name, of, claims, now);
                Ok(Given::Claims(source.clone(), value(source, STAND_IN), stated))
            }
        }
    }
}

impl Given {
    /// The request, with this credential in the place of its own.
    pub(super) fn carried_by<'r>(&'r self, request: RawRequest<'r>) -> RawRequest<'r> {
        let (source, value) = match self {
            Self::Nothing => return request,
            Self::Token(source, value) | Self::Claims(source, value, _) => (source, value),
        };
        let name = header_name(source);
        let line = Header { name, value: value.expose().as_bytes() };
        let others = request.headers.iter().filter(|line| !line.is(name)).copied();
        let headers = Headers::new(others.chain([line]).collect());
        RawRequest { headers, ..request }
    }

    /// The claims, and the token that they stand for.
    pub(super) fn stated(&self) -> Option<(&Stated, &'static str)> {
        match self {
            Self::Claims(_, _, stated) => Some((stated, STAND_IN)),
            Self::Nothing | Self::Token(..) => None,
        }
    }
}

fn find<'i>(issuers: &'i [IssuerSpec], name: &str) -> Result<&'i IssuerSpec, Failure> {
    issuers.iter().find(|issuer| *issuer.name == *name).ok_or_else(|| {
        let known: Vec<String> = issuers.iter().map(|issuer| format!("`{}`", issuer.name)).collect();
        Failure::Usage(format!("no issuer is named `{name}`; there are {}", known.join(", ")))
    })
}

/// The issuer that these claims can only be of.
fn whose<'i>(issuers: &'i [IssuerSpec], claims: &Map<String, Value>) -> Option<&'i IssuerSpec> {
    use crate::authn::spec::IssuerClaim;
    let is_of = |issuer: &&IssuerSpec| match (&issuer.issuer, claims.get("iss")) {
        (IssuerClaim::Exact(iss), Some(said)) => said.as_str() == Some(iss),
        (IssuerClaim::Absent, said) => said.is_none(),
        (IssuerClaim::Exact(_), None) => false,
    };
    if let [only] = issuers {
        return Some(only);
    }
    let mut found = issuers.iter().filter(is_of);
    found.next().filter(|_| found.next().is_none())
}

/// The header that carries the token.
fn source<'i>(issuers: &'i [IssuerSpec], of: Option<&'i IssuerSpec>) -> Result<&'i CredentialSource, Failure> {
    if let Some(issuer) = of {
        return Ok(&issuer.credential);
    }
    let mut sources: Vec<&CredentialSource> = issuers.iter().map(|issuer| &issuer.credential).collect();
    sources.sort();
    sources.dedup();
    match &*sources {
        [only] => Ok(only),
        [] => Ok(&CredentialSource::Authorization),
        _ => {
            let names: Vec<String> = sources.iter().map(|source| format!("`{}`", header_name(source))).collect();
            let names = names.join(", ");
            Err(Failure::Usage(format!("tokens come in different headers ({names}); name the issuer with `--issuer`")))
        }
    }
}

/// The header's value.
fn value(source: &CredentialSource, token: &str) -> Secret {
    match source {
        CredentialSource::Authorization => Secret::new(format!("Bearer {token}")),
        CredentialSource::Header(_) => Secret::new(token),
    }
}

/// Reads claims: JSON, or the name of a file that holds it.
fn claims(given: &str) -> Result<Map<String, Value>, Failure> {
    if given.trim_start().starts_with('{') {
        return json::parse_object(given.as_bytes()).map_err(|error| Failure::NotRun(format!("`--claims`: {error}")));
    }
    // The name is not repeated: people who mistake the option give the token itself.
    let fail = |error: &dyn std::fmt::Display| {
        Failure::NotRun(format!(
            "`--claims` is JSON, or names a file of it (`-` is standard input), and that cannot be read: {error}. A token \
             goes into a file for `--token`; if you just gave one here, treat it as leaked"
        ))
    };
    let mut bytes = Vec::new();
    let read = if given == "-" {
        std::io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(given).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| fail(&error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(fail(&"more than 1 MiB are no claims"));
    }
    json::parse_object(&bytes).map_err(|error| fail(&error))
}
