//! The tokens of a configuration: started, or taken over from the snapshot in service.

use std::sync::Arc;

use super::Snapshot;
use crate::authn::Issuer;
use crate::core::rule::TokenIndex;
use crate::outbound::TokenSource;
use crate::outbound::spec::{ActorSpec, Grant, ProviderRef, TokenSpec};
use crate::provider::{Deps, Provider};

/// All tokens in the configuration's order, and those of them that were started.
type Started = (Vec<Arc<TokenSource>>, Vec<Arc<TokenSource>>);

/// Starts what `previous` does not have already.
///
/// # Errors
/// Tokens whose parts are not there, by name.
pub(super) fn start(
    specs: Vec<TokenSpec>,
    previous: Option<&Snapshot>,
    issuers: &[Arc<Issuer>],
    deps: &Deps,
) -> Result<Started, Vec<(Arc<str>, &'static str)>> {
    let mut slots: Vec<Option<Arc<TokenSource>>> = vec![None; specs.len()];
    let (mut fresh, mut errors) = (Vec::new(), Vec::new());
    let (first, second): (Vec<_>, Vec<_>) =
        specs.into_iter().enumerate().partition(|(_, spec)| matches!(spec.grant, Grant::ClientCredentials(_)));
    // Exchanges come last: their actors are among the others.
    for (position, spec) in first.into_iter().chain(second) {
        let running = previous.and_then(|snapshot| snapshot.tokens().iter().find(|old| old.spec().name == spec.name));
        let (provider, actor) = match (provider(&spec, running, issuers, deps), actor(&spec, &slots)) {
            (Ok(provider), Ok(actor)) => (provider, actor),
            (Err(error), _) | (_, Err(error)) => {
                errors.push((spec.name, error));
                continue;
            }
        };
        let same = running.filter(|running| running.fits(&spec, &provider, actor.as_ref(), issuers));
        let source = same.map(Arc::clone).unwrap_or_else(|| {
            let running = running.map(|running| &**running);
            let source = TokenSource::start_instead_of(running, spec, provider, actor, issuers.to_vec(), deps);
            fresh.push(Arc::clone(&source));
            source
        });
        if let Some(slot) = slots.get_mut(position) {
            *slot = Some(source);
        }
    }
    if errors.is_empty() { Ok((slots.into_iter().flatten().collect(), fresh)) } else { Err(errors) }
}

fn provider(
    spec: &TokenSpec,
    running: Option<&Arc<TokenSource>>,
    issuers: &[Arc<Issuer>],
    deps: &Deps,
) -> Result<Arc<Provider>, &'static str> {
    match &spec.provider {
        ProviderRef::Issuer(index) => {
            let provider = issuers.get(index.0).and_then(|issuer| issuer.provider());
            provider.map(Arc::clone).ok_or("its issuer has no `provider`")
        }
        ProviderRef::Own(wanted) => {
            let same = running.map(|running| running.provider()).filter(|provider| provider.spec() == &**wanted);
            Ok(same.map_or_else(|| Provider::start(wanted.as_ref().clone(), deps), Arc::clone))
        }
    }
}

fn actor(spec: &TokenSpec, slots: &[Option<Arc<TokenSource>>]) -> Result<Option<Arc<TokenSource>>, &'static str> {
    let Grant::Exchange(exchange) = &spec.grant else { return Ok(None) };
    let Some(ActorSpec::Token(TokenIndex(index))) = exchange.actor else { return Ok(None) };
    let found = slots.get(index).and_then(Option::as_ref);
    let found = found.filter(|found| matches!(found.spec().grant, Grant::ClientCredentials(_)));
    found.map(|found| Some(Arc::clone(found))).ok_or("its actor is not a client_credentials token")
}
