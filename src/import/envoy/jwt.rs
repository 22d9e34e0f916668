//! The `jwt_authn` filter.

mod provider;

use std::collections::{BTreeMap, BTreeSet};

use super::super::formula::{Atom, Formula};
use super::super::model::{Model, Part};
use super::super::path::PathTest;
use super::super::read::View;
use super::matchers::{self, unsayable};

const KEYS: [&str; 8] = [
    "@type",
    "providers",
    "rules",
    "requirement_map",
    "filter_state_rules",
    "bypass_cors_preflight",
    "strip_failure_response",
    "stat_prefix",
];

/// A provider of this filter.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// One of the model's, and whom its tokens must be meant for.
    Said { index: usize, audiences: Vec<String> },
    /// It could not be said, by this note.
    Lost(usize),
}

/// The providers that are named beside a requirement.
#[derive(Clone, Copy)]
struct Scope<'s> {
    names: &'s BTreeSet<String>,
    /// It is an alternative to them.
    alternatives: bool,
}

/// The filter while it is read.
struct Filter<'f, 'd> {
    providers: BTreeMap<String, Known>,
    requirements: Option<View<'d>>,
    model: &'f mut Model,
}

pub(super) fn read(view: &View<'_>, model: &mut Model) {
    let mut providers = BTreeMap::new();
    for (name, view) in view.field("providers").iter().flat_map(|view| view.entries()) {
        providers.insert(name.to_owned(), provider::read(name, &view, model));
    }
    let mut filter = Filter { providers, requirements: view.field("requirement_map"), model };
    let mut origins = Vec::new();
    let mut rules = Vec::new();
    for (index, rule) in view.list("rules").iter().enumerate() {
        let (when, then) = filter.rule(rule);
        origins.push((format!("the jwt_authn rule {index} ({})", rule.spot()), when.clone()));
        rules.push((when, then));
    }
    // What no rule is for passes.
    let mut passes = match view.field("filter_state_rules") {
        None => Formula::Const(true),
        Some(state) => {
            let message = "requirements by filter state cannot be said; what no rule is for is refused";
            unsayable(&state, filter.model, message)
        }
    };
    for (when, then) in rules.into_iter().rev() {
        passes = Formula::If(Box::new(when), Box::new(then), Box::new(passes));
    }
    if view.flag("bypass_cors_preflight") {
        let message = "CORS preflights passed without a token and are refused; `cors_preflight: allow` on the rules that \
                       browsers' scripts may call brings them back";
        let preflight = unsayable(view, filter.model, message);
        let when = Formula::All(vec![Formula::Atom(Atom::Method("OPTIONS".to_owned())), preflight]);
        passes = Formula::If(Box::new(when), Box::new(Formula::Const(true)), Box::new(passes));
    }
    if let Some(key) = view.unknown(&KEYS) {
        let message = format!("the jwt_authn filter's `{key}` is not known here; every request is refused");
        passes = Formula::All(vec![passes, unsayable(view, filter.model, message)]);
    }
    model.parts.push(Part { passes, origins, first_counts: true });
}

impl Filter<'_, '_> {
    /// When a rule applies, and what it lets through.
    fn rule(&mut self, view: &View<'_>) -> (Formula, Formula) {
        let when = match view.field("match") {
            Some(route) => self.route(&route),
            None => unsayable(view, self.model, "a rule without `match` is not read"),
        };
        let then = match (view.field("requires"), view.field("requirement_name")) {
            (None, None) => Formula::Const(true),
            (Some(requirement), None) => self.requirement(&requirement, None),
            (None, Some(name)) => {
                let named = name.text().and_then(|name| {
                    let map = self.requirements.clone()?;
                    map.entries().find(|(key, _)| *key == name).map(|(_, view)| view)
                });
                match named {
                    Some(requirement) => self.requirement(&requirement, None),
                    None => unsayable(&name, self.model, "no requirement has this name; its requests are refused"),
                }
            }
            (Some(_), Some(name)) => unsayable(&name, self.model, "a rule has `requires` or `requirement_name`"),
        };
        if let Some(key) = view.unknown(&["match", "requires", "requirement_name"]) {
            let message = format!("`{key}` of a rule is not known here; its requests are refused");
            return (when, unsayable(view, self.model, message));
        }
        (when, then)
    }

    /// A `RouteMatch`.
    fn route(&mut self, view: &View<'_>) -> Formula {
        let mut parts = Vec::new();
        let case = view.field("case_sensitive").is_none_or(|_| view.flag("case_sensitive"));
        if let Some(text) = view.text_of("prefix") {
            parts.push(matchers::path_test(view, self.model, PathTest::Prefix(text.to_owned())));
        }
        if let Some(text) = view.text_of("path") {
            parts.push(matchers::path_test(view, self.model, PathTest::Exact(text.to_owned())));
        }
        if let Some(text) = view.text_of("path_separated_prefix") {
            parts.push(matchers::separated(view, self.model, text));
        }
        if let Some(regex) = view.field("safe_regex").and_then(|regex| regex.text_of("regex")) {
            parts.push(matchers::path_regex(view, self.model, regex, false));
        }
        if parts.len() != 1 {
            return unsayable(
                view,
                self.model,
                "this kind of match cannot be said; where it matters, requests are refused",
            );
        }
        let known = ["prefix", "path", "path_separated_prefix", "safe_regex", "case_sensitive"];
        if let Some(key) = view.unknown(&known).or_else(|| (!case).then_some("case_sensitive: false")) {
            let message = format!("`{key}` of a match is not said; requests must meet this rule and those after it");
            let doubt = unsayable(view, self.model, message);
            // Without regard to case more paths match than the one that is written.
            if !case {
                return doubt;
            }
            parts.push(doubt);
        }
        Formula::All(parts)
    }

    /// A `JwtRequirement`. `scope`: the providers beside it, for what says something of "the" token.
    fn requirement(&mut self, view: &View<'_>, scope: Option<Scope<'_>>) -> Formula {
        let Some((kind, value)) = view.only() else {
            if view.is_map() && view.entries().next().is_none() {
                // An empty requirement asks for nothing.
                return Formula::Const(true);
            }
            return unsayable(view, self.model, "a requirement says one thing; its requests are refused");
        };
        match kind.as_str() {
            "provider_name" => self.provider(&value, value.text(), None),
            "provider_and_audiences" => {
                let audiences: Option<Vec<String>> =
                    value.list("audiences").iter().map(|view| view.text().map(str::to_owned)).collect();
                match (audiences, value.unknown(&["provider_name", "audiences"])) {
                    (Some(audiences), None) => self.provider(&value, value.text_of("provider_name"), Some(audiences)),
                    _ => unsayable(&value, self.model, "expected `provider_name` and a list of audiences"),
                }
            }
            "requires_any" | "requires_all" => {
                let inner = value.list("requirements");
                let mut beside = BTreeSet::new();
                inner.iter().for_each(|view| named(view, &mut beside));
                let own = Scope { names: &beside, alternatives: kind == "requires_any" };
                let scope = if beside.is_empty() { scope } else { Some(own) };
                let mut parts: Vec<Formula> = inner.iter().map(|view| self.requirement(view, scope)).collect();
                if kind == "requires_any" || parts.len() == 1 {
                    return Formula::Any(parts);
                }
                // The first one takes the token off the request, so that even what asks for the same token fails.
                let message = "several tokens at once cannot be asked for; the requests are refused";
                parts.push(unsayable(&value, self.model, message));
                Formula::All(parts)
            }
            "allow_missing" => {
                let mut parts = self.of_scope(&value, scope);
                parts.push(self.missing(scope, Atom::Missing));
                Formula::Any(parts)
            }
            "allow_missing_or_failed" => {
                let message = "a token that failed passed like none; a request that has one is refused";
                let note = self.model.notes.unsayable(value.place(), message);
                let mut parts = self.of_scope(&value, scope);
                parts.push(self.missing(scope, Atom::MissingOrFailed(note)));
                Formula::Any(parts)
            }
            other => {
                let message = format!("the requirement `{other}` is not known here; its requests are refused");
                unsayable(&value, self.model, message)
            }
        }
    }

    fn provider(&mut self, view: &View<'_>, name: Option<&str>, audiences: Option<Vec<String>>) -> Formula {
        match name.and_then(|name| self.providers.get(name)) {
            Some(Known::Said { index, audiences: own }) => {
                // An empty list is none, also beside the name.
                let audiences = audiences.filter(|audiences| !audiences.is_empty()).unwrap_or_else(|| own.clone());
                Formula::Atom(Atom::Provider { index: *index, audiences })
            }
            Some(Known::Lost(note)) => Formula::Atom(Atom::Unsayable(*note)),
            None => unsayable(view, self.model, "no provider has this name; its requests are refused"),
        }
    }

    /// The providers beside a requirement that names none, or all of them.
    fn of_scope(&mut self, view: &View<'_>, scope: Option<Scope<'_>>) -> Vec<Formula> {
        let names: Vec<String> = match scope {
            // They stand beside it as alternatives, each with its own audiences.
            Some(scope) if scope.alternatives => Vec::new(),
            Some(scope) => scope.names.iter().cloned().collect(),
            None => self.providers.keys().cloned().collect(),
        };
        names.iter().map(|name| self.provider(view, Some(name), None)).collect()
    }

    /// No token is there. Where a provider is not said, nobody knows whether it would have seen a bad one.
    fn missing(&self, scope: Option<Scope<'_>>, atom: Atom) -> Formula {
        let in_scope = |name: &String| scope.is_none_or(|scope| scope.names.contains(name));
        let lost = self.providers.iter().find_map(|(name, known)| match known {
            Known::Lost(note) if in_scope(name) => Some(*note),
            _ => None,
        });
        match lost {
            Some(note) => Formula::All(vec![Formula::Atom(atom), Formula::Atom(Atom::Unsayable(note))]),
            None => Formula::Atom(atom),
        }
    }
}

/// The providers that a requirement names.
fn named(view: &View<'_>, found: &mut BTreeSet<String>) {
    found.extend(view.text_of("provider_name").map(str::to_owned));
    found
        .extend(view.field("provider_and_audiences").and_then(|view| view.text_of("provider_name").map(str::to_owned)));
    for several in ["requires_any", "requires_all"] {
        for inner in view.field(several).iter().flat_map(|view| view.list("requirements")) {
            named(&inner, found);
        }
    }
}
