//! Sets of requests as matchers describe them: what two have in common, whether some cover another, and a request that
//! shows it.
//!
//! A matcher is a union of [`Region`]s. Regions are closed under intersection ([`Region::meet`]); whether a union of
//! them leaves anything of another out is searched for ([`uncovered`]) among requests of which there is one for every
//! way in which the regions can differ. That search is exact. It is also bounded, and says so where it gave up.

mod conditions;
mod order;
mod sample;
mod search;

pub use order::Stake;
pub use sample::Sample;
pub use search::{Budget, Coverage, uncovered};

use super::super::request::Direction;
use super::pattern::Segment;
use super::{HeaderCondition, HostPattern, Matcher, PathPattern};
use conditions::Held;

/// The requests of one host pattern, one path pattern and one method, under conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Of this direction only.
    pub direction: Direction,
    /// `None`: every host.
    pub host: Option<HostPattern>,
    /// `/**` for every path.
    pub path: PathPattern,
    /// `None`: every method.
    pub method: Option<Box<str>>,
    /// All of these must hold.
    pub headers: Vec<HeaderCondition>,
    /// All of these must be there.
    pub context: Vec<(Box<str>, Box<str>)>,
}

impl Region {
    /// The regions that a matcher is the union of: one for each host, path and method.
    pub fn of(matcher: &Matcher) -> impl Iterator<Item = Self> {
        let hosts = if matcher.hosts.is_empty() { vec![None] } else { matcher.hosts.iter().map(Some).collect() };
        let methods = if matcher.methods.is_empty() { vec![None] } else { matcher.methods.iter().map(Some).collect() };
        let everywhere = || vec![PathPattern { segments: Vec::new(), open: true }];
        let paths = if matcher.paths.is_empty() { everywhere() } else { matcher.paths.clone() };
        let mut context = matcher.context_extensions.clone();
        let mut headers = matcher.headers.clone();
        context.sort();
        context.dedup();
        headers.sort();
        headers.dedup();
        let direction = matcher.direction.unwrap_or(Direction::Inbound);
        let mut regions = Vec::with_capacity(hosts.len() * paths.len() * methods.len());
        for path in &paths {
            for host in &hosts {
                for method in &methods {
                    regions.push(Self {
                        direction,
                        host: host.cloned(),
                        path: path.clone(),
                        method: method.cloned(),
                        headers: headers.clone(),
                        context: context.clone(),
                    });
                }
            }
        }
        regions.into_iter()
    }

    /// The requests that are in both; `None` where there are none.
    pub fn meet(&self, other: &Self) -> Option<Self> {
        if self.direction != other.direction {
            return None;
        }
        let host = meet_hosts(self.host.as_ref(), other.host.as_ref())?;
        let path = meet_paths(&self.path, &other.path)?;
        let method = match (&self.method, &other.method) {
            (Some(a), Some(b)) if a != b => return None,
            (Some(one), _) | (None, Some(one)) => Some(one.clone()),
            (None, None) => None,
        };
        let mut headers = [&*self.headers, &*other.headers].concat();
        headers.sort();
        headers.dedup();
        let mut context = [&*self.context, &*other.context].concat();
        context.sort();
        context.dedup();
        let both = Self { direction: self.direction, host: host.cloned(), path, method, headers, context };
        Held::of(&both).is_some().then_some(both)
    }

    /// Whether there is a request in both. As [`Region::meet`], but makes nothing.
    pub fn meets(&self, other: &Self) -> bool {
        self.direction == other.direction
            && self.method.as_ref().is_none_or(|a| other.method.as_ref().is_none_or(|b| a == b))
            && meet_hosts(self.host.as_ref(), other.host.as_ref()).is_some()
            && paths_meet(&self.path, &other.path)
            && Held::of(self).is_some_and(|held| held.and(other).is_some())
    }

    /// Whether every request of `other` is in this region.
    pub fn covers(&self, other: &Self) -> bool {
        let Some(held) = Held::of(other) else { return true };
        self.direction == other.direction
            && self.method.as_ref().is_none_or(|method| other.method.as_ref() == Some(method))
            && hosts_cover(self.host.as_ref(), other.host.as_ref())
            && path_covers(&self.path, &other.path)
            && held.implies(self)
    }

    /// Whether its conditions contradict each other, so that no request is in it.
    pub fn is_empty(&self) -> bool {
        Held::of(self).is_none()
    }

    /// A request that is in this region and not in `other`, if there is one.
    pub fn beside(&self, other: &Self) -> Option<Sample> {
        match uncovered(self, &[other], &mut Budget::default()) {
            Coverage::Open(sample) => Some(sample),
            Coverage::Covered | Coverage::Undecided => None,
        }
    }

    /// A request in it. `None` where there is none, or none was found.
    pub fn sample(&self) -> Option<Sample> {
        match uncovered(self, &[], &mut Budget::default()) {
            Coverage::Open(sample) => Some(sample),
            Coverage::Covered | Coverage::Undecided => None,
        }
    }
}

impl HostPattern {
    /// Whether a host, normalised, is one of these.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *host,
            Self::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
        }
    }
}

impl PathPattern {
    /// Whether it ends in `**`.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Its segments before a `**`; `None` for a parameter.
    pub fn words(&self) -> impl Iterator<Item = Option<&str>> {
        self.segments.iter().map(|segment| match segment {
            Segment::Literal(text) => Some(&**text),
            Segment::Parameter(_) => None,
        })
    }

    /// Whether every path of `other` is one of these.
    pub fn covers(&self, other: &Self) -> bool {
        path_covers(self, other)
    }

    /// The same path with a slash at its end; `None` where it ends with one, or with `**`.
    pub fn with_slash(&self) -> Option<Self> {
        let ends_with_slash = matches!(self.segments.last(), Some(Segment::Literal(text)) if text.is_empty());
        if self.open || ends_with_slash {
            return None;
        }
        let mut segments = self.segments.clone();
        segments.push(Segment::Literal("".into()));
        Some(Self { segments, open: false })
    }
}

impl Segment {
    /// Whether a request's segment is one of these. Parameters take no empty one.
    fn takes(&self, segment: &str) -> bool {
        match self {
            Self::Literal(text) => **text == *segment,
            Self::Parameter(_) => !segment.is_empty(),
        }
    }
}

/// The narrower of two hosts: of two that have any host in common, one is in the other.
fn meet_hosts<'h>(a: Option<&'h HostPattern>, b: Option<&'h HostPattern>) -> Option<Option<&'h HostPattern>> {
    if hosts_cover(a, b) {
        Some(b)
    } else if hosts_cover(b, a) {
        Some(a)
    } else {
        None
    }
}

fn hosts_cover(wide: Option<&HostPattern>, narrow: Option<&HostPattern>) -> bool {
    match (wide, narrow) {
        (None, _) => true,
        (Some(_), None) | (Some(HostPattern::Exact(_)), Some(HostPattern::Suffix(_))) => false,
        (Some(HostPattern::Exact(a)), Some(HostPattern::Exact(b))) => a == b,
        (Some(wide @ HostPattern::Suffix(_)), Some(HostPattern::Exact(host))) => wide.matches(host),
        (Some(HostPattern::Suffix(a)), Some(HostPattern::Suffix(b))) => b.ends_with(&**a),
    }
}

fn path_covers(wide: &PathPattern, narrow: &PathPattern) -> bool {
    let long_enough = if wide.open {
        narrow.segments.len() >= wide.segments.len()
    } else {
        !narrow.open && narrow.segments.len() == wide.segments.len()
    };
    long_enough
        && wide.segments.iter().zip(&narrow.segments).all(|(wide, narrow)| match (wide, narrow) {
            (Segment::Literal(a), Segment::Literal(b)) => a == b,
            (Segment::Literal(_), Segment::Parameter(_)) => false,
            (Segment::Parameter(_), Segment::Literal(text)) => !text.is_empty(),
            (Segment::Parameter(_), Segment::Parameter(_)) => true,
        })
}

fn paths_meet(a: &PathPattern, b: &PathPattern) -> bool {
    let (short, long) = if a.segments.len() <= b.segments.len() { (a, b) } else { (b, a) };
    let lengths = short.segments.len() == long.segments.len() || short.open;
    lengths
        && short.segments.iter().zip(&long.segments).all(|pair| match pair {
            (Segment::Literal(a), Segment::Literal(b)) => a == b,
            (Segment::Literal(text), Segment::Parameter(_)) | (Segment::Parameter(_), Segment::Literal(text)) => {
                !text.is_empty()
            }
            (Segment::Parameter(_), Segment::Parameter(_)) => true,
        })
}

fn meet_paths(a: &PathPattern, b: &PathPattern) -> Option<PathPattern> {
    if !paths_meet(a, b) {
        return None;
    }
    let (short, long) = if a.segments.len() <= b.segments.len() { (a, b) } else { (b, a) };
    let common = short.segments.iter().zip(&long.segments).map(|pair| match pair {
        (literal @ Segment::Literal(_), _) | (_, literal) => literal,
    });
    let rest = long.segments.iter().skip(short.segments.len());
    let open = a.open && b.open;
    Some(PathPattern { segments: common.chain(rest).cloned().collect(), open })
}
