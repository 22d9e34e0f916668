//! Who is told how a decision was come to. In service nobody is; `tollgate explain` watches the same code at work.

use std::sync::Arc;

use super::condition::ClaimCondition;
use super::reason::Reason;
use super::rule::{Action, AnyAll, AudienceRequirement, CallerRequirement, InjectedHeader, Requirements, Rule};

/// Something that a rule asks of a request, in the order in which it is judged.
#[derive(Clone, Copy, Debug)]
pub enum Requirement<'r> {
    /// For whom the token is meant.
    Audience(&'r AudienceRequirement),
    /// Which workload calls.
    Caller(&'r CallerRequirement),
    /// Scopes, in alternatives.
    Scopes(&'r [AnyAll]),
    /// Roles, in alternatives.
    Roles(&'r [AnyAll]),
    /// A condition on a claim, by its position among the rule's.
    Claim(usize, &'r ClaimCondition),
    /// An identity header that must have a value.
    Header(&'r InjectedHeader),
}

/// Names a requirement among those of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "as the requirements themselves")]
pub enum RequirementName {
    Audience,
    Caller,
    Scopes,
    Roles,
    Claim(usize),
    Header(Arc<str>),
}

impl Requirement<'_> {
    /// Its name.
    pub fn name(&self) -> RequirementName {
        match self {
            Self::Audience(_) => RequirementName::Audience,
            Self::Caller(_) => RequirementName::Caller,
            Self::Scopes(_) => RequirementName::Scopes,
            Self::Roles(_) => RequirementName::Roles,
            Self::Claim(at, _) => RequirementName::Claim(*at),
            Self::Header(header) => RequirementName::Header(Arc::clone(&header.name)),
        }
    }
}

/// Is told of each requirement that is judged.
pub trait Observer {
    /// Called once for each, in order; after one that is not met, for no other.
    fn judged(&mut self, requirement: Requirement<'_>, outcome: Result<(), Reason>);
}

/// Watches nothing: in service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    #[inline]
    fn judged(&mut self, _: Requirement<'_>, _: Result<(), Reason>) {}
}

/// Everything that a rule can ask of a request, in the order in which it is judged.
pub fn requirements(rule: &Rule) -> Vec<Requirement<'_>> {
    let mut all = match &rule.effect.action {
        Action::Deny => return Vec::new(),
        Action::Anonymous { caller } | Action::Preflight { caller } => caller.iter().map(Requirement::Caller).collect(),
        Action::Optional(wanted) | Action::Require(wanted) => of_token(wanted),
    };
    let headers = rule.effect.injection.headers.iter().filter(|header| header.required);
    all.extend(headers.map(Requirement::Header));
    all
}

fn of_token(wanted: &Requirements) -> Vec<Requirement<'_>> {
    let mut all = vec![Requirement::Audience(&wanted.audience)];
    all.extend(wanted.caller.as_ref().map(Requirement::Caller));
    all.extend((!wanted.scopes.is_empty()).then_some(Requirement::Scopes(&wanted.scopes)));
    all.extend((!wanted.roles.is_empty()).then_some(Requirement::Roles(&wanted.roles)));
    all.extend(wanted.claims.iter().enumerate().map(|(at, claim)| Requirement::Claim(at, claim)));
    all
}
