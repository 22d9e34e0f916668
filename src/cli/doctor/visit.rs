//! The round: everything at once, so that whoever does not answer holds up nobody else.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::finding::{Finding, Subject};
use super::given::{self, Given};
use super::mask::Mask;
use super::provider::{self, Need};
use super::tokens::{self, NotTried};
use super::{client, issuer, listener};
use crate::authn::spec::{IssuerSpec, KeySource};
use crate::authn::{Issuer, issuer::Report};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::Config;
use crate::core::event::Silent;
use crate::core::rule::{IssuerIndex, TokenIndex};
use crate::net::HttpClient;
use crate::outbound::spec::{ActorSpec, Grant, ProviderRef, TokenSpec};
use crate::outbound::{Subject as SubjectToken, TokenSource};
use crate::provider::{Deps, Endpoint, Provider};
use crate::secret::{MAX_SECRET_BYTES, read_bytes};

/// Least time for an issuer's first keys, when a token is to be verified with them.
const KEYS_LIMIT: Duration = Duration::from_secs(10);

/// What the round is made with.
struct Round<'c> {
    config: &'c Config,
    now: Timestamp,
    mask: Mask,
    deps: Deps,
    /// In the configuration's order; none where its key files cannot be used.
    issuers: Vec<Option<Arc<Issuer>>>,
}

/// Looks at everything.
pub(super) async fn all(config: &Config, given: &Given) -> Vec<Subject> {
    let deps = Deps::new(HttpClient::new(), Arc::new(SystemClock), Arc::new(Silent));
    let mut mask = Mask::default();
    given.token.iter().chain(&given.subject).for_each(|token| mask.token(token));
    let introspecting = config.issuers.iter().filter_map(|spec| spec.introspection.as_ref()).map(|how| &how.client);
    introspecting.chain(config.tokens.iter().map(|token| &token.client)).for_each(|client| mask.client(client));

    // Running issuers fetch keys: only where one is needed.
    let needed = config.issuers.iter().any(|spec| spec.provider.is_some())
        || !config.tokens.is_empty()
        || given.token.is_some()
        || given.subject.is_some();
    let start = |spec: &IssuerSpec| {
        let provider = spec.provider.clone().map(provider::patient);
        Issuer::start(IssuerSpec { provider, ..spec.clone() }, &deps).ok()
    };
    let issuers = config.issuers.iter().map(|spec| needed.then(|| start(spec)).flatten()).collect();
    let round = Round { config, now: SystemClock.now(), mask, deps, issuers };

    let positions = 0..config.issuers.len();
    let issuers = positions.filter_map(|position| Some(round.issuer(position, config.issuers.get(position)?)));
    let listeners = listener::all(&config.server).into_iter().map(|listener| listener.examine(round.now));
    let (mut subjects, about, tokens, listeners) =
        tokio::join!(join_all(issuers), round.about(given), round.tokens(given), join_all(listeners));
    subjects.extend(tokens);
    subjects.extend(about);
    subjects.extend(listeners);
    subjects
}

impl Round<'_> {
    async fn issuer(&self, position: usize, spec: &IssuerSpec) -> Subject {
        let keys = issuer::examine(spec, self.config.server.first_keys, &self.deps.http);
        let (mut findings, asked) = tokio::join!(keys, self.provider(position, spec));
        findings.extend(asked);
        Subject { name: format!("issuer `{}`", spec.name), findings }
    }

    /// An issuer's endpoints, and whether introspection works.
    async fn provider(&self, position: usize, spec: &IssuerSpec) -> Vec<Finding> {
        let mut findings = bearer_token(spec);
        let Some(running) = self.issuers.get(position).and_then(Option::as_ref) else { return findings };
        let Some(provider) = running.provider() else { return findings };
        let introspection = spec.introspection.as_ref().map(|how| (Endpoint::Introspection, Some(&how.client)));
        let of_tokens =
            self.config.tokens.iter().filter(|token| token.provider == ProviderRef::Issuer(IssuerIndex(position)));
        let mut needs: Vec<Need<'_>> =
            introspection.into_iter().chain(of_tokens.map(|token| (Endpoint::Token, Some(&token.client)))).collect();
        if needs.is_empty() {
            needs = vec![(Endpoint::Introspection, None), (Endpoint::Token, None)];
        }
        findings.extend(provider::endpoints(provider, &needs).await);
        if let Some(how) = &spec.introspection {
            findings.extend(client::examine(&how.client, self.now));
            if provider.locate(Endpoint::Introspection, Some(&how.client)).await.is_ok() {
                findings.extend(provider::introspection(running, &self.mask).await);
            }
        }
        findings
    }

    async fn verify(&self, token: &str, given: &Given) -> Report {
        let issuers = self.issuers.iter().flatten().filter(|issuer| given.is_of(&issuer.spec().name));
        let issuers: Vec<Arc<Issuer>> = issuers.cloned().collect();
        given::verify(&issuers, token, self.now, KEYS_LIMIT.max(self.config.server.first_keys)).await
    }

    async fn about(&self, given: &Given) -> Option<Subject> {
        Some(given::about(&self.verify(given.token.as_deref()?, given).await, &self.mask))
    }

    async fn tokens(&self, given: &Given) -> Vec<Subject> {
        let exchanges = self.config.tokens.iter().any(|spec| matches!(spec.grant, Grant::Exchange(_)));
        let report = match &given.subject {
            Some(token) if exchanges => Some((token, self.verify(token, given).await)),
            Some(_) | None => None,
        };
        let subject = match &report {
            None => Err(NotTried::NoSubject),
            Some((token, report)) => self.subject(token, report),
        };
        join_all(self.config.tokens.iter().map(|spec| self.token(spec, subject.clone()))).await
    }

    fn subject<'s>(&'s self, token: &'s str, report: &'s Report) -> Result<SubjectToken<'s>, NotTried> {
        let why = |error: &crate::authn::AuthnError| format!("{}: {}", error.reason, self.mask.text(&error.detail));
        let principal = report.result.as_ref().map_err(|error| NotTried::Refused(why(error)))?;
        let named = |issuer: &&Arc<Issuer>| Some(&issuer.spec().name) == report.issuer.as_ref();
        let issuer = self.issuers.iter().flatten().find(named);
        let issuer = issuer.ok_or_else(|| NotTried::Refused("nobody issued it".to_owned()))?;
        Ok(SubjectToken { token, expires_at: principal.expires_at(), issuer, principal })
    }

    async fn token(&self, spec: &TokenSpec, subject: Result<SubjectToken<'_>, NotTried>) -> Subject {
        let kind = match spec.grant {
            Grant::Exchange(_) => "exchange",
            Grant::ClientCredentials(_) => "client_credentials",
        };
        let mut findings = client::examine(&spec.client, self.now);
        if let Grant::Exchange(grant) = &spec.grant
            && let Some(ActorSpec::File { path, .. }) = &grant.actor
        {
            let read = read_bytes(path, MAX_SECRET_BYTES).map(drop).map_err(|error| error.to_string());
            findings.extend(client::file("actor's token", path, read));
        }
        match self.source(spec) {
            Ok(source) => {
                if matches!(spec.provider, ProviderRef::Own(_)) {
                    let needs = [(Endpoint::Token, Some(&spec.client))];
                    findings.extend(provider::endpoints(source.provider(), &needs).await);
                }
                let located = source.provider().locate(Endpoint::Token, Some(&spec.client)).await.is_ok();
                if located {
                    findings.extend(tokens::examine(&source, subject, self.now, &self.mask).await);
                } else {
                    let remedy = "mend what keeps the endpoint from being found, as said above";
                    findings.push(Finding::fault("not tried: the token endpoint is not known", remedy));
                }
            }
            Err(why) => {
                findings.push(Finding::fault(format!("not tried: {why}"), "mend that first, then run doctor again"))
            }
        }
        Subject { name: format!("token `{}` ({kind})", spec.name), findings }
    }

    /// A source aside from every other, and its actor's.
    fn source(&self, spec: &TokenSpec) -> Result<Arc<TokenSource>, String> {
        let actor = match &spec.grant {
            Grant::Exchange(grant) => match &grant.actor {
                Some(ActorSpec::Token(TokenIndex(index))) => {
                    self.config.tokens.get(*index).map(|spec| self.source(spec)).transpose()?
                }
                Some(ActorSpec::File { .. }) | None => None,
            },
            Grant::ClientCredentials(_) => None,
        };
        let mut issuers = Vec::new();
        for (issuer, spec) in self.issuers.iter().zip(&self.config.issuers) {
            // Specs count issuers by their places.
            let down = || format!("the issuer `{}` does not start", spec.name);
            issuers.push(Arc::clone(issuer.as_ref().ok_or_else(down)?));
        }
        let provider = match &spec.provider {
            ProviderRef::Own(own) => Provider::start(provider::patient((**own).clone()), &self.deps),
            ProviderRef::Issuer(IssuerIndex(index)) => {
                let provider = issuers.get(*index).and_then(|issuer| issuer.provider());
                Arc::clone(provider.ok_or("its issuer has no `provider`")?)
            }
        };
        Ok(Arc::new(TokenSource::resting(spec.clone(), provider, actor, issuers, &self.deps)))
    }
}

/// The token by which keys are fetched.
fn bearer_token(spec: &IssuerSpec) -> Vec<Finding> {
    let fetch = match &spec.keys {
        KeySource::JwksUrl { fetch, .. } | KeySource::Discovery { fetch, .. } => fetch,
        KeySource::None | KeySource::Pem(_) | KeySource::JwksFile(_) => return Vec::new(),
    };
    let Some(path) = &fetch.bearer_token_file else { return Vec::new() };
    let read = read_bytes(path, MAX_SECRET_BYTES).map(drop).map_err(|error| error.to_string());
    client::file("bearer token for the keys", path, read)
}
