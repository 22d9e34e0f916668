//! Canonical paths: decoded once, and refused where two readers could disagree.

/// A path in its one reading: the decoded segments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalPath {
    segments: Vec<Box<str>>,
}

/// The values of a path pattern's parameters.
#[derive(Clone, Debug, Default)]
pub struct PathParams<'a> {
    pub(super) pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> PathParams<'a> {
    /// The decoded segment that the pattern calls `name`.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
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
const MAX_SEGMENTS: usize = 256;

impl CanonicalPath {
    /// Reads a path without its query.
    ///
    /// Percent-encoding is undone once. Refused are readings on which servers differ: dot segments and empty
    /// segments in any spelling, `;`, backslashes, encoded slashes and controls, double encoding, fragments.
    /// One trailing slash is kept, as a last, empty segment: `/a/` is not `/a`.
    ///
    /// # Errors
    /// What makes it ambiguous.
    pub fn parse(raw: &str) -> Result<Self, PathError> {
        let rest = raw.strip_prefix('/').ok_or(PathError::NotOrigin)?;
        let mut segments = Vec::new();
        let mut parts = rest.split('/').peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            if part.is_empty() && !last {
                return Err(PathError::EmptySegment);
            }
            if segments.len() == MAX_SEGMENTS {
                return Err(PathError::TooDeep);
            }
            segments.push(decode_segment(part)?);
        }
        Ok(Self { segments })
    }

    /// The decoded segments. `/` is one empty segment.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &str> {
        self.segments.iter().map(|segment| &**segment)
    }

    pub(super) fn segment(&self, index: usize) -> Option<&str> {
        self.segments.get(index).map(|segment| &**segment)
    }
}

fn decode_segment(part: &str) -> Result<Box<str>, PathError> {
    let mut decoded = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else { return Err(PathError::Encoding) };
                decoded.push(u8::try_from(high * 16 + low).map_err(|_| PathError::Encoding)?);
            }
            b'\\' | b';' => return Err(PathError::Delimiter),
            b'#' | 0..=b' ' | 0x7f.. => return Err(PathError::RawByte),
            _ => decoded.push(byte),
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

impl std::fmt::Display for CanonicalPath {
    /// The canonical spelling, which parses to the same path.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
        for segment in &self.segments {
            write!(f, "/{}", utf8_percent_encode(segment, ENCODED))?;
        }
        Ok(())
    }
}
