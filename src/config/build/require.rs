//! What a request must show, and the named sets of it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::claims::claim_path;
use super::matching::one_test;
use super::{grants, is_label};
use crate::authn::spec::IssuerSpec;
use crate::config::file::rule::{CallerFile, ConditionFile, RequireFile};
use crate::config::names::{did_you_mean, listed, shown};
use crate::config::place::At;
use crate::config::value::ByShape;
use crate::core::caller::SpiffePattern;
use crate::core::condition::{ClaimCondition, ClaimTest, Pattern, RequestPart};
use crate::core::rule::{AnyAll, AudienceRequirement, CallerRequirement, IssuerIndex, Requirements};
use crate::provider::spec::ProviderSpec;

use super::grants::Names;

/// What has been said about requirements, in a set or in a rule.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Said {
    pub(in crate::config) issuers: Option<Vec<IssuerIndex>>,
    pub(in crate::config) audience: Option<AudienceRequirement>,
    pub(in crate::config) scopes: Option<Vec<AnyAll>>,
    pub(in crate::config) roles: Option<Vec<AnyAll>>,
    pub(in crate::config) claims: Vec<ClaimCondition>,
    pub(in crate::config) caller: Option<CallerRequirement>,
    /// Something of it was in error: what seems to be missing need not be.
    pub(in crate::config) broken: bool,
}

/// A named set.
#[derive(Debug)]
pub(in crate::config) struct Set {
    said: Said,
    /// For rules that use the set as it is: judged once.
    shared: RefCell<Option<Arc<Requirements>>>,
}

/// The issuers that rules refer to, in the file's order.
#[derive(Debug, Default)]
pub(in crate::config) struct Issuers {
    /// Those without errors.
    pub(in crate::config) specs: Vec<IssuerSpec>,
    /// Every name that is there; `None` for one that is in error.
    pub(in crate::config) names: HashMap<String, Option<IssuerIndex>>,
    /// Whether any is in error.
    pub(in crate::config) broken: bool,
    /// Endpoints that come into use where a token names the issuer.
    pub(in crate::config) spare: HashMap<IssuerIndex, ProviderSpec>,
}

impl Issuers {
    /// What to say of a name that no issuer has.
    pub(in crate::config) fn unknown(&self, name: &str) -> String {
        let mut all: Vec<&str> = self.names.keys().map(String::as_str).collect();
        all.sort_unstable();
        format!(
            "unknown issuer `{}`{} under `issuers` there are {}",
            shown(name),
            did_you_mean(name, all.iter().copied()),
            listed(all)
        )
    }
}

/// Reads requirements; keeps the sets, and compiled patterns.
#[derive(Debug)]
pub(in crate::config) struct Reader<'a> {
    pub(in crate::config) issuers: &'a Issuers,
    sets: HashMap<String, Set>,
    patterns: RefCell<HashMap<String, Option<Regex>>>,
}

impl<'a> Reader<'a> {
    pub(in crate::config) fn new(issuers: &'a Issuers) -> Self {
        Self { issuers, sets: HashMap::new(), patterns: RefCell::default() }
    }

    /// Takes a named set.
    pub(in crate::config) fn add_set(&mut self, at: &At<'_>, name: &str, file: Option<&RequireFile>) {
        if !is_label(name) {
            at.error("a set's name has 1 to 128 visible characters of ASCII");
        }
        let said = match file {
            Some(file) => {
                if file.base.is_some() {
                    at.key("use").error("sets do not build on each other; write out what this one requires");
                }
                self.said(at, file)
            }
            None => Said { broken: true, ..Said::default() },
        };
        self.sets.insert(name.to_owned(), Set { said, shared: RefCell::default() });
    }

    /// A set by its name.
    pub(in crate::config) fn set(&self, at: &At<'_>, name: &str) -> Option<&Set> {
        let set = self.sets.get(name);
        if set.is_none() {
            let known = || self.sets.keys().map(String::as_str);
            let mut all: Vec<&str> = known().collect();
            all.sort_unstable();
            at.error(format!(
                "unknown set of requirements `{}`{} under `requirements` there are {}",
                shown(name),
                did_you_mean(name, known()),
                listed(all)
            ));
        }
        set
    }

    /// What a rule's `require` says, on top of the set that it starts from. The set's own requirements are shared
    /// where nothing is on top.
    pub(in crate::config) fn rule(
        &self,
        at: &At<'_>,
        require: &ByShape<String, crate::config::value::Never, RequireFile>,
    ) -> (Said, Option<&Set>) {
        match require {
            ByShape::Scalar(name) => match self.set(at, name) {
                Some(set) => (set.said.clone(), Some(set)),
                None => (Said { broken: true, ..Said::default() }, None),
            },
            ByShape::Map(file) => {
                let own = self.said(at, file);
                match &file.base {
                    None => (own, None),
                    Some(name) => match self.set(&at.key("use"), name) {
                        None => (Said { broken: true, ..own }, None),
                        Some(set) => (joined(at, name, &set.said, own), None),
                    },
                }
            }
            ByShape::List(_) => (Said { broken: true, ..Said::default() }, None),
        }
    }

    fn said(&self, at: &At<'_>, file: &RequireFile) -> Said {
        let before = at.sink().count();
        let mut said = Said {
            issuers: file.issuers.as_ref().map(|names| self.issuer_list(&at.key("issuers"), names)),
            audience: None,
            scopes: file.scopes.as_ref().map(|file| grants::alternatives(&at.key("scopes"), file, Names::Scopes)),
            roles: file.roles.as_ref().map(|file| grants::alternatives(&at.key("roles"), file, Names::Free)),
            claims: Vec::new(),
            caller: file.caller.as_ref().and_then(|file| caller(&at.key("caller"), file)),
            broken: false,
        };
        said.audience = match &file.audience {
            None | Some(ByShape::List(_)) => None,
            Some(ByShape::Scalar(_)) => Some(AudienceRequirement::Unchecked),
            Some(ByShape::Map(file)) => {
                grants::any_all(&at.key("audience"), file, Names::Free).map(AudienceRequirement::Checked)
            }
        };
        let list = at.key("claims");
        if file.claims.as_ref().is_some_and(Vec::is_empty) {
            list.missing("the list is empty; leave it out where claims do not matter");
        }
        for (index, condition) in file.claims.iter().flatten().enumerate() {
            said.claims.extend(self.condition(&list.index(index), condition));
        }
        said.broken = at.has_broken() || at.sink().count() > before;
        said
    }

    fn issuer_list(&self, at: &At<'_>, names: &[String]) -> Vec<IssuerIndex> {
        if names.is_empty() {
            at.missing("the list is empty: no token could ever be accepted; leave it out for all issuers");
        }
        let mut indices = Vec::new();
        for (index, name) in names.iter().enumerate() {
            match self.issuers.names.get(name) {
                Some(Some(issuer)) if indices.contains(issuer) => {
                    at.index(index).error(format!("`{}` is there twice", shown(name)));
                }
                Some(issuer) => indices.extend(*issuer),
                None => at.index(index).error(self.issuers.unknown(name)),
            }
        }
        indices
    }

    fn condition(&self, at: &At<'_>, file: &ConditionFile) -> Option<ClaimCondition> {
        let path = at.required("path", file.path.as_ref(), "which claim?");
        let path = path.and_then(|path| claim_path(&at.key("path"), path));
        let mut tests = Vec::new();
        let mut list = |key: &'static str, list: &Option<Vec<_>>, make: fn(Vec<serde_json::Value>) -> ClaimTest| {
            if let Some(list) = list {
                if list.is_empty() {
                    at.key(key).missing("the list is empty");
                }
                tests.push((
                    key,
                    make(list.iter().map(|scalar: &crate::config::value::Scalar| scalar.0.clone()).collect()),
                ));
            }
        };
        list("in", &file.one_of, ClaimTest::In);
        list("not_in", &file.not_in, ClaimTest::NotIn);
        if let Some(value) = &file.equals {
            tests.push(("equals", ClaimTest::Equals(value.0.clone())));
        }
        if let Some(value) = &file.contains {
            tests.push(("contains", ClaimTest::Contains(value.0.clone())));
        }
        if file.present.is_some() {
            tests.push(("present", ClaimTest::Present));
        }
        if file.absent.is_some() {
            tests.push(("absent", ClaimTest::Absent));
        }
        if let Some(text) = &file.equals_path {
            tests.push(("equals_path", ClaimTest::EqualsRequest(RequestPart::PathParameter(text.as_str().into()))));
        }
        if let Some(index) = file.equals_host_label {
            tests.push(("equals_host_label", ClaimTest::EqualsRequest(RequestPart::HostLabel(index.into()))));
        }
        if let Some(text) = &file.equals_query {
            if text.is_empty() {
                at.key("equals_query").error("expected the name of a query parameter");
            }
            tests.push(("equals_query", ClaimTest::EqualsRequest(RequestPart::QueryParameter(text.as_str().into()))));
        }
        let pattern = file.pattern.as_ref().map(|text| self.pattern(&at.key("pattern"), text));
        match pattern {
            Some(Some(pattern)) => tests.push(("pattern", ClaimTest::Pattern(Pattern(pattern)))),
            // Its error is there already.
            Some(None) if tests.is_empty() => return None,
            Some(None) | None => {}
        }
        let choice = "`equals`, `in`, `not_in`, `contains`, `present: true`, `absent: true`, `pattern`, `equals_path`, `equals_host_label` and `equals_query`";
        let test = one_test(at, tests, choice);
        Some(ClaimCondition { path: path?, test: test? })
    }

    /// A pattern that must match as a whole. Compiled once for every place that has it.
    fn pattern(&self, at: &At<'_>, text: &str) -> Option<Regex> {
        if let Some(Some(known)) = self.patterns.borrow().get(text) {
            return Some(known.clone());
        }
        let made = compile(text);
        if let Err(message) = &made {
            at.error(message.clone());
        }
        let made = made.ok();
        self.patterns.borrow_mut().insert(text.to_owned(), made.clone());
        made
    }

    /// The requirements that come of what was said.
    pub(in crate::config) fn finish(&self, at: &At<'_>, said: Said, set: Option<&Set>) -> Option<Arc<Requirements>> {
        if let Some(shared) = set.and_then(|set| set.shared.borrow().clone()) {
            return Some(shared);
        }
        if said.audience.is_none() && !said.broken {
            at.missing(
                "`audience` is missing: without it a token that was meant for somebody else would do; write `audience: { any: [...] }`, or `audience: unchecked` where any audience will do",
            );
        }
        let every = || (0..self.issuers.specs.len()).map(IssuerIndex).collect();
        let issuers: Vec<IssuerIndex> = said.issuers.unwrap_or_else(every);
        if issuers.is_empty() && !said.broken && !self.issuers.broken {
            at.missing("a token is required, but there are no `issuers` whose tokens could be accepted");
        }
        let made = Arc::new(Requirements {
            issuers,
            audience: said.audience?,
            scopes: said.scopes.unwrap_or_default(),
            roles: said.roles.unwrap_or_default(),
            claims: said.claims,
            caller: said.caller,
        });
        if let Some(set) = set {
            set.shared.replace(Some(Arc::clone(&made)));
        }
        Some(made)
    }
}

/// A set and what a rule says on top.
fn joined(at: &At<'_>, name: &str, set: &Said, own: Said) -> Said {
    let twice = |key: &str| {
        at.key(key).error(format!("`{key}` is in the set `{}` already; one of the two has to go", shown(name)));
    };
    let both = [
        ("issuers", set.issuers.is_some() && own.issuers.is_some()),
        ("audience", set.audience.is_some() && own.audience.is_some()),
        ("scopes", set.scopes.is_some() && own.scopes.is_some()),
        ("roles", set.roles.is_some() && own.roles.is_some()),
        ("caller", set.caller.is_some() && own.caller.is_some()),
    ];
    both.iter().filter(|(_, both)| *both).for_each(|(key, _)| twice(key));
    let mut claims = set.claims.clone();
    claims.extend(own.claims);
    Said {
        issuers: own.issuers.or_else(|| set.issuers.clone()),
        audience: own.audience.or_else(|| set.audience.clone()),
        scopes: own.scopes.or_else(|| set.scopes.clone()),
        roles: own.roles.or_else(|| set.roles.clone()),
        claims,
        caller: own.caller.or_else(|| set.caller.clone()),
        broken: own.broken || set.broken,
    }
}

fn caller(at: &At<'_>, file: &CallerFile) -> Option<CallerRequirement> {
    let list = at.required("spiffe", file.spiffe.as_ref(), "the SPIFFE ids that may call")?;
    let at = at.key("spiffe");
    if list.is_empty() {
        at.missing("the list is empty: nobody could ever call");
    }
    let mut patterns = Vec::new();
    for (index, text) in list.iter().enumerate() {
        match SpiffePattern::parse(text) {
            Some(pattern) => patterns.push(pattern),
            None => at.index(index).error(format!(
                "`{}` is not a SPIFFE id: write `spiffe://cluster.local/ns/shop/sa/orders`, or `spiffe://cluster.local/ns/shop/**` for every id below",
                shown(text)
            )),
        }
    }
    (!patterns.is_empty()).then_some(CallerRequirement { spiffe: patterns })
}

/// Largest compiled pattern, in bytes.
const MAX_PATTERN: usize = 256 << 10;

fn compile(text: &str) -> Result<Regex, String> {
    let build = |text: &str| RegexBuilder::new(text).size_limit(MAX_PATTERN).dfa_size_limit(1 << 20).build();
    // On its own first: wrapped, `a)|(b` would escape its anchors.
    let made = build(text).and_then(|_| build(&format!(r"\A(?:{text})\z")));
    made.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            "the pattern is too large: it would need more than 256 KiB; use smaller repetitions".to_owned()
        }
        other => {
            let text = other.to_string();
            let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("not a regular expression");
            format!(
                "not a regular expression: {}; look-around and back-references do not exist here",
                last.trim().trim_start_matches("error: ")
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_228_patterns_match_as_a_whole_and_stay_small() {
        let pattern = compile("a|b").unwrap();
        assert!(pattern.is_match("a") && pattern.is_match("b"));
        assert!(!pattern.is_match("ab") && !pattern.is_match("a\n") && !pattern.is_match("xb"));
        for (bad, want) in [
            ("(a{1000}){1000}", "too large"),
            ("a)|(b", "unopened group"),
            ("(?=x)", "look-around"),
            (r"(a)\1", "backreferences"),
            ("[", "unclosed character class"),
        ] {
            let message = compile(bad).unwrap_err();
            assert!(message.contains(want), "{bad}: {message}");
        }
        // Exponential for engines that back-track.
        let catastrophic = compile("(a*)*b").unwrap();
        let start = std::time::Instant::now();
        assert!(!catastrophic.is_match(&"a".repeat(50_000)));
        assert!(start.elapsed() < std::time::Duration::from_secs(5));
    }
}
