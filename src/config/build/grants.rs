//! Names that a token must hold: audiences, scopes, roles.

use crate::config::file::rule::{AnyAllFile, GrantFile};
use crate::config::place::At;
use crate::core::rule::AnyAll;

/// What the names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Names {
    /// Audiences and roles: any text.
    Free,
    /// Scopes (RFC 6749 §3.3).
    Scopes,
}

/// Alternatives of which one must hold; empty where an error was found.
pub(in crate::config) fn alternatives(at: &At<'_>, file: &GrantFile, kind: Names) -> Vec<AnyAll> {
    let Some(list) = &file.any_of else {
        let file = AnyAllFile { any: file.any.clone(), all: file.all.clone() };
        return any_all(at, &file, kind).into_iter().collect();
    };
    if file.any.is_some() || file.all.is_some() {
        at.error("`any_of` stands instead of `any` and `all`; move them into an alternative");
    }
    let at = at.key("any_of");
    if list.is_empty() {
        at.missing("the list is empty; leave it out where nothing is required");
    }
    list.iter().enumerate().filter_map(|(index, file)| any_all(&at.index(index), file, kind)).collect()
}

/// `any` and `all`, of which at least one is there.
pub(in crate::config) fn any_all(at: &At<'_>, file: &AnyAllFile, kind: Names) -> Option<AnyAll> {
    if file.any.is_none() && file.all.is_none() {
        at.missing("expected `any: […]`, `all: […]` or both");
        return None;
    }
    let read = |key: &str, list: &Option<Vec<String>>| names(&at.key(key), list.as_deref(), kind);
    let (any, all) = (read("any", &file.any), read("all", &file.all));
    Some(AnyAll { any: any?, all: all? })
}

fn names(at: &At<'_>, list: Option<&[String]>, kind: Names) -> Option<Vec<Box<str>>> {
    let Some(list) = list else { return Some(Vec::new()) };
    if list.is_empty() {
        at.missing("the list is empty; leave it out where nothing is required");
        return None;
    }
    for (index, name) in list.iter().enumerate() {
        if kind == Names::Scopes && !is_scope(name) {
            at.index(index).error("not a scope: visible ASCII without space, `\"` and `\\`; one scope an item");
        } else if name.is_empty() {
            at.index(index).error("the name is empty");
        }
    }
    Some(list.iter().map(|name| name.as_str().into()).collect())
}

/// RFC 6749 §3.3: `scope-token`.
pub(in crate::config) fn is_scope(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
}
