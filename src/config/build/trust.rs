//! Whom a rule may believe: which listeners it is asked on, and which issuers could claim one token.

use std::collections::HashMap;

use super::require::Issuers;
use crate::authn::spec::{CredentialSource, IssuerClaim};
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
        let Self(Some(listeners)) = self else { return };
        let mut untrusted = listeners.iter().enumerate().filter(|(_, listener)| listener.direction == direction);
        if let Some((index, _)) = untrusted.find(|(_, listener)| !listener.is_trusted()) {
            at.error(format!(
                "the caller's identity is trusted here, but on `server.check[{index}]` anybody could forge it: let it listen on a unix socket or a loopback address, or give it `tls` with `client_ca` and `allowed_peers`"
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

/// Issuers that could claim the same token: equal in what tokens say in `iss` and in the header that carries them.
#[derive(Debug)]
pub(in crate::config) struct Twins {
    group: Vec<usize>,
    any: bool,
}

impl Twins {
    pub(in crate::config) fn find(issuers: &Issuers) -> Self {
        let mut groups: HashMap<(&IssuerClaim, &CredentialSource), usize> = HashMap::new();
        let mut any = false;
        let mut group = Vec::new();
        for (index, spec) in issuers.specs.iter().enumerate() {
            let first = *groups.entry((&spec.issuer, &spec.credential)).or_insert(index);
            any |= first != index;
            group.push(first);
        }
        Self { group, any }
    }

    /// Reports the first two issuers of a rule between which a token could not choose.
    pub(in crate::config) fn refuse(&self, at: &At<'_>, issuers: &Issuers, accepted: &[IssuerIndex]) {
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
}
