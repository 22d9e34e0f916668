//! What of a policy can be exercised, and where it stands.

use super::way::{Kind, Way};
use super::{AlternativeSeen, RequirementSeen, RuleSeen};
use crate::authn::spec::IssuerSpec;
use crate::config::Config;
use crate::config::written::{Place, Spot, Written};
use crate::core::condition::{ClaimCondition, ClaimTest};
use crate::core::inject::Placeholder;
use crate::core::observer::{Requirement, requirements};
use crate::core::rule::{Action, AnyAll, AudienceRequirement, CallerRequirement, InjectedHeader, Rule};

/// Every rule, before any case.
pub(super) fn rules(config: &Config) -> Vec<RuleSeen> {
    let written = &config.written;
    let specs = written.rules.iter().enumerate();
    let seen = specs.filter_map(|(position, spec)| {
        let spot = written.rule(position)?;
        let plan = Plan { written, issuers: &config.issuers, rule: &spec.rule, spot: &spot };
        let preflight = spot.find("cors_preflight").filter(|_| spec.cors_preflight);
        Some(RuleSeen {
            name: spec.rule.name.to_string(),
            place: spot.place(),
            answered: 0,
            requirements: plan.requirements(),
            preflight: preflight.map(|spot| unseen("preflights".to_owned(), spot.place(), Way::Preflight)),
        })
    });
    seen.collect()
}

/// A rule and what it asks.
struct Plan<'p> {
    written: &'p Written,
    issuers: &'p [IssuerSpec],
    rule: &'p Rule,
    spot: &'p Spot<'p>,
}

impl<'p> Plan<'p> {
    fn requirements(&self) -> Vec<RequirementSeen> {
        let asked = requirements(self.rule);
        self.token().into_iter().chain(asked.iter().filter_map(|asked| self.requirement(asked))).collect()
    }

    /// That a token is there, and accepted.
    fn token(&self) -> Option<RequirementSeen> {
        let wanted = match &self.rule.effect.action {
            Action::Require(wanted) | Action::Optional(wanted) => wanted,
            Action::Deny | Action::Anonymous { .. } | Action::Preflight { .. } => return None,
        };
        let spot = self.required("issuers");
        let issuers = wanted.issuers.iter().filter_map(|index| self.issuers.get(index.0));
        let ways = issuers.map(|issuer| {
            (format!("issuer `{}`", issuer.name), named(&spot, &issuer.name), Way::Issuer(issuer.name.clone()))
        });
        let alternatives = several(ways.collect());
        Some(RequirementSeen {
            title: "token".to_owned(),
            place: spot.place(),
            held: 0,
            failed: 0,
            alternatives,
            name: None,
        })
    }

    /// What can hold and can fail. The rest decides nothing.
    fn requirement(&self, asked: &Requirement<'_>) -> Option<RequirementSeen> {
        let (title, spot, ways) = match asked {
            Requirement::Audience(AudienceRequirement::Unchecked) => return None,
            Requirement::Audience(AudienceRequirement::Checked(names)) => {
                let spot = self.required("audience");
                let ways = alternatives(&spot, std::slice::from_ref(names), Kind::Audience);
                ("audience".to_owned(), spot, ways)
            }
            Requirement::Caller(caller) => {
                let spot = self.required("caller");
                let ways = callers(&spot, caller);
                ("caller".to_owned(), spot, ways)
            }
            Requirement::Scopes(names) => {
                let spot = self.required("scopes");
                let ways = alternatives(&spot, names, Kind::Scopes);
                ("scopes".to_owned(), spot, ways)
            }
            Requirement::Roles(names) => {
                let spot = self.required("roles");
                let ways = alternatives(&spot, names, Kind::Roles);
                ("roles".to_owned(), spot, ways)
            }
            Requirement::Claim(at, condition) => {
                let spot = self.claim(*at);
                let ways = values(&spot, condition);
                (format!("claim `{}`", condition.path), spot, ways)
            }
            Requirement::Header(header) if self.always_has_value(header) => return None,
            Requirement::Header(header) => {
                let inject = self.spot.key("inject");
                // Names are as the file has them, in any case.
                let key = inject.keys().find(|key| key.eq_ignore_ascii_case(&header.name));
                let spot = key.map_or_else(|| inject.clone(), |key| inject.key(key));
                (format!("header `{}`", header.name), spot, Vec::new())
            }
        };
        let (place, name) = (spot.place(), Some(asked.name()));
        Some(RequirementSeen { title, place, held: 0, failed: 0, alternatives: several(ways), name })
    }

    fn required(&self, key: &str) -> Spot<'p> {
        self.written.required(self.spot, key)
    }

    /// A condition by its position: those of a set come before the rule's own.
    fn claim(&self, at: usize) -> Spot<'p> {
        let require = self.spot.key("require");
        let set = require.text().or_else(|| require.find("use").and_then(|name| name.text()));
        let set = set.and_then(|name| self.written.root()?.find("requirements")?.find(name));
        let of_set: Vec<Spot<'p>> = set.and_then(|set| set.find("claims")).iter().flat_map(Spot::items).collect();
        let own: Vec<Spot<'p>> = require.find("claims").iter().flat_map(Spot::items).collect();
        of_set.into_iter().chain(own).nth(at).unwrap_or_else(|| self.required("claims"))
    }

    /// Whether a header's template has a value for every request that comes this far.
    fn always_has_value(&self, header: &InjectedHeader) -> bool {
        let has_caller = self.rule.effect.action.caller().is_some();
        header.template.placeholders().all(|placeholder| match placeholder {
            Placeholder::PathParameter(_) => true,
            Placeholder::Caller => has_caller,
            _ => false,
        })
    }
}

/// What an alternative is called, where it stands, and what it is.
type Found = (String, Place, Way);

fn unseen(title: String, place: Place, way: Way) -> AlternativeSeen {
    AlternativeSeen { title, place, alone: 0, way }
}

/// Of one thing alone nothing is an alternative.
fn several(ways: Vec<Found>) -> Vec<AlternativeSeen> {
    if ways.len() < 2 {
        return Vec::new();
    }
    ways.into_iter().map(|(title, place, way)| unseen(title, place, way)).collect()
}

/// Where a list names this; else where the list is.
fn named(list: &Spot<'_>, name: &str) -> Place {
    list.items().find(|item| item.text() == Some(name)).unwrap_or_else(|| list.clone()).place()
}

/// Each set of names that is enough.
fn alternatives(spot: &Spot<'_>, alternatives: &[AnyAll], kind: Kind) -> Vec<Found> {
    let written = spot.find("any_of");
    let mut found = Vec::new();
    for (index, AnyAll { any, all }) in alternatives.iter().enumerate() {
        let spot = written.as_ref().and_then(|list| list.item(index)).unwrap_or_else(|| spot.clone());
        let title = |names: &[Box<str>]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ");
        if any.is_empty() {
            found.push((title(all), spot.place(), Way::Names(kind, all.clone())));
        }
        for name in any {
            let mut names = all.clone();
            names.push(name.clone());
            found.push((title(&names), named(&spot.key("any"), name), Way::Names(kind, names)));
        }
    }
    found
}

fn callers(spot: &Spot<'_>, caller: &CallerRequirement) -> Vec<Found> {
    let list = spot.key("spiffe");
    let way = |pattern: &crate::core::caller::SpiffePattern| {
        let text = pattern.to_string();
        (format!("`{text}`"), named(&list, &text), Way::Caller(pattern.clone()))
    };
    caller.spiffe.iter().map(way).collect()
}

/// The values of `in`.
fn values(spot: &Spot<'_>, condition: &ClaimCondition) -> Vec<Found> {
    let ClaimTest::In(values) = &condition.test else { return Vec::new() };
    let list = spot.key("in");
    let way = |(index, value): (usize, &serde_json::Value)| {
        let spot = list.item(index).unwrap_or_else(|| list.clone());
        (format!("`{value}`"), spot.place(), Way::Claim(condition.path.clone(), value.clone()))
    };
    values.iter().enumerate().map(way).collect()
}
