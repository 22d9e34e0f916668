//! An identity provider as its client sees it: endpoints, client authentication, and the bounds within which it is called.

mod assertion;
mod attempt;
mod breaker;
mod credentials;
mod endpoints;
mod flights;
mod health;
pub mod metadata;
mod places;
mod refusal;
pub mod spec;

pub use flights::{Flight, Flights};
pub use health::Fault;
pub use refusal::Refusal;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::{Clock, Timestamp};
use crate::core::event::{BreakerState, CallOutcome, Event, Events, HttpCall};
use crate::net::{FetchError, Fetched, HttpClient};
use crate::turns::Turns;
use endpoints::Endpoints;
use health::Health;
use places::Places;
use spec::{ClientSpec, ProviderSpec};

/// The grant type of RFC 8693 §2.1.
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// What running parts need from the process.
#[derive(Clone, Debug)]
pub struct Deps {
    /// The one HTTP client.
    pub http: HttpClient,
    /// The one clock.
    pub clock: Arc<dyn Clock>,
    /// The one recorder.
    pub events: Arc<dyn Events>,
    /// Turns at verifying signatures.
    pub turns: Arc<Turns>,
}

impl Deps {
    /// With turns for the runtime that this is called on.
    pub fn new(http: HttpClient, clock: Arc<dyn Clock>, events: Arc<dyn Events>) -> Self {
        Self { http, clock, events, turns: Arc::default() }
    }
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
    /// `introspection` or `token`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Introspection => "introspection",
            Self::Token => "token",
        }
    }

    /// What a call with this form is counted as: those to the token endpoint by what they ask for.
    fn counted_as(self, form: &[(&str, &str)]) -> &'static str {
        let grant = form.iter().find(|(name, _)| *name == "grant_type").map(|(_, grant)| *grant);
        match (self, grant) {
            (Self::Token, Some("client_credentials")) => "client_credentials",
            (Self::Token, Some(TOKEN_EXCHANGE)) => "token_exchange",
            (Self::Token | Self::Introspection, _) => self.name(),
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

    /// Reads its metadata, or finds them read. `None` where none are configured.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn try_metadata(&self) -> Option<Result<(), CallError>> {
        self.spec.metadata.as_ref()?;
        Some(self.endpoints.try_metadata().await)
    }

    /// Where an endpoint is, for a client that authenticates by certificate or otherwise. It may read the metadata.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn locate(&self, endpoint: Endpoint, client: Option<&ClientSpec>) -> Result<url::Url, CallError> {
        let by_certificate = client.is_some_and(|client| matches!(client.auth, spec::ClientAuth::Tls { .. }));
        self.endpoints.find(endpoint, by_certificate).await
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
        let mut url = None;
        let end = began + 2 * self.spec.timeout;
        let result = self.attempts(&mut url, endpoint, client, form, max_bytes, end).await;
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
        let http = http_call(url.as_ref(), result.as_ref().map(|answer| answer.status.as_u16()));
        let (provider, endpoint) = (&*self.spec.name, endpoint.counted_as(form));
        self.deps.events.report(Event::ProviderCall { provider, endpoint, outcome, took, http });
        result
    }
}

/// What is told of a call to this place that ended so.
fn http_call<'u>(url: Option<&'u url::Url>, ended: Result<u16, &CallError>) -> HttpCall<'u> {
    let status = match ended {
        Ok(status) => Some(status),
        Err(CallError::Fetch(FetchError::Status(status))) => Some(*status),
        Err(_) => None,
    };
    HttpCall { host: url.and_then(url::Url::host_str), port: url.and_then(url::Url::port_or_known_default), status }
}
