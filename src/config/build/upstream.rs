//! The token that a rule attaches to requests.

use super::rule::Kind;
use super::token::{self, Names};
use super::trust::Listeners;
use crate::config::file::rule::{MatchFile, RuleFile, UpstreamTokenFile};
use crate::config::place::At;
use crate::config::value::{ByShape, Never};
use crate::core::request::Direction;
use crate::core::rule::TokenIndex;

/// What a rule says about its `upstream_token`, before it is known what else the rule does.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Upstream<'f> {
    name: &'f str,
    inbound: bool,
    /// `None` for a name that is unknown or in error.
    found: Option<(TokenIndex, token::Kind)>,
}

/// Reads a rule's `upstream_token`. `None` where there is none, or none can be told.
pub(in crate::config) fn read<'f>(
    at: &At<'_>,
    file: Option<&'f ByShape<String, Never, UpstreamTokenFile>>,
    names: &Names,
) -> Option<Upstream<'f>> {
    let (name, inbound) = match file? {
        ByShape::Scalar(name) => (name, false),
        ByShape::Map(file) => {
            (at.required("use", file.base.as_ref(), "which of the `tokens`?")?, file.inbound.is_some())
        }
        ByShape::List(_) => return None,
    };
    let place = at.key("use");
    let found = names.find(if place.node().is_some() { &place } else { at }, name);
    Some(Upstream { name, inbound, found: found.and_then(|(index, kind)| Some((index, kind?))) })
}

impl Upstream<'_> {
    /// Whether the rule attaches a token of the gate's own, for which no caller's token is needed.
    pub(in crate::config) fn is_own(&self) -> bool {
        self.found.is_none_or(|(_, kind)| kind == token::Kind::ClientCredentials)
    }

    /// Whether the rule may hand the token out. `any_issuer` says that it accepts the tokens of every issuer there is,
    /// and of which there are several.
    pub(in crate::config) fn judge(
        &self,
        at: &At<'_>,
        rule: (&At<'_>, &RuleFile),
        (kind, any_issuer): (Option<Kind>, bool),
        direction: Direction,
        listeners: &Listeners<'_>,
    ) -> Option<TokenIndex> {
        let (rule_at, file) = rule;
        let (index, token) = self.found?;
        let name = crate::config::names::shown(self.name);
        if token == token::Kind::Exchange {
            match kind {
                Some(Kind::Optional) => rule_at.key("allow").error(format!(
                    "`{name}` is exchanged for the caller's token, which `optional` does without; write `require` alone, and a rule of its own for requests without a token"
                )),
                Some(Kind::Anonymous) => at.error(format!(
                    "`{name}` is exchanged for the caller's token, but this rule looks at none; write `require` instead of `allow: anonymous`, or use a token of `client_credentials`"
                )),
                Some(Kind::Deny | Kind::Require) | None => {}
            }
        }
        let none = MatchFile::default();
        let matching = file.matching.as_ref().unwrap_or(&none);
        let routed = !matching.context_extensions.0.is_empty();
        match (direction, token) {
            (Direction::Outbound, _) => {
                if self.inbound {
                    at.key("inbound").error("this rule is for `outbound` requests; leave it out");
                }
                if matching.hosts.is_none() && !routed && !rule_at.is_broken_below() {
                    at.error("the token would go wherever a request goes: say to which `match.hosts`, or by `match.context_extensions` on which of your routes");
                }
            }
            (Direction::Inbound, token::Kind::Exchange) if self.inbound || routed => {}
            (Direction::Inbound, token::Kind::Exchange) => at.error(format!(
                "this rule is for `inbound` requests, where whoever calls would get the token used: write `match.direction: outbound`, or `context_extensions` of a route that you set, or `{{ use: {name}, inbound: true }}` where the service behind the gate is to get it"
            )),
            (Direction::Inbound, token::Kind::ClientCredentials) => {
                if self.inbound {
                    at.key("inbound").error(format!(
                        "is for exchanges alone: `{name}` is a token of your own, which no caller may lay hands on"
                    ));
                } else if !routed {
                    at.error("this rule is for `inbound` requests, which would carry a token of your own: write `match.direction: outbound`, or `context_extensions` of a route that you set");
                }
            }
        }
        if token == token::Kind::Exchange && kind == Some(Kind::Require) && any_issuer {
            rule_at.key("require").error(format!(
                "`issuers` is missing: `{name}` is exchanged for the caller's token, and the tokens of every issuer would be sent to its provider"
            ));
        }
        if file.remove_token == Some(false) {
            rule_at
                .key("remove_token")
                .error("the token takes the place of the caller's credentials, which are always removed; leave it out");
        }
        listeners.expect_trusted_with_tokens(at, direction);
        Some(index)
    }
}
