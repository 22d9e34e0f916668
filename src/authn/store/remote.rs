//! Keys behind a URL, fetched in the background.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use tokio::time::Instant;
use url::Url;

use super::discovery::{self, DiscoveryError};
use super::flights::{Flight, Flights};
use super::slot::Slot;
use crate::authn::keys::{KeySet, KeySetError, Published};
use crate::authn::spec::{FetchSpec, IssuerClaim};
use crate::core::event::{Event, HttpCall, RefreshOutcome};
use crate::net::{FetchError, FetchRequest, HttpClient, max_age};
use crate::secret::{Secret, SecretError, read_text};
use crate::trace_context::on_behalf_of;

/// Largest metadata document or key set.
const MAX_BYTES: usize = 1 << 20;
/// Wait after a first failure; it doubles with each further one …
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// … up to this …
const LAST_RETRY: Duration = Duration::from_secs(60);
/// … or to this, while there are no keys at all: every token is refused then.
const LAST_RETRY_WITHOUT_KEYS: Duration = Duration::from_secs(5);
/// No two refreshes are closer than this, whatever is configured.
const LEAST_REFRESH: Duration = Duration::from_millis(100);

/// What to fetch.
#[derive(Debug)]
pub(super) enum Source {
    Jwks(Url),
    Discovery { url: Url, issuer: IssuerClaim, allowed_hosts: Vec<Box<str>> },
}

/// Keys behind a URL.
#[derive(Debug)]
pub(super) struct Remote {
    source: Source,
    spec: FetchSpec,
    http: HttpClient,
    slot: Arc<Slot>,
    flights: Flights,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum RefreshError {
    #[error("`{host}`: {error}")]
    Fetch { host: String, error: FetchError },
    #[error("bearer token {0}")]
    Token(SecretError),
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    #[error(transparent)]
    Keys(#[from] KeySetError),
}

/// A document, and how long it is fresh.
type Document = (bytes::Bytes, Option<Duration>);

impl RefreshError {
    /// Of an answer that is another than wanted.
    fn status(&self) -> Option<u16> {
        match self {
            Self::Fetch { error: FetchError::Status(status), .. } => Some(*status),
            Self::Fetch { .. } | Self::Token(_) | Self::Discovery(_) | Self::Keys(_) => None,
        }
    }

    fn outcome(&self) -> RefreshOutcome {
        match self {
            Self::Fetch { error: FetchError::TooLarge(_) | FetchError::Compressed, .. }
            | Self::Discovery(_)
            | Self::Keys(_) => RefreshOutcome::Invalid,
            Self::Fetch { .. } | Self::Token(..) => RefreshOutcome::Unreachable,
        }
    }
}

impl Remote {
    pub(super) fn new(source: Source, spec: FetchSpec, http: HttpClient, slot: Arc<Slot>) -> Self {
        let flights = Flights::new(spec.unknown_kid_cooldown);
        Self { source, spec, http, slot, flights }
    }

    /// A flight that may bring this key id.
    pub(super) fn board(&self, kid: &str) -> Option<Flight> {
        self.flights.board(kid)
    }

    /// How many waited for a fetch that others had called for.
    pub(super) fn followers(&self) -> u64 {
        self.flights.followers()
    }

    /// Keys have run out.
    pub(super) fn nudge(&self) {
        self.flights.nudge();
    }

    /// Fetches for as long as it is polled.
    pub(super) async fn follow(self: Arc<Self>) {
        let mut failures = 0_u32;
        // Where the keys are, by the last discovery that led to keys; forgotten on each failure and each refresh.
        let mut place = None;
        loop {
            let origin = self.flights.take_off();
            let fetched = on_behalf_of(origin, self.fetch(&mut place)).await;
            let pause = match fetched {
                Ok((published, fresh_for)) => {
                    failures = 0;
                    self.slot.publish(published);
                    self.refresh_in(fresh_for)
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    place = None;
                    self.slot.failed(error.outcome(), error.to_string());
                    let without_keys = self.slot.current().is_err();
                    retry_in(failures, if without_keys { LAST_RETRY_WITHOUT_KEYS } else { LAST_RETRY })
                }
            };
            self.flights.land(failures == 0);
            tokio::select! {
                () = tokio::time::sleep(pause) => place = None,
                () = self.flights.called() => {}
            }
        }
    }

    async fn fetch(&self, place: &mut Option<Url>) -> Result<(Published, Option<Duration>), RefreshError> {
        let uri = match (&self.source, place.take()) {
            (Source::Jwks(url), _) => url.clone(),
            (Source::Discovery { .. }, Some(known)) => known,
            (Source::Discovery { url, issuer, allowed_hosts }, None) => {
                let (document, _) = self.told("discovery", url).await?;
                discovery::jwks_uri(&document, url, issuer, allowed_hosts, self.spec.transport.allow_insecure_http)?
            }
        };
        let (document, fresh_for) = self.told("jwks", &uri).await?;
        let published = KeySet::from_jwks(&document)?;
        *place = Some(uri);
        Ok((published, fresh_for))
    }

    /// Fetches a document, and tells how that went.
    async fn told(&self, document: &'static str, url: &Url) -> Result<Document, RefreshError> {
        let began = Instant::now();
        let fetched = Self::get(url, &self.spec, &self.http).await;
        let (outcome, status) = match &fetched {
            Ok(_) => (RefreshOutcome::Fresh, Some(200)),
            Err(error) => (error.outcome(), error.status()),
        };
        let http = HttpCall { host: url.host_str(), port: url.port_or_known_default(), status };
        let (issuer, took) = (self.slot.issuer(), began.elapsed());
        self.slot.report(Event::KeyFetch { issuer, document, outcome, took, http });
        fetched
    }

    /// Fetches a document; with it, how long it is fresh.
    pub(super) async fn get(url: &Url, spec: &FetchSpec, http: &HttpClient) -> Result<Document, RefreshError> {
        let mut request = FetchRequest::json(url.clone(), spec.timeout, MAX_BYTES);
        request.accept = "application/json, application/jwk-set+json";
        request.transport.clone_from(&spec.transport);
        request.bearer = Self::bearer(spec).await?;
        let answer = http.fetch(&request).await.and_then(crate::net::Fetched::ok);
        let answer = answer
            .map_err(|error| RefreshError::Fetch { host: url.host_str().unwrap_or_default().to_owned(), error })?;
        Ok((answer.body, max_age(&answer.headers)))
    }

    async fn bearer(spec: &FetchSpec) -> Result<Option<Secret>, RefreshError> {
        let Some(file) = &spec.bearer_token_file else { return Ok(None) };
        let file = file.clone();
        // It fails where the process ends.
        match tokio::task::spawn_blocking(move || read_text(&file)).await {
            Ok(read) => read.map(Some).map_err(RefreshError::Token),
            Err(_) => Ok(None),
        }
    }

    /// When to refresh after a success: as the answer says within the configured bounds, a little earlier by chance so
    /// that replicas spread, and well before the keys run out.
    fn refresh_in(&self, fresh_for: Option<Duration>) -> Duration {
        let (least, most) = self.spec.refresh_bounds;
        let pause = fresh_for.map_or(self.spec.refresh, |fresh| fresh.min(most).max(least));
        let pause = pause.min(self.spec.stale_keys.mul_f64(0.75)).max(LEAST_REFRESH);
        pause.mul_f64(rand::rng().random_range(0.9..=1.0))
    }
}

/// When to try again after so many failures: doubled each time up to `most`, and by chance down to half of it.
fn retry_in(failures: u32, most: Duration) -> Duration {
    let pause = FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(most);
    pause.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_back_off_and_no_further_than_they_may() {
        for (last, series) in [
            (LAST_RETRY, [(1, 0.5), (2, 1.0), (3, 2.0), (7, 32.0), (8, 60.0), (30, 60.0), (u32::MAX, 60.0)]),
            (LAST_RETRY_WITHOUT_KEYS, [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 5.0), (30, 5.0), (u32::MAX, 5.0)]),
        ] {
            for (failures, most) in series {
                for _ in 0..20 {
                    let pause = retry_in(failures, last).as_secs_f64();
                    assert!((most / 2.0..=most).contains(&pause), "{failures}: {pause}");
                }
            }
        }
    }
}
