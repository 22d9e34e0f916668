//! One Check from facts to answer, on an immutable snapshot; building, reusing and replacing snapshots.
//!
//! A decision reads one [`Snapshot`] from beginning to end, so an answer is always of one generation. A reload is
//! compiled aside and swapped in whole; whatever is wrong with it leaves the snapshot in service untouched.

mod aside;
mod course;
pub mod explain;
mod follow;
mod load;
mod snapshot;
mod status;
mod tokens;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::authn::store::Deps;
use crate::clock::Timestamp;
use crate::config::audit::AuditSpec;
use crate::config::server::ServerSpec;
use crate::config::{self, Config, ConfigErrors};
use crate::core::answer::{Answer, DecisionId};
use crate::core::decide;
use crate::core::event::Event;
use crate::core::reason::Reason;
use crate::core::request::{RawRequest, is_grpc};
use crate::core::trail::Trail;
use aside::aside;
use course::InService;
pub use load::LoadError;
use load::{Built, Loader};
pub use snapshot::Snapshot;
pub use status::{IssuerStatus, NamedProvider, Readiness, Reload, Status};

/// Decides. Cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct Engine {
    snapshot: ArcSwap<Snapshot>,
    /// Of the first load: listeners are opened once.
    server: ServerSpec,
    /// Of the first load: the log is opened once.
    audit: Option<AuditSpec>,
    loader: Loader,
    deps: Deps,
    /// Held while a reload is under way.
    reloading: tokio::sync::Mutex<()>,
    last_reload: Mutex<Option<Reload>>,
    ready: AtomicBool,
}

impl Engine {
    /// Puts a configuration file into service. Waits for the first keys of its issuers, but no longer than
    /// `server.first_keys`: what is not there then is denied with [`Reason::KeysUnavailable`] until it is.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration, or with the key files it names.
    pub async fn load(path: &Path, deps: Deps) -> Result<Arc<Self>, LoadError> {
        let path = path.to_owned();
        Self::start(move || config::load(&path), deps).await
    }

    /// As [`Engine::load`], with a configuration from anywhere; `load` is called again for each reload, on a thread
    /// that may block.
    ///
    /// # Errors
    /// As there.
    pub async fn start(
        load: impl Fn() -> Result<Config, ConfigErrors> + Send + Sync + 'static,
        deps: Deps,
    ) -> Result<Arc<Self>, LoadError> {
        let loader = Loader::new(load);
        let built = loader.build(None, &deps).await?;
        built.first_keys().await;
        let Built { snapshot, server, audit, .. } = built;
        deps.turns.expect(server.deadline);
        deps.events.report(Event::Reload { applied: true, generation: 1, at: snapshot.loaded_at() });
        deps.events.report(Event::Audit { selection: audit.as_ref().map(|audit| &audit.selection) });
        let engine = Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            server,
            audit,
            loader,
            deps,
            reloading: tokio::sync::Mutex::default(),
            last_reload: Mutex::default(),
            ready: AtomicBool::new(false),
        };
        Ok(Arc::new(engine))
    }

    /// Decides on a request. The answer comes before `deadline`, be it a 503 denial.
    pub async fn check(&self, request: RawRequest<'_>, deadline: Instant) -> Answer {
        let snapshot = self.snapshot.load_full();
        let id = DecisionId(rand::random());
        let trail = Trail { generation: snapshot.generation(), ..Trail::default() };
        let begun = Instant::now();
        if begun >= deadline {
            let grpc = request.headers.values("content-type").any(is_grpc);
            let late = decide::refuse_unmatched(snapshot.table(), Reason::DeadlineExceeded, grpc, id);
            return Answer { trail, ..late };
        }
        let course = &mut InService { turns: &self.deps.turns, trail };
        let answer = snapshot.check(request, self.deps.clock.now(), begun..deadline, id, course).await;
        Answer { trail: std::mem::take(&mut course.trail), ..answer }
    }

    /// Whether a call is to be refused before it is looked at: there are more new tokens than there is time for, and known
    /// ones do not come.
    pub fn is_flooded(&self, now: Instant) -> bool {
        self.deps.turns.is_flooded(now)
    }

    /// What decides at the moment.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Listeners and limits, as of the start: a reload does not change them.
    pub fn server(&self) -> &ServerSpec {
        &self.server
    }

    /// The audit log, as of the start: a reload changes no more of it than what is written.
    pub fn audit(&self) -> Option<&AuditSpec> {
        self.audit.as_ref()
    }

    /// Reads the configuration again and puts it into service; the generation that then serves. Issuers whose
    /// configuration is unchanged keep their keys and caches; new ones are waited for as in [`Engine::load`].
    ///
    /// Reloads happen one after the other, and each ends even where its caller stops waiting.
    ///
    /// # Errors
    /// What is wrong. The snapshot in service stays.
    pub async fn reload(self: &Arc<Self>) -> Result<u64, LoadError> {
        let engine = Arc::clone(self);
        tokio::spawn(async move { engine.reload_once(false).await }).await.map_err(|_| LoadError::Panicked)?
    }

    /// As [`Engine::reload`], but where the files are as they were when they were last put into service, nothing
    /// happens beyond forgetting an error.
    ///
    /// # Errors
    /// As there.
    pub async fn reload_if_changed(self: &Arc<Self>) -> Result<u64, LoadError> {
        let engine = Arc::clone(self);
        tokio::spawn(async move { engine.reload_once(true).await }).await.map_err(|_| LoadError::Panicked)?
    }

    async fn reload_once(&self, only_if_changed: bool) -> Result<u64, LoadError> {
        let _one_at_a_time = self.reloading.lock().await;
        let current = self.snapshot.load_full();
        let built = self.loader.build(Some(Arc::clone(&current)), &self.deps).await;
        let at = self.deps.clock.now();
        let built = match built.and_then(|built| load::refuse_grown_trust(&self.server, &built.server).map(|()| built))
        {
            Ok(built) => built,
            Err(error) => {
                self.refused(&error, at, current.generation());
                return Err(error);
            }
        };
        let (server_changed, audit_changed) = (built.server != self.server, !self.audits_to(built.audit.as_ref()));
        let restart_needed = server_changed || audit_changed;
        if only_if_changed && !current.sources().is_empty() && built.snapshot.sources() == current.sources() {
            let generation = current.generation();
            if self.last_error().is_some() {
                tracing::info!(generation, "the configuration is again the one that is in service");
                self.remember(Reload { at, generation, error: None, restart_needed });
            }
            return Ok(generation);
        }
        built.first_keys().await;
        // An issuer that is replaced had its chance to make us ready.
        let _ = self.readiness();
        let generation = built.snapshot.generation();
        drop(current);
        self.put_aside(self.snapshot.swap(Arc::new(built.snapshot)));
        tracing::info!(generation, "a changed configuration is in service");
        if server_changed {
            tracing::warn!(generation, "`server` was changed: restart to apply that part");
        }
        if audit_changed {
            tracing::warn!(generation, "where `audit` writes to was changed: restart to apply that part");
        }
        self.deps.events.report(Event::Audit { selection: built.audit.as_ref().map(|audit| &audit.selection) });
        self.deps.events.report(Event::Reload { applied: true, generation, at });
        self.remember(Reload { at, generation, error: None, restart_needed });
        Ok(generation)
    }

    /// Ends a snapshot once the calls that decide by it are over: of ten thousand rules it takes a while.
    fn put_aside(&self, old: Arc<Snapshot>) {
        let deadline = self.server.deadline;
        tokio::spawn(async move {
            tokio::time::sleep(deadline).await;
            let _ = aside(move || drop(old)).await;
        });
    }

    /// Whether a configuration's audit log is the one that is open.
    fn audits_to(&self, audit: Option<&AuditSpec>) -> bool {
        match (&self.audit, audit) {
            (None, None) => true,
            (Some(open), Some(audit)) => open.to == audit.to && open.buffer == audit.buffer,
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    fn refused(&self, error: &LoadError, at: Timestamp, generation: u64) {
        // An attempt is repeated while it fails; its errors are news once.
        if self.last_error().as_ref() != Some(error) {
            for message in error.messages() {
                tracing::error!(generation, "{message}");
            }
            tracing::error!(generation, "the changed configuration is not in service; the old one is");
        }
        self.deps.events.report(Event::Reload { applied: false, generation, at });
        self.remember(Reload { at, generation, error: Some(error.clone()), restart_needed: false });
    }

    fn remember(&self, reload: Reload) {
        *self.last_reload.lock().unwrap_or_else(PoisonError::into_inner) = Some(reload);
    }

    /// Whether every issuer that must have keys has had them. Once they had, that remains so: neither an outage nor a reload takes a replica
    /// that serves out of service.
    pub fn readiness(&self) -> Readiness {
        if self.ready.load(Ordering::Acquire) {
            return Readiness::Ready;
        }
        let waiting = self.snapshot.load().issuers_without_keys();
        if waiting.is_empty() {
            self.ready.store(true, Ordering::Release);
            Readiness::Ready
        } else {
            Readiness::WaitingFor(waiting)
        }
    }

    /// Returns when [`Engine::readiness`] is [`Readiness::Ready`], however long that takes.
    pub async fn until_ready(&self) {
        const ROUND: Duration = Duration::from_millis(500);
        while !matches!(self.readiness(), Readiness::Ready) {
            // In rounds, since a reload may replace the issuers that are waited for.
            let snapshot = self.snapshot.load_full();
            let round = Instant::now() + ROUND;
            if !snapshot.first_keys(ROUND).await {
                tokio::time::sleep_until(round).await;
            }
        }
    }

    /// For people and dashboards.
    pub fn status(&self) -> Status {
        let snapshot = self.snapshot.load_full();
        let last_reload = self.last_reload.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Status::of(&snapshot, self.deps.clock.now(), self.readiness(), last_reload)
    }
}
