//! Everything a decision reads, as of one generation of the configuration.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::Instant;

use crate::authn::{self, Issuer};
use crate::clock::Timestamp;
use crate::config::Source;
use crate::core::answer::{Answer, DecisionId};
use crate::core::decide::{self, Authentication, Decided};
use crate::core::reason::Reason;
use crate::core::request::{RawRequest, RequestFacts, is_grpc};
use crate::core::rule::Requirements;
use crate::core::table::PolicyTable;

/// Everything a decision reads, as of one generation of the configuration. It never changes; issuers within it
/// renew their own keys.
#[derive(Debug)]
pub struct Snapshot {
    generation: u64,
    loaded_at: Timestamp,
    sources: Vec<Source>,
    watched: Vec<PathBuf>,
    document: Value,
    table: PolicyTable,
    issuers: Vec<Arc<Issuer>>,
    /// The request headers that carry credentials of any issuer.
    credential_headers: Vec<Arc<str>>,
}

/// The files of a configuration.
pub(super) struct Files {
    pub(super) sources: Vec<Source>,
    pub(super) watched: Vec<PathBuf>,
    pub(super) document: Value,
}

impl Snapshot {
    /// Of a configuration whose issuers are running.
    pub(super) fn new(
        generation: u64,
        loaded_at: Timestamp,
        files: Files,
        table: PolicyTable,
        issuers: Vec<Arc<Issuer>>,
    ) -> Self {
        let credential_headers = authn::issuer::credential_headers(&issuers);
        let Files { sources, watched, document } = files;
        Self { generation, loaded_at, sources, watched, document, table, issuers, credential_headers }
    }

    /// Counts configurations put into service, from one.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// When it was loaded.
    pub fn loaded_at(&self) -> Timestamp {
        self.loaded_at
    }

    /// The files it was read from.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The files and directories whose changes may change it.
    pub(super) fn watched(&self) -> &[PathBuf] {
        &self.watched
    }

    /// The configuration as it was written, rule files included; it names secrets and holds none.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// The rules.
    pub fn table(&self) -> &PolicyTable {
        &self.table
    }

    /// The issuers, in the configuration's order.
    pub fn issuers(&self) -> &[Arc<Issuer>] {
        &self.issuers
    }

    /// Waits for the first keys of every issuer that must have them, at most this long. Whether they are there.
    pub(super) async fn first_keys(&self, limit: Duration) -> bool {
        join_all(self.needed().map(|issuer| issuer.keys().wait(limit))).await.into_iter().all(|there| there)
    }

    /// The issuers without whose keys nothing is ready.
    fn needed(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        self.issuers.iter().filter(|issuer| !issuer.spec().ready_without_keys)
    }

    /// The names of issuers that never had keys, and must have them.
    pub(super) fn issuers_without_keys(&self) -> Vec<Arc<str>> {
        let without = self.needed().filter(|issuer| issuer.keys().status().last_success.is_none());
        without.map(|issuer| Arc::clone(&issuer.spec().name)).collect()
    }

    /// Decides. `now` is the one time that the decision knows.
    pub(super) async fn check(
        &self,
        request: RawRequest<'_>,
        now: Timestamp,
        deadline: Instant,
        id: DecisionId,
    ) -> Answer {
        let grpc = request.headers.values("content-type").any(is_grpc);
        let facts = match RequestFacts::parse(request) {
            Ok(facts) => facts,
            Err(error) => return decide::refuse_unmatched(&self.table, error.reason(), grpc, id),
        };
        let found = match self.table.find(&facts) {
            Ok(Some(found)) => found,
            Ok(None) => return decide::refuse_unmatched(&self.table, Reason::NoRule, grpc, id),
            Err(found) => return decide::refuse_unjudgeable(found, &facts, id),
        };
        let authentication = match decide::wants(found.rule) {
            None => Authentication::NotWanted,
            Some(wanted) => self.authenticate(wanted, &facts, now, deadline, id).await,
        };
        let decided = decide::decide(&self.table, &found, &facts, authentication, &self.credential_headers, id);
        let answer = match decided {
            Decided::Answer(answer) => answer,
            Decided::NeedsToken(waiting) => waiting.refuse(Reason::UpstreamTokenUnavailable),
        };
        // Whoever asked has given up by now: what was made of a call out of time must not look like a decision.
        if Instant::now() >= deadline {
            return decide::refuse_matched(found.rule, Reason::DeadlineExceeded, &facts, id);
        }
        answer
    }

    async fn authenticate(
        &self,
        wanted: &Requirements,
        facts: &RequestFacts<'_>,
        now: Timestamp,
        deadline: Instant,
        id: DecisionId,
    ) -> Authentication {
        let issuers: Option<Vec<&Arc<Issuer>>> = wanted.issuers.iter().map(|index| self.issuers.get(index.0)).collect();
        let Some(issuers) = issuers else {
            tracing::error!(decision = %id, "a rule names an issuer that its own generation does not have");
            return Authentication::Refused(Reason::InternalError);
        };
        // What is waited for is a key that its issuer may have published meanwhile, or what it says of the token. The rest
        // of the time is for saying that it did not come: a provider that is slow is not a gate that is.
        let began = Instant::now();
        let give_up = began + deadline.saturating_duration_since(began).mul_f32(0.9);
        match authn::authenticate_by(&issuers, &facts.headers, &facts.caller, now, give_up).await {
            Ok(Some(found)) => Authentication::Verified { principal: found.principal, header: found.header },
            Ok(None) => Authentication::Absent,
            Err(error) => {
                tracing::debug!(decision = %id, reason = error.reason.code(), detail = ?error.detail, "a credential is refused");
                Authentication::Refused(error.reason)
            }
        }
    }
}
