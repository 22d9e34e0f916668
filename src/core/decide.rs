//! The decision itself: pure and total. Every path through here ends in an [`Answer`], and every doubt in a denial.

use std::sync::Arc;

use super::answer::{AllowedRequest, Answer, DecisionId, Verdict};
use super::caller::CallerError;
use super::denial;
use super::guard::{Guard, GuardedHeaders};
use super::header_list::HeaderList;
use super::inject::{self, Placeholder, RenderError, Template};
use super::observer::{Observer, Requirement, Unobserved};
use super::path::PathParams;
use super::principal::Principal;
use super::reason::Reason;
use super::request::RequestFacts;
use super::rule::{
    Action, AudienceRequirement, CallerRequirement, DenialStyle, Injection, Requirements, Rule, TokenIndex,
};
use super::table::{Match, PolicyTable, Unjudgeable};
use super::trail::Trail;
use crate::secret::Secret;

/// What authentication found, before any rule's requirement was judged.
#[derive(Clone, Debug)]
pub enum Authentication {
    /// The rule does not look at credentials.
    NotWanted,
    /// The rule looks at credentials and the request carries none.
    Absent,
    /// A valid token.
    Verified {
        /// Whom it speaks for.
        principal: Arc<Principal>,
        /// The request header that carried it, lower case.
        header: Arc<str>,
    },
    /// A credential that is not accepted.
    Refused(Reason),
}

/// The requirements whose issuers are to be asked about a request's credential. `None` where the rule looks at none.
pub fn wants(rule: &Rule) -> Option<&Arc<Requirements>> {
    match &rule.effect.action {
        Action::Optional(requirements) | Action::Require(requirements) => Some(requirements),
        Action::Deny | Action::Anonymous { .. } | Action::Preflight { .. } => None,
    }
}

/// A denial that no rule and no table had a part in: shed load, a missed deadline, a panic.
/// `grpc` says whether the client speaks gRPC and is told in plain text.
pub fn refuse(reason: Reason, grpc: bool, decision_id: DecisionId) -> Answer {
    unruled(&DenialStyle::default(), reason, grpc, decision_id)
}

/// A denial where no rule matched or the request is malformed, in the table's default style.
pub fn refuse_unmatched(table: &PolicyTable, reason: Reason, grpc: bool, decision_id: DecisionId) -> Answer {
    unruled(table.default_denial(), reason, grpc, decision_id)
}

fn unruled(style: &DenialStyle, reason: Reason, grpc: bool, decision_id: DecisionId) -> Answer {
    let denied = denial::render(reason, style, None, grpc, decision_id);
    Answer {
        decision_id,
        reason: denial::denying(reason),
        rule: None,
        principal: None,
        caller: None,
        verdict: Verdict::Deny(denied),
        trail: Trail::default(),
    }
}

/// A denial because a rule that might have answered has a condition that cannot be judged.
pub fn refuse_unjudgeable(found: Unjudgeable<'_>, facts: &RequestFacts<'_>, decision_id: DecisionId) -> Answer {
    Decision { rule: found.rule, facts, decision_id, principal: None }.deny(Reason::ConditionError)
}

/// A denial of a request whose rule is known, for a reason that lies outside of the rule: a missed deadline.
pub fn refuse_matched(rule: &Arc<Rule>, reason: Reason, facts: &RequestFacts<'_>, decision_id: DecisionId) -> Answer {
    Decision { rule, facts, decision_id, principal: None }.deny(reason)
}

/// What a decision came to.
#[derive(Debug)]
#[must_use]
pub enum Decided<'d> {
    /// The answer.
    Answer(Answer),
    /// An allow, as soon as the token is there that the rule attaches to the request.
    NeedsToken(NeedsToken<'d>),
}

/// A request that met its rule and waits for a token. It is not an allow, and becomes one only with the token.
#[derive(Debug)]
#[must_use]
pub struct NeedsToken<'d> {
    decision: Decision<'d>,
    allowed: AllowedRequest,
    token: TokenIndex,
    reason: Reason,
}

impl NeedsToken<'_> {
    /// Which token.
    pub fn token(&self) -> TokenIndex {
        self.token
    }

    /// Allows the request, with this bearer token in the place of whatever it carried.
    pub fn attach(self, token: Secret) -> Answer {
        let Self { decision, allowed, reason, .. } = self;
        decision.answer(reason, Verdict::Allow(allowed.with_bearer(token)))
    }

    /// Denies the request: the token did not come.
    pub fn refuse(self, reason: Reason) -> Answer {
        self.decision.deny(reason)
    }
}

/// Decides on a request by the rule that matches it.
///
/// Of the headers that credentials may come in only the one whose token was verified travels on: upstreams would take
/// another for one that was.
pub fn decide<'d>(
    found: &Match<'d>,
    facts: &'d RequestFacts<'d>,
    authentication: Authentication,
    guarded: &GuardedHeaders,
    decision_id: DecisionId,
) -> Decided<'d> {
    decide_observed(found, facts, authentication, guarded, decision_id, &mut Unobserved)
}

/// As [`decide`], and tells an observer of each requirement that is judged.
pub fn decide_observed<'d>(
    found: &Match<'d>,
    facts: &'d RequestFacts<'d>,
    authentication: Authentication,
    guarded: &GuardedHeaders,
    decision_id: DecisionId,
    observer: &mut impl Observer,
) -> Decided<'d> {
    let rule = found.rule;
    let mut decision = Decision { rule, facts, decision_id, principal: None };
    let outcome = decision.outcome(&found.params, authentication, guarded.of(rule, facts.direction), observer);
    match (outcome, rule.effect.upstream_token) {
        (Err(reason), _) => Decided::Answer(decision.deny(reason)),
        (Ok((allowed, reason)), None) => Decided::Answer(decision.answer(reason, Verdict::Allow(allowed))),
        (Ok((allowed, reason)), Some(token)) => Decided::NeedsToken(NeedsToken { decision, allowed, token, reason }),
    }
}

/// Judges a principal by a rule's requirements.
fn judge(
    wanted: &Requirements,
    principal: &Principal,
    facts: &RequestFacts<'_>,
    params: &PathParams<'_>,
    observer: &mut impl Observer,
) -> Result<(), Reason> {
    let meant = match &wanted.audience {
        AudienceRequirement::Unchecked => true,
        AudienceRequirement::Checked(audience) => {
            audience.holds(|name| principal.audience().any(|of_token| of_token == name))
        }
    };
    told(observer, Requirement::Audience(&wanted.audience), meant, Reason::WrongAudience)?;
    admit(wanted.caller.as_ref(), facts, observer)?;
    let one_holds = |alternatives: &[super::rule::AnyAll], has: &dyn Fn(&str) -> bool| {
        alternatives.iter().any(|alternative| alternative.holds(has))
    };
    if !wanted.scopes.is_empty() {
        let granted = one_holds(&wanted.scopes, &|scope| principal.grants(scope));
        told(observer, Requirement::Scopes(&wanted.scopes), granted, Reason::InsufficientScope)?;
    }
    if !wanted.roles.is_empty() {
        let held = one_holds(&wanted.roles, &|role| principal.roles().any(|held| held == role));
        told(observer, Requirement::Roles(&wanted.roles), held, Reason::InsufficientRole)?;
    }
    for (at, condition) in wanted.claims.iter().enumerate() {
        let outcome = match condition.holds(principal, facts, params) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Reason::ClaimMismatch),
            Err(super::condition::ConditionError) => Err(Reason::ConditionError),
        };
        observer.judged(Requirement::Claim(at, condition), outcome);
        outcome?;
    }
    Ok(())
}

fn told(
    observer: &mut impl Observer,
    requirement: Requirement<'_>,
    met: bool,
    otherwise: Reason,
) -> Result<(), Reason> {
    let outcome = if met { Ok(()) } else { Err(otherwise) };
    observer.judged(requirement, outcome);
    outcome
}

/// Judges the calling workload.
fn admit(
    wanted: Option<&CallerRequirement>,
    facts: &RequestFacts<'_>,
    observer: &mut impl Observer,
) -> Result<(), Reason> {
    let Some(wanted) = wanted else { return Ok(()) };
    let outcome = match facts.caller.spiffe_id() {
        Ok(id) if wanted.spiffe.iter().any(|pattern| pattern.matches(id)) => Ok(()),
        Ok(_) | Err(CallerError::Ambiguous | CallerError::NotSpiffe) => Err(Reason::CallerNotAllowed),
        Err(CallerError::Absent) => Err(Reason::CallerUnknown),
    };
    observer.judged(Requirement::Caller(wanted), outcome);
    outcome
}

/// Room for one identity header, name and value. More is made where it does not do.
const HEADER_BYTES: usize = 64;

/// What an answer is made from, once the rule is known.
#[derive(Debug)]
struct Decision<'d> {
    rule: &'d Arc<Rule>,
    facts: &'d RequestFacts<'d>,
    decision_id: DecisionId,
    principal: Option<Arc<Principal>>,
}

impl Decision<'_> {
    fn outcome(
        &mut self,
        params: &PathParams<'_>,
        authentication: Authentication,
        guard: &Guard,
        observer: &mut impl Observer,
    ) -> Result<(AllowedRequest, Reason), Reason> {
        let (effect, facts) = (&*self.rule.effect, self.facts);
        let mut anonymous = |decision: &Self, caller: Option<&CallerRequirement>, reason| {
            admit(caller, facts, observer)?;
            Ok((decision.allow(params, guard, None, observer)?, reason))
        };
        match (&effect.action, authentication) {
            (Action::Deny, _) => Err(Reason::DeniedByRule),
            (Action::Preflight { caller }, _) => anonymous(self, caller.as_ref(), Reason::AllowedPreflight),
            (Action::Anonymous { caller }, _) => anonymous(self, caller.as_ref(), Reason::AllowedAnonymous),
            (Action::Optional(_) | Action::Require(_), Authentication::Refused(reason)) => Err(reason),
            (Action::Optional(wanted), Authentication::Absent) => {
                anonymous(self, wanted.caller.as_ref(), Reason::AllowedAnonymous)
            }
            (Action::Require(_), Authentication::Absent) => Err(Reason::MissingToken),
            (Action::Optional(wanted) | Action::Require(wanted), Authentication::Verified { principal, header }) => {
                judge(wanted, self.principal.insert(principal), facts, params, observer)?;
                let kept = !effect.injection.remove_token && effect.upstream_token.is_none();
                Ok((self.allow(params, guard, kept.then_some(header), observer)?, Reason::Allowed))
            }
            // The engine asked nobody although the rule wants a token: a defect, and no reason to let anything through.
            (Action::Optional(_) | Action::Require(_), Authentication::NotWanted) => Err(Reason::InternalError),
        }
    }

    /// `kept` is the header whose verified credential travels on.
    fn allow(
        &self,
        params: &PathParams<'_>,
        guard: &Guard,
        kept: Option<Arc<str>>,
        observer: &mut impl Observer,
    ) -> Result<AllowedRequest, Reason> {
        let Injection { headers, response_headers, .. } = &self.rule.effect.injection;
        let from = inject::Source {
            principal: self.principal.as_deref(),
            wanted: wants(self.rule).map(|wanted| &**wanted),
            facts: self.facts,
            params,
        };
        let mut set = HeaderList::with_capacity(headers.len() * HEADER_BYTES);
        for header in headers {
            let made = match set.try_push_with(&header.name, |value| header.template.render(&from, value)) {
                Ok(true) => Ok(()),
                Ok(false) => header.required.then(|| self.lacking(&header.template)).flatten().map_or(Ok(()), Err),
                Err(RenderError::TooLarge) => Err(Reason::IdentityTooLarge),
            };
            if header.required || made.is_err() {
                observer.judged(Requirement::Header(header), made);
            }
            made?;
        }
        // The guard's own names are set, kept or removed. What is sent in another spelling was neither made nor verified
        // here, whatever became of the name.
        let mut disguised: Vec<Box<str>> = Vec::new();
        for line in self.facts.headers.iter().filter(|line| guard.is_disguise(line.name)) {
            if !disguised.iter().any(|listed| line.is(listed)) {
                disguised.push(line.name.to_ascii_lowercase().into());
            }
        }
        let (guarded, response_headers) = (Arc::clone(guard.names()), Arc::clone(response_headers));
        Ok(AllowedRequest { set, bearer: None, guarded, kept, disguised, response_headers })
    }

    /// Why a required header that has no value refuses the request. `None` where its value would come from a token and
    /// the rule does without one.
    fn lacking(&self, template: &Template) -> Option<Reason> {
        if template.placeholders().any(|placeholder| *placeholder == Placeholder::Caller) {
            match self.facts.caller.spiffe_id() {
                Ok(_) => {}
                Err(CallerError::Absent) => return Some(Reason::CallerUnknown),
                Err(CallerError::Ambiguous | CallerError::NotSpiffe) => return Some(Reason::CallerNotAllowed),
            }
        }
        let of_token =
            |placeholder: &Placeholder| !matches!(placeholder, Placeholder::Caller | Placeholder::PathParameter(_));
        let does_without = self.principal.is_none() && template.placeholders().any(of_token);
        (!does_without).then_some(Reason::MissingIdentity)
    }

    fn deny(&self, reason: Reason) -> Answer {
        let scopes = wants(self.rule).map(|wanted| &*wanted.scopes);
        let denied = denial::render(reason, &self.rule.effect.denial, scopes, self.facts.grpc, self.decision_id);
        self.answer(denial::denying(reason), Verdict::Deny(denied))
    }

    fn answer(&self, reason: Reason, verdict: Verdict) -> Answer {
        Answer {
            decision_id: self.decision_id,
            reason,
            rule: Some(Arc::clone(self.rule)),
            principal: self.principal.clone(),
            caller: self.facts.caller.name().map(Into::into),
            verdict,
            trail: Trail::default(),
        }
    }
}

#[cfg(test)]
mod tests;
