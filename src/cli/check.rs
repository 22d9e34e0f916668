//! `tollgate check`: is the configuration right?

use std::io::Write;

use clap::Args;
use serde_json::{Value, json};

use super::config_file::ConfigFile;
use super::exit::{Exit, Failure};
use super::printable::{Printable, plural};
use crate::authn::spec::{IssuerSpec, TokenFormat};
use crate::config::server::{Address, CheckListener, ServerSpec};
use crate::config::{self, Config, ConfigError, ConfigErrors};
use crate::core::request::Direction;
use crate::engine::LoadError;
use crate::outbound::spec::Grant;

/// Read the configuration and say everything that is wrong with it, or what it holds
///
/// Reads the file and the rule files beside it as `serve` does, and prints every error at once, one a line, as
/// `FILE:LINE:COLUMN: PATH: MESSAGE`. Nothing is fetched, no listener is opened and no key file is read: that is what
/// `tollgate doctor` is for. So it runs where files are written, too: in an editor, before a commit, in CI. The files
/// and variables that it names must be there, if only to stand in for the real ones.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  tollgate check --config policy.yaml
  tollgate check --config policy.yaml --json | jq -r '.errors[] | .path'

Exit codes:
  0  the configuration is right; what its key files hold, and whether issuers answer, `tollgate doctor` says
  1  it has errors, or cannot be read")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &CheckArgs, out: &mut impl Write) -> Result<Exit, Failure> {
    match config::load(&arguments.config.path()) {
        Ok(config) if arguments.json => writeln!(out, "{}", Printable::lines(&pretty(&summary(&config))))?,
        Ok(config) => describe(&config, out)?,
        Err(errors) => return tell(errors, arguments.json, out),
    }
    Ok(Exit::Yes)
}

/// Says what is wrong with a configuration that does not load.
pub(super) fn tell(errors: ConfigErrors, json: bool, out: &mut impl Write) -> Result<Exit, Failure> {
    if json {
        writeln!(out, "{}", Printable::lines(&pretty(&listed(&errors))))?;
    } else {
        for message in LoadError::from(errors).messages() {
            writeln!(out, "{}", Printable::line(&message))?;
        }
    }
    Ok(Exit::No)
}

pub(super) fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

fn listed(ConfigErrors(errors): &ConfigErrors) -> Value {
    let errors: Vec<Value> = errors
        .iter()
        .map(|ConfigError { file, position, path, message }| {
            json!({
                "file": file.display().to_string(),
                "line": position.map(|(line, _)| line),
                "column": position.map(|(_, column)| column),
                "path": path,
                "message": message,
            })
        })
        .collect();
    json!({ "ok": false, "errors": errors })
}

fn summary(config: &Config) -> Value {
    json!({
        "ok": true,
        "errors": [],
        "files": config.sources.iter().map(|source| {
            json!({ "path": source.path.display().to_string(), "sha256": source.sha256 })
        }).collect::<Vec<_>>(),
        "rules": config.table.rules().len(),
        "issuers": config.issuers.iter().map(|issuer| &*issuer.name).collect::<Vec<_>>(),
        "tokens": config.tokens.iter().map(|token| &*token.name).collect::<Vec<_>>(),
        "listeners": listeners(&config.server),
    })
}

/// What the configuration opens, each with what it is for.
fn listeners(server: &ServerSpec) -> Vec<String> {
    let mut listeners: Vec<String> = server.check.iter().map(check_listener).collect();
    listeners.extend(server.probes.map(|address| format!("probes on {address}")));
    listeners.extend(server.control.as_ref().map(|control| format!("control on {}", shown(&control.address))));
    listeners
}

fn check_listener(listener: &CheckListener) -> String {
    let tls = match &listener.tls {
        None => "",
        Some(tls) if tls.client_ca.is_none() => ", TLS",
        Some(tls) if tls.allowed_peers.is_empty() => ", mutual TLS",
        Some(_) => ", mutual TLS with a peer allow-list",
    };
    let trust = if listener.is_trusted() { "" } else { ", caller identity not trusted" };
    format!("Check ({}) on {}{tls}{trust}", direction(listener.direction), shown(&listener.address))
}

const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

/// An address as the configuration writes it.
pub(super) fn shown(address: &Address) -> String {
    match address {
        Address::Unix { path, .. } => format!("unix:{}", path.display()),
        Address::Tcp(address) => address.to_string(),
    }
}

/// What an issuer's tokens look like, and whether it is asked about them.
fn accepted(issuer: &IssuerSpec) -> String {
    let mut parts: Vec<&str> = match issuer.tokens {
        TokenFormat::Jwt | TokenFormat::Both => issuer.algorithms.iter().map(|algorithm| algorithm.as_str()).collect(),
        TokenFormat::Opaque => Vec::new(),
    };
    if issuer.tokens != TokenFormat::Jwt {
        parts.push("opaque");
    }
    if issuer.introspects_jwts() {
        parts.push("JWTs introspected");
    }
    parts.join(", ")
}

fn describe(config: &Config, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "ok: {}", plural(config.table.rules().len(), "rule"))?;
    for source in &config.sources {
        writeln!(out, "  file      {}", Printable::line(&source.path.display().to_string()))?;
    }
    for issuer in &config.issuers {
        writeln!(out, "  issuer    {} ({})", Printable::line(&issuer.name), accepted(issuer))?;
    }
    for token in &config.tokens {
        let kind = match token.grant {
            Grant::Exchange(_) => "exchange",
            Grant::ClientCredentials(_) => "client_credentials",
        };
        writeln!(out, "  token     {} ({kind})", Printable::line(&token.name))?;
    }
    for listener in listeners(&config.server) {
        writeln!(out, "  listener  {}", Printable::line(&listener))?;
    }
    Ok(())
}
