//! How a call is made: a place, the endpoint, credentials, attempts.

use std::time::Duration;

use rand::Rng as _;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::breaker::Verdict;
use super::credentials::Proof;
use super::spec::{ClientAuth, ClientSpec};
use super::{CallError, Endpoint, Provider};
use crate::core::event::CallOutcome;
use crate::net::{FetchError, FetchRequest, Fetched, Form};

/// Pause before a second attempt; it doubles with each further one …
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// … up to this.
const LAST_PAUSE: Duration = Duration::from_secs(1);

impl Provider {
    /// As [`Provider::call`], which keeps account of it; ends at `end`. Where it goes to is left in `found`.
    pub(super) async fn attempts(
        &self,
        found: &mut Option<Url>,
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
        let url = &*found.insert(url.map_err(|_| FetchError::Timeout)??);
        let mut last = None;
        for attempt in 0..=self.spec.retries {
            let (result, probed) = match self.attempt(url, client, form, max_bytes, end).await {
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
    pub(super) fn note(&self, result: &Result<Fetched, CallError>, outcome: CallOutcome) {
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
