//! Identity headers: templates, and the encoding that keeps a claim inside its header.

use std::sync::Arc;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub(super) Vec<Piece>);

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Printable ASCII.
    Literal(Box<str>),
    /// To be filled in.
    Value(Placeholder),
}

/// What a template may refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
