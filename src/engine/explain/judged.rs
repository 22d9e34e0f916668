//! What a rule asks, what the request showed, and what came of it.

use serde_json::{Value, json};

use crate::core::answer::Answer;
use crate::core::inject::Placeholder;
use crate::core::observer::{Requirement, RequirementName, requirements};
use crate::core::path::PathParams;
use crate::core::principal::Principal;
use crate::core::reason::Reason;
use crate::core::request::RequestFacts;
use crate::core::rule::{Action, AnyAll, AudienceRequirement, CallerRequirement, InjectedHeader};
use crate::core::table::Match;

/// What came of a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is met.
    Met,
    /// It is not, and the request is refused for this.
    NotMet(Reason),
    /// It was not judged: something before it settled the request.
    NotReached,
}

/// A requirement, and what came of it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Which one.
    pub name: RequirementName,
    /// The path of its claim, or the name of its header.
    pub of: Option<String>,
    /// What it asks, in words of the configuration.
    pub wanted: String,
    /// What the request showed. Of a token that was not accepted, nothing.
    pub seen: Option<Value>,
    /// Of audience, scopes and roles: each alternative.
    pub alternatives: Vec<Alternative>,
    /// What came of it.
    pub outcome: Outcome,
}

/// One of the alternatives of a requirement.
#[derive(Clone, Debug)]
pub struct Alternative {
    /// One of these.
    pub any: Vec<String>,
    /// Each of these.
    pub all: Vec<String>,
    /// Whether it holds, where there is a token to tell by.
    pub met: Option<bool>,
    /// Those of `all` that are not there.
    pub missing: Vec<String>,
}

/// Every requirement of the rule that was found, with what came of it.
pub(super) fn all(
    found: &Match<'_>,
    facts: &RequestFacts<'_>,
    answer: &Answer,
    told: &[(RequirementName, Result<(), Reason>)],
    is_absent: bool,
) -> Vec<Judged> {
    let mut wanted = requirements(found.rule);
    if is_absent && matches!(found.rule.effect.action, Action::Optional(_)) {
        // A rule that does without a token asks nothing of one that was not sent.
        wanted.retain(|requirement| is_asked_of_nobody(requirement) || is_unmet(requirement, told));
    }
    // A header without which the rule does, but which cannot be made.
    for header in &found.rule.effect.injection.headers {
        let name = Requirement::Header(header).name();
        if !header.required && told.iter().any(|(told, _)| *told == name) {
            wanted.push(Requirement::Header(header));
        }
    }
    let seen = Seen { principal: answer.principal.as_deref(), facts, params: &found.params };
    let judge = |requirement: Requirement<'_>| {
        let name = requirement.name();
        let outcome = match told.iter().find(|(told, _)| *told == name) {
            Some((_, Ok(()))) => Outcome::Met,
            Some((_, Err(reason))) => Outcome::NotMet(*reason),
            None => Outcome::NotReached,
        };
        seen.judged(requirement, name, outcome)
    };
    wanted.into_iter().map(judge).collect()
}

/// Whether a requirement can be judged without a token.
fn is_asked_of_nobody(requirement: &Requirement<'_>) -> bool {
    let without =
        |placeholder: &Placeholder| matches!(placeholder, Placeholder::Caller | Placeholder::PathParameter(_));
    match requirement {
        Requirement::Caller(_) => true,
        Requirement::Header(header) => header.template.placeholders().all(without),
        Requirement::Audience(_) | Requirement::Scopes(_) | Requirement::Roles(_) | Requirement::Claim(..) => false,
    }
}

fn is_unmet(requirement: &Requirement<'_>, told: &[(RequirementName, Result<(), Reason>)]) -> bool {
    told.iter().any(|(name, outcome)| *name == requirement.name() && outcome.is_err())
}

/// What the request showed.
struct Seen<'s, 'p> {
    principal: Option<&'s Principal>,
    facts: &'s RequestFacts<'s>,
    params: &'s PathParams<'p>,
}

impl Seen<'_, '_> {
    fn judged(&self, requirement: Requirement<'_>, name: RequirementName, outcome: Outcome) -> Judged {
        let (of, wanted, seen, alternatives) = match requirement {
            Requirement::Audience(AudienceRequirement::Unchecked) => {
                (None, "unchecked".to_owned(), self.audience(), Vec::new())
            }
            Requirement::Audience(AudienceRequirement::Checked(audience)) => {
                let has = |principal: &Principal, name: &str| principal.audience().any(|of_token| of_token == name);
                let alternatives = self.alternatives(std::slice::from_ref(audience), has);
                (None, words(std::slice::from_ref(audience)), self.audience(), alternatives)
            }
            Requirement::Caller(caller) => (None, callers(caller), Some(self.caller()), Vec::new()),
            Requirement::Scopes(scopes) => {
                let alternatives = self.alternatives(scopes, Principal::grants);
                (None, words(scopes), self.principal.map(granted), alternatives)
            }
            Requirement::Roles(roles) => {
                let has = |principal: &Principal, name: &str| principal.roles().any(|held| held == name);
                let seen = self.principal.map(|principal| Value::from(principal.roles().collect::<Vec<_>>()));
                (None, words(roles), seen, self.alternatives(roles, has))
            }
            Requirement::Claim(_, condition) => {
                let seen = self.principal.map(|principal| match principal.claim(&condition.path) {
                    Ok(Some(value)) => value.clone(),
                    Ok(None) | Err(_) => Value::Null,
                });
                let mut wanted = condition.test.to_string();
                if let Some(part) = condition.test.part() {
                    wanted.push_str(&match part.value(self.facts, self.params) {
                        Ok(Some(value)) => format!(", which is {}", Value::from(value)),
                        Ok(None) => ", which is not there".to_owned(),
                        Err(_) => ", which cannot be judged".to_owned(),
                    });
                }
                (Some(condition.path.to_string()), wanted, seen, Vec::new())
            }
            Requirement::Header(header) => (Some(header.name.to_string()), value_of(header), None, Vec::new()),
        };
        Judged { name, of, wanted, seen, alternatives, outcome }
    }

    fn audience(&self) -> Option<Value> {
        self.principal.map(|principal| Value::from(principal.audience().collect::<Vec<_>>()))
    }

    fn caller(&self) -> Value {
        match self.facts.caller.spiffe_id() {
            Ok(id) => Value::from(id.as_str()),
            Err(error) => json!({ "error": error.to_string() }),
        }
    }

    fn alternatives(&self, wanted: &[AnyAll], has: impl Fn(&Principal, &str) -> bool) -> Vec<Alternative> {
        let alternative = |wanted: &AnyAll| {
            let owned = |names: &[Box<str>]| names.iter().map(|name| name.to_string()).collect::<Vec<String>>();
            let lacks = |name: &str| self.principal.is_some_and(|principal| !has(principal, name));
            Alternative {
                any: owned(&wanted.any),
                all: owned(&wanted.all),
                met: self.principal.map(|principal| wanted.holds(|name| has(principal, name))),
                missing: wanted.all.iter().filter(|name| lacks(name)).map(ToString::to_string).collect(),
            }
        };
        wanted.iter().map(alternative).collect()
    }
}

fn granted(principal: &Principal) -> Value {
    if principal.has_every_scope() {
        return json!("every scope (wildcard)");
    }
    Value::from(principal.scopes().collect::<Vec<_>>())
}

/// Alternatives as the configuration has them.
fn words(alternatives: &[AnyAll]) -> String {
    let list = |names: &[Box<str>]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let one = |wanted: &AnyAll| match (wanted.any.is_empty(), wanted.all.is_empty()) {
        (false, true) => format!("any of {}", list(&wanted.any)),
        (true, _) => format!("all of {}", list(&wanted.all)),
        (false, false) => format!("all of {} and any of {}", list(&wanted.all), list(&wanted.any)),
    };
    alternatives.iter().map(one).collect::<Vec<_>>().join(", or ")
}

fn callers(caller: &CallerRequirement) -> String {
    let patterns: Vec<String> = caller.spiffe.iter().map(|pattern| format!("`{pattern}`")).collect();
    format!("any of {}", patterns.join(", "))
}

fn value_of(header: &InjectedHeader) -> String {
    let kind = if header.required { "a value" } else { "a value that fits a header" };
    format!("{kind} for `{}`", header.template)
}
