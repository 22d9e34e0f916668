//! RFC 6749 §4.4: the client's own token, fetched ahead of need.
//!
//! One task keeps it fresh: it fetches the first one, the next one before the current one expires, and a new one when the
//! client's secret has changed. Requests take what is there; only where nothing is, they wait for the flight.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rand::Rng as _;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::answer::unusable;
use super::requester::{Granted, Requester};
use super::spec::ClientCredentialsSpec;
use crate::authn::AuthnError;
use crate::clock::Timestamp;
use crate::core::reason::Reason;
use crate::provider::Flights;
use crate::provider::spec::{ClientAuth, ClientSpec};
use crate::secret::{Secret, SecretSource};
use crate::watch::Watch;

/// Background fetches of many tokens that become due together, at start or by one secret's change, spread over this.
const SPREAD: Duration = Duration::from_millis(250);
/// Wait after a first failure; it doubles with each further one …
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// … up to this.
const LAST_RETRY: Duration = Duration::from_secs(30);
/// A request that finds no token asks for one only where the last attempt did not fail within this time.
const JUST_FAILED: Duration = Duration::from_secs(1);
/// The wall clock is looked at this often, since it may be set.
const TICK: Duration = Duration::from_secs(5);
/// No token is sent that expires within this time, or within a tenth of its lifetime where that is less.
const MARGIN: Duration = Duration::from_secs(10);
/// A token that does not say when it expires is fetched anew after this …
const BLIND_REFRESH: Duration = Duration::from_secs(300);
/// … and serves no longer than this.
const BLIND_LIFETIME: Duration = Duration::from_secs(600);

/// One client_credentials token.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) requester: Requester,
    refresh_ahead: Duration,
    current: ArcSwapOption<Current>,
    flights: Flights<(), Result<Secret, AuthnError>>,
    /// When an attempt failed last, and none has succeeded since.
    failed: Mutex<Option<(Instant, AuthnError)>>,
    due: Notify,
    arrived: Notify,
}

/// The token that serves.
#[derive(Clone, Debug)]
pub(super) struct Current {
    token: Secret,
    kept_at: Timestamp,
    refresh_at: Timestamp,
    /// Not at this time, nor after.
    until: Timestamp,
    expires_at: Option<Timestamp>,
}

impl Current {
    /// `None` where it is as good as expired.
    fn new(granted: Granted, refresh_ahead: Duration, now: Timestamp) -> Option<Self> {
        let Granted { token, expires_at, .. } = granted;
        let (until, refresh_at) = match expires_at {
            None => (now.saturating_add(BLIND_LIFETIME), now.saturating_add(BLIND_REFRESH.mul_f64(chance(0.8, 1.0)))),
            Some(expires_at) => {
                let lifetime = expires_at.since(now);
                let margin = MARGIN.min(lifetime / 10);
                let ahead = refresh_ahead.min(lifetime / 3).max(margin);
                (expires_at.saturating_sub(margin), expires_at.saturating_sub(ahead.mul_f64(chance(1.0, 1.2))))
            }
        };
        (now < until).then_some(Self { token, kept_at: now, refresh_at, until, expires_at })
    }

    fn is_valid(&self, now: Timestamp) -> bool {
        self.kept_at <= now && now < self.until
    }
}

fn chance(from: f64, to: f64) -> f64 {
    rand::rng().random_range(from..=to)
}

impl Own {
    pub(super) fn new(requester: Requester, spec: &ClientCredentialsSpec) -> Self {
        Self {
            requester,
            refresh_ahead: spec.refresh_ahead,
            current: ArcSwapOption::empty(),
            flights: Flights::default(),
            failed: Mutex::default(),
            due: Notify::new(),
            arrived: Notify::new(),
        }
    }

    /// Takes over what an instance of the same spec and provider has.
    pub(super) fn inherit(&self, other: &Self) {
        self.current.store(other.current.load_full());
    }

    /// How many waited for a request that others had begun.
    pub(super) fn followers(&self) -> u64 {
        self.flights.followers()
    }

    /// The token, at once where there is one.
    pub(super) async fn obtain(self: &Arc<Self>, now: Timestamp) -> Result<Secret, AuthnError> {
        if let Some(current) = self.valid(now) {
            if now >= current.refresh_at {
                self.due.notify_one();
            }
            return Ok(current.token.clone());
        }
        if !self.flights.is_under_way(&())
            && let Some(error) = self.just_failed()
        {
            return Err(error);
        }
        self.fly(false).await
    }

    async fn fly(self: &Arc<Self>, renew: bool) -> Result<Secret, AuthnError> {
        let flight = self.flights.join((), || {
            let own = Arc::clone(self);
            async move { own.fetch(renew).await }
        });
        let ended = || AuthnError::new(Reason::UpstreamTokenUnavailable, "the request ended without a result");
        flight.landed().await.unwrap_or_else(|| Err(ended()))
    }

    async fn fetch(&self, renew: bool) -> Result<Secret, AuthnError> {
        // Another flight may have landed after its callers looked and before they joined this one.
        if let Some(current) = self.valid(self.requester.now()).filter(|_| !renew) {
            return Ok(current.token.clone());
        }
        let requested = self.requester.request(None, None).await.map_err(|failed| failed.error);
        let kept = requested.and_then(|granted| {
            Current::new(granted, self.refresh_ahead, self.requester.now())
                .ok_or_else(|| unusable("the new token has expired already"))
        });
        match kept {
            Ok(current) => {
                let token = current.token.clone();
                self.current.store(Some(Arc::new(current)));
                self.set_failed(None);
                self.arrived.notify_waiters();
                Ok(token)
            }
            Err(error) => {
                self.set_failed(Some((Instant::now(), error.clone())));
                Err(error)
            }
        }
    }

    fn valid(&self, now: Timestamp) -> Option<Arc<Current>> {
        self.current.load_full().filter(|current| current.is_valid(now))
    }

    fn is_due(&self) -> bool {
        let now = self.requester.now();
        self.valid(now).is_none_or(|current| now >= current.refresh_at)
    }

    fn just_failed(&self) -> Option<AuthnError> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.as_ref().filter(|(at, _)| at.elapsed() < JUST_FAILED).map(|(_, error)| error.clone())
    }

    fn set_failed(&self, failed: Option<(Instant, AuthnError)>) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
    }

    /// When the token that serves expires, if there is one and it says so.
    pub(super) fn expires_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.valid(now)?.expires_at
    }

    /// Waits until there is a token, at most this long, without asking for one. Whether there is one.
    pub(super) async fn wait(&self, limit: Duration) -> bool {
        let arrival = async {
            loop {
                let arrived = self.arrived.notified();
                if self.valid(self.requester.now()).is_some() {
                    return;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(limit, arrival).await.is_ok()
    }

    /// Keeps the token fresh for as long as it is polled.
    pub(super) async fn follow(self: Arc<Self>, mut watch: Option<Watch>) {
        let (mut renew, mut failures) = (false, 0_u32);
        let mut earliest = Instant::now() + SPREAD.mul_f64(chance(0.0, 1.0));
        loop {
            let due = renew || self.is_due();
            if due && Instant::now() >= earliest {
                // What is under way began before the secret changed, or before it was due.
                while self.flights.is_under_way(&()) {
                    let _ = self.fly(false).await;
                }
                if !renew && !self.is_due() {
                    continue;
                }
                match self.fly(true).await {
                    Ok(_) => (renew, failures) = (false, 0),
                    Err(_) => failures = failures.saturating_add(1),
                }
                earliest = Instant::now() + pause(failures);
                continue;
            }
            let wait = if due { earliest.saturating_duration_since(Instant::now()) } else { self.until_due() };
            tokio::select! {
                () = tokio::time::sleep(wait.min(TICK)) => {}
                () = self.due.notified(), if !due => {}
                told = changed(&mut watch) => {
                    if told {
                        renew = true;
                        failures = 0;
                        earliest = Instant::now() + SPREAD.mul_f64(chance(0.0, 1.0));
                    } else {
                        watch = None;
                        let token = &*self.requester.spec.name;
                        tracing::warn!(token, "a changed client secret is found with the next refresh only");
                    }
                }
            }
        }
    }

    fn until_due(&self) -> Duration {
        let now = self.requester.now();
        self.valid(now).map_or(Duration::ZERO, |current| current.refresh_at.since(now)).max(Duration::from_millis(1))
    }
}

async fn changed(watch: &mut Option<Watch>) -> bool {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// Between two attempts of one token.
fn pause(failures: u32) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LAST_RETRY).mul_f64(chance(0.8, 1.2))
}

/// The files whose change makes a new token worth asking for.
pub(super) fn watched(client: &ClientSpec) -> Vec<PathBuf> {
    match &client.auth {
        ClientAuth::SecretBasic(SecretSource::File(path))
        | ClientAuth::SecretPost(SecretSource::File(path))
        | ClientAuth::AssertionFile(path) => vec![path.clone()],
        ClientAuth::SecretBasic(SecretSource::Env(_)) | ClientAuth::SecretPost(SecretSource::Env(_)) => Vec::new(),
        ClientAuth::PrivateKeyJwt { key, .. } => vec![key.clone()],
        ClientAuth::Tls { certificate, key } => vec![certificate.clone(), key.clone()],
    }
}
