//! A decision, told to people: the very code that decides in service, watched.
//!
//! *Invariant:* what answers requests names nothing of this module. Here a credential may be stated instead of shown
//! ([`Stated`]), and no token for the next hop is obtained: the answer is what it would be with one.

mod judged;
mod watched;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::snapshot::{Files, Parts};
use super::{LoadError, Snapshot};
use crate::authn::credential::extract;
use crate::authn::explain::Credential;
use crate::authn::spec::{IssuerSpec, KeySource};
use crate::authn::stated::Stated;
use crate::authn::store::{Deps, KeyFileError};
use crate::authn::{Accepted, Issuer};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::config::server::ServerSpec;
use crate::core::answer::{Answer, DecisionId};
use crate::core::caller::CallerError;
use crate::core::decide;
use crate::core::request::{Direction, RawRequest, RequestError, RequestFacts};
use crate::core::rule::Rule;
use crate::core::table::{Considered, Matching, consider};
use crate::outbound::spec::{Grant, TokenSpec};
pub use judged::{Alternative, Judged, Outcome};
use watched::Watched;

/// Longest time for what is not a wait for keys.
const SLACK: Duration = Duration::from_secs(60);

/// Explains decisions by one configuration. Nothing is fetched but the keys of issuers whose tokens are to be verified.
#[derive(Debug)]
pub struct Explainer {
    server: ServerSpec,
    matching: Vec<Matching>,
    specs: Vec<IssuerSpec>,
    tokens: Vec<TokenSpec>,
    /// Its issuers never fetch anything.
    snapshot: Snapshot,
    /// Those that have their keys, as far as they were needed.
    live: Mutex<Vec<Option<Arc<Issuer>>>>,
    deps: Deps,
    /// How long keys are waited for.
    timeout: Duration,
}

/// How a decision was come to.
#[derive(Debug)]
pub struct Explanation {
    /// What the gate answers. Where the rule attaches a token, as it would be with that token.
    pub answer: Answer,
    /// As of when.
    pub at: Timestamp,
    /// The request as it was read.
    pub request: Result<Reading, RequestError>,
    /// How every rule stands to the request; none, where it could not be read.
    pub considered: Vec<Considered>,
    /// What became of its credential; `None` where no rule wanted to know.
    pub credential: Option<Credential>,
    /// What the rule that answers asks, in the order in which it is judged.
    pub requirements: Vec<Judged>,
    /// The token that would be obtained for the next hop.
    pub upstream_token: Option<UpstreamToken>,
    /// What serves such requests, and what that means for this one.
    pub notes: Vec<&'static str>,
}

/// The parts of a request as every rule sees them.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Of the listener.
    pub direction: Direction,
    /// As sent.
    pub method: String,
    /// Without port, in lower case.
    pub host: String,
    /// In its canonical spelling.
    pub path: String,
    /// The caller's SPIFFE id, or why there is none.
    pub caller: Result<String, CallerError>,
    /// What the operator set on the route.
    pub context: Vec<(String, String)>,
}

/// A token that the gate would attach.
#[derive(Clone, Debug)]
pub struct UpstreamToken {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Whether it is exchanged for the caller's, or else the gate's own.
    pub exchanged: bool,
}

impl Explainer {
    /// Takes a configuration over.
    ///
    /// # Errors
    /// An issuer that cannot be started.
    pub fn new(config: Config, deps: Deps, timeout: Duration) -> Result<Self, LoadError> {
        let Config { server, audit: _, issuers: specs, tokens, table, sources, watched, document, written } = config;
        let matching = written.rules.iter().map(Matching::from).collect();
        let files = Files { sources, watched, document };
        let started: Vec<_> = specs.iter().map(|spec| (&spec.name, Issuer::start(idle(spec), &deps))).collect();
        let issuers = all_or_errors(started)?;
        let live = Mutex::new(vec![None; issuers.len()]);
        let parts = Parts { table, issuers, tokens: Vec::new() };
        let snapshot = Snapshot::new(1, deps.clock.now(), files, parts);
        Ok(Self { server, matching, specs, tokens, snapshot, live, deps, timeout })
    }

    /// The rules.
    pub fn rules(&self) -> &[Arc<Rule>] {
        self.snapshot.table().rules()
    }

    /// Which requests each of them is for.
    pub fn matching(&self) -> &[Matching] {
        &self.matching
    }

    /// The issuers.
    pub fn issuers(&self) -> &[IssuerSpec] {
        &self.specs
    }

    /// Decides on a request, as of `now`, and says how. Where a credential is stated, the request carries `stand_in` in the
    /// place of the token.
    ///
    /// # Errors
    /// Key files of the issuers that are needed cannot be used.
    pub async fn explain(
        &self,
        mut request: RawRequest<'_>,
        stated: Option<(&Stated, &str)>,
        now: Timestamp,
    ) -> Result<Explanation, LoadError> {
        let mut notes = Vec::new();
        if let Some(note) = self.distrust(&mut request) {
            notes.push(note);
        }
        let facts = RequestFacts::parse(request.clone());
        let issuers = match &facts {
            Ok(facts) => self.issuers_for(facts, stated.map(|(_, stand_in)| stand_in))?,
            Err(_) => self.snapshot.issuers().to_vec(),
        };
        let mut course = Watched::new(&issuers, stated, self.timeout);
        let began = Instant::now();
        let time = began..began + self.timeout + SLACK;
        // Nobody will look for it anywhere.
        let id = DecisionId(0);
        let answer = self.snapshot.check(request, now, time, id, &mut course).await;
        let Watched { judged, credential, token, .. } = course;
        let spec = token.and_then(|token| self.tokens.get(token.0));
        let upstream_token = spec.map(|spec| UpstreamToken {
            name: Arc::clone(&spec.name),
            exchanged: matches!(spec.grant, Grant::Exchange(_)),
        });
        let (considered, requirements) = match &facts {
            Ok(facts) => {
                let found = self.snapshot.table().find(facts).ok().flatten();
                let is_absent = matches!(credential, Some(Credential::Absent));
                let requirements = found.map(|found| judged::all(&found, facts, &answer, &judged, is_absent));
                (consider(self.rules(), &self.matching, facts), requirements.unwrap_or_default())
            }
            Err(_) => (Vec::new(), Vec::new()),
        };
        let request = facts.map(|facts| Reading::of(&facts));
        Ok(Explanation { answer, at: now, request, considered, credential, requirements, upstream_token, notes })
    }

    /// What is said of a peer is not looked at where anybody could say it, as in service.
    fn distrust(&self, request: &mut RawRequest<'_>) -> Option<&'static str> {
        let mut listeners = self.server.check.iter().filter(|listener| listener.direction == request.direction);
        let (mut trusted, mut others) = (0_usize, 0_usize);
        listeners.by_ref().for_each(|listener| if listener.is_trusted() { trusted += 1 } else { others += 1 });
        match (trusted, others) {
            (0, 0) => Some("no listener of the configuration has this direction: nobody asks such a question"),
            (0, _) => {
                let said = !request.principal.is_empty() || !request.certificate.is_empty();
                (request.principal, request.certificate) = ("", "");
                said.then_some("no listener of this direction is trusted: what is said of the caller is not looked at")
            }
            (_, 0) => None,
            (_, _) => Some("some listeners of this direction are not trusted: there the caller would not be looked at"),
        }
    }

    /// The issuers, in their order: those whose tokens are to be verified with their keys.
    fn issuers_for(&self, facts: &RequestFacts<'_>, stand_in: Option<&str>) -> Result<Vec<Arc<Issuer>>, LoadError> {
        let mut issuers = self.snapshot.issuers().to_vec();
        let found = self.snapshot.table().find(facts).ok().flatten();
        let Some(wanted) = found.as_ref().and_then(|found| decide::wants(found.rule)) else { return Ok(issuers) };
        let Some(accepted) = Accepted::at(self.snapshot.issuers(), &wanted.issuers) else { return Ok(issuers) };
        let sources = accepted.iter().map(|issuer| &issuer.spec().credential);
        let carries = matches!(extract(sources, &facts.headers), Ok(Some(found)) if stand_in != Some(found.token));
        if !carries {
            return Ok(issuers);
        }
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let mut started = Vec::new();
        for index in &wanted.issuers {
            let (Some(spec), Some(slot), Some(place)) =
                (self.specs.get(index.0), live.get_mut(index.0), issuers.get_mut(index.0))
            else {
                continue;
            };
            match slot.as_ref().map_or_else(|| Issuer::start(spec.clone(), &self.deps), |live| Ok(Arc::clone(live))) {
                Ok(issuer) => {
                    *slot = Some(Arc::clone(&issuer));
                    *place = issuer;
                }
                Err(error) => started.push((&spec.name, Err(error))),
            }
        }
        all_or_errors(started)?;
        Ok(issuers)
    }
}

impl Reading {
    fn of(facts: &RequestFacts<'_>) -> Self {
        Self {
            direction: facts.direction,
            method: facts.method.to_owned(),
            host: facts.host.as_str().to_owned(),
            path: facts.path.to_string(),
            caller: facts.caller.spiffe_id().map(|id| id.as_str().to_owned()),
            context: facts.context_extensions.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        }
    }
}

/// An issuer that asks nobody for anything.
fn idle(spec: &IssuerSpec) -> IssuerSpec {
    IssuerSpec { keys: KeySource::None, provider: None, ..spec.clone() }
}

/// An issuer by name, as far as it could be started.
type Started<'n> = (&'n Arc<str>, Result<Arc<Issuer>, KeyFileError>);

fn all_or_errors(started: Vec<Started<'_>>) -> Result<Vec<Arc<Issuer>>, LoadError> {
    let (mut issuers, mut errors) = (Vec::new(), Vec::new());
    for (name, started) in started {
        match started {
            Ok(issuer) => issuers.push(issuer),
            Err(error) => errors.push((Arc::clone(name), error)),
        }
    }
    if errors.is_empty() { Ok(issuers) } else { Err(LoadError::Keys(errors)) }
}
