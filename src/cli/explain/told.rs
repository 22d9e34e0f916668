//! What other commands tell of a decision: all of it, or what it hangs on.

use std::io::{self, Write};

use serde_json::Value;

use super::json;
use super::rules::Rules;
use super::secret::Names;
use super::text::{Text, asked};
use crate::authn::explain::Credential;
use crate::authn::trace;
use crate::cases::Decided;
use crate::demo::Paint;
use crate::engine::explain::{Explainer, Outcome};

/// So many of the rules that come near are told where none answers.
const NEAR: usize = 3;

/// A decision to tell of.
pub(in crate::cli) struct Told<'t> {
    explainer: &'t Explainer,
    decided: &'t Decided,
    secrets: Names,
}

impl<'t> Told<'t> {
    pub(in crate::cli) fn new(explainer: &'t Explainer, decided: &'t Decided) -> Self {
        Self { explainer, decided, secrets: Names::of(explainer.issuers()) }
    }

    /// As `tollgate explain` shows it.
    pub(in crate::cli) fn text(&self, paint: Paint, out: &mut impl Write) -> io::Result<()> {
        let Decided { explanation, .. } = self.decided;
        Text { paint, explanation, rules: &self.rules(false), stated: self.decided.stated() }.write(out)
    }

    /// As `tollgate explain --json` has it.
    pub(in crate::cli) fn json(&self) -> Value {
        json::whole(&self.decided.explanation, &self.rules(false), self.decided.stated())
    }

    /// What the decision hangs on, a line for each thing.
    pub(in crate::cli) fn because(&self) -> Vec<String> {
        let explanation = &self.decided.explanation;
        if let Err(error) = &explanation.request {
            return vec![format!("request: {error}")];
        }
        let Some(rule) = &explanation.answer.rule else {
            let near = self.rules(false).shown;
            return near
                .iter()
                .take(NEAR)
                .map(|rule| format!("rule `{}`: {}", rule.name, Text::standing(rule)))
                .collect();
        };
        let of_token = explanation.credential.as_ref().and_then(refused);
        let unmet = explanation.requirements.iter().filter(|judged| matches!(judged.outcome, Outcome::NotMet(_)));
        let unmet: Vec<String> = of_token.into_iter().chain(unmet.map(asked)).collect();
        if !unmet.is_empty() {
            return unmet;
        }
        if !explanation.answer.reason.allows() {
            let without = matches!(explanation.credential, Some(Credential::Absent));
            let why =
                if without { "it wants a token, and none was sent" } else { explanation.answer.reason.sentence() };
            return vec![format!("rule `{}`: {why}", rule.name)];
        }
        let met: Vec<String> = explanation.requirements.iter().map(asked).collect();
        if met.is_empty() { vec![format!("rule `{}` asks for nothing", rule.name)] } else { met }
    }

    /// How a rule stands to the request, by its name. `None` where no rule has it.
    pub(in crate::cli) fn standing(&self, name: &str) -> Option<String> {
        let all = self.rules(true).shown;
        all.iter().find(|rule| rule.name == name && !rule.preflight).map(Text::standing)
    }

    fn rules(&self, all: bool) -> Rules {
        Rules::of(self.explainer, &self.decided.explanation, &self.decided.headers(), &self.secrets, all)
    }
}

/// Why a token is not accepted.
fn refused(credential: &Credential) -> Option<String> {
    match credential {
        Credential::Absent => None,
        Credential::Unreadable(error) => Some(format!("{:<20} {}", "token", error.detail)),
        Credential::Judged { report, .. } => report.steps.iter().find_map(|(check, outcome)| match outcome {
            trace::Outcome::Failed(error) => Some(format!("{:<20} {}", check.as_str(), error.detail)),
            trace::Outcome::Passed(_) | trace::Outcome::NotReached => None,
        }),
    }
}
