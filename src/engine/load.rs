//! From a configuration to a snapshot, aside from the one in service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::aside::{AsideError, aside};
use super::snapshot::{Files, Parts};
use super::{Snapshot, tokens};
use crate::authn::Issuer;
use crate::authn::store::{Deps, KeyFileError};
use crate::config::audit::AuditSpec;
use crate::config::server::ServerSpec;
use crate::config::{Config, ConfigErrors};
use crate::core::request::Direction;
use crate::outbound::TokenSource;

/// Longest time for reading and compiling a configuration. A file system that hangs must not hang reloads for good.
const LOAD_LIMIT: Duration = Duration::from_secs(60);

/// Why a configuration is not put into service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// Key files cannot be used: issuers' names, and what is wrong; never empty.
    #[error("{} in key files", count(.0.len()))]
    Keys(Vec<(Arc<str>, KeyFileError)>),
    /// Tokens cannot be obtained as they are configured: their names, and what is wrong; never empty.
    #[error("{} in `tokens`", count(.0.len()))]
    Tokens(Vec<(Arc<str>, &'static str)>),
    /// The listeners that are open are less trustworthy than those that the rules were checked against.
    #[error(
        "`server.check` now lists trusted {0} listeners only, but one that is open is not: restart to put it into service"
    )]
    TrustNeedsRestart(&'static str),
    /// Loading took too long.
    #[error("the configuration could not be loaded within {} s", LOAD_LIMIT.as_secs())]
    TimedOut,
    /// The process may have no more threads.
    #[error("no thread could be started to load the configuration: raise the limit of threads or processes")]
    NoThread,
    /// A defect.
    #[error("loading the configuration panicked")]
    Panicked,
}

fn count(errors: usize) -> String {
    if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") }
}

impl LoadError {
    /// One message for each thing that is wrong: file, position, configuration path, what to do.
    pub fn messages(&self) -> Vec<String> {
        match self {
            Self::Config(ConfigErrors(errors)) => errors.iter().map(ToString::to_string).collect(),
            Self::Keys(errors) => {
                errors.iter().map(|(issuer, error)| format!("issuers.{issuer}.keys: {error}")).collect()
            }
            Self::Tokens(errors) => errors.iter().map(|(token, error)| format!("tokens.{token}: {error}")).collect(),
            Self::TrustNeedsRestart(_) | Self::TimedOut | Self::NoThread | Self::Panicked => {
                vec![self.to_string()]
            }
        }
    }

    /// Where the errors are, without a word of what the files hold: for eyes that must see nothing else.
    pub fn places(&self) -> Vec<String> {
        match self {
            Self::Config(ConfigErrors(errors)) => errors.iter().map(place).collect(),
            Self::Keys(errors) => errors.iter().map(|(issuer, _)| format!("issuers.{issuer}.keys")).collect(),
            Self::Tokens(errors) => errors.iter().map(|(token, _)| format!("tokens.{token}")).collect(),
            Self::TrustNeedsRestart(_) | Self::TimedOut | Self::NoThread | Self::Panicked => {
                vec![self.to_string()]
            }
        }
    }
}

fn place(error: &crate::config::ConfigError) -> String {
    match error.position {
        Some((line, column)) => format!("{}:{line}:{column}", error.file.display()),
        None => error.file.display().to_string(),
    }
}

/// Where configurations come from.
#[derive(Clone)]
pub(super) struct Loader(Arc<dyn Fn() -> Result<Config, ConfigErrors> + Send + Sync>);

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Loader")
    }
}

/// A snapshot that is not yet in service.
pub(super) struct Built {
    pub(super) snapshot: Snapshot,
    pub(super) server: ServerSpec,
    pub(super) audit: Option<AuditSpec>,
    /// Those that were started for it.
    fresh: Vec<Arc<Issuer>>,
    fresh_tokens: Vec<Arc<TokenSource>>,
}

impl Built {
    /// Waits for the first keys of issuers and the first tokens that were started for it, at most `server.first_keys`.
    pub(super) async fn first_keys(&self) {
        let limit = self.server.first_keys;
        let tokens = join_all(self.fresh_tokens.iter().map(|token| async move {
            if !token.wait(limit).await {
                let token = &*token.spec().name;
                tracing::warn!(token, waited_ms = limit.as_millis(), "a token is not there yet: its rules deny");
            }
        }));
        let keys = join_all(self.fresh.iter().map(|issuer| async move {
            if !issuer.keys().wait(limit).await {
                let issuer = &*issuer.spec().name;
                tracing::warn!(
                    issuer,
                    waited_ms = limit.as_millis(),
                    "an issuer has no keys yet: its tokens are refused"
                );
            }
        }));
        tokio::join!(keys, tokens);
    }
}

impl Loader {
    pub(super) fn new(load: impl Fn() -> Result<Config, ConfigErrors> + Send + Sync + 'static) -> Self {
        Self(Arc::new(load))
    }

    /// Loads, compiles and starts what `previous` does not have already.
    pub(super) async fn build(&self, previous: Option<Arc<Snapshot>>, deps: &Deps) -> Result<Built, LoadError> {
        let (loader, deps) = (self.clone(), deps.clone());
        let work = aside(move || loader.build_blocking(previous.as_deref(), &deps));
        match tokio::time::timeout(LOAD_LIMIT, work).await {
            Ok(Ok(built)) => built,
            Ok(Err(AsideError::Panicked)) => Err(LoadError::Panicked),
            Ok(Err(AsideError::NoThread)) => Err(LoadError::NoThread),
            Err(_) => Err(LoadError::TimedOut),
        }
    }

    fn build_blocking(&self, previous: Option<&Snapshot>, deps: &Deps) -> Result<Built, LoadError> {
        // What is `written` serves people alone; it goes here.
        let Config { server, audit, issuers: specs, tokens, table, sources, watched, document, written: _ } =
            (self.0)()?;
        let (mut issuers, mut fresh, mut errors) = (Vec::with_capacity(specs.len()), Vec::new(), Vec::new());
        for spec in specs {
            let running =
                previous.and_then(|snapshot| snapshot.issuers().iter().find(|issuer| issuer.spec().name == spec.name));
            if let Some(issuer) = running.filter(|issuer| *issuer.spec() == spec) {
                issuers.push(Arc::clone(issuer));
                continue;
            }
            let name = Arc::clone(&spec.name);
            let started = match running {
                Some(running) => Issuer::start_instead_of(running, spec, deps),
                None => Issuer::start(spec, deps),
            };
            match started {
                Ok(issuer) => {
                    fresh.push(Arc::clone(&issuer));
                    issuers.push(issuer);
                }
                Err(error) => errors.push((name, error)),
            }
        }
        if !errors.is_empty() {
            return Err(LoadError::Keys(errors));
        }
        let (tokens, fresh_tokens) = tokens::start(tokens, previous, &issuers, deps).map_err(LoadError::Tokens)?;
        let generation = previous.map_or(0, Snapshot::generation).saturating_add(1);
        let files = Files { sources, watched, document };
        let snapshot = Snapshot::new(generation, deps.clock.now(), files, Parts { table, issuers, tokens });
        Ok(Built { snapshot, server, audit, fresh, fresh_tokens })
    }
}

/// Rules that trust a caller's identity were checked against the listeners of their own file, but those that are open
/// are of the first load. Refuses a file that trusts listeners of a direction more than those that are open deserve.
pub(super) fn refuse_grown_trust(open: &ServerSpec, listed: &ServerSpec) -> Result<(), LoadError> {
    let trusted = |server: &ServerSpec, direction| {
        server.check.iter().filter(|listener| listener.direction == direction).all(|listener| listener.is_trusted())
    };
    for (direction, name) in [(Direction::Inbound, "inbound"), (Direction::Outbound, "outbound")] {
        if trusted(listed, direction) && !trusted(open, direction) {
            return Err(LoadError::TrustNeedsRestart(name));
        }
    }
    Ok(())
}
