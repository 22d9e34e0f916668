//! Looks for a request that some regions leave out.
//!
//! Of all hosts, methods and path segments only those are tried of which the regions make a difference, and one that
//! none of them speaks of. Header and extension values are reasoned about. So nothing is missed, and where nothing is
//! found the regions cover everything.

use super::super::super::path::{MAX_SEGMENTS, encoded_segment};
use super::super::super::request::Host;
use super::super::HostPattern;
use super::super::pattern::Segment;
use super::conditions::{Held, conditions, is_unconditional};
use super::{Region, Sample, hosts_cover};

/// Whether regions cover another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// No request is left out.
    Covered,
    /// This one is.
    Open(Sample),
    /// The search was given up.
    Undecided,
}

/// How long a search may go on, in steps.
#[derive(Clone, Copy, Debug)]
pub struct Budget(pub usize);

impl Default for Budget {
    fn default() -> Self {
        Self(100_000)
    }
}

/// Whether every request of `region` is in one of `by`, or a request that is not.
pub fn uncovered(region: &Region, by: &[&Region], budget: &mut Budget) -> Coverage {
    let Some(held) = Held::of(region) else { return Coverage::Covered };
    let by: Vec<&Region> = by.iter().copied().filter(|other| region.meets(other)).collect();
    let mut search = Search { region, held, budget, given_up: false };
    // Those that are for all its hosts are mostly enough, and then it does not matter how many hosts others name.
    let everywhere = |other: &&Region| hosts_cover(other.host.as_ref(), region.host.as_ref());
    let (wide, narrow): (Vec<&Region>, Vec<&Region>) = by.iter().copied().partition(everywhere);
    if !narrow.is_empty() {
        let found = search.look(&wide);
        if search.given_up {
            return Coverage::Undecided;
        } else if found.is_none() {
            return Coverage::Covered;
        }
    }
    match search.look(&by) {
        Some(sample) => Coverage::Open(sample),
        None if search.given_up => Coverage::Undecided,
        None => Coverage::Covered,
    }
}

struct Search<'r, 'b> {
    region: &'r Region,
    held: Held<'r>,
    budget: &'b mut Budget,
    given_up: bool,
}

/// The regions that are not yet ruled out by the segments so far.
struct Walk<'r> {
    /// They take whatever follows.
    taken: Vec<&'r Region>,
    /// They take the path if it ends here.
    ended: Vec<&'r Region>,
    /// They want more segments.
    pending: Vec<&'r Region>,
}

impl<'r> Search<'r, '_> {
    /// A request that none of these takes.
    fn look(&mut self, by: &[&'r Region]) -> Option<Sample> {
        for host in self.hosts(by) {
            if !self.goes_on(by.len()) {
                return None;
            }
            let is_there = |other: &&Region| other.host.as_ref().is_none_or(|of| of.matches(&host));
            let there: Vec<&Region> = by.iter().copied().filter(is_there).collect();
            for method in methods(self.region, &there) {
                let is_named = |other: &&Region| other.method.as_ref().is_none_or(|of| **of == *method);
                let there: Vec<&Region> = there.iter().copied().filter(is_named).collect();
                // Patterns without segments are open: they take every path.
                let (taken, pending) = there.into_iter().partition(|other| other.path.segments.is_empty());
                let walk = Walk { taken, ended: Vec::new(), pending };
                if let Some((segments, held)) = self.walk(&mut Vec::new(), &walk) {
                    return Some(Sample {
                        direction: self.region.direction,
                        method,
                        host,
                        path: segments.iter().map(|segment| format!("/{}", encoded_segment(segment))).collect(),
                        headers: held.header_values(),
                        context_extensions: held.extension_values(),
                    });
                }
                if self.given_up {
                    return None;
                }
            }
        }
        None
    }

    /// Whether there are steps left; takes one, and more where there are many regions to look through.
    fn goes_on(&mut self, regions: usize) -> bool {
        match self.budget.0.checked_sub(1 + regions / 64) {
            Some(left) => self.budget.0 = left,
            None => self.given_up = true,
        }
        !self.given_up
    }

    /// A host for every difference that there is.
    fn hosts(&mut self, by: &[&Region]) -> Vec<String> {
        if let Some(HostPattern::Exact(name)) = &self.region.host {
            return vec![name.to_string()];
        }
        let mut bases: Vec<&str> = vec![match &self.region.host {
            Some(HostPattern::Suffix(suffix)) => suffix,
            Some(HostPattern::Exact(_)) | None => "",
        }];
        let mut exact: Vec<&str> = Vec::new();
        for host in by.iter().filter_map(|other| other.host.as_ref()) {
            match host {
                HostPattern::Exact(name) => exact.push(name),
                HostPattern::Suffix(suffix) => bases.push(suffix),
            }
        }
        // A suffix of `by` that is shorter than the region's own makes no difference within it.
        let own = bases.first().copied().unwrap_or_default();
        bases.retain(|base| base.ends_with(own));
        exact.sort_unstable();
        exact.dedup();
        bases.sort_unstable_by_key(|base| (base.len(), *base));
        bases.dedup();
        let mut hosts = Vec::new();
        for base in &bases {
            match other_host(base, &exact, &bases) {
                Some(host) => hosts.push(host),
                None => self.given_up = true,
            }
        }
        hosts.extend(exact.into_iter().map(str::to_owned));
        hosts
    }

    /// A path, and conditions, that no region of the walk takes.
    fn walk(&mut self, path: &mut Vec<String>, walk: &Walk<'r>) -> Option<(Vec<String>, Held<'r>)> {
        if !self.goes_on(walk.pending.len()) {
            return None;
        }
        // Where those that take everything leave nothing, nothing below is left.
        let held = self.held.clone();
        self.escape(&held, &walk.taken)?;
        let pattern = &self.region.path;
        let wanted = pattern.segments.get(path.len());
        if wanted.is_none() && !path.is_empty() {
            let all = [&*walk.taken, &*walk.ended].concat();
            if let Some(held) = self.escape(&held, &all) {
                return Some((path.clone(), held));
            }
        }
        let is_over = path.last().is_some_and(String::is_empty) || path.len() >= MAX_SEGMENTS;
        if is_over || (wanted.is_none() && !pattern.open) {
            return None;
        }
        for segment in segments(wanted, path.len(), &walk.pending) {
            let mut next = Walk { taken: walk.taken.clone(), ended: Vec::new(), pending: Vec::new() };
            for other in &walk.pending {
                let segments = &other.path.segments;
                if !segments.get(path.len()).is_some_and(|wanted| wanted.takes(&segment)) {
                    continue;
                }
                let list = match (segments.len() == path.len() + 1, other.path.open) {
                    (false, _) => &mut next.pending,
                    (true, true) => &mut next.taken,
                    (true, false) => &mut next.ended,
                };
                list.push(other);
            }
            path.push(segment);
            let found = self.walk(path, &next);
            path.pop();
            if found.is_some() || self.given_up {
                return found;
            }
        }
        None
    }

    /// Conditions under which a request of which `held` is known is in none of these.
    fn escape(&mut self, held: &Held<'r>, from: &[&'r Region]) -> Option<Held<'r>> {
        if from.iter().any(|other| is_unconditional(other)) || !self.goes_on(0) {
            return None;
        }
        let Some((first, rest)) = from.split_first() else { return Some(held.clone()) };
        for condition in conditions(first) {
            if let Some(held) = held.but_not(condition)
                && let Some(found) = self.escape(&held, rest)
            {
                return Some(found);
            }
        }
        None
    }
}

/// A host right below `base` (any host, where that is empty) that is none of `exact` and below no other base.
fn other_host(base: &str, exact: &[&str], bases: &[&str]) -> Option<String> {
    // A host of one label is below nothing.
    let pretty = base.is_empty().then(|| "any.example".to_owned());
    let labels = std::iter::once("any".to_owned()).chain((1..=exact.len() + 1).map(|number| format!("a{number}")));
    let candidates = pretty.into_iter().chain(labels.map(|label| format!("{label}{base}")));
    let free = |host: &String| {
        let below = |other: &&str| other.len() > base.len() && host.ends_with(&**other);
        !exact.contains(&&**host) && !bases.iter().any(below) && Host::parse(host).is_some()
    };
    candidates.into_iter().find(|host| free(host))
}

/// A method for every difference that there is.
fn methods(region: &Region, by: &[&Region]) -> Vec<String> {
    if let Some(method) = &region.method {
        return vec![method.to_string()];
    }
    let mut named: Vec<String> = by.iter().filter_map(|other| other.method.as_deref()).map(str::to_owned).collect();
    named.sort();
    named.dedup();
    let usual = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"].map(str::to_owned);
    let unusual = (0..=named.len()).map(|number| format!("ANY{number}"));
    let other = usual.into_iter().chain(unusual).find(|method| !named.contains(method));
    other.into_iter().chain(named.iter().cloned()).collect()
}

/// A segment for every difference that there is: `wanted` is the region's own, `None` below an open pattern.
fn segments(wanted: Option<&Segment>, at: usize, pending: &[&Region]) -> Vec<String> {
    if let Some(Segment::Literal(text)) = wanted {
        return vec![text.to_string()];
    }
    let mut named: Vec<&str> = Vec::new();
    for other in pending {
        if let Some(Segment::Literal(text)) = other.path.segments.get(at) {
            named.push(text);
        }
    }
    named.sort_unstable();
    named.dedup();
    let numbered = (1..=named.len() + 1).map(|number| format!("x{number}"));
    let other = std::iter::once("x".to_owned()).chain(numbered).find(|text| !named.contains(&&**text));
    let mut segments: Vec<String> = other.into_iter().collect();
    let is_below = wanted.is_none();
    if is_below && !pending.is_empty() {
        segments.push(String::new());
    }
    segments.extend(named.into_iter().filter(|text| !text.is_empty()).map(str::to_owned));
    segments
}
