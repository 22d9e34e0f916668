//! A provider's metadata and endpoints, and introspection.

use std::sync::Arc;
use std::time::Instant;

use super::finding::{Finding, rounded};
use super::mask::Mask;
use super::remedy::{self, Ask};
use crate::authn::Issuer;
use crate::authn::issuer::Trial;
use crate::provider::spec::{BreakerSpec, ClientSpec, ProviderSpec};
use crate::provider::{Endpoint, Provider};

/// An endpoint, and who would call it; nobody where the configuration does not need it.
pub(super) type Need<'n> = (Endpoint, Option<&'n ClientSpec>);

/// A provider that is called a few times at once, and about which each call is to say what it sees.
pub(super) fn patient(spec: ProviderSpec) -> ProviderSpec {
    let breaker = BreakerSpec { failures: u32::MAX, ..spec.breaker };
    ProviderSpec { breaker, retries: 0, max_in_flight: spec.max_in_flight.max(64), ..spec }
}

/// Finds the endpoints, by way of the metadata where some are not given.
pub(super) async fn endpoints(provider: &Provider, needs: &[Need<'_>]) -> Vec<Finding> {
    let spec = provider.spec();
    let given = |endpoint| match endpoint {
        Endpoint::Introspection => spec.introspection_endpoint.is_some(),
        Endpoint::Token => spec.token_endpoint.is_some(),
    };
    let mut findings = Vec::new();
    if needs.iter().any(|(endpoint, _)| !given(*endpoint))
        && let Some(url) = &spec.metadata
    {
        let began = Instant::now();
        let read = provider.try_metadata().await.unwrap_or(Ok(()));
        let seen = format!("GET {url} ({})", rounded(began.elapsed()));
        match read {
            Ok(()) => findings.push(Finding::fine(seen)),
            Err(error) => {
                findings.push(Finding::fault(format!("{seen}: {error}"), remedy::of_call(&error)));
                return findings;
            }
        }
    }
    for (endpoint, client) in needs {
        let found = match provider.locate(*endpoint, *client).await {
            Ok(url) => Finding::fine(format!("{} endpoint {url}", endpoint.name())),
            Err(_) if client.is_none() => continue,
            Err(error) => Finding::fault(format!("{} endpoint: {error}", endpoint.name()), remedy::of_call(&error)),
        };
        if !findings.contains(&found) {
            findings.push(found);
        }
    }
    findings
}

/// Asks about a text that is nobody's token: the answer proves endpoint and credentials.
pub(super) async fn introspection(issuer: &Arc<Issuer>, mask: &Mask) -> Option<Finding> {
    let began = Instant::now();
    let trial = issuer.try_introspection().await?;
    let took = rounded(began.elapsed());
    Some(match trial {
        Trial::Inactive => {
            Finding::fine(format!("introspection ({took}): a text that is nobody's token is not active"))
        }
        Trial::Active => Finding::fault(
            format!("introspection ({took}): a text that is nobody's token is said to be active"),
            "this endpoint says so of anything: do not use it, and name the provider's real one",
        ),
        Trial::Failed { detail, call, refusal } => {
            let remedy = match (&call, &refusal) {
                (Some(call), _) => remedy::of_call(call),
                (None, Some(refusal)) => remedy::of_refusal(refusal, Ask::Introspection).to_owned(),
                (None, None) => String::new(),
            };
            let said = refusal.as_ref().map(|refusal| format!(" ({})", mask.refusal(refusal))).unwrap_or_default();
            Finding::fault(format!("introspection ({took}): {detail}{said}"), remedy)
        }
    })
}
