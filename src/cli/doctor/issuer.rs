//! An issuer's metadata and keys.

use std::time::Duration;

use super::finding::{Finding, Subject};
use crate::authn::keys::{KeySet, Published};
use crate::authn::spec::{Algorithm, IssuerSpec, KeySource};
use crate::authn::store::{Probe, ProbeError, ProbeStep, probe};
use crate::net::{FetchError, HttpClient};

/// Visits an issuer's keys as a start would, which waits for them no longer than `first_keys`.
pub(super) async fn examine(spec: &IssuerSpec, first_keys: Duration, http: &HttpClient) -> Subject {
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
    Subject { name: format!("issuer `{}`", spec.name), findings }
}

fn judge(step: &ProbeStep, remote: bool) -> Finding {
    let verb = if remote { "GET " } else { "" };
    let seen = format!("{verb}{} ({})", step.what, rounded(step.took));
    match &step.error {
        None => Finding::fine(seen),
        Some(error) => Finding::fault(format!("{seen}: {}", error.message), remedy(error)),
    }
}

fn remedy(ProbeError { fetch, .. }: &ProbeError) -> &'static str {
    match fetch {
        // What is not HTTP's says itself what to do.
        None => "mend that, then run doctor again; until then every token of this issuer is refused",
        Some(FetchError::Request(_)) => {
            "use `https:`, or set `keys.allow_insecure_http` where the network is trusted; no user name or password in the URL"
        }
        Some(FetchError::RefusedAddress(_)) => {
            "link-local and metadata addresses are never asked: name the provider by its own address"
        }
        Some(FetchError::Dns) => "check the host name, and that this machine's resolver knows it",
        Some(FetchError::Connect(_)) => "is the provider up, and may this machine reach it (firewall, network policy)?",
        Some(FetchError::Tls(_)) => {
            "if the provider's certificate is from an authority of your own, name that in `keys.ca_file`"
        }
        Some(FetchError::Trust(_)) => "`keys.ca_file` names authorities in PEM; check path, permissions and content",
        Some(FetchError::Identity(_)) => {
            "name the PEM files of a certificate and of its key; check path and permissions"
        }
        Some(FetchError::Timeout) => "look for what is slow on the way there, or raise `keys.timeout`",
        Some(FetchError::Status(300..=399)) => "redirects are not followed: configure the URL that this one leads to",
        Some(FetchError::Status(401 | 403)) => {
            "the provider wants credentials: name a token in `keys.bearer_token_file`"
        }
        Some(FetchError::Status(404)) => {
            "check the path; discovery adds `/.well-known/openid-configuration` to the issuer, and `discovery: URL` says otherwise"
        }
        Some(FetchError::Status(_)) => "the provider has a fault of its own: see its log",
        Some(FetchError::TooLarge(_) | FetchError::Compressed | FetchError::Broken) => {
            "is this the provider itself, or a proxy or portal in between?"
        }
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

fn rounded(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    humantime::format_duration(Duration::from_millis(millis.max(1))).to_string()
}
