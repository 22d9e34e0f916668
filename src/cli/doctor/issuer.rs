//! An issuer's metadata and keys.

use std::time::Duration;

use super::finding::{Finding, rounded};
use super::remedy;
use crate::authn::keys::{KeySet, Published};
use crate::authn::spec::{Algorithm, IssuerSpec, KeySource};
use crate::authn::store::{Probe, ProbeError, ProbeStep, probe};
use crate::net::HttpClient;

/// Visits an issuer's keys as a start would, which waits for them no longer than `first_keys`.
pub(super) async fn examine(spec: &IssuerSpec, first_keys: Duration, http: &HttpClient) -> Vec<Finding> {
    if matches!(spec.keys, KeySource::None) {
        return vec![Finding::fine("no keys: its tokens are opaque")];
    }
    let Probe { steps, found } = probe(spec, http).await;
    let remote = matches!(spec.keys, KeySource::JwksUrl { .. } | KeySource::Discovery { .. });
    let mut findings: Vec<Finding> = steps.iter().map(|step| judge(step, remote)).collect();
    let took: Duration = steps.iter().map(|step| step.took).sum();
    if let Some(published) = found {
        if remote && took > first_keys {
            findings.push(Finding::warning(
                format!("the way to the keys took {}, a start waits {} for them", rounded(took), rounded(first_keys)),
                "raise `server.first_keys`, or a fresh replica refuses this issuer's tokens for a moment",
            ));
        }
        findings.extend(keys(spec, &published));
    }
    findings
}

fn judge(step: &ProbeStep, remote: bool) -> Finding {
    let verb = if remote { "GET " } else { "" };
    let seen = format!("{verb}{} ({})", step.what, rounded(step.took));
    match &step.error {
        None => Finding::fine(seen),
        Some(error) => Finding::fault(format!("{seen}: {}", error.message), remedy(error)),
    }
}

fn remedy(ProbeError { fetch, .. }: &ProbeError) -> String {
    match fetch {
        // What is not HTTP's says itself what to do.
        None => "mend that, then run doctor again; until then every token of this issuer is refused".to_owned(),
        Some(error) => remedy::of_fetch(error, "keys"),
    }
}

fn keys(spec: &IssuerSpec, published: &Published) -> Vec<Finding> {
    let mut findings = Vec::new();
    for refused in &published.refused {
        findings.push(Finding::warning(
            format!("a published key is not used: {refused}"),
            "tokens signed with it are refused; have the provider publish a proper one, or take it away",
        ));
    }
    for key in published.set.keys() {
        let fits: Vec<&str> =
            Algorithm::ALL.into_iter().filter(|algorithm| key.fits(*algorithm)).map(Algorithm::as_str).collect();
        let id = key.id().map_or("without id".to_owned(), |id| format!("`{id}`"));
        findings.push(Finding::fine(format!("key {id}: {}", fits.join(", "))));
    }
    findings.extend(unusable(spec, &published.set));
    findings
}

/// Algorithms that are allowed, and for which there is no key.
fn unusable(spec: &IssuerSpec, set: &KeySet) -> Option<Finding> {
    let fits = |algorithm: &Algorithm| set.keys().iter().any(|key| key.fits(*algorithm));
    let names =
        |algorithms: &[Algorithm]| algorithms.iter().map(|algorithm| algorithm.as_str()).collect::<Vec<_>>().join(", ");
    if spec.algorithms.iter().any(fits) {
        return None;
    }
    let allowed = names(&spec.algorithms);
    let there: Vec<Algorithm> = Algorithm::ALL.into_iter().filter(fits).collect();
    let remedy = if there.is_empty() {
        "have the provider publish its signing key".to_owned()
    } else {
        format!("if the issuer signs with one of {}, name it in `algorithms`", names(&there))
    };
    Some(Finding::fault(format!("no key fits an allowed algorithm ({allowed}): no token can be verified"), remedy))
}
