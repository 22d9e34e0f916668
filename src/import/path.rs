//! Paths as proxies compare them, byte by byte, and the parts of the path space that Tollgate can tell apart.

use std::collections::BTreeSet;
use std::fmt;

use crate::core::table::PathPattern;

/// A test on a path without its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PathTest {
    /// To the letter.
    Exact(String),
    /// To the letter, of path and query together: a query makes it false.
    ExactWithQuery(String),
    /// Begins with this, wherever the segments end.
    Prefix(String),
}

/// A part of the path space: what a Tollgate rule with this pattern answers, where each other part has a rule, too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PathPart {
    /// Everything below this one, without it.
    Below(String),
    /// This path.
    Exactly(String),
}

/// Whether a test holds for all requests of a part, for none, or for some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Always,
    Never,
    Sometimes,
}

impl PathTest {
    /// Whether Tollgate has patterns for what the test speaks of.
    pub(super) fn is_sayable(&self) -> bool {
        match self {
            Self::Exact(text) | Self::ExactWithQuery(text) => is_literal(text),
            Self::Prefix(text) => {
                let base = text.strip_suffix('/').unwrap_or(text);
                base.is_empty() || (!base.ends_with('/') && is_literal(base))
            }
        }
    }

    /// Adds the parts that the test needs told apart. Only for tests that are sayable.
    pub(super) fn add_parts(&self, parts: &mut BTreeSet<PathPart>) {
        match self {
            Self::Exact(text) | Self::ExactWithQuery(text) => {
                parts.insert(PathPart::Exactly(text.clone()));
            }
            Self::Prefix(text) => {
                let base = text.strip_suffix('/').unwrap_or(text);
                if !base.is_empty() {
                    parts.insert(PathPart::Exactly(base.to_owned()));
                    parts.insert(PathPart::Below(base.to_owned()));
                }
            }
        }
    }

    /// Whether it holds in a part of the path space from which the other parts are taken out.
    pub(super) fn holds(&self, part: &PathPart) -> Holds {
        let certain = |text: &str| if text.bytes().all(is_unreserved) { Holds::Always } else { Holds::Sometimes };
        match (self, part) {
            (Self::Exact(text), PathPart::Exactly(path)) if text == path => certain(text),
            (Self::ExactWithQuery(text), PathPart::Exactly(path)) if text == path => Holds::Sometimes,
            (Self::Exact(_) | Self::ExactWithQuery(_), _) => Holds::Never,
            (Self::Prefix(text), PathPart::Exactly(path)) if path.starts_with(text) => certain(text),
            (Self::Prefix(_), PathPart::Exactly(_)) => Holds::Never,
            (Self::Prefix(text), PathPart::Below(base)) => {
                let all = format!("{base}/");
                if all.starts_with(text) {
                    certain(text)
                } else if text.starts_with(&all) && !text.ends_with('/') {
                    // `/a/bc` has the prefix `/a/b`, and is not below it.
                    Holds::Sometimes
                } else {
                    Holds::Never
                }
            }
        }
    }
}

impl PathPart {
    /// Everything.
    pub(super) const fn whole() -> Self {
        Self::Below(String::new())
    }

    /// Whether a rule for this part matches every request of the other one, which has a more specific rule or the same.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exactly(a), Self::Exactly(b)) => a == b,
            (Self::Exactly(_), Self::Below(_)) => false,
            // `/a/**` matches `/a`, too.
            (Self::Below(base), Self::Exactly(path) | Self::Below(path)) => {
                path == base || path.strip_prefix(base.as_str()).is_some_and(|rest| rest.starts_with('/'))
            }
        }
    }
}

impl fmt::Display for PathPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Below(base) => write!(f, "{base}/**"),
            Self::Exactly(path) => f.write_str(path),
        }
    }
}

/// Whether the text, read as a pattern, is the path that it says and nothing else.
fn is_literal(text: &str) -> bool {
    !text.contains(['%', '{', '}', '*']) && PathPattern::parse(text).is_ok()
}

/// Characters that no client and no proxy encodes: others have a second spelling, which the proxy's comparison, byte by
/// byte, takes for another path (RFC 3986 §2.3).
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every part that the tests need, and for a sample of paths: a test that always holds in the part which answers for
    /// a path holds for that path, and one that never does does not.
    #[test]
    fn parts_say_what_the_tests_say() {
        let samples = ["/", "/a", "/a/", "/ab", "/a/b", "/a/b/", "/a/bc", "/a/b/c", "/b", "/b/", "/b/x", "/a/b/c/d"];
        let texts = ["/", "/a", "/a/", "/a/b", "/a/b/", "/b/", "/a/b/c", ""];
        let prefixes = texts.map(|text| PathTest::Prefix(text.to_owned()));
        let exact = samples.map(|text| PathTest::Exact(text.to_owned()));
        let tests: Vec<PathTest> = prefixes.into_iter().chain(exact).collect();
        for one in &tests {
            for other in &tests {
                let mut parts = BTreeSet::from([PathPart::whole()]);
                one.add_parts(&mut parts);
                other.add_parts(&mut parts);
                for path in samples {
                    let exactly = PathPart::Exactly(path.to_owned());
                    let covering = parts.iter().filter(|part| part.covers(&exactly));
                    let answers =
                        covering.max_by_key(|part| (matches!(part, PathPart::Exactly(_)), part.to_string().len()));
                    let part = answers.unwrap();
                    let truth = match one {
                        PathTest::Prefix(text) => path.starts_with(text.as_str()),
                        PathTest::Exact(text) | PathTest::ExactWithQuery(text) => path == text,
                    };
                    match one.holds(part) {
                        Holds::Always => assert!(truth, "{one:?} in {part} for {path}, beside {other:?}"),
                        Holds::Never => assert!(!truth, "{one:?} in {part} for {path}, beside {other:?}"),
                        Holds::Sometimes => {}
                    }
                }
            }
        }
    }

    #[test]
    fn only_a_prefix_inside_a_segment_is_in_doubt() {
        let below = |base: &str| PathPart::Below(base.to_owned());
        assert_eq!(PathTest::Prefix("/api".into()).holds(&PathPart::whole()), Holds::Sometimes);
        assert_eq!(PathTest::Prefix("/api/".into()).holds(&PathPart::whole()), Holds::Never);
        assert_eq!(PathTest::Prefix("/api".into()).holds(&below("/api")), Holds::Always);
        assert_eq!(PathTest::Prefix("/".into()).holds(&PathPart::whole()), Holds::Always);
        assert_eq!(PathTest::Exact("/a:b".into()).holds(&PathPart::Exactly("/a:b".into())), Holds::Sometimes);
        assert!(!PathTest::Exact("/a%20b".into()).is_sayable());
        assert!(!PathTest::Prefix("//".into()).is_sayable());
        assert!(!PathTest::Prefix("/{x}".into()).is_sayable());
    }
}
