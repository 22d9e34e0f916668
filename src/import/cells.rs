//! The request space, cut by host, path and method into cells of which each has a rule of its own, or shares one.

use std::collections::BTreeSet;
use std::fmt;

use super::formula::{Atom, Formula, HostTest};
use super::path::{Holds, PathPart};
use crate::core::request::Host;

/// Hosts of a cell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HostPart {
    /// Every other one.
    Any,
    /// All below this domain.
    Below(String),
    /// This one.
    Exactly(String),
}

/// Requests that one rule could be for, less those of the more specific cells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell {
    pub(super) host: HostPart,
    pub(super) path: PathPart,
    /// `None`: every other one.
    pub(super) method: Option<String>,
}

/// Most cells that are looked at.
const MAX_CELLS: usize = 6000;

/// The cells that a formula tells apart. `None`: too many.
pub(super) fn cut(formulas: &[&Formula]) -> Option<Vec<Cell>> {
    let mut hosts = BTreeSet::from([HostPart::Any]);
    let mut paths = BTreeSet::from([PathPart::whole()]);
    let mut methods = BTreeSet::from([None]);
    for formula in formulas {
        formula.atoms(&mut |atom| match atom {
            Atom::Path(test, _) => test.add_parts(&mut paths),
            Atom::Method(method) => {
                methods.insert(Some(method.clone()));
            }
            Atom::Host(test, _) => hosts.extend(test.part()),
            _ => {}
        });
    }
    if hosts.len().saturating_mul(paths.len()).saturating_mul(methods.len()) > MAX_CELLS {
        return None;
    }
    let mut cells = Vec::new();
    for host in &hosts {
        for path in &paths {
            cells.extend(methods.iter().map(|method| Cell {
                host: host.clone(),
                path: path.clone(),
                method: method.clone(),
            }));
        }
    }
    Some(cells)
}

impl Cell {
    /// A formula as it is in this cell.
    pub(super) fn settle(&self, formula: &Formula, any_port: bool) -> Formula {
        let held = |holds: Holds, note: usize| match holds {
            Holds::Always => Formula::Const(true),
            Holds::Never => Formula::Const(false),
            Holds::Sometimes => Formula::Atom(Atom::Unsayable(note)),
        };
        formula.settle(&|atom| match atom {
            Atom::Path(test, note) => Some(held(test.holds(&self.path), *note)),
            Atom::Method(method) => Some(Formula::Const(self.method.as_ref() == Some(method))),
            Atom::Host(test, note) => Some(held(test.holds(&self.host, any_port), *note)),
            _ => None,
        })
    }

    /// Whether a rule for this cell matches every request of the other one.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let method = self.method.is_none() || self.method == other.method;
        method && self.host.covers(&other.host) && self.path.covers(&other.path)
    }

    /// Orders the cells that cover one request as the policy table does: the greatest answers.
    pub(super) fn specificity(&self) -> (usize, usize, bool, bool) {
        let host = match &self.host {
            HostPart::Any => 0,
            HostPart::Below(domain) => 1 + domain.len(),
            HostPart::Exactly(_) => usize::MAX,
        };
        let (path, exact) = match &self.path {
            PathPart::Below(base) => (base.len(), false),
            PathPart::Exactly(path) => (path.len(), true),
        };
        (host, path, exact, self.method.is_some())
    }
}

impl HostPart {
    fn covers(&self, other: &Self) -> bool {
        let below = |name: &str, domain: &str| {
            name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
        };
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Below(a), Self::Below(b)) => a == b || below(b, a),
            (Self::Below(domain), Self::Exactly(name)) => below(name, domain),
            (Self::Exactly(a), Self::Exactly(b)) => a == b,
            (Self::Below(_), Self::Any) | (Self::Exactly(_), Self::Any | Self::Below(_)) => false,
        }
    }
}

impl fmt::Display for HostPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Below(domain) => write!(f, "*.{domain}"),
            Self::Exactly(name) => f.write_str(name),
        }
    }
}

impl HostTest {
    /// A test that Tollgate has hosts for.
    pub(super) fn is_sayable(&self) -> bool {
        self.part().is_some()
    }

    fn part(&self) -> Option<HostPart> {
        match self {
            Self::Exact(text) => Host::parse(text).map(|host| HostPart::Exactly(host.as_str().to_owned())),
            Self::Below(text) => {
                let domain = text.strip_prefix('.').filter(|domain| !domain.contains([':', '[']))?;
                Host::parse(domain).map(|host| HostPart::Below(host.as_str().to_owned()))
            }
        }
    }

    /// Proxies compare the authority as it was sent, with its port and case; Tollgate compares hosts.
    fn holds(&self, part: &HostPart, any_port: bool) -> Holds {
        let Some(own) = self.part() else { return Holds::Sometimes };
        if !own.covers(part) {
            return Holds::Never;
        }
        let has_port =
            matches!(self, Self::Exact(text) if text.rsplit(']').next().is_some_and(|end| end.contains(':')));
        if any_port && !has_port { Holds::Always } else { Holds::Sometimes }
    }
}
