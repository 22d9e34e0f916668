//! How a decision comes by what it needs beside the request: who is asking, and the token for the next hop. In service
//! that is [`InService`]. `tollgate explain` takes the same decision another way there, and is told of each step.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use tokio::time::Instant;

use super::Snapshot;
use crate::authn::{self, Accepted, Authenticated, AuthnError, LookUp};
use crate::clock::Timestamp;
use crate::core::answer::{Answer, DecisionId};
use crate::core::decide::{self, Authentication, NeedsToken};
use crate::core::observer::{Observer, Requirement};
use crate::core::reason::Reason;
use crate::core::request::RequestFacts;
use crate::core::rule::{Action, Requirements, Rule};
use crate::core::trail::{Obtained, ObtainedKind, TokenId, Trail, Work};
use crate::outbound::Subject;
use crate::outbound::spec::Grant;
use crate::turns::Turns;

/// The decision on which something is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'s> {
    pub(super) snapshot: &'s Snapshot,
    /// The one time of day that the decision knows.
    pub(super) now: Timestamp,
    /// How long a provider may be waited for.
    pub(super) patience: Instant,
    pub(super) id: DecisionId,
}

/// What was found of a request's credential, and the token itself where it was verified.
pub(super) type Found<'s, 'h> = (Authentication, Option<Authenticated<'s, 'h>>);

/// What can be told of a request's credential.
pub(super) enum Told<'c, 's, 'h> {
    /// At once, as it mostly is.
    Now(Found<'s, 'h>),
    /// Not without a wait. What waits is put aside, so that a call that does not stays small.
    Later(Pin<Box<dyn Future<Output = Found<'s, 'h>> + Send + 'c>>),
}

/// How a decision comes by what it needs beside the request.
pub(super) trait Course: Observer + Send {
    /// Who is asking, as far as the rule wants to know.
    fn authenticate<'c, 's: 'c, 'h: 's>(
        &'c mut self,
        asked: Asked<'s>,
        rule: &'s Arc<Rule>,
        facts: &'s RequestFacts<'h>,
    ) -> Told<'c, 's, 'h>;

    /// Obtains the token that an allow waits for. Without it the request is denied, whatever it carries.
    fn attach(
        &mut self,
        asked: Asked<'_>,
        waiting: NeedsToken<'_>,
        subject: Option<&Authenticated<'_, '_>>,
    ) -> impl Future<Output = Answer> + Send;
}

/// The course of decisions in service. Nobody watches it.
#[derive(Debug)]
pub(super) struct InService<'t> {
    pub(super) turns: &'t Turns,
    /// How the decision comes about.
    pub(super) trail: Trail,
}

impl Observer for InService<'_> {
    #[inline]
    fn judged(&mut self, _: Requirement<'_>, _: Result<(), Reason>) {}
}

impl Course for InService<'_> {
    fn authenticate<'c, 's: 'c, 'h: 's>(
        &'c mut self,
        asked: Asked<'s>,
        rule: &'s Arc<Rule>,
        facts: &'s RequestFacts<'h>,
    ) -> Told<'c, 's, 'h> {
        let Asked { now, patience, id, .. } = asked;
        let Some(wanted) = decide::wants(rule) else {
            self.turns.another();
            return Told::Now((Authentication::NotWanted, None));
        };
        let (found, token) = look_up(asked, wanted, facts, now);
        self.trail.token = token;
        match found {
            LookUp::Absent => {
                if matches!(rule.effect.action, Action::Optional(_)) {
                    self.turns.another();
                }
                Told::Now((Authentication::Absent, None))
            }
            LookUp::Known(known) => {
                self.turns.another();
                self.trail.work = Work::Cached;
                Told::Now(verified(known))
            }
            LookUp::Refused(error) => Told::Now(refused(&error, id)),
            LookUp::Unknown(pending) => Told::Later(Box::pin(async move {
                match pending.verify(&facts.caller, patience, &mut self.trail.work).await {
                    Ok(new) => verified(new),
                    Err(error) => refused(&error, id),
                }
            })),
        }
    }

    async fn attach(
        &mut self,
        asked: Asked<'_>,
        waiting: NeedsToken<'_>,
        subject: Option<&Authenticated<'_, '_>>,
    ) -> Answer {
        let Asked { snapshot, now, patience, id } = asked;
        let Some(source) = snapshot.tokens().get(waiting.token().0) else {
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
        self.trail.obtained = Some(Obtained { token: Arc::clone(&source.spec().name), kind });
        let mut obtaining = pin!(source.obtain(subject, now));
        // What is there at once was kept.
        let obtained = match futures_util::poll!(obtaining.as_mut()) {
            Poll::Ready(obtained) => Ok(obtained),
            Poll::Pending => {
                self.trail.work = Work::CalledOut;
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

fn look_up<'s, 'h>(
    asked: Asked<'s>,
    wanted: &'s Requirements,
    facts: &RequestFacts<'h>,
    now: Timestamp,
) -> (LookUp<'s, 'h>, Option<TokenId>) {
    let Some(accepted) = Accepted::at(asked.snapshot.issuers(), &wanted.issuers) else {
        tracing::error!(decision = %asked.id, "a rule names an issuer that its own generation does not have");
        let detail = "the rule's issuer is not there";
        return (LookUp::Refused(AuthnError::new(Reason::InternalError, detail)), None);
    };
    authn::look_up(accepted, &facts.headers, &facts.caller, now)
}

fn verified<'s, 'h>(found: Authenticated<'s, 'h>) -> Found<'s, 'h> {
    let (principal, header) = (Arc::clone(&found.principal), Arc::clone(found.header()));
    (Authentication::Verified { principal, header }, Some(found))
}

fn refused<'s, 'h>(error: &AuthnError, id: DecisionId) -> Found<'s, 'h> {
    tracing::debug!(decision = %id, reason = error.reason.code(), detail = ?error.detail, "a credential is refused");
    (Authentication::Refused(error.reason), None)
}
