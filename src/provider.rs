//! An identity provider as its client sees it: endpoints, client authentication, and the bounds within which it is called.

mod assertion;
mod breaker;
mod credentials;
mod endpoints;
mod flights;
mod health;
pub mod metadata;
mod places;
pub mod spec;

pub use flights::{Flight, Flights};
pub use health::Fault;

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::clock::{Clock, Timestamp};
use crate::core::event::{BreakerState, CallOutcome, Event, Events};
use crate::net::{FetchError, FetchRequest, Fetched, Form, HttpClient};
use breaker::Verdict;
use credentials::Proof;
use endpoints::Endpoints;
use health::Health;
use places::Places;
use spec::{ClientAuth, ClientSpec, ProviderSpec};

/// Pause before a second attempt; it doubles with each further one …
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// … up to this.
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// What running parts need from the process.
#[derive(Clone, Debug)]
pub struct Deps {
    /// The one HTTP client.
    pub http: HttpClient,
    /// The one clock.
    pub clock: Arc<dyn Clock>,
    /// The one recorder.
    pub events: Arc<dyn Events>,
}

/// A provider that is called. All calls to it share its places, its breaker and its metadata.
#[derive(Debug)]
pub struct Provider {
    spec: ProviderSpec,
    deps: Deps,
    endpoints: Endpoints,
    places: Places,
    health: Health,
}

/// How a provider fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderStatus {
    /// What its breaker lets through. It stays open until somebody calls after the pause.
    pub breaker: BreakerState,
    /// Calls that are under way.
    pub in_flight: usize,
    /// When it last answered a call with a status below 400.
    pub last_success: Option<Timestamp>,
    /// What last kept a call from being answered, or from being made; calls for which there was no place, or which the
    /// breaker held back, do not count.
    pub last_error: Option<Fault>,
}

/// Which endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// RFC 7662. Calls are idempotent: they are retried.
    Introspection,
    /// RFC 6749 §3.2. Calls are not: they are not.
    Token,
}

/// Why there is no answer to a call. No message holds a secret, a token or bytes of an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Every place is taken.
    #[error("as many calls as allowed are under way")]
    Busy,
    /// The breaker is open: it failed too often lately.
    #[error("the provider failed repeatedly and is left alone for a while")]
    Open,
    /// Transport, timeout, limits.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The metadata do not tell where the endpoint is.
    #[error("metadata: {0}")]
    Metadata(String),
    /// The gate's own credentials could not be read or used: file or variable, and why.
    #[error("client credentials: {0}")]
    Credentials(String),
}

impl CallError {
    /// Whether the provider was, or would have been, at fault, as opposed to our own configuration: transport and
    /// timeouts count, an answer that is too large or our own credentials do not.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Busy | Self::Open => true,
            Self::Fetch(error) => error.is_transport(),
            Self::Metadata(_) | Self::Credentials(_) => false,
        }
    }
}

impl CallError {
    /// What is counted.
    fn outcome(&self) -> CallOutcome {
        match self {
            Self::Busy => CallOutcome::Busy,
            Self::Open => CallOutcome::Open,
            Self::Fetch(FetchError::Status(429 | 500..)) => CallOutcome::Failed,
            Self::Fetch(FetchError::Status(_)) => CallOutcome::Refused,
            Self::Fetch(error) if error.is_ours() => CallOutcome::Unsendable,
            Self::Fetch(_) => CallOutcome::Broken,
            Self::Metadata(_) | Self::Credentials(_) => CallOutcome::Unsendable,
        }
    }
}

impl Endpoint {
    const fn name(self) -> &'static str {
        match self {
            Self::Introspection => "introspection",
            Self::Token => "token",
        }
    }

    /// Whether a call that failed may be made again.
    const fn is_idempotent(self) -> bool {
        match self {
            Self::Introspection => true,
            Self::Token => false,
        }
    }
}

impl Provider {
    /// Starts it. Nothing is connected to before the first call.
    pub fn start(spec: ProviderSpec, deps: &Deps) -> Arc<Self> {
        let Deps { clock, events, .. } = deps.clone();
        Arc::new(Self {
            endpoints: Endpoints::new(&spec, deps),
            places: Places::new(Arc::clone(&spec.name), spec.max_in_flight, Arc::clone(&events)),
            health: Health::new(Arc::clone(&spec.name), spec.breaker, events, clock),
            deps: deps.clone(),
            spec,
        })
    }

    /// What the configuration says about it.
    pub fn spec(&self) -> &ProviderSpec {
        &self.spec
    }

    /// How it fares.
    pub fn status(&self) -> ProviderStatus {
        let (breaker, last_success, last_error) = self.health.seen();
        ProviderStatus { breaker, in_flight: self.places.taken(), last_success, last_error }
    }

    /// Sends a form (`application/x-www-form-urlencoded`) to one of its endpoints, authenticated as `client`. An answer
    /// of any status is an answer; `5xx` and `429` count as failures for the breaker.
    ///
    /// It ends within twice the provider's `timeout`, whatever happens: no attempt takes longer than `timeout`, and for
    /// a place it waits a quarter of that. Introspection that failed in transport or with 502, 503 or 504 is tried
    /// again as often as configured while there is time; each attempt counts for the breaker, and a probe is one
    /// attempt. A call that is dropped frees its place and leaves no trace.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(
        &self,
        endpoint: Endpoint,
        client: &ClientSpec,
        form: &[(&str, &str)],
        max_bytes: usize,
    ) -> Result<Fetched, CallError> {
        let began = Instant::now();
        let result = self.attempts(endpoint, client, form, max_bytes, began + 2 * self.spec.timeout).await;
        let outcome = match &result {
            Ok(answer) => match answer.status.as_u16() {
                ..400 => CallOutcome::Answered,
                429 | 500.. => CallOutcome::Failed,
                _ => CallOutcome::Refused,
            },
            Err(error) => error.outcome(),
        };
        self.note(&result, outcome);
        let took = match outcome {
            CallOutcome::Busy | CallOutcome::Open | CallOutcome::Unsendable => Duration::ZERO,
            CallOutcome::Answered | CallOutcome::Refused | CallOutcome::Failed | CallOutcome::Broken => began.elapsed(),
        };
        let provider = &*self.spec.name;
        self.deps.events.report(Event::ProviderCall { provider, endpoint: endpoint.name(), outcome, took });
        result
    }

    async fn attempts(
        &self,
        endpoint: Endpoint,
        client: &ClientSpec,
        form: &[(&str, &str)],
        max_bytes: usize,
        end: Instant,
    ) -> Result<Fetched, CallError> {
        if !self.health.admits() {
            return Err(CallError::Open);
        }
        let _place = self.places.take(self.spec.timeout / 4).await.ok_or(CallError::Busy)?;
        let by_certificate = matches!(client.auth, ClientAuth::Tls { .. });
        let url = timeout_at(end, self.endpoints.find(endpoint, by_certificate)).await;
        let url = url.map_err(|_| FetchError::Timeout)??;
        let mut last = None;
        for attempt in 0..=self.spec.retries {
            let (result, probed) = match self.attempt(&url, client, form, max_bytes, end).await {
                // The breaker opened meanwhile: what the provider said counts, not that it is left alone now.
                Err(CallError::Open) => return last.unwrap_or(Err(CallError::Open)),
                Err(error) => return Err(error),
                Ok(attempted) => attempted,
            };
            let pause = pause_before_retry(attempt);
            let time_left = end.saturating_duration_since(Instant::now()) > pause + self.spec.timeout / 4;
            if probed || !endpoint.is_idempotent() || !may_retry(&result) || !time_left {
                return result.map_err(CallError::from_fetch);
            }
            last = Some(result.map_err(CallError::from_fetch));
            if attempt < self.spec.retries {
                tokio::time::sleep(pause).await;
            }
        }
        last.unwrap_or(Err(CallError::Busy))
    }

    /// One attempt; with it, whether it was a probe. It fails where nothing was sent.
    async fn attempt(
        &self,
        url: &Url,
        client: &ClientSpec,
        form: &[(&str, &str)],
        max_bytes: usize,
        end: Instant,
    ) -> Result<(Result<Fetched, FetchError>, bool), CallError> {
        // Before the breaker is asked: what is wrong with them tells nothing about the provider. For each attempt: an
        // assertion is good for one.
        let audience = self.spec.issuer.as_deref().unwrap_or(url.as_str());
        let proof = timeout_at(end, Proof::read(client, audience, self.deps.clock.now())).await;
        let proof = proof.unwrap_or_else(|_| Err("not read in time".to_owned())).map_err(CallError::Credentials)?;
        let mut filled = Form::default();
        for (name, value) in form {
            filled.add(name, value);
        }
        let (basic, identity) = proof.apply(&mut filled);
        let timeout = self.spec.timeout.min(end.saturating_duration_since(Instant::now()));
        let mut request = FetchRequest::json(url.clone(), timeout, max_bytes);
        request.transport.clone_from(&self.spec.transport);
        request.transport.identity = identity;
        let pass = self.health.admit().ok_or(CallError::Open)?;
        let probes = pass.is_probe();
        let result = self.deps.http.post(&request, &filled, basic.as_ref()).await;
        if let Some(why) = fault(&result) {
            self.health.failed(&why);
        }
        pass.settle(verdict(&result));
        Ok((result, probes))
    }

    /// Keeps what `status` tells.
    fn note(&self, result: &Result<Fetched, CallError>, outcome: CallOutcome) {
        match (result, outcome) {
            (Ok(_), CallOutcome::Answered) => self.health.succeeded(),
            // Those of attempts are kept already.
            (Err(CallError::Busy | CallError::Open), _) | (Ok(_), _) => {}
            (Err(error), _) => self.health.failed(&error.to_string()),
        }
    }
}

impl CallError {
    fn from_fetch(error: FetchError) -> Self {
        match error {
            FetchError::Identity(why) => Self::Credentials(why),
            other => Self::Fetch(other),
        }
    }
}

/// What an attempt tells the breaker.
fn verdict(result: &Result<Fetched, FetchError>) -> Verdict {
    match result {
        Ok(answer) if is_failure(answer.status.as_u16()) => Verdict::Down,
        Ok(_) | Err(FetchError::TooLarge(_) | FetchError::Compressed) => Verdict::Up,
        Err(error) if error.is_ours() => Verdict::Unknown,
        Err(_) => Verdict::Down,
    }
}

/// What an attempt tells the operator.
fn fault(result: &Result<Fetched, FetchError>) -> Option<String> {
    match result {
        Ok(answer) => match answer.status.as_u16() {
            401 => Some("answered with status 401: it does not accept the client's credentials".to_owned()),
            status if is_failure(status) => Some(FetchError::Status(status).to_string()),
            _ => None,
        },
        Err(error) => Some(error.to_string()),
    }
}

fn is_failure(status: u16) -> bool {
    matches!(status, 429 | 500..)
}

/// Whether another attempt may fare better.
fn may_retry(result: &Result<Fetched, FetchError>) -> bool {
    match result {
        Ok(answer) => matches!(answer.status.as_u16(), 502..=504),
        // A handshake fails for reasons that last.
        Err(FetchError::Tls(_)) => false,
        Err(error) => error.is_transport(),
    }
}

/// How long to wait after so many attempts: doubled each time, and by chance down to half of it.
fn pause_before_retry(attempts: u32) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(1 << attempts.min(16)).min(LAST_PAUSE);
    pause.mul_f64(rand::rng().random_range(0.5..=1.0))
}
