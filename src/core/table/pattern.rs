//! Hosts and paths as rules name them.

use super::super::path::CanonicalPath;
use super::super::request::Host;

/// Hosts that a rule is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This host, as [`Host`] normalises it.
    Exact(Box<str>),
    /// Every host below this one, at any depth, but not itself: `*.example.com` is `.example.com`.
    Suffix(Box<str>),
}

/// Paths that a rule is for: `/a/b`, `/a/{name}/c`, `/a/**`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPattern {
    pub(super) segments: Vec<Segment>,
    /// Ends in `**`: matches the path without it, and everything below.
    pub(super) open: bool,
}

/// One segment of a [`PathPattern`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Segment {
    /// This text, decoded.
    Literal(Box<str>),
    /// Any one segment that is not empty.
    Parameter(Box<str>),
}

/// Why a pattern cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Not a host name, address, or `*.` before a host name.
    #[error("not a host: write `api.example.com`, or `*.example.com` for every host below it, without scheme and port")]
    Host,
    /// Not a path that a request could have.
    #[error("no request can have this path: {0}")]
    Path(#[from] super::super::path::PathError),
    /// `**` elsewhere than alone at the end.
    #[error("`**` stands alone at the end, as in `/a/**`; for one segment write `{{name}}`")]
    Wildcard,
    /// Braces that are not around a whole segment's name.
    #[error("a parameter is a whole segment, as in `/orders/{{id}}`; its name has letters, digits, `_` and `-`")]
    Parameter,
    /// One name, two segments.
    #[error("the parameter `{{{0}}}` is there twice")]
    Repeated(Box<str>),
    /// A query or fragment.
    #[error("a path pattern holds no query; match on the path alone")]
    Query,
}

impl HostPattern {
    /// Reads `api.example.com` or `*.example.com`.
    ///
    /// # Errors
    /// [`PatternError::Host`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let has_port = !text.starts_with('[') && text.contains(':') || text.contains("]:");
        let (rest, below) = match text.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        match Host::parse(rest) {
            Some(host) if !has_port && below && !rest.starts_with('[') => {
                Ok(Self::Suffix(format!(".{}", host.as_str()).into()))
            }
            Some(host) if !has_port && !below => Ok(Self::Exact(host.as_str().into())),
            Some(_) | None => Err(PatternError::Host),
        }
    }
}

impl PathPattern {
    /// Reads a pattern. Literal segments may be percent-encoded; they are compared decoded.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.contains(['?', '#']) {
            return Err(PatternError::Query);
        }
        let (closed, open) = match text.strip_suffix("/**") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        if closed.contains("**") {
            return Err(PatternError::Wildcard);
        }
        if closed.is_empty() && open {
            return Ok(Self { segments: Vec::new(), open });
        }
        let mut segments = Vec::new();
        // A parameter stands in as a plain word while the rest is held to what requests are held to.
        let mut plain = String::new();
        for part in closed.strip_prefix('/').ok_or(super::super::path::PathError::NotOrigin)?.split('/') {
            plain.push('/');
            match part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(name) => {
                    let name_byte = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
                    if name.is_empty() || !name.bytes().all(name_byte) {
                        return Err(PatternError::Parameter);
                    }
                    if segments.contains(&Segment::Parameter(name.into())) {
                        return Err(PatternError::Repeated(name.into()));
                    }
                    plain.push('p');
                    segments.push(Segment::Parameter(name.into()));
                }
                None if part.contains(['{', '}']) => return Err(PatternError::Parameter),
                None if part == "*" => return Err(PatternError::Wildcard),
                None => {
                    plain.push_str(part);
                    segments.push(Segment::Literal("".into()));
                }
            }
        }
        let path = CanonicalPath::parse(&plain)?;
        for (segment, text) in segments.iter_mut().zip(path.segments()) {
            if let Segment::Literal(literal) = segment {
                *literal = text.into();
            }
        }
        if open && matches!(segments.last(), Some(Segment::Literal(text)) if text.is_empty()) {
            return Err(super::super::path::PathError::EmptySegment.into());
        }
        Ok(Self { segments, open })
    }

    /// A pattern for exactly this path: `/shop.v1.Payments/Charge`.
    pub fn literal<'s>(segments: impl IntoIterator<Item = &'s str>) -> Self {
        Self { segments: segments.into_iter().map(|text| Segment::Literal(text.into())).collect(), open: false }
    }

    /// The names of its parameters, in their order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Parameter(name) => Some(&**name),
        })
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
        }
    }
}

impl std::fmt::Display for PathPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Parameter(name) => write!(f, "/{{{name}}}")?,
            }
        }
        if self.open { f.write_str("/**") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_back_as_written() {
        for text in ["/", "/a", "/a/", "/a/{id}/b", "/a/**", "/**", "/{x}/{y}/**"] {
            assert_eq!(PathPattern::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn paths_that_no_request_can_have_are_refused() {
        for text in [
            "", "a", "**", "/a/**/b", "/a**", "/*", "/a/*", "/{a", "/{}", "/x{a}", "/{a}/{a}", "/a//b", "/a/../b",
            "/a/%2fb", "/a;b", "/a?b", "/a//**", "/a b",
        ] {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts() {
        assert_eq!(HostPattern::parse("API.Example.com"), Ok(HostPattern::Exact("api.example.com".into())));
        assert_eq!(HostPattern::parse("*.example.com"), Ok(HostPattern::Suffix(".example.com".into())));
        assert_eq!(HostPattern::parse("[::1]"), Ok(HostPattern::Exact("[::1]".into())));
        for bad in ["", "*", "*.", "a.*.b", "https://a", "a:80", "[::1]:80", "*.[::1]", "a/b"] {
            assert_eq!(HostPattern::parse(bad), Err(PatternError::Host), "{bad}");
        }
    }
}
