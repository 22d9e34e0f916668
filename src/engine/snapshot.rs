//! Everything a decision reads, as of one generation of the configuration.

use std::ops::Range;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::Instant;

use crate::authn::{self, Accepted, Authenticated, AuthnError, Issuer, LookUp};
use crate::clock::Timestamp;
use crate::config::Source;
use crate::core::answer::{Answer, DecisionId};
use crate::core::decide::{self, Authentication, Decided, NeedsToken};
use crate::core::guard::GuardedHeaders;
use crate::core::reason::Reason;
use crate::core::request::{RawRequest, RequestFacts, is_grpc};
use crate::core::rule::{Action, Requirements};
use crate::core::table::PolicyTable;
use crate::core::trail::{Obtained, ObtainedKind, Trail, Work};
use crate::outbound::spec::Grant;
use crate::outbound::{Subject, TokenSource};
use crate::turns::Turns;

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
        turns: &Turns,
        trail: &mut Trail,
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
        // What waits is put aside, so that a call that does not, as most do not, stays small.
        let (authentication, subject) = match decide::wants(found.rule) {
            None => {
                turns.another();
                (Authentication::NotWanted, None)
            }
            Some(wanted) => match self.look_up(wanted, &facts, now, id, trail) {
                LookUp::Absent => {
                    if matches!(found.rule.effect.action, Action::Optional(_)) {
                        turns.another();
                    }
                    (Authentication::Absent, None)
                }
                LookUp::Known(known) => {
                    turns.another();
                    trail.work = Work::Cached;
                    verified(known)
                }
                LookUp::Refused(error) => refused(&error, id),
                LookUp::Unknown(pending) => {
                    match Box::pin(pending.verify(&facts.caller, patience, &mut trail.work)).await {
                        Ok(new) => verified(new),
                        Err(error) => refused(&error, id),
                    }
                }
            },
        };
        let decided = decide::decide(&found, &facts, authentication, &self.guarded, id);
        let answer = match decided {
            Decided::Answer(answer) => answer,
            Decided::NeedsToken(waiting) => {
                Box::pin(self.attach(waiting, subject.as_ref(), now, patience, id, trail)).await
            }
        };
        // Whoever asked has given up by now: what was made of a call out of time must not look like a decision.
        if Instant::now() >= time.end {
            return decide::refuse_matched(found.rule, Reason::DeadlineExceeded, &facts, id);
        }
        answer
    }

    fn look_up<'s, 'h>(
        &'s self,
        wanted: &'s Requirements,
        facts: &RequestFacts<'h>,
        now: Timestamp,
        id: DecisionId,
        trail: &mut Trail,
    ) -> LookUp<'s, 'h> {
        let Some(accepted) = Accepted::at(&self.issuers, &wanted.issuers) else {
            tracing::error!(decision = %id, "a rule names an issuer that its own generation does not have");
            let detail = "the rule's issuer is not there";
            return LookUp::Refused(AuthnError::new(Reason::InternalError, detail));
        };
        let (found, token) = authn::look_up(accepted, &facts.headers, &facts.caller, now);
        trail.token = token;
        found
    }

    /// Obtains the token that an allow waits for. Without it the request is denied, whatever it carries.
    async fn attach(
        &self,
        waiting: NeedsToken<'_>,
        subject: Option<&Authenticated<'_, '_>>,
        now: Timestamp,
        patience: Instant,
        id: DecisionId,
        trail: &mut Trail,
    ) -> Answer {
        let Some(source) = self.tokens.get(waiting.token().0) else {
            tracing::error!(decision = %id, "a rule names a token that its own generation does not have");
            return waiting.refuse(Reason::InternalError);
        };
        let subject = subject.map(|found| Subject {
            token: found.token,
            expires_at: found.principal.expires_at(),
            issuer: found.issuer,
            principal: &found.principal,
        });
        let kind = match source.spec().grant {
            Grant::Exchange(_) => ObtainedKind::Exchange,
            Grant::ClientCredentials(_) => ObtainedKind::ClientCredentials,
        };
        trail.obtained = Some(Obtained { token: Arc::clone(&source.spec().name), kind });
        let mut obtaining = pin!(source.obtain(subject, now));
        // What is there at once was kept.
        let obtained = match futures_util::poll!(obtaining.as_mut()) {
            Poll::Ready(obtained) => Ok(obtained),
            Poll::Pending => {
                trail.work = Work::CalledOut;
                tokio::time::timeout_at(patience, obtaining).await
            }
        };
        match obtained {
            Ok(Ok(token)) => waiting.attach(token),
            Ok(Err(error)) => {
                let token = &*source.spec().name;
                tracing::debug!(decision = %id, token, reason = error.reason.code(), detail = ?error.detail, "a token is not there");
                waiting.refuse(error.reason)
            }
            Err(_) => waiting.refuse(Reason::UpstreamTokenUnavailable),
        }
    }
}

fn verified<'i, 'h>(found: Authenticated<'i, 'h>) -> (Authentication, Option<Authenticated<'i, 'h>>) {
    let (principal, header) = (Arc::clone(&found.principal), Arc::clone(found.header()));
    (Authentication::Verified { principal, header }, Some(found))
}

fn refused<'i, 'h>(error: &AuthnError, id: DecisionId) -> (Authentication, Option<Authenticated<'i, 'h>>) {
    tracing::debug!(decision = %id, reason = error.reason.code(), detail = ?error.detail, "a credential is refused");
    (Authentication::Refused(error.reason), None)
}
