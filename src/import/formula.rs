//! What a configuration lets through, as a formula over what a request is and what its token says.
//!
//! Nothing is lost on the way in: what Tollgate cannot say is an [`Atom::Unsayable`] that stands for "sometimes". Only
//! where rules are made of it does it become a denial, whichever side of a `not` it is on.

use std::collections::BTreeSet;

use super::path::PathTest;

/// Something that is true of a request, or is not.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Atom {
    /// Of its path. This number and those below are of notes, for where Tollgate can say it in part only.
    Path(PathTest, usize),
    /// Its method is this one.
    Method(String),
    /// Of its host.
    Host(HostTest, usize),
    /// It carries a token that this provider verified, meant for one of these audiences; for any where there are none.
    Provider { index: usize, audiences: Vec<String> },
    /// It carries no token.
    Missing,
    /// It carries no token or a good one; the configuration would have let a bad one pass, too.
    MissingOrFailed(usize),
    /// A claim of a verified token, of those that the configuration puts under this key.
    Claim { key: String, path: Vec<String>, test: ClaimTest, note: usize },
    /// The caller, as its certificate names it.
    Caller(String, usize),
    /// True of some requests, and Tollgate cannot say of which. The number is a note's.
    Unsayable(usize),
}

/// A test on `:authority`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostTest {
    /// To the letter, or without regard to case.
    Exact(String),
    /// Whatever ends with this, which begins with a dot.
    Below(String),
}

/// A test on a claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ClaimTest {
    /// It is this text.
    Text(String),
    /// It is this boolean.
    Flag(bool),
    /// It is this whole number.
    Number(i64),
    /// It is there.
    Present,
    /// It is a list that holds this text.
    Holds(String),
    /// It is a text that matches this as a whole.
    Pattern(String),
}

/// A formula.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Formula {
    Const(bool),
    Atom(Atom),
    Not(Box<Formula>),
    All(Vec<Formula>),
    Any(Vec<Formula>),
    /// One of two, by a condition on the request.
    If(Box<Formula>, Box<Formula>, Box<Formula>),
}

impl Formula {
    pub(super) fn not(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// Calls `visit` with every atom.
    pub(super) fn atoms(&self, visit: &mut dyn FnMut(&Atom)) {
        match self {
            Self::Const(_) => {}
            Self::Atom(atom) => visit(atom),
            Self::Not(inner) => inner.atoms(visit),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.atoms(visit)),
            Self::If(a, b, c) => [a, b, c].iter().for_each(|part| part.atoms(visit)),
        }
    }

    /// Adds the notes of what it holds that Tollgate cannot say.
    pub(super) fn doubts(&self, positive: bool, found: &mut BTreeSet<usize>) {
        match self {
            Self::Atom(Atom::Unsayable(note)) => {
                found.insert(*note);
            }
            Self::Atom(Atom::Claim { note, .. } | Atom::Caller(_, note)) if !positive => {
                found.insert(*note);
            }
            Self::Const(_) | Self::Atom(_) => {}
            Self::Not(inner) => inner.doubts(!positive, found),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.doubts(positive, found)),
            Self::If(condition, then, otherwise) => {
                condition.doubts(positive, found);
                then.doubts(positive, found);
                otherwise.doubts(positive, found);
            }
        }
    }

    /// The formula with every atom that `known` settles put in. What is settled to a condition stays one.
    pub(super) fn settle(&self, known: &dyn Fn(&Atom) -> Option<Formula>) -> Self {
        match self {
            Self::Const(_) => self.clone(),
            Self::Atom(atom) => known(atom).unwrap_or_else(|| self.clone()),
            Self::Not(inner) => match inner.settle(known) {
                Self::Const(value) => Self::Const(!value),
                other => other.not(),
            },
            Self::All(parts) => joined(parts.iter().map(|part| part.settle(known)), false),
            Self::Any(parts) => joined(parts.iter().map(|part| part.settle(known)), true),
            Self::If(condition, then, otherwise) => {
                let (then, otherwise) = (then.settle(known), otherwise.settle(known));
                match condition.settle(known) {
                    Self::Const(true) => then,
                    Self::Const(false) => otherwise,
                    other => Self::If(Box::new(other), Box::new(then), Box::new(otherwise)),
                }
            }
        }
    }
}

/// Parts joined by `or` where `any`, else by `and`, less those that say nothing.
fn joined(parts: impl Iterator<Item = Formula>, any: bool) -> Formula {
    let mut kept = Vec::new();
    for part in parts {
        match part {
            Formula::Const(value) if value == any => return Formula::Const(any),
            Formula::Const(_) => {}
            other if kept.contains(&other) => {}
            other => kept.push(other),
        }
    }
    match (kept.len(), any) {
        (0, _) => Formula::Const(!any),
        (1, _) => kept.swap_remove(0),
        (_, true) => Formula::Any(kept),
        (_, false) => Formula::All(kept),
    }
}

/// What one alternative asks of a token and its caller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Literal {
    /// One of these audiences.
    Audience(BTreeSet<String>),
    /// A claim is as the test says.
    Claim(Vec<String>, ClaimTest),
    /// A claim is there, and is not this text, number or boolean.
    ClaimIsNot(Vec<String>, ClaimTest),
    /// The caller's SPIFFE id.
    Caller(String),
}

/// Alternatives, each a set of what it asks for. None at all: nothing is let through.
pub(super) type Alternatives = BTreeSet<BTreeSet<Literal>>;

/// Most alternatives that are looked at; more are left out, which lets less through.
const MAX_ALTERNATIVES: usize = 256;

/// The alternatives of a formula whose atoms are audiences (as providers), claims and callers.
///
/// With `sometimes: false` they hold for no request that the formula refuses: what cannot be said is false, also under
/// a `not`. With `true` they leave out no request that it allows; where both are equal, they say what it says.
pub(super) fn alternatives(formula: &Formula, positive: bool, sometimes: bool) -> Alternatives {
    let constant = |value: bool| if value { Alternatives::from([BTreeSet::new()]) } else { Alternatives::new() };
    match formula {
        Formula::Const(value) => constant(*value == positive),
        Formula::Atom(atom) => literal(atom, positive, sometimes).unwrap_or_else(|| constant(sometimes)),
        Formula::Not(inner) => alternatives(inner, !positive, sometimes),
        Formula::All(parts) if positive => every(parts, positive, sometimes),
        Formula::Any(parts) if !positive => every(parts, positive, sometimes),
        Formula::All(parts) | Formula::Any(parts) => {
            let mut found = Alternatives::new();
            for part in parts {
                found.extend(alternatives(part, positive, sometimes));
            }
            least(found)
        }
        // A condition that the place in the table does not settle: both have to hold, or either may.
        Formula::If(_, then, otherwise) => {
            let mut found = alternatives(then, positive, sometimes);
            let others = alternatives(otherwise, positive, sometimes);
            if sometimes {
                found.extend(others);
                return least(found);
            }
            product(&found, &others)
        }
    }
}

fn every(parts: &[Formula], positive: bool, sometimes: bool) -> Alternatives {
    let mut found = Alternatives::from([BTreeSet::new()]);
    for part in parts {
        found = product(&found, &alternatives(part, positive, sometimes));
    }
    found
}

fn product(a: &Alternatives, b: &Alternatives) -> Alternatives {
    let mut found = Alternatives::new();
    for one in a {
        for other in b {
            found.insert(one.union(other).cloned().collect());
        }
    }
    least(found)
}

/// Without alternatives that ask for all that another one does, and more.
fn least(all: Alternatives) -> Alternatives {
    let kept = all.iter().filter(|one| !all.iter().any(|other| other != *one && other.is_subset(one)));
    kept.take(MAX_ALTERNATIVES).cloned().collect()
}

/// An atom, or what it is not. `None` where that cannot be said.
fn literal(atom: &Atom, positive: bool, sometimes: bool) -> Option<Alternatives> {
    let literal =
        match atom {
            Atom::Provider { audiences, .. } if positive => Literal::Audience(audiences.iter().cloned().collect()),
            Atom::Claim { path, test, .. } if positive => Literal::Claim(path.clone(), test.clone()),
            // A claim that is not there is not this text either, and Tollgate asks for one that is there.
            Atom::Claim {
                path, test: test @ (ClaimTest::Text(_) | ClaimTest::Flag(_) | ClaimTest::Number(_)), ..
            } if !positive && !sometimes => Literal::ClaimIsNot(path.clone(), test.clone()),
            Atom::Caller(pattern, _) if positive => Literal::Caller(pattern.clone()),
            Atom::Path(..)
            | Atom::Method(_)
            | Atom::Host(..)
            | Atom::Provider { .. }
            | Atom::Missing
            | Atom::MissingOrFailed(_)
            | Atom::Claim { .. }
            | Atom::Caller(..)
            | Atom::Unsayable(_) => return None,
        };
    Some(Alternatives::from([BTreeSet::from([literal])]))
}
