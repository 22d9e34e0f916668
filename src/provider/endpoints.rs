//! Where a provider's endpoints are: given, or by its metadata, which are kept and refreshed in the background.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use super::metadata::{MAX_METADATA_BYTES, Member, Metadata, MetadataError, Rules};
use super::spec::ProviderSpec;
use super::{CallError, Deps, Endpoint, Flights, http_call};
use crate::core::event::{CallOutcome, Event};
use crate::net::{FetchError, FetchRequest};

/// How often metadata are fetched.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Those of this age are fetched anew, in the background …
    refresh_after: Duration,
    /// … and after a failure again no sooner than this.
    refresh_retry: Duration,
    /// As long as there are none, a failure stands for this long, so that many calls are not many fetches.
    failure_stands: Duration,
}

const PACE: Pace = Pace {
    refresh_after: Duration::from_secs(600),
    refresh_retry: Duration::from_secs(30),
    failure_stands: Duration::from_secs(1),
};

/// Where a provider's endpoints are.
#[derive(Debug)]
pub(super) struct Endpoints(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pace: Pace,
    spec: ProviderSpec,
    deps: Deps,
    known: Mutex<Known>,
    flights: Flights<(), Result<Arc<Found>, CallError>>,
}

/// What is known of the metadata, and since when.
#[derive(Debug, Default)]
struct Known {
    good: Option<(Arc<Found>, Instant)>,
    failed: Option<(CallError, Instant)>,
}

/// What a metadata document says. One endpoint that it does not have is no fault while the other is asked for.
#[derive(Debug)]
struct Found {
    plain: Urls,
    mutual_tls: Urls,
}

#[derive(Debug)]
struct Urls {
    introspection: Result<Url, MetadataError>,
    token: Result<Url, MetadataError>,
}

impl Endpoints {
    pub(super) fn new(spec: &ProviderSpec, deps: &Deps) -> Self {
        Self::with_pace(spec, deps, PACE)
    }

    fn with_pace(spec: &ProviderSpec, deps: &Deps, pace: Pace) -> Self {
        let (known, flights) = (Mutex::default(), Flights::default());
        Self(Arc::new(Shared { pace, spec: spec.clone(), deps: deps.clone(), known, flights }))
    }

    /// The URL of an endpoint, for a client that authenticates by certificate or otherwise.
    pub(super) async fn find(&self, endpoint: Endpoint, by_certificate: bool) -> Result<Url, CallError> {
        let spec = &self.0.spec;
        let given = match endpoint {
            Endpoint::Introspection => &spec.introspection_endpoint,
            Endpoint::Token => &spec.token_endpoint,
        };
        if let Some(url) = given {
            return Ok(url.clone());
        }
        let found = self.metadata().await?;
        let urls = if by_certificate { &found.mutual_tls } else { &found.plain };
        let url = match endpoint {
            Endpoint::Introspection => &urls.introspection,
            Endpoint::Token => &urls.token,
        };
        url.clone().map_err(|error| CallError::Metadata(error.to_string()))
    }

    /// Whether there are metadata to find endpoints in.
    pub(super) async fn try_metadata(&self) -> Result<(), CallError> {
        self.metadata().await.map(drop)
    }

    async fn metadata(&self) -> Result<Arc<Found>, CallError> {
        let (Some(url), Some(issuer)) = (&self.0.spec.metadata, &self.0.spec.issuer) else {
            let text = "the endpoint is not configured, and there is no metadata document to tell it";
            return Err(CallError::Metadata(text.to_owned()));
        };
        let fetch = || {
            let (shared, url, issuer) = (Arc::clone(&self.0), url.clone(), Arc::clone(issuer));
            self.0.flights.join((), move || async move { shared.refresh(&url, &issuer).await })
        };
        let (now, pace) = (Instant::now(), self.0.pace);
        let (good, failed) = {
            let known = self.0.known();
            (known.good.clone(), known.failed.clone())
        };
        let failed_within = |pause| failed.as_ref().filter(|(_, at)| now.duration_since(*at) < pause);
        if let Some((good, since)) = good {
            if now.duration_since(since) >= pace.refresh_after && failed_within(pace.refresh_retry).is_none() {
                // It runs on its own.
                let _ = fetch();
            }
            return Ok(good);
        }
        if let Some((error, _)) = failed_within(pace.failure_stands) {
            return Err(error.clone());
        }
        fetch().landed().await.unwrap_or(Err(CallError::Fetch(FetchError::Timeout)))
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn refresh(&self, url: &Url, issuer: &str) -> Result<Arc<Found>, CallError> {
        let began = Instant::now();
        let found = self.fetch(url, issuer).await.map(Arc::new);
        let outcome = match &found {
            Ok(_) => CallOutcome::Answered,
            Err(error) => error.outcome(),
        };
        let (provider, took) = (&*self.spec.name, began.elapsed());
        let http = http_call(Some(url), found.as_ref().map(|_| 200));
        self.deps.events.report(Event::ProviderCall { provider, endpoint: "metadata", outcome, took, http });
        let mut known = self.known();
        match &found {
            Ok(found) => *known = Known { good: Some((Arc::clone(found), Instant::now())), failed: None },
            Err(error) => {
                if known.failed.as_ref().is_none_or(|(last, _)| last != error) {
                    tracing::warn!(provider, %error, kept = known.good.is_some(), "no metadata from a provider");
                }
                known.failed = Some((error.clone(), Instant::now()));
            }
        }
        found
    }

    async fn fetch(&self, url: &Url, issuer: &str) -> Result<Found, CallError> {
        let mut request = FetchRequest::json(url.clone(), self.spec.timeout, MAX_METADATA_BYTES);
        request.transport.clone_from(&self.spec.transport);
        let answer = self.deps.http.fetch(&request).await?;
        let status = answer.status.as_u16();
        let answer = answer.ok().map_err(|error| match status {
            429 | 500.. => CallError::Fetch(error),
            _ => CallError::Metadata(format!("`{}` {error}", request.url)),
        })?;
        let rules = Rules {
            source: url,
            issuer,
            allowed_hosts: &self.spec.allowed_hosts,
            allow_insecure_http: self.spec.transport.allow_insecure_http,
        };
        let metadata = Metadata::read(&answer.body, &rules).map_err(|error| CallError::Metadata(error.to_string()))?;
        let plain = |member| metadata.url(member, &rules);
        let mutual_tls = |member| metadata.mutual_tls_url(member, &rules);
        let urls = |url: &dyn Fn(Member) -> Result<Url, MetadataError>| Urls {
            introspection: url(Member::IntrospectionEndpoint),
            token: url(Member::TokenEndpoint),
        };
        Ok(Found { plain: urls(&plain), mutual_tls: urls(&mutual_tls) })
    }
}

#[cfg(test)]
mod tests;
