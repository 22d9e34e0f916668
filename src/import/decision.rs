//! What a formula, settled for one cell, asks of tokens and callers: one rule's worth of it.

use std::collections::{BTreeMap, BTreeSet};

use super::formula::{Alternatives, Atom, ClaimTest, Formula, Literal, alternatives};
use super::model::Provider;

/// How the rule of a cell answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Decision {
    pub(super) answer: Answer,
    /// The notes for which it is stricter than the original.
    pub(super) notes: BTreeSet<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    Deny,
    /// Whatever token there is; these callers, or all.
    Anonymous(Callers),
    /// Without a token, or with one that shows this.
    Optional(Wanted),
    Require(Wanted),
}

/// SPIFFE ids; `None`: everybody.
pub(super) type Callers = Option<BTreeSet<String>>;

/// What a token must show.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wanted {
    /// Indices of providers.
    pub(super) issuers: BTreeSet<usize>,
    /// One of these; none: unchecked.
    pub(super) any: BTreeSet<String>,
    /// And all of these.
    pub(super) all: BTreeSet<String>,
    pub(super) claims: BTreeSet<Condition>,
    pub(super) callers: Callers,
}

/// A condition on a claim: it is one of several values, or as a test says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition {
    In(Vec<String>, BTreeSet<ClaimTest>),
    NotIn(Vec<String>, BTreeSet<ClaimTest>),
    Test(Vec<String>, ClaimTest),
}

/// Notes on what no single source is to blame for.
#[derive(Clone, Copy, Debug)]
pub(super) struct GeneralNotes {
    /// Alternatives that one rule cannot hold.
    pub(super) alternatives: usize,
    /// Requests whose token was bad, or of a kind that is not looked at, and that were let through for other reasons.
    pub(super) mixed: usize,
}

enum State {
    Absent,
    Failed,
    Verified(usize),
}

/// Decides a formula that speaks of tokens and callers alone.
pub(super) fn decide(formula: &Formula, providers: &[Provider], general: GeneralNotes) -> Decision {
    let (some, every) = used(formula);
    let mut notes = BTreeSet::new();
    let mut of = |state: &State| {
        let settled = in_state(formula, state, providers, (&some, &every));
        let found = alternatives(&settled, true, false);
        if found != alternatives(&settled, true, true) {
            settled.doubts(true, &mut notes);
        }
        found
    };
    let (absent, failed) = (of(&State::Absent), of(&State::Failed));
    let verified: BTreeMap<usize, Alternatives> =
        some.iter().map(|index| (*index, of(&State::Verified(*index)))).collect();
    formula.atoms(&mut |atom| {
        if let Atom::MissingOrFailed(note) = atom {
            notes.insert(*note);
        }
    });
    let mut answer = Answer::Deny;
    if !failed.is_empty() && absent == failed && verified.values().all(|found| *found == failed) {
        let (callers, whole) = callers_of(&failed);
        if !whole {
            notes.insert(general.alternatives);
        }
        if callers.as_ref().is_none_or(|callers| !callers.is_empty()) {
            answer = Answer::Anonymous(callers);
        }
        return Decision { answer, notes };
    }
    if !failed.is_empty() {
        notes.insert(general.mixed);
    }
    let (wanted, whole) = merge(&verified);
    if !whole {
        notes.insert(general.alternatives);
    }
    match wanted {
        None if !absent.is_empty() => {
            notes.insert(general.mixed);
        }
        None => {}
        // A token of a provider that the rule does not look at might have had a say before the one that it looks at.
        Some(wanted) if places(&some, providers) != places(&wanted.issuers, providers) => {
            notes.insert(general.alternatives);
        }
        Some(wanted) => {
            let elsewhere =
                wanted.issuers.iter().chain(&some).filter_map(|index| providers.get(*index)?.looks_elsewhere);
            let elsewhere: Vec<usize> = elsewhere.collect();
            let (callers, whole) = callers_of(&absent);
            answer = if absent.is_empty() {
                Answer::Require(wanted)
            } else if !elsewhere.is_empty() {
                notes.extend(elsewhere);
                Answer::Require(wanted)
            } else if whole && callers == wanted.callers {
                Answer::Optional(wanted)
            } else {
                notes.insert(general.mixed);
                Answer::Require(wanted)
            };
        }
    }
    Decision { answer, notes }
}

/// The headers in which the tokens of these providers come.
fn places<'p>(indices: &BTreeSet<usize>, providers: &'p [Provider]) -> BTreeSet<Option<&'p String>> {
    indices.iter().filter_map(|index| providers.get(*index)).map(|provider| provider.header.as_ref()).collect()
}

/// The providers whose tokens may have been looked at, and those whose tokens surely were.
fn used(formula: &Formula) -> (BTreeSet<usize>, BTreeSet<usize>) {
    match formula {
        Formula::Const(_) => Default::default(),
        Formula::Atom(Atom::Provider { index, .. }) => (BTreeSet::from([*index]), BTreeSet::from([*index])),
        Formula::Atom(_) => Default::default(),
        Formula::Not(inner) => used(inner),
        Formula::All(parts) | Formula::Any(parts) => {
            let (mut some, mut every) = (BTreeSet::new(), BTreeSet::new());
            for (part_some, part_every) in parts.iter().map(used) {
                some.extend(part_some);
                every.extend(part_every);
            }
            (some, every)
        }
        Formula::If(_, then, otherwise) => {
            let ((a_some, a_every), (b_some, b_every)) = (used(then), used(otherwise));
            (a_some.union(&b_some).copied().collect(), a_every.intersection(&b_every).copied().collect())
        }
    }
}

fn in_state(
    formula: &Formula,
    state: &State,
    providers: &[Provider],
    (some, every): (&BTreeSet<usize>, &BTreeSet<usize>),
) -> Formula {
    formula.settle(&|atom| {
        let constant = |value: bool| Some(Formula::Const(value));
        match (atom, state) {
            (Atom::Provider { index, audiences }, State::Verified(token)) if index == token => {
                if audiences.is_empty() {
                    constant(true)
                } else {
                    None
                }
            }
            (Atom::Provider { .. }, _) => constant(false),
            (Atom::Missing, state) => constant(matches!(state, State::Absent)),
            // A good token passes by its provider, which stands beside this.
            (Atom::MissingOrFailed(_), state) => constant(matches!(state, State::Absent)),
            (Atom::Claim { key, note, .. }, State::Verified(token)) => {
                let seen = providers.get(*token).is_some_and(|provider| provider.claims_key.as_ref() == Some(key));
                match (seen && some.contains(token), every.contains(token)) {
                    (false, _) => constant(false),
                    (true, true) => None,
                    // Whether the claims were there to be seen depends on what Tollgate cannot say.
                    (true, false) => Some(Formula::If(
                        Box::new(Formula::Atom(Atom::Unsayable(*note))),
                        Box::new(Formula::Atom(atom.clone())),
                        Box::new(Formula::Const(false)),
                    )),
                }
            }
            (Atom::Claim { .. }, State::Absent | State::Failed) => constant(false),
            (Atom::Path(..) | Atom::Method(_) | Atom::Host(..) | Atom::Caller(..) | Atom::Unsayable(_), _) => None,
        }
    })
}

/// The callers of alternatives that ask for a caller alone; whether that is all they say.
fn callers_of(found: &Alternatives) -> (Callers, bool) {
    let mut callers = BTreeSet::new();
    let mut whole = true;
    for asked in found {
        let mut asked = asked.iter();
        match (asked.next(), asked.next()) {
            (None, _) => return (None, true),
            (Some(Literal::Caller(pattern)), None) => {
                callers.insert(pattern.clone());
            }
            _ => whole = false,
        }
    }
    (Some(callers), whole)
}

/// One requirement that lets through as much as any can; whether it is all of the alternatives.
fn merge(verified: &BTreeMap<usize, Alternatives>) -> (Option<Wanted>, bool) {
    let mut whole = true;
    let mut all: Vec<Wanted> = Vec::new();
    for (issuer, found) in verified {
        for asked in found {
            match wanted(*issuer, asked) {
                Some((wanted, exact)) => {
                    whole &= exact;
                    all.push(wanted);
                }
                None => whole = false,
            }
        }
    }
    while let Some((at, other, joined)) = joinable(&all) {
        all.swap_remove(other.max(at));
        all.swap_remove(other.min(at));
        all.push(joined);
    }
    all.sort();
    let widest =
        all.iter().max_by_key(|wanted| (wanted.issuers.len(), std::cmp::Reverse(wanted.claims.len()))).cloned();
    (widest, whole && all.len() <= 1)
}

fn joinable(all: &[Wanted]) -> Option<(usize, usize, Wanted)> {
    for (at, a) in all.iter().enumerate() {
        for (other, b) in all.iter().enumerate().skip(at + 1) {
            if let Some(joined) = join(a, b) {
                return Some((at, other, joined));
            }
        }
    }
    None
}

/// What lets through just what either does.
fn join(a: &Wanted, b: &Wanted) -> Option<Wanted> {
    let (issuers, any, all) = (a.issuers == b.issuers, a.any == b.any, a.all == b.all);
    let (claims, callers) = (a.claims == b.claims, a.callers == b.callers);
    match (issuers, any, all, claims, callers) {
        (_, true, true, true, true) => {
            Some(Wanted { issuers: a.issuers.union(&b.issuers).copied().collect(), ..a.clone() })
        }
        (true, false, true, true, true) => {
            let unchecked = a.any.is_empty() || b.any.is_empty();
            let any = if unchecked { BTreeSet::new() } else { a.any.union(&b.any).cloned().collect() };
            Some(Wanted { any, ..a.clone() })
        }
        (true, true, true, true, false) => {
            let callers = match (&a.callers, &b.callers) {
                (Some(a), Some(b)) => Some(a.union(b).cloned().collect()),
                _ => None,
            };
            Some(Wanted { callers, ..a.clone() })
        }
        (true, true, true, false, true) => {
            join_claims(&a.claims, &b.claims).map(|claims| Wanted { claims, ..a.clone() })
        }
        _ => None,
    }
}

/// Conditions that differ in the values of one claim.
fn join_claims(a: &BTreeSet<Condition>, b: &BTreeSet<Condition>) -> Option<BTreeSet<Condition>> {
    if a.is_subset(b) || b.is_subset(a) {
        return Some(a.intersection(b).cloned().collect());
    }
    let (mut left, mut right) = (a.difference(b), b.difference(a));
    match (left.next(), left.next(), right.next(), right.next()) {
        (Some(Condition::In(path, values)), None, Some(Condition::In(other, others)), None) if path == other => {
            let mut joined: BTreeSet<Condition> = a.intersection(b).cloned().collect();
            joined.insert(Condition::In(path.clone(), values.union(others).cloned().collect()));
            Some(joined)
        }
        _ => None,
    }
}

/// What one alternative asks for, and whether that is all it asks for and no more. `None`: nothing can meet it.
fn wanted(issuer: usize, asked: &BTreeSet<Literal>) -> Option<(Wanted, bool)> {
    let mut wanted = Wanted {
        issuers: BTreeSet::from([issuer]),
        any: BTreeSet::new(),
        all: BTreeSet::new(),
        claims: BTreeSet::new(),
        callers: None,
    };
    let mut exact = true;
    for literal in asked {
        match literal {
            Literal::Audience(names) if names.len() == 1 => wanted.all.extend(names.iter().cloned()),
            Literal::Audience(names) if wanted.any.is_empty() => wanted.any = names.clone(),
            Literal::Audience(names) => {
                exact = false;
                wanted.any.retain(|name| names.contains(name));
                if wanted.any.is_empty() {
                    return None;
                }
            }
            Literal::Claim(path, test @ (ClaimTest::Text(_) | ClaimTest::Flag(_) | ClaimTest::Number(_))) => {
                wanted.claims.insert(Condition::In(path.clone(), BTreeSet::from([test.clone()])));
            }
            Literal::Claim(path, test) => {
                wanted.claims.insert(Condition::Test(path.clone(), test.clone()));
            }
            Literal::ClaimIsNot(path, test) => {
                wanted.claims.insert(Condition::NotIn(path.clone(), BTreeSet::from([test.clone()])));
            }
            Literal::Caller(pattern) => match &wanted.callers {
                None => wanted.callers = Some(BTreeSet::from([pattern.clone()])),
                Some(known) if known.contains(pattern) => {}
                Some(_) => return None,
            },
        }
    }
    // One audience alone, so that alternatives of it can be joined.
    if wanted.any.is_empty() && wanted.all.len() == 1 {
        wanted.any = std::mem::take(&mut wanted.all);
    }
    Some((wanted, exact))
}
