//! Canonical paths: decoded once, and refused where two readers could disagree.

use std::borrow::Cow;

use smallvec::SmallVec;

/// A path in its one reading: the decoded segments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalPath<'a> {
    /// Joined by slashes. No decoded segment holds one, so that this is the segments and nothing else; and a path that
    /// is not encoded anywhere, as most are, is its own canonical form.
    segments: Cow<'a, str>,
}

/// The segments that a path pattern's parameters took, in the pattern's order. Few patterns have more than these.
pub(super) type ParamValues<'a> = SmallVec<[&'a str; 4]>;

/// The values of a path pattern's parameters.
#[derive(Clone, Debug, Default)]
pub struct PathParams<'a> {
    pub(super) names: &'a [Box<str>],
    pub(super) values: ParamValues<'a>,
}

impl<'a> PathParams<'a> {
    /// The decoded segment that the pattern calls `name`.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        let at = self.names.iter().position(|known| **known == *name)?;
        self.values.get(at).copied()
    }
}

/// Why a path has no one reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Empty, `*`, an absolute URI, or without a leading slash.
    #[error("it does not start with a slash")]
    NotOrigin,
    /// A byte outside visible ASCII, or a fragment.
    #[error("it holds a byte that belongs encoded")]
    RawByte,
    /// A percent sign without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("its percent-encoding is broken")]
    Encoding,
    /// An encoded slash, backslash, `;`, `?`, `#`, control character or space at a segment's edge.
    #[error("it holds a delimiter or control character inside a segment")]
    Delimiter,
    /// A percent sign that is itself encoded before two hexadecimal digits.
    #[error("it is encoded twice")]
    DoubleEncoding,
    /// `.` or `..`, plain or encoded.
    #[error("it holds a dot segment")]
    DotSegment,
    /// `//`.
    #[error("it holds an empty segment")]
    EmptySegment,
    /// More segments than any table has use for.
    #[error("it has too many segments")]
    TooDeep,
}

/// Deepest path looked at.
pub(super) const MAX_SEGMENTS: usize = 256;

impl<'a> CanonicalPath<'a> {
    /// Reads a path without its query.
    ///
    /// Percent-encoding is undone once. Refused are readings on which servers differ: dot segments and empty
    /// segments in any spelling, `;`, backslashes, encoded slashes and controls, double encoding, fragments.
    /// One trailing slash is kept, as a last, empty segment: `/a/` is not `/a`.
    ///
    /// # Errors
    /// What makes it ambiguous.
    pub fn parse(raw: &'a str) -> Result<Self, PathError> {
        let rest = raw.strip_prefix('/').ok_or(PathError::NotOrigin)?;
        let mut decoded = rest.contains('%').then(|| String::with_capacity(rest.len()));
        let mut parts = rest.split('/').enumerate().peekable();
        while let Some((index, part)) = parts.next() {
            let last = parts.peek().is_none();
            if part.is_empty() && !last {
                return Err(PathError::EmptySegment);
            }
            if index == MAX_SEGMENTS {
                return Err(PathError::TooDeep);
            }
            let segment = decode_segment(part)?;
            if let Some(text) = &mut decoded {
                if index > 0 {
                    text.push('/');
                }
                text.push_str(&segment);
            }
        }
        Ok(Self { segments: decoded.map_or(Cow::Borrowed(rest), Cow::Owned) })
    }

    /// The decoded segments. `/` is one empty segment.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.segments.split('/')
    }

    /// The decoded segments with slashes between them; none holds one itself.
    pub(super) fn joined(&self) -> &str {
        &self.segments
    }
}

fn decode_segment(part: &str) -> Result<Cow<'_, str>, PathError> {
    let raw = |byte: u8| match byte {
        b'\\' | b';' => Err(PathError::Delimiter),
        b'#' | 0..=b' ' | 0x7f.. => Err(PathError::RawByte),
        _ => Ok(byte),
    };
    if !part.contains('%') {
        // What remains to be judged below of a text that is not encoded.
        part.bytes().try_for_each(|byte| raw(byte).map(drop))?;
        return match part {
            "." | ".." => Err(PathError::DotSegment),
            _ if part.contains('?') => Err(PathError::Delimiter),
            _ => Ok(Cow::Borrowed(part)),
        };
    }
    let mut decoded = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else { return Err(PathError::Encoding) };
                decoded.push(u8::try_from(high * 16 + low).map_err(|_| PathError::Encoding)?);
            }
            _ => decoded.push(raw(byte)?),
        }
    }
    let text = String::from_utf8(decoded).map_err(|_| PathError::Encoding)?;
    if text.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | ';' | '?' | '#')) {
        return Err(PathError::Delimiter);
    }
    if text.starts_with(' ') || text.ends_with(' ') {
        return Err(PathError::Delimiter);
    }
    if text == "." || text == ".." {
        return Err(PathError::DotSegment);
    }
    let encoded_again = |(at, _): (usize, &str)| {
        let mut next = text[at + 1..].bytes();
        match next.next() {
            Some(b'u' | b'U') => true,
            Some(b) if b.is_ascii_hexdigit() => next.next().is_some_and(|b| b.is_ascii_hexdigit()),
            _ => false,
        }
    };
    if text.match_indices('%').any(encoded_again) {
        return Err(PathError::DoubleEncoding);
    }
    Ok(text.into())
}

impl std::fmt::Display for CanonicalPath<'_> {
    /// The canonical spelling, which parses to the same path.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for segment in self.segments() {
            write!(f, "/{}", encoded_segment(segment))?;
        }
        Ok(())
    }
}

/// A decoded segment in its canonical spelling.
pub(super) fn encoded_segment(segment: &str) -> impl std::fmt::Display {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const ENCODED: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'%')
        .add(b'<')
        .add(b'>')
        .add(b'`')
        .add(b'{')
        .add(b'}')
        .add(b'^')
        .add(b'|')
        .add(b'[')
        .add(b']');
    utf8_percent_encode(segment, ENCODED)
}
