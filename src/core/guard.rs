//! The headers that a request may carry on only where the gate says so.
//!
//! Every header of an identity, and every header that can carry a credential, is removed from an allowed request unless
//! the gate set or verified it: as it is written, and in every spelling that upstreams may fold to it. What must be
//! removed of every request is known when the configuration is; a request adds only odd spellings of its own.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::request::Direction;
use super::rule::Rule;
use super::table::{PolicyTable, fold};

/// The name of the header that an obtained token is set in.
pub const AUTHORIZATION: &str = "authorization";

/// Where a caller's own credentials are, whatever the issuers read: where a rule attaches a token, that token alone
/// travels on. On the way out cookies are another party's, handed on by a service that hands on all that it got; on the
/// way in they are for the service behind.
const fn callers_own(direction: Direction) -> &'static [&'static str] {
    match direction {
        Direction::Inbound => &[AUTHORIZATION, "proxy-authorization"],
        Direction::Outbound => &[AUTHORIZATION, "proxy-authorization", "cookie"],
    }
}

/// The guarded headers of one generation of the configuration.
#[derive(Debug)]
pub struct GuardedHeaders {
    /// Of rules that attach no token.
    plain: Guard,
    /// Of rules that attach one.
    inbound_token: Guard,
    outbound_token: Guard,
}

impl GuardedHeaders {
    /// The identity headers of a table, and those that any issuer's credentials may come in.
    pub fn new(table: &PolicyTable, credential_headers: &[Arc<str>]) -> Self {
        let guard = |more: &[&str]| {
            let known = table.reserved().iter().chain(credential_headers).cloned();
            Guard::new(known.chain(more.iter().map(|name| Arc::from(*name))))
        };
        Self {
            plain: guard(&[]),
            inbound_token: guard(callers_own(Direction::Inbound)),
            outbound_token: guard(callers_own(Direction::Outbound)),
        }
    }

    /// Those that a rule's requests must not carry on.
    pub(super) fn of(&self, rule: &Rule, direction: Direction) -> &Guard {
        match (rule.effect.upstream_token, direction) {
            (None, Direction::Inbound | Direction::Outbound) => &self.plain,
            (Some(_), Direction::Inbound) => &self.inbound_token,
            (Some(_), Direction::Outbound) => &self.outbound_token,
        }
    }
}

/// A set of header names, and of what upstreams may take for them.
#[derive(Debug)]
pub(super) struct Guard {
    names: Arc<[Arc<str>]>,
    /// The names by what they fold to.
    folded: FxHashMap<Box<str>, Vec<Arc<str>>>,
    /// Bit `n`: there are names of `n` bytes; the last bit: of this many or more. Folding keeps a name's length, so that
    /// most of a request's headers need no closer look.
    lengths: u128,
}

impl Guard {
    fn new(names: impl Iterator<Item = Arc<str>>) -> Self {
        let (mut unique, mut lengths) = (Vec::new(), 0);
        let mut folded: FxHashMap<Box<str>, Vec<Arc<str>>> = FxHashMap::default();
        for name in names {
            let spellings = folded.entry(fold(&name).into()).or_default();
            if !spellings.contains(&name) {
                spellings.push(Arc::clone(&name));
                lengths |= length_bit(&name);
                unique.push(name);
            }
        }
        Self { names: unique.into(), folded, lengths }
    }

    /// The names, lower case.
    pub(super) fn names(&self) -> &Arc<[Arc<str>]> {
        &self.names
    }

    /// Whether upstreams could take a header for one of the names although it is none of them.
    pub(super) fn is_disguise(&self, received: &str) -> bool {
        if self.lengths & length_bit(received) == 0 {
            return false;
        }
        let names = self.folded.get(&*fold(received));
        names.is_some_and(|names| names.iter().all(|name| !name.eq_ignore_ascii_case(received)))
    }
}

fn length_bit(name: &str) -> u128 {
    1 << name.len().min(127)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_spellings_are_seen_through_and_plain_ones_left_to_the_list() {
        let long = "x".repeat(200);
        let names = ["x-user-id", "x_tenant", "x-tenant", "x-user-id", &long];
        let guard = Guard::new(names.into_iter().map(Into::into));
        assert_eq!(guard.names().len(), 4);
        for (received, disguise) in [
            ("x-user-id", false),
            ("X-User-ID", false),
            ("x_user_id", true),
            ("X.User_Id", true),
            ("x-user-idx", false),
            ("y-user-id", false),
            ("x-tenant", false),
            ("X_TENANT", false),
            ("x.tenant", true),
            ("", false),
            (&long, false),
            (&"x".repeat(201), false),
        ] {
            assert_eq!(guard.is_disguise(received), disguise, "{received}");
        }
    }
}
