//! Identity headers: templates, and the encoding that keeps a claim inside its header.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use smallvec::SmallVec;

use super::path::PathParams;
use super::principal::Principal;
use super::request::RequestFacts;
use super::rule::{AnyAll, Requirements};

/// Makes a header value: literal text and placeholders, alternating at will.
///
/// | placeholder | value |
/// |---|---|
/// | `{subject}` `{client}` `{service}` `{tenant}` | the mapped claim |
/// | `{issuer}` | the token's `iss`, or the issuer's name where it has none |
/// | `{scopes}` `{roles}` `{audience}` | the list, space-separated; `{scopes:csv}` for commas |
/// | `{caller}` | the peer's SPIFFE id |
/// | `{claim.NAME}` | a claim that the issuer maps under `extra` |
/// | `{path.NAME}` | a path parameter of the rule |
/// | `{claims}` | all claims as base64url-encoded JSON, without padding |
///
/// `{{` and `}}` are literal braces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template(pub(super) Vec<Piece>);

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Piece {
    /// Printable ASCII.
    Literal(Box<str>),
    /// To be filled in.
    Value(Placeholder),
}

/// What a template may refer to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the table on Template says what each is")]
pub enum Placeholder {
    Subject,
    Client,
    Service,
    Tenant,
    Issuer,
    Caller,
    Scopes(ListStyle),
    Roles(ListStyle),
    Audience(ListStyle),
    Claim(Arc<str>),
    PathParameter(Arc<str>),
    Claims,
}

/// How the elements of a list are joined. An element's own separators are percent-encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListStyle {
    /// With a space, as RFC 6749 §3.3 joins scopes.
    Spaces,
    /// With a comma.
    Commas,
}

/// Why a template cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A `{` without `}`, or the reverse.
    #[error("a brace stands alone; write `{{{{` or `}}}}` for a literal one")]
    Brace,
    /// Not one of the table's.
    #[error(
        "unknown placeholder `{{{0}}}`; there are {{subject}}, {{client}}, {{service}}, {{tenant}}, {{issuer}}, {{scopes}}, {{roles}}, {{audience}}, {{caller}}, {{claim.NAME}}, {{path.NAME}} and {{claims}}"
    )]
    Unknown(String),
    /// A byte that a header value cannot hold.
    #[error("literal text must be printable ASCII")]
    Literal,
    /// Nothing at all.
    #[error("the template is empty")]
    Empty,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            match c {
                '{' if rest.as_str().starts_with('{') => {
                    rest.next();
                    literal.push('{');
                }
                '}' if rest.as_str().starts_with('}') => {
                    rest.next();
                    literal.push('}');
                }
                '{' => {
                    let (name, after) = rest.as_str().split_once('}').ok_or(TemplateError::Brace)?;
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
                    }
                    pieces.push(Piece::Value(Placeholder::parse(name)?));
                    rest = after.chars();
                }
                '}' => return Err(TemplateError::Brace),
                ' '..='~' => literal.push(c),
                _ => return Err(TemplateError::Literal),
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        if pieces.is_empty() { Err(TemplateError::Empty) } else { Ok(Self(pieces)) }
    }

    /// What the template refers to.
    pub fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Value(placeholder) => Some(placeholder),
        })
    }
}

/// As it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Literal(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}")),
            Piece::Value(placeholder) => write!(f, "{{{placeholder}}}"),
        })
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, name: &str, style: ListStyle| match style {
            ListStyle::Spaces => f.write_str(name),
            ListStyle::Commas => write!(f, "{name}:csv"),
        };
        match self {
            Self::Subject => f.write_str("subject"),
            Self::Client => f.write_str("client"),
            Self::Service => f.write_str("service"),
            Self::Tenant => f.write_str("tenant"),
            Self::Issuer => f.write_str("issuer"),
            Self::Caller => f.write_str("caller"),
            Self::Scopes(style) => list(f, "scopes", *style),
            Self::Roles(style) => list(f, "roles", *style),
            Self::Audience(style) => list(f, "audience", *style),
            Self::Claim(name) => write!(f, "claim.{name}"),
            Self::PathParameter(name) => write!(f, "path.{name}"),
            Self::Claims => f.write_str("claims"),
        }
    }
}

impl Placeholder {
    fn parse(name: &str) -> Result<Self, TemplateError> {
        let (base, style) = match name.split_once(':') {
            Some((base, "csv")) => (base, ListStyle::Commas),
            Some(_) => return Err(TemplateError::Unknown(name.to_owned())),
            None => (name, ListStyle::Spaces),
        };
        let list = |make: fn(ListStyle) -> Self| Ok(make(style));
        match base {
            "scopes" => return list(Self::Scopes),
            "roles" => return list(Self::Roles),
            "audience" => return list(Self::Audience),
            _ if base.len() != name.len() => return Err(TemplateError::Unknown(name.to_owned())),
            "subject" => return Ok(Self::Subject),
            "client" => return Ok(Self::Client),
            "service" => return Ok(Self::Service),
            "tenant" => return Ok(Self::Tenant),
            "issuer" => return Ok(Self::Issuer),
            "caller" => return Ok(Self::Caller),
            "claims" => return Ok(Self::Claims),
            _ => {}
        }
        match base.split_once('.') {
            Some(("claim", claim)) if !claim.is_empty() => Ok(Self::Claim(claim.into())),
            Some(("path", parameter)) if !parameter.is_empty() => Ok(Self::PathParameter(parameter.into())),
            _ => Err(TemplateError::Unknown(name.to_owned())),
        }
    }
}

/// Longest header value made, in bytes.
pub const MAX_VALUE_BYTES: usize = 8192;

/// Why a header cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RenderError {
    /// Longer than [`MAX_VALUE_BYTES`].
    #[error("the value is too long for a header")]
    TooLarge,
}

/// Where values come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'s, 'p> {
    pub(super) principal: Option<&'s Principal>,
    /// The requirements that the principal met: with a wildcard scope, the scopes named there are what it was granted.
    pub(super) wanted: Option<&'s Requirements>,
    pub(super) facts: &'s RequestFacts<'s>,
    pub(super) params: &'s PathParams<'p>,
}

impl Template {
    /// Appends the value to `text`. Whether there is one: it needs a value of every placeholder, and a byte at least.
    ///
    /// # Errors
    /// Where the value is too long.
    pub(super) fn render(&self, from: &Source<'_, '_>, text: &mut String) -> Result<bool, RenderError> {
        let start = text.len();
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Value(placeholder) => {
                    if placeholder.render(from, text).is_none() {
                        return Ok(false);
                    }
                }
            }
            if text.len() - start > MAX_VALUE_BYTES {
                return Err(RenderError::TooLarge);
            }
        }
        Ok(text.len() > start)
    }
}

impl Placeholder {
    /// Appends the value, if there is one.
    fn render(&self, from: &Source<'_, '_>, into: &mut String) -> Option<()> {
        let Source { principal, wanted, facts, params } = *from;
        match self {
            Self::Caller => single(facts.caller.spiffe_id().ok()?.as_str(), into),
            Self::PathParameter(name) => single(params.value(name)?, into),
            Self::Subject => single(principal?.subject()?, into),
            Self::Client => single(principal?.client()?, into),
            Self::Service => single(principal?.service()?, into),
            Self::Tenant => single(principal?.tenant()?, into),
            Self::Issuer => single(principal?.issuer_url().unwrap_or(principal?.issuer()), into),
            Self::Scopes(style) => list(granted(principal?, wanted), *style, into),
            Self::Roles(style) => list(principal?.roles(), *style, into),
            Self::Audience(style) => list(principal?.audience(), *style, into),
            Self::Claim(name) => claim(principal?.mapped(name)?, into),
            Self::Claims => packed(&serde_json::to_vec(principal?.claims()?).ok()?, into),
        }
    }
}

/// The scopes to tell of, each once: the token's own, and where it holds the wildcard, those that the rule names.
fn granted<'s>(principal: &'s Principal, wanted: Option<&'s Requirements>) -> impl Iterator<Item = &'s str> {
    let alternatives = wanted.filter(|_| principal.has_every_scope()).map_or(&[][..], |wanted| &wanted.scopes);
    let by_wildcard = alternatives.iter().flat_map(AnyAll::names);
    let mut told: SmallVec<[&str; 16]> = SmallVec::new();
    principal.scopes().chain(by_wildcard).filter(move |name| {
        let new = !told.contains(name);
        if new {
            told.push(name);
        }
        new
    })
}

fn single(value: &str, into: &mut String) -> Option<()> {
    encode(value, false, into);
    (!value.is_empty()).then_some(())
}

fn list<'i>(items: impl Iterator<Item = &'i str>, style: ListStyle, into: &mut String) -> Option<()> {
    let separator = match style {
        ListStyle::Spaces => ' ',
        ListStyle::Commas => ',',
    };
    let mut any = false;
    for item in items.filter(|item| !item.is_empty()) {
        if any {
            into.push(separator);
        }
        encode(item, true, into);
        any = true;
    }
    any.then_some(())
}

/// A mapped claim: text, numbers and booleans as they are, arrays of texts as a list, all else as base64url JSON.
fn claim(value: &Value, into: &mut String) -> Option<()> {
    match value {
        Value::Null => None,
        Value::Bool(flag) => {
            into.push_str(if *flag { "true" } else { "false" });
            Some(())
        }
        Value::Number(number) => write!(into, "{number}").ok(),
        Value::String(text) => single(text, into),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            list(items.iter().filter_map(Value::as_str), ListStyle::Spaces, into)
        }
        Value::Array(_) | Value::Object(_) => packed(value.to_string().as_bytes(), into),
    }
}

fn packed(json: &[u8], into: &mut String) -> Option<()> {
    URL_SAFE_NO_PAD.encode_string(json, into);
    Some(())
}

/// Percent-encodes what could break out of a header value: everything but visible ASCII, and `%` and `,`. A space
/// stays where it cannot be mistaken: inside a single value.
fn encode(text: &str, item: bool, into: &mut String) {
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let edge = at == 0 || at + 1 == text.len();
        match byte {
            b' ' if !item && !edge => {}
            b'%' | b',' | 0..=b' ' | 0x7f.. => {
                into.push_str(text.get(plain..at).unwrap_or_default());
                into.push_str(percent_encoding::percent_encode_byte(byte));
                plain = at + 1;
            }
            _ => {}
        }
    }
    into.push_str(text.get(plain..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_read_or_say_why_not() {
        let pieces = Template::parse("Bearer {{x}} {subject}/{path.id}{scopes:csv}").unwrap();
        assert_eq!(pieces.placeholders().count(), 3);
        assert_eq!(pieces.0.first(), Some(&Piece::Literal("Bearer {x} ".into())));
        for (bad, want) in [
            ("", TemplateError::Empty),
            ("{", TemplateError::Brace),
            ("}", TemplateError::Brace),
            ("{nope}", TemplateError::Unknown("nope".into())),
            ("{subject:csv}", TemplateError::Unknown("subject:csv".into())),
            ("{scopes:tsv}", TemplateError::Unknown("scopes:tsv".into())),
            ("{claim.}", TemplateError::Unknown("claim.".into())),
            ("a\r\nb", TemplateError::Literal),
            ("ä", TemplateError::Literal),
        ] {
            assert_eq!(Template::parse(bad), Err(want), "{bad:?}");
        }
    }

    #[test]
    fn row_156_values_cannot_break_out() {
        for (text, single, item) in [
            ("alice", "alice", "alice"),
            ("a\r\nx-admin: 1\0", "a%0D%0Ax-admin: 1%00", "a%0D%0Ax-admin:%201%00"),
            ("a,b", "a%2Cb", "a%2Cb"),
            ("100%", "100%25", "100%25"),
            (" a b ", "%20a b%20", "%20a%20b%20"),
            ("ü\u{1f600}\u{7f}", "%C3%BC%F0%9F%98%80%7F", "%C3%BC%F0%9F%98%80%7F"),
        ] {
            let encoded = |item| {
                let mut encoded = "before ".to_owned();
                encode(text, item, &mut encoded);
                encoded
            };
            assert_eq!(encoded(false), format!("before {single}"), "{text:?}");
            assert_eq!(encoded(true), format!("before {item}"), "{text:?}");
        }
    }
}
