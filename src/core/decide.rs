//! The decision itself: pure and total. Every path through here ends in an [`Answer`], and every doubt in a denial.

use std::borrow::Cow;
use std::sync::Arc;

use super::answer::{AllowedRequest, Answer, DecisionId, Verdict};
use super::caller::CallerError;
use super::denial;
use super::inject::{self, Placeholder, RenderError, Template};
use super::path::PathParams;
use super::principal::Principal;
use super::reason::Reason;
use super::request::{Direction, RequestFacts};
use super::rule::{Action, AudienceRequirement, CallerRequirement, DenialStyle, Requirements, Rule, TokenIndex};
use super::table::{Match, PolicyTable, Unjudgeable, fold};
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
    match &rule.action {
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
        let Self { decision, mut allowed, reason, .. } = self;
        // Envoy removes last.
        allowed.remove.retain(|name| !name.eq_ignore_ascii_case(AUTHORIZATION));
        allowed.bearer = Some(token);
        decision.answer(reason, Verdict::Allow(allowed))
    }

    /// Denies the request: the token did not come.
    pub fn refuse(self, reason: Reason) -> Answer {
        self.decision.deny(reason)
    }
}

const AUTHORIZATION: &str = "authorization";

/// Where a caller's own credentials are, whatever the issuers read: where a rule attaches a token, that token alone
/// travels on. On the way out cookies are another party's, handed on by a service that hands on all that it got; on the
/// way in they are for the service behind.
const fn callers_own(direction: Direction) -> &'static [&'static str] {
    match direction {
        Direction::Inbound => &[AUTHORIZATION, "proxy-authorization"],
        Direction::Outbound => &[AUTHORIZATION, "proxy-authorization", "cookie"],
    }
}

/// Decides on a request by the rule that matches it.
///
/// `credential_headers` are the headers that any issuer's credentials may come in: of them only the one whose token was
/// verified travels on. Upstreams would take another for one that was.
pub fn decide<'d>(
    table: &PolicyTable,
    found: &Match<'d>,
    facts: &'d RequestFacts<'d>,
    authentication: Authentication,
    credential_headers: &[Arc<str>],
    decision_id: DecisionId,
) -> Decided<'d> {
    let rule = found.rule;
    let mut decision = Decision { rule, facts, decision_id, principal: None };
    let outcome = decision.outcome(table, &found.params, authentication, credential_headers);
    match (outcome, rule.upstream_token) {
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
) -> Result<(), Reason> {
    match &wanted.audience {
        AudienceRequirement::Unchecked => {}
        AudienceRequirement::Checked(audience) => {
            if !audience.holds(|name| principal.audience().any(|of_token| of_token == name)) {
                return Err(Reason::WrongAudience);
            }
        }
    }
    admit(wanted.caller.as_ref(), facts)?;
    let one_holds = |alternatives: &[super::rule::AnyAll], has: &dyn Fn(&str) -> bool| {
        alternatives.is_empty() || alternatives.iter().any(|alternative| alternative.holds(has))
    };
    if !one_holds(&wanted.scopes, &|scope| principal.grants(scope)) {
        return Err(Reason::InsufficientScope);
    }
    if !one_holds(&wanted.roles, &|role| principal.roles().any(|held| held == role)) {
        return Err(Reason::InsufficientRole);
    }
    for condition in &wanted.claims {
        match condition.holds(principal, facts, params) {
            Ok(true) => {}
            Ok(false) => return Err(Reason::ClaimMismatch),
            Err(super::condition::ConditionError) => return Err(Reason::ConditionError),
        }
    }
    Ok(())
}

/// Judges the calling workload.
fn admit(wanted: Option<&CallerRequirement>, facts: &RequestFacts<'_>) -> Result<(), Reason> {
    let Some(wanted) = wanted else { return Ok(()) };
    match facts.caller.spiffe_id() {
        Ok(id) if wanted.spiffe.iter().any(|pattern| pattern.matches(id)) => Ok(()),
        Ok(_) | Err(CallerError::Ambiguous | CallerError::NotSpiffe) => Err(Reason::CallerNotAllowed),
        Err(CallerError::Absent) => Err(Reason::CallerUnknown),
    }
}

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
        table: &PolicyTable,
        params: &PathParams<'_>,
        authentication: Authentication,
        credentials: &[Arc<str>],
    ) -> Result<(AllowedRequest, Reason), Reason> {
        let anonymous = |decision: &Self, caller: Option<&CallerRequirement>, reason| {
            admit(caller, decision.facts)?;
            Ok((decision.allow(table, params, credentials, None)?, reason))
        };
        match (&self.rule.action, authentication) {
            (Action::Deny, _) => Err(Reason::DeniedByRule),
            (Action::Preflight { caller }, _) => anonymous(self, caller.as_ref(), Reason::AllowedPreflight),
            (Action::Anonymous { caller }, _) => anonymous(self, caller.as_ref(), Reason::AllowedAnonymous),
            (Action::Optional(_) | Action::Require(_), Authentication::Refused(reason)) => Err(reason),
            (Action::Optional(wanted), Authentication::Absent) => {
                anonymous(self, wanted.caller.as_ref(), Reason::AllowedAnonymous)
            }
            (Action::Require(_), Authentication::Absent) => Err(Reason::MissingToken),
            (Action::Optional(wanted) | Action::Require(wanted), Authentication::Verified { principal, header }) => {
                self.principal = Some(Arc::clone(&principal));
                judge(wanted, &principal, self.facts, params)?;
                let kept = !self.rule.injection.remove_token && self.rule.upstream_token.is_none();
                Ok((self.allow(table, params, credentials, kept.then_some(&*header))?, Reason::Allowed))
            }
            // The engine asked nobody although the rule wants a token: a defect, and no reason to let anything through.
            (Action::Optional(_) | Action::Require(_), Authentication::NotWanted) => Err(Reason::InternalError),
        }
    }

    /// `kept` is the one of the `credentials` headers that travels on.
    fn allow(
        &self,
        table: &PolicyTable,
        params: &PathParams<'_>,
        credentials: &[Arc<str>],
        kept: Option<&str>,
    ) -> Result<AllowedRequest, Reason> {
        let principal = self.principal.as_deref();
        let mut set = Vec::with_capacity(self.rule.injection.headers.len());
        for header in &self.rule.injection.headers {
            match inject::render(&header.template, principal, wants(self.rule), self.facts, params) {
                Ok(Some(value)) => set.push((Arc::clone(&header.name), value)),
                Ok(None) => {
                    if let Some(reason) = header.required.then(|| self.lacking(&header.template)).flatten() {
                        return Err(reason);
                    }
                }
                Err(RenderError::TooLarge) => return Err(Reason::IdentityTooLarge),
            }
        }
        // As sent to the letter: what upstreams may fold to the same name was not verified.
        let stays = |name: &str| kept == Some(name) || set.iter().any(|(of_ours, _)| **of_ours == *name);
        let callers = if self.rule.upstream_token.is_some() { callers_own(self.facts.direction) } else { &[] };
        let callers = callers.iter().copied().filter(|name| credentials.iter().all(|listed| **listed != **name));
        let credentials: Vec<&str> = credentials.iter().map(|name| &**name).chain(callers).collect();
        let mut remove: Vec<Cow<'static, str>> = Vec::new();
        let exact = table.reserved().iter().map(|name| &**name).chain(credentials.iter().copied());
        remove.extend(exact.filter(|name| !stays(name)).map(|name| Cow::Owned(name.to_owned())));
        let folded: Vec<Cow<'_, str>> = credentials.iter().map(|name| fold(name)).collect();
        for line in self.facts.headers.iter() {
            let listed = |name: &str| remove.iter().any(|listed| listed.eq_ignore_ascii_case(name));
            let ours = table.is_reserved(line.name) || folded.contains(&fold(line.name));
            if ours && !stays(&line.name.to_ascii_lowercase()) && !listed(line.name) {
                remove.push(Cow::Owned(line.name.to_ascii_lowercase()));
            }
        }
        let response_headers = self.rule.injection.response_headers.clone();
        Ok(AllowedRequest { set, remove, response_headers, bearer: None })
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
        let denied = denial::render(reason, &self.rule.denial, scopes, self.facts.grpc, self.decision_id);
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
        }
    }
}

#[cfg(test)]
mod tests;
