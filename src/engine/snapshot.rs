//! Everything a decision reads, as of one generation of the configuration.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::Instant;

use super::course::{Asked, Course, Told};
use crate::authn::{self, Issuer};
use crate::clock::Timestamp;
use crate::config::Source;
use crate::core::answer::{Answer, DecisionId};
use crate::core::decide::{self, Decided};
use crate::core::guard::GuardedHeaders;
use crate::core::reason::Reason;
use crate::core::request::{RawRequest, RequestFacts, is_grpc};
use crate::core::table::PolicyTable;
use crate::outbound::TokenSource;

/// Everything a decision reads, as of one generation of the configuration. It never changes; issuers within it
/// renew their own keys, and tokens themselves.
#[derive(Debug)]
pub struct Snapshot {
    generation: u64,
    loaded_at: Timestamp,
    sources: Vec<Source>,
    watched: Vec<PathBuf>,
    document: Value,
    table: PolicyTable,
    issuers: Vec<Arc<Issuer>>,
    tokens: Vec<Arc<TokenSource>>,
    /// The request headers that only the gate may let through.
    guarded: GuardedHeaders,
}

/// The files of a configuration.
pub(super) struct Files {
    pub(super) sources: Vec<Source>,
    pub(super) watched: Vec<PathBuf>,
    pub(super) document: Value,
}

/// What a configuration came to.
pub(super) struct Parts {
    pub(super) table: PolicyTable,
    pub(super) issuers: Vec<Arc<Issuer>>,
    pub(super) tokens: Vec<Arc<TokenSource>>,
}

impl Snapshot {
    /// Of a configuration whose parts are running.
    pub(super) fn new(generation: u64, loaded_at: Timestamp, files: Files, parts: Parts) -> Self {
        let Files { sources, watched, document } = files;
        let Parts { table, issuers, tokens } = parts;
        let guarded = GuardedHeaders::new(&table, &authn::issuer::credential_headers(&issuers));
        Self { generation, loaded_at, sources, watched, document, table, issuers, tokens, guarded }
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

    /// The tokens that rules attach, in the configuration's order.
    pub fn tokens(&self) -> &[Arc<TokenSource>] {
        &self.tokens
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

    /// Decides, in this time. `now` is the one time of day that the decision knows. `trail` is told how it came about.
    pub(super) async fn check(
        &self,
        request: RawRequest<'_>,
        now: Timestamp,
        time: Range<Instant>,
        id: DecisionId,
        course: &mut impl Course,
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
        // Providers may be waited for. The rest of the time is for saying so: one that is slow is not a gate that is.
        let patience = time.start + time.end.saturating_duration_since(time.start).mul_f32(0.9);
        let (authentication, subject) =
            match course.authenticate(Asked { snapshot: self, now, patience, id }, found.rule, &facts) {
                Told::Now(told) => told,
                Told::Later(waiting) => waiting.await,
            };
        let decided = decide::decide_observed(&found, &facts, authentication, &self.guarded, id, course);
        let answer = match decided {
            Decided::Answer(answer) => answer,
            // What waits is put aside, so that a call that does not, as most do not, stays small.
            Decided::NeedsToken(waiting) => {
                let asked = Asked { snapshot: self, now, patience, id };
                Box::pin(course.attach(asked, waiting, subject.as_ref())).await
            }
        };
        // Whoever asked has given up by now: what was made of a call out of time must not look like a decision.
        if Instant::now() >= time.end {
            return decide::refuse_matched(found.rule, Reason::DeadlineExceeded, &facts, id);
        }
        answer
    }
}
