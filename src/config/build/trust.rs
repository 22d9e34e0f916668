//! Whom a rule may believe: which listeners it is asked on, and which issuers could claim one token.

use std::collections::HashMap;

use super::require::Issuers;
use crate::authn::spec::{CredentialSource, IssuerClaim, IssuerSpec, TokenFormat};
use crate::config::place::At;
use crate::config::server::CheckListener;
use crate::core::request::Direction;
use crate::core::rule::IssuerIndex;

/// The check listeners, where they are free of errors.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Listeners<'a>(pub(in crate::config) Option<&'a [CheckListener]>);

impl Listeners<'_> {
    /// A rule's direction must be that of a listener. `at` is where the rule says it.
    pub(in crate::config) fn expect(&self, at: &At<'_>, direction: Direction) {
        let Self(Some(listeners)) = self else { return };
        if !listeners.iter().any(|listener| listener.direction == direction) {
            let name = name(direction);
            at.error(format!(
                "this rule is for `{name}` requests, but no listener under `server.check` has `direction: {name}`; add one, or change the rule's `match.direction`"
            ));
        }
    }

    /// A rule that trusts what Envoy says about the caller must be asked on trusted listeners alone. `at` is where
    /// it relies on that.
    pub(in crate::config) fn expect_trusted(&self, at: &At<'_>, direction: Direction) {
        self.trusted(at, direction, "the caller's identity is trusted here", "forge it");
    }

    /// A rule that hands out tokens must be asked on trusted listeners alone. `at` is where it names the token.
    pub(in crate::config) fn expect_trusted_with_tokens(&self, at: &At<'_>, direction: Direction) {
        self.trusted(at, direction, "a token is handed out here", "ask for it");
    }

    fn trusted(&self, at: &At<'_>, direction: Direction, what: &str, risk: &str) {
        let Self(Some(listeners)) = self else { return };
        let mut untrusted = listeners.iter().enumerate().filter(|(_, listener)| listener.direction == direction);
        if let Some((index, _)) = untrusted.find(|(_, listener)| !listener.is_trusted()) {
            at.error(format!(
                "{what}, but on `server.check[{index}]` anybody could {risk}: let it listen on a unix socket or a loopback address, or give it `tls` with `client_ca` and `allowed_peers`"
            ));
        }
    }
}

fn name(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

/// Issuers that could claim the same token: equal in what tokens say in `iss` and in the header that carries them; or
/// with opaque tokens in the same header that their prefixes do not tell apart.
#[derive(Debug)]
pub(in crate::config) struct Twins {
    group: Vec<usize>,
    any: bool,
    /// Pairs by their opaque tokens.
    opaque: Vec<(usize, usize)>,
}

impl Twins {
    pub(in crate::config) fn find(issuers: &Issuers) -> Self {
        let mut groups: HashMap<(&IssuerClaim, &CredentialSource), usize> = HashMap::new();
        let mut any = false;
        let mut group = Vec::new();
        for (index, spec) in issuers.specs.iter().enumerate() {
            // Opaque tokens say nothing in `iss`.
            if spec.tokens == TokenFormat::Opaque {
                group.push(index);
                continue;
            }
            let first = *groups.entry((&spec.issuer, &spec.credential)).or_insert(index);
            any |= first != index;
            group.push(first);
        }
        Self { group, any, opaque: opaque_twins(&issuers.specs) }
    }

    /// Reports the first two issuers of a rule between which a token could not choose.
    pub(in crate::config) fn refuse(&self, at: &At<'_>, issuers: &Issuers, accepted: &[IssuerIndex]) {
        self.refuse_opaque(at, issuers, accepted);
        if !self.any {
            return;
        }
        let mut seen: HashMap<usize, IssuerIndex> = HashMap::new();
        for index in accepted {
            let Some(group) = self.group.get(index.0) else { continue };
            if let Some(other) = seen.insert(*group, *index) {
                let spec = |index: IssuerIndex| issuers.specs.get(index.0);
                let (Some(one), Some(two)) = (spec(other), spec(*index)) else { continue };
                let same = match &one.issuer {
                    IssuerClaim::Exact(text) => format!("both say `issuer: {text}`"),
                    IssuerClaim::Absent => "both say `issuer_claim: absent`".to_owned(),
                };
                at.error(format!(
                    "this rule accepts the issuers `{}` and `{}`, which could both claim one token: {same} and read it from the same header; name one of them in `issuers`, or give them different `credential` headers",
                    one.name, two.name
                ));
                return;
            }
        }
    }

    fn refuse_opaque(&self, at: &At<'_>, issuers: &Issuers, accepted: &[IssuerIndex]) {
        let both = |(one, two): &&(usize, usize)| {
            accepted.contains(&IssuerIndex(*one)) && accepted.contains(&IssuerIndex(*two))
        };
        let Some((one, two)) = self.opaque.iter().find(both) else { return };
        let (Some(one), Some(two)) = (issuers.specs.get(*one), issuers.specs.get(*two)) else { return };
        at.error(format!(
            "this rule accepts the issuers `{}` and `{}`, which could both claim one opaque token; name one of them in `issuers`, or tell their tokens apart by `introspection.opaque.prefix` or by `credential` headers",
            one.name, two.name
        ));
    }
}

/// Each pair of issuers whose opaque tokens come in one header, and may begin alike.
fn opaque_twins(specs: &[IssuerSpec]) -> Vec<(usize, usize)> {
    let prefix = |spec: &IssuerSpec| match (spec.tokens, &spec.introspection) {
        (TokenFormat::Opaque | TokenFormat::Both, Some(asked)) => Some(asked.filter.prefix.clone()),
        (TokenFormat::Opaque | TokenFormat::Both, None) | (TokenFormat::Jwt, _) => None,
    };
    let opaque: Vec<_> =
        specs.iter().enumerate().filter_map(|(index, spec)| Some((index, spec, prefix(spec)?))).collect();
    let mut pairs = Vec::new();
    for (position, (one, of_one, first)) in opaque.iter().enumerate() {
        for (two, of_two, second) in opaque.iter().skip(position + 1) {
            let alike = first.starts_with(&**second) || second.starts_with(&**first);
            if alike && of_one.credential == of_two.credential {
                pairs.push((*one, *two));
            }
        }
    }
    pairs
}
