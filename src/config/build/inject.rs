//! Identity headers for the upstream.

use std::collections::HashMap;

use super::headers;
use crate::config::file::rule::InjectFile;
use crate::config::names::listed;
use crate::config::place::At;
use crate::config::value::{ByShape, Never};
use crate::core::inject::{Placeholder, Template};
use crate::core::rule::InjectedHeader;
use crate::core::table::fold;

/// What a rule's templates may refer to.
#[derive(Debug)]
pub(in crate::config) struct Sources<'a> {
    /// Whether a token is looked at.
    pub(in crate::config) token: bool,
    /// Names that the rule's issuers map under `extra`; `None` where an error keeps that from being known.
    pub(in crate::config) extra: Option<Vec<&'a str>>,
    /// Parameters that every path of the rule has; `None` likewise.
    pub(in crate::config) parameters: Option<&'a [String]>,
}

/// How identity headers are spelled across the file, so that no two of them fold to one.
#[derive(Debug, Default)]
pub(in crate::config) struct Spellings(HashMap<String, (String, String)>);

impl Spellings {
    /// Takes a name, or reports another one that upstreams could take for it.
    pub(in crate::config) fn take(&mut self, at: &At<'_>, name: &str) {
        let folded = fold(name).into_owned();
        match self.0.get(&folded) {
            Some((other, first)) if other != name => at.error(format!(
                "`{name}` and `{other}` ({first}) are one header to upstreams that fold `_` and `.`; spell them alike"
            )),
            Some(_) => {}
            None => {
                self.0.insert(folded, (name.to_owned(), at.to_string()));
            }
        }
    }
}

/// Judges `inject`.
pub(in crate::config) fn build(
    at: &At<'_>,
    entries: &[(String, ByShape<String, Never, InjectFile>)],
    sources: &Sources<'_>,
    credentials: &[String],
    spellings: &mut Spellings,
) -> Vec<InjectedHeader> {
    let mut made: Vec<InjectedHeader> = Vec::new();
    for (name, value) in entries {
        let at = at.key(name);
        let name = headers::identity(&at, name, credentials);
        if let Some(name) = &name {
            spellings.take(&at, name);
            if made.iter().any(|header| *header.name == **name) {
                at.error(format!("`{name}` is there twice"));
            }
        }
        let (template, required) = match value {
            ByShape::Scalar(text) => (template(&at, text, sources), false),
            ByShape::Map(file) => {
                let value = at.required("value", file.value.as_ref(), "write a template, such as `\"{subject}\"`");
                (value.and_then(|text| template(&at.key("value"), text, sources)), file.required.unwrap_or(false))
            }
            ByShape::List(_) => continue,
        };
        if let (Some(name), Some(template)) = (name, template) {
            made.push(InjectedHeader { name: name.into(), template, required });
        }
    }
    made
}

fn template(at: &At<'_>, text: &str, sources: &Sources<'_>) -> Option<Template> {
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => {
            at.error(error.to_string());
            return None;
        }
    };
    for placeholder in template.placeholders() {
        match placeholder {
            Placeholder::Caller => {}
            Placeholder::PathParameter(name) => {
                if let Some(parameters) = sources.parameters
                    && !parameters.iter().any(|known| **known == **name)
                {
                    at.error(format!(
                        "`{{path.{name}}}`: not every path of this rule has a segment `{{{name}}}`; segments that all of them have: {}",
                        listed(parameters.iter().map(String::as_str))
                    ));
                }
            }
            Placeholder::Claim(name) if sources.token => {
                if let Some(extra) = &sources.extra
                    && !extra.contains(&&**name)
                {
                    at.error(format!(
                        "`{{claim.{name}}}`: none of this rule's issuers maps it under `claims.extra`; they map {}",
                        listed(extra.iter().copied())
                    ));
                }
            }
            Placeholder::Subject
            | Placeholder::Client
            | Placeholder::Service
            | Placeholder::Tenant
            | Placeholder::Issuer
            | Placeholder::Scopes(_)
            | Placeholder::Roles(_)
            | Placeholder::Audience(_)
            | Placeholder::Claim(_)
            | Placeholder::Claims => {
                if !sources.token {
                    at.error("an anonymous rule looks at no token: only `{caller}`, `{path.NAME}` and fixed text have a value");
                    break;
                }
            }
        }
    }
    Some(template)
}
