//! Section `rules`.

use std::collections::HashMap;
use std::sync::Arc;

use super::alike::Alike;
use super::inject::{self, Sources, Spellings};
use super::require::{Issuers, Reader, Said};
use super::token::Names;
use super::trust::{Listeners, Twins};
use super::upstream::{self, Upstream};
use super::{denial, is_label, matching};
use crate::config::file::rule::{AllowFile, MatchFile, RuleFile};
use crate::config::names::{listed, shown};
use crate::config::place::At;
use crate::config::value::ByShape;
use crate::core::condition::{ClaimTest, RequestPart};
use crate::core::inject::Placeholder;
use crate::core::request::Direction;
use crate::core::rule::{Action, DenialStyle, Effect, InjectedHeader, Injection, IssuerIndex, Rule};
use crate::core::table::RuleSpec;

/// Judges rules, one after the other.
#[derive(Debug)]
pub(in crate::config) struct Rules<'a> {
    pub(in crate::config) reader: Reader<'a>,
    pub(in crate::config) twins: Twins,
    pub(in crate::config) tokens: &'a Names,
    pub(in crate::config) listeners: Listeners<'a>,
    /// Headers that carry tokens, folded.
    pub(in crate::config) credentials: Vec<String>,
    pub(in crate::config) spellings: Spellings,
    pub(in crate::config) denial: Arc<DenialStyle>,
    pub(in crate::config) effects: Alike<Effect>,
    /// Where each name was first.
    pub(in crate::config) names: HashMap<String, String>,
}

/// What a rule says it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Kind {
    Deny,
    Anonymous,
    Optional,
    Require,
}

impl<'a> Rules<'a> {
    /// Judges one rule. `None` where errors leave nothing to go on with.
    pub(in crate::config) fn build(&mut self, at: &At<'_>, file: &RuleFile) -> Option<RuleSpec> {
        let issuers: &'a Issuers = self.reader.issuers;
        let name = at.required("name", file.name.as_ref(), "metrics and logs tell rules apart by it");
        if let Some(name) = name {
            self.take_name(&at.key("name"), name);
        }
        let none = MatchFile::default();
        let match_at = at.key("match");
        let before = at.sink().count();
        let matcher = matching::build(&match_at, file.matching.as_ref().unwrap_or(&none));
        let sound = at.sink().count() == before && !at.has_broken() && !match_at.is_broken_below();
        let parameters = sound.then(|| matching::shared_parameters(&matcher.paths));
        let direction = matcher.direction.unwrap_or(Direction::Inbound);
        self.listeners.expect(&match_at.key("direction"), direction);

        let upstream_at = at.key("upstream_token");
        let upstream = upstream::read(&upstream_at, file.upstream_token.as_ref(), self.tokens);
        let kind = kind(at, file, upstream.as_ref());
        let require_at = at.key("require");
        let (said, set) = match &file.require {
            Some(require) => self.reader.rule(&require_at, require),
            None => (Said::default(), None),
        };
        // Tokens that are exchanged are shown to a provider, which is not to see every other issuer's.
        let any_issuer = said.issuers.is_none() && !said.broken && issuers.names.len() > 1;
        let upstream_token = upstream.and_then(|upstream| {
            upstream.judge(&upstream_at, (at, file), (kind, any_issuer), direction, &self.listeners)
        });
        if said.caller.is_some() {
            let at = require_at.key("caller");
            self.listeners.expect_trusted(if at.node().is_some() { &at } else { &require_at }, direction);
        }
        if let Some(parameters) = &parameters {
            check_path_parameters(&require_at, file, &said, parameters);
        }
        let sources = Sources {
            token: kind != Some(Kind::Anonymous),
            extra: extra(issuers, &said),
            parameters: parameters.as_deref(),
        };
        let headers =
            inject::build(&at.key("inject"), &file.inject.0, &sources, &self.credentials, &mut self.spellings);
        let caller = |header: &&InjectedHeader| header.template.placeholders().any(|p| *p == Placeholder::Caller);
        if let Some(header) = headers.iter().find(caller) {
            let at = at.key("inject");
            let written = file.inject.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(&header.name));
            self.listeners.expect_trusted(&at.key(written.map_or("", |(name, _)| name)), direction);
        }
        let response_headers = denial::response_headers(&at.key("response_headers"), &file.response_headers.0, false);
        let injection = Injection {
            headers,
            response_headers: response_headers.into(),
            // Whoever is called next gets the caller's token where an operator says so, and not by accident.
            remove_token: file.remove_token.unwrap_or(direction == Direction::Outbound || upstream.is_some()),
        };
        let denial = match &file.denial {
            None => Arc::clone(&self.denial),
            Some(file) => Arc::new(denial::build(&at.key("denial"), file, &self.denial)),
        };
        let action = match kind? {
            Kind::Deny => Action::Deny,
            Kind::Anonymous => {
                refuse_token_requirements(&require_at, &said);
                Action::Anonymous { caller: said.caller }
            }
            kind @ (Kind::Optional | Kind::Require) => {
                let requirements = self.reader.finish(&require_at, said, set)?;
                self.twins.refuse(&require_at, issuers, &requirements.issuers);
                if kind == Kind::Optional { Action::Optional(requirements) } else { Action::Require(requirements) }
            }
        };
        // What is left of a broken `match` could meet other rules that the whole one does not.
        if !sound {
            return None;
        }
        let effect = Effect { action, injection, denial, upstream_token };
        Some(RuleSpec {
            rule: Rule { name: name?.as_str().into(), effect: self.effects.first(effect) },
            matcher,
            priority: file.priority.unwrap_or(0),
            fallback: file.fallback.unwrap_or(false),
            cors_preflight: file.cors_preflight.is_some(),
        })
    }

    fn take_name(&mut self, at: &At<'_>, name: &str) {
        if !is_label(name) {
            at.error("a rule's name has 1 to 128 visible characters of ASCII");
        }
        match self.names.get(name) {
            Some(first) => at.error(format!("the name `{}` is taken, at {first}; names are unique", shown(name))),
            None => {
                self.names.insert(name.to_owned(), at.kept().in_short());
            }
        }
    }
}

/// What a rule says it does, or an error where that is not one thing.
fn kind(at: &At<'_>, file: &RuleFile, upstream: Option<&Upstream<'_>>) -> Option<Kind> {
    if file.deny.is_some() {
        let others = [
            ("allow", file.allow.is_some()),
            ("require", file.require.is_some()),
            ("inject", !file.inject.0.is_empty()),
            ("response_headers", !file.response_headers.0.is_empty()),
            ("remove_token", file.remove_token.is_some()),
            ("upstream_token", file.upstream_token.is_some()),
            ("cors_preflight", file.cors_preflight.is_some()),
        ];
        for (key, _) in others.iter().filter(|(_, there)| *there) {
            at.key(key).error(format!(
                "`{key}` has no meaning beside `deny: true`: the request goes nowhere; leave one of the two out"
            ));
        }
        return Some(Kind::Deny);
    }
    match (file.allow, &file.require) {
        (Some(AllowFile::Anonymous), _) => {
            if file.remove_token.is_some() {
                at.key("remove_token").error(
                    "credentials that were not verified are always removed from anonymous requests; leave it out",
                );
            }
            Some(Kind::Anonymous)
        }
        (Some(AllowFile::Optional), Some(_)) => Some(Kind::Optional),
        (Some(AllowFile::Optional), None) => {
            at.missing("`require` is missing: with `allow: optional` it says what a token that is sent must show");
            None
        }
        (None, Some(_)) => Some(Kind::Require),
        // The gate's own token is for whatever the service sends there.
        (None, None) if upstream.is_some_and(Upstream::is_own) => Some(Kind::Anonymous),
        (None, None) if upstream.is_some() => {
            at.missing("`require` is missing: the token is exchanged for the caller's, which must be verified first");
            None
        }
        // Its error is there already.
        (None, None) if file.upstream_token.is_some() => None,
        (None, None) => {
            at.missing("the rule does nothing: write `require`, `allow: anonymous`, `allow: optional` with `require`, or `deny: true`");
            None
        }
    }
}

/// The names that a rule's issuers map; `None` where an error keeps that from being known.
fn extra<'i>(issuers: &'i Issuers, said: &Said) -> Option<Vec<&'i str>> {
    if said.broken || issuers.broken {
        return None;
    }
    let every: Vec<IssuerIndex>;
    let accepted = match &said.issuers {
        Some(list) => list,
        None => {
            every = (0..issuers.specs.len()).map(IssuerIndex).collect();
            &every
        }
    };
    let specs = accepted.iter().filter_map(|index| issuers.specs.get(index.0));
    Some(specs.flat_map(|spec| spec.claims.extra.iter().map(|(name, _)| &**name)).collect())
}

/// An anonymous rule can ask for the caller alone.
fn refuse_token_requirements(at: &At<'_>, said: &Said) {
    let token = [
        ("issuers", said.issuers.is_some()),
        ("audience", said.audience.is_some()),
        ("scopes", said.scopes.is_some()),
        ("roles", said.roles.is_some()),
        ("claims", !said.claims.is_empty()),
    ];
    let named: Vec<&str> = token.iter().filter(|(_, there)| *there).map(|(key, _)| *key).collect();
    if !named.is_empty() {
        at.error(format!(
            "`allow: anonymous` looks at no token, so {} cannot be asked for; only `caller` can. For a token that may be missing write `allow: optional`",
            listed(named)
        ));
    } else if at.node().is_some() && said.caller.is_none() && !said.broken {
        at.missing("nothing is required here; leave it out, or write `caller`");
    }
}

/// Parameters that conditions name must be in every path of the rule.
fn check_path_parameters(at: &At<'_>, file: &RuleFile, said: &Said, parameters: &[String]) {
    let own = match &file.require {
        Some(ByShape::Map(file)) => file.claims.as_deref().unwrap_or_default(),
        _ => &[],
    };
    for condition in &said.claims {
        let ClaimTest::EqualsRequest(RequestPart::PathParameter(name)) = &condition.test else { continue };
        if parameters.iter().any(|known| **known == **name) {
            continue;
        }
        let message = format!(
            "`equals_path: {}`: not every path of this rule has a segment `{{{}}}`; segments that all of them have: {}",
            shown(name),
            shown(name),
            listed(parameters.iter().map(String::as_str))
        );
        let list = at.key("claims");
        match own.iter().position(|own| own.equals_path.as_deref() == Some(name)) {
            Some(index) => list.index(index).key("equals_path").error(message),
            None => at.error(message),
        }
    }
}
