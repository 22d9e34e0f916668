//! Scopes, roles, audiences and trust domains that look like slips of each other.
//!
//! Two names are compared only where they are asked of the same issuers. Names one edit apart share what is left of them
//! without one character, so they are found by hash, however many there are.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::policy::{Policy, requirements};
use super::{Code, Finding};
use crate::config::written::Spot;
use crate::core::caller::SpiffePattern;
use crate::core::rule::{AudienceRequirement, IssuerIndex};

/// Shorter names are one edit apart by chance.
const SHORTEST: usize = 5;
const LONGEST: usize = 128;

/// What a name is.
type Kind = &'static str;

/// Where a name is asked for.
struct Use<'c> {
    count: usize,
    issuers: BTreeSet<IssuerIndex>,
    first: Spot<'c>,
    order: usize,
}

pub(super) fn find(policy: &Policy<'_>, findings: &mut Vec<Finding>) {
    let uses = uses(policy);
    let mut buckets: BTreeMap<(Kind, String), Vec<&str>> = BTreeMap::new();
    for (kind, name) in uses.keys() {
        for key in keys(name) {
            buckets.entry((kind, key)).or_default().push(name);
        }
    }
    let mut told: HashSet<(Kind, &str)> = HashSet::new();
    for ((kind, _), names) in &buckets {
        // A bucket that holds many is no slip but a way of naming.
        for (at, a) in names.iter().enumerate().filter(|_| names.len() <= 8) {
            for b in names.iter().skip(at + 1).filter(|b| *b != a && similar(a, b)) {
                let (Some(of_a), Some(of_b)) = (uses.get(&(*kind, *a)), uses.get(&(*kind, *b))) else { continue };
                if of_a.issuers.is_disjoint(&of_b.issuers) {
                    continue;
                }
                // The rarer one is the slip; of two that are as rare, the later one.
                let a_is_slip =
                    (of_a.count, std::cmp::Reverse(of_a.order)) < (of_b.count, std::cmp::Reverse(of_b.order));
                let (slip, of_slip, other, of_other) = if a_is_slip { (a, of_a, b, of_b) } else { (b, of_b, a, of_a) };
                if told.insert((kind, slip)) {
                    let place = super::policy::in_short(&of_other.first.place());
                    let message = format!("the {kind} `{slip}` looks like `{other}`, which is asked for at {place}");
                    findings.push(Finding::new(Code::SimilarNames, &of_slip.first, message));
                }
            }
        }
    }
}

/// Every name that is long enough to be misspelt.
fn uses<'c>(policy: &Policy<'c>) -> BTreeMap<(Kind, &'c str), Use<'c>> {
    // Callers are not an issuer's.
    const NOBODY: IssuerIndex = IssuerIndex(usize::MAX);
    let mut uses: BTreeMap<(Kind, &str), Use<'_>> = BTreeMap::new();
    let mut take = |kind: Kind, name: &'c str, issuers: &[IssuerIndex], place: &dyn Fn() -> Spot<'c>| {
        if !(SHORTEST..=LONGEST).contains(&name.len()) {
            return;
        }
        let order = uses.len();
        let made = || Use { count: 0, issuers: BTreeSet::new(), first: place(), order };
        let known = uses.entry((kind, name)).or_insert_with(made);
        known.count += 1;
        known.issuers.extend(issuers);
    };
    let mut sets = HashSet::new();
    for (_, spec, spot) in policy.rules() {
        for pattern in spec.rule.effect.action.caller().iter().flat_map(|caller| &caller.spiffe) {
            let (SpiffePattern::Exact(text) | SpiffePattern::Below(text)) = pattern;
            let domain = text.strip_prefix("spiffe://").and_then(|rest| rest.split('/').next());
            take("trust domain", domain.unwrap_or_default(), &[NOBODY], &|| policy.required_at(&spot, "caller"));
        }
        // What many rules share is written once.
        let Some(wanted) = requirements(spec).filter(|wanted| sets.insert(Arc::as_ptr(wanted))) else { continue };
        let audience = match &wanted.audience {
            AudienceRequirement::Unchecked => None,
            AudienceRequirement::Checked(names) => Some(names),
        };
        let scopes = wanted.scopes.iter().map(|names| ("scope", "scopes", names));
        let roles = wanted.roles.iter().map(|names| ("role", "roles", names));
        let audiences = audience.into_iter().map(|names| ("audience", "audience", names));
        for (kind, key, names) in scopes.chain(roles).chain(audiences) {
            names.names().for_each(|name| take(kind, name, &wanted.issuers, &|| policy.required_at(&spot, key)));
        }
    }
    uses
}

/// What names that are similar share: themselves without a character, and what is left when case, separators and the
/// order of words do not count.
fn keys(name: &str) -> HashSet<String> {
    let mut keys: HashSet<String> = HashSet::from([name.to_owned()]);
    for (at, c) in name.char_indices() {
        let (before, after) = (name.get(..at), name.get(at + c.len_utf8()..));
        keys.insert(format!("{}{}", before.unwrap_or_default(), after.unwrap_or_default()));
    }
    keys.insert(folded(name));
    keys
}

fn folded(name: &str) -> String {
    let lower = name.to_lowercase();
    let mut words: Vec<&str> = words(&lower).collect();
    words.sort_unstable();
    format!("\0{}", words.join(" "))
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(['.', ':', '/', '-', '_']).filter(|word| !word.is_empty())
}

/// Whether one is probably a slip of the other. A word that differs must be long enough to be misspelt: `a.read` and
/// `b.read` are two things, and so are `v1` and `v2`.
fn similar(a: &str, b: &str) -> bool {
    if folded(a) == folded(b) {
        return true;
    }
    if strsim::damerau_levenshtein(a, b) != 1 || words(a).count() != words(b).count() {
        return false;
    }
    let differing: Vec<(&str, &str)> = words(a).zip(words(b)).filter(|(a, b)| a != b).collect();
    let digits = |word: &str| word.chars().filter(char::is_ascii_digit).collect::<String>();
    let misspelt = |(a, b): &(&str, &str)| a.len().min(b.len()) >= 4 && digits(a) == digits(b);
    differing.len() == 1 && differing.iter().all(misspelt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_told_from_names() {
        for (a, b, want) in [
            ("orders.read", "order.read", true),
            ("orders.read", "orders:read", true),
            ("orders.read", "read.orders", true),
            ("orders.read", "Orders.Read", true),
            ("payments", "paymnets", true),
            ("a.read", "b.read", false),
            ("orders.v1", "orders.v2", false),
            ("orders1", "orders2", false),
            ("orders.read", "orders.write", false),
            ("orders.read", "orders.list", false),
        ] {
            assert_eq!(similar(a, b), want, "{a} {b}");
            let shared = !keys(a).is_disjoint(&keys(b));
            assert!(shared || !want, "{a} {b}");
        }
    }
}
