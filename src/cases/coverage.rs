//! What of a policy its cases exercise.
//!
//! Three kinds of things count. A *rule* is exercised when it answers a case. A *requirement* of a rule is exercised when
//! it was seen to hold in one case and to fail in another: a requirement that nobody has seen to fail may as well not be
//! there. An *alternative* is exercised when it alone met its requirement: where two did, either could go.

mod plan;
mod way;

use crate::authn::explain::Credential;
use crate::config::Config;
use crate::config::written::Place;
use crate::core::observer::RequirementName;
use crate::core::reason::{Fault, Reason};
use crate::core::table::Standing;
use crate::engine::explain::{Explanation, Outcome};
use way::Way;

/// What cases exercised of a policy.
#[derive(Debug)]
pub struct Coverage {
    /// The rules, in the table's order.
    pub rules: Vec<RuleSeen>,
}

/// A rule.
#[derive(Debug)]
pub struct RuleSeen {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// How many cases it answered, preflights aside.
    pub answered: u64,
    /// What it asks, in the order in which it is judged; `allow` and `deny` without a word ask nothing.
    pub requirements: Vec<RequirementSeen>,
    /// That it answers preflights, where it does.
    pub preflight: Option<AlternativeSeen>,
}

/// A requirement of a rule.
#[derive(Debug)]
pub struct RequirementSeen {
    /// `scopes`, ``claim `org` ``.
    pub title: String,
    /// Where it stands.
    pub place: Place,
    /// In how many cases it held.
    pub held: u64,
    /// In how many it did not.
    pub failed: u64,
    /// What it can be met by; none, where that is one thing.
    pub alternatives: Vec<AlternativeSeen>,
    /// `None` is the token: that there is one, and that it is accepted.
    name: Option<RequirementName>,
}

/// One of the ways to meet a requirement.
#[derive(Debug)]
pub struct AlternativeSeen {
    /// `` `orders.read` ``.
    pub title: String,
    /// Where it stands.
    pub place: Place,
    /// In how many cases it alone met the requirement.
    pub alone: u64,
    way: Way,
}

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Those that were exercised.
    pub exercised: usize,
    /// All there are.
    pub total: usize,
}

/// How much was exercised, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of the rules.
    pub rules: Count,
    /// Of their requirements.
    pub requirements: Count,
    /// Of the alternatives of these.
    pub alternatives: Count,
}

/// Something that no case exercises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where it stands.
    pub place: Place,
    /// The rule.
    pub rule: String,
    /// What of it; empty for the rule as a whole.
    pub what: String,
    /// What was not seen.
    pub unseen: String,
}

impl Coverage {
    /// Of a policy, before any case.
    pub fn of(config: &Config) -> Self {
        Self { rules: plan::rules(config) }
    }

    /// Counts what a decision showed.
    pub fn add(&mut self, explanation: &Explanation) {
        let answers = explanation.considered.iter().find(|considered| considered.standing == Standing::Answers);
        let Some(considered) = answers else { return };
        let Some(rule) = self.rules.get_mut(considered.position) else { return };
        match &mut rule.preflight {
            Some(preflight) if considered.preflight => preflight.alone += 1,
            Some(_) | None => rule.answered += 1,
        }
        for requirement in &mut rule.requirements {
            match requirement.outcome(explanation) {
                Some(true) => {
                    requirement.held += 1;
                    let mut holding =
                        requirement.alternatives.iter_mut().filter(|alternative| alternative.way.holds(explanation));
                    if let (Some(only), None) = (holding.next(), holding.next()) {
                        only.alone += 1;
                    }
                }
                Some(false) => requirement.failed += 1,
                None => {}
            }
        }
    }

    /// How much was exercised.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for rule in &self.rules {
            counts.rules.add(rule.answered > 0);
            for requirement in &rule.requirements {
                counts.requirements.add(requirement.is_exercised());
                requirement.alternatives.iter().for_each(|one| counts.alternatives.add(one.is_exercised()));
            }
            rule.preflight.iter().for_each(|one| counts.alternatives.add(one.is_exercised()));
        }
        counts
    }

    /// What no case exercises, in the table's order. Of a rule that answers no case, only that is told.
    pub fn gaps(&self) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for rule in &self.rules {
            let mut tell = |place: &Place, what: String, unseen: String| {
                gaps.push(Gap { place: place.clone(), rule: rule.name.clone(), what, unseen });
            };
            if rule.answered == 0 {
                tell(&rule.place, String::new(), "answers no case".to_owned());
                continue;
            }
            for one in rule.preflight.iter().filter(|one| !one.is_exercised()) {
                tell(&one.place, one.title.clone(), "never answered".to_owned());
            }
            for requirement in &rule.requirements {
                let unseen = match (requirement.held, requirement.failed) {
                    (0, 0) => "never judged",
                    (0, _) => "never held",
                    (_, 0) => "never failed",
                    (_, _) => "",
                };
                if !unseen.is_empty() {
                    tell(&requirement.place, requirement.title.clone(), unseen.to_owned());
                }
                // Where it never held, none of its alternatives did.
                for one in requirement.alternatives.iter().filter(|one| requirement.held > 0 && !one.is_exercised()) {
                    let what = format!("{}: {}", requirement.title, one.title);
                    tell(&one.place, what, "never met it alone".to_owned());
                }
            }
        }
        gaps
    }
}

impl RequirementSeen {
    /// Whether it was seen to hold, and to fail.
    pub const fn is_exercised(&self) -> bool {
        self.held > 0 && self.failed > 0
    }

    /// What came of it; `None` where it was not judged.
    fn outcome(&self, explanation: &Explanation) -> Option<bool> {
        let Some(name) = &self.name else { return token(explanation) };
        let judged = explanation.requirements.iter().find(|judged| judged.name == *name)?;
        match judged.outcome {
            Outcome::Met => Some(true),
            Outcome::NotMet(_) => Some(false),
            Outcome::NotReached => None,
        }
    }
}

/// Whether there was a token, and it was accepted. A key that could not be fetched says nothing about the policy.
fn token(explanation: &Explanation) -> Option<bool> {
    match explanation.credential.as_ref()? {
        Credential::Judged { report, .. } => match &report.result {
            Ok(_) => Some(true),
            Err(error) => (error.reason.fault() == Fault::Caller).then_some(false),
        },
        Credential::Unreadable(_) => Some(false),
        // Where a rule does without, that there is none fails nothing.
        Credential::Absent => (explanation.answer.reason == Reason::MissingToken).then_some(false),
    }
}

impl AlternativeSeen {
    /// Whether it alone met its requirement once.
    pub const fn is_exercised(&self) -> bool {
        self.alone > 0
    }
}

impl Count {
    const fn add(&mut self, exercised: bool) {
        self.total += 1;
        if exercised {
            self.exercised += 1;
        }
    }
}

impl Counts {
    /// All kinds together, in per cent; of nothing, all.
    #[expect(clippy::cast_precision_loss, reason = "no policy has so many rules")]
    pub fn percent(&self) -> f64 {
        let of = |part: fn(&Count) -> usize| {
            [self.rules, self.requirements, self.alternatives].iter().map(part).sum::<usize>() as f64
        };
        let total = of(|count| count.total);
        if total > 0.0 { 100.0 * of(|count| count.exercised) / total } else { 100.0 }
    }
}
