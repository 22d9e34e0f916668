//! The course of a decision that is explained: watched, with a credential that may be stated, and without a token for the
//! next hop.

use std::sync::Arc;
use std::time::Duration;

use crate::authn::explain::{Credential, explain_patiently, explain_request};
use crate::authn::stated::Stated;
use crate::authn::{Accepted, Authenticated, Issuer};
use crate::core::answer::Answer;
use crate::core::decide::{self, Authentication, NeedsToken};
use crate::core::observer::{Observer, Requirement, RequirementName};
use crate::core::reason::Reason;
use crate::core::request::RequestFacts;
use crate::core::rule::{Rule, TokenIndex};
use crate::engine::course::{Asked, Course, Found, Told};
use crate::secret::Secret;

/// What stands where a token for the next hop would: it is never shown.
const NOT_OBTAINED: &str = "not-obtained";

#[derive(Debug)]
pub(super) struct Watched<'e> {
    issuers: &'e [Arc<Issuer>],
    /// Claims that stand for the token that is this text.
    stated: Option<(&'e Stated, &'e str)>,
    timeout: Duration,
    pub(super) judged: Vec<(RequirementName, Result<(), Reason>)>,
    pub(super) credential: Option<Credential>,
    /// The token that would be obtained.
    pub(super) token: Option<TokenIndex>,
}

impl<'e> Watched<'e> {
    pub(super) fn new(issuers: &'e [Arc<Issuer>], stated: Option<(&'e Stated, &'e str)>, timeout: Duration) -> Self {
        Self { issuers, stated, timeout, judged: Vec::new(), credential: None, token: None }
    }

    async fn look<'s, 'h>(
        &mut self,
        asked: Asked<'s>,
        rule: &'s Arc<Rule>,
        facts: &'s RequestFacts<'h>,
    ) -> Found<'s, 'h> {
        let Some(wanted) = decide::wants(rule) else { return (Authentication::NotWanted, None) };
        let Some(accepted) = Accepted::at(self.issuers, &wanted.issuers) else {
            return (Authentication::Refused(Reason::InternalError), None);
        };
        let (stated, timeout, now) = (self.stated, self.timeout, asked.now);
        let credential = explain_request(accepted, &facts.headers, |accepted, token| async move {
            match stated {
                Some((stated, stand_in)) if stand_in == token => stated.explain(accepted, &facts.caller, now),
                Some(_) | None => explain_patiently(accepted, token, &facts.caller, now, timeout).await,
            }
        });
        let credential = credential.await;
        let authentication = match &credential {
            Credential::Absent => Authentication::Absent,
            Credential::Unreadable(error) => Authentication::Refused(error.reason),
            Credential::Judged { header, report } => match &report.result {
                Ok(principal) => {
                    Authentication::Verified { principal: Arc::clone(principal), header: Arc::clone(header) }
                }
                Err(error) => Authentication::Refused(error.reason),
            },
        };
        self.credential = Some(credential);
        (authentication, None)
    }
}

impl Observer for Watched<'_> {
    fn judged(&mut self, requirement: Requirement<'_>, outcome: Result<(), Reason>) {
        self.judged.push((requirement.name(), outcome));
    }
}

impl Course for Watched<'_> {
    fn authenticate<'c, 's: 'c, 'h: 's>(
        &'c mut self,
        asked: Asked<'s>,
        rule: &'s Arc<Rule>,
        facts: &'s RequestFacts<'h>,
    ) -> Told<'c, 's, 'h> {
        Told::Later(Box::pin(self.look(asked, rule, facts)))
    }

    async fn attach(&mut self, _: Asked<'_>, waiting: NeedsToken<'_>, _: Option<&Authenticated<'_, '_>>) -> Answer {
        self.token = Some(waiting.token());
        waiting.attach(Secret::new(NOT_OBTAINED))
    }
}
