//! One entry of a file's cases, laid over its defaults.

use std::path::Path;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{expected, named};
use crate::cases::file::{CaseFile, DefaultsFile};
use crate::cases::question::{Question, Sent};
use crate::cases::request::{Described, Format};
use crate::cases::{Case, Cases, request, text};
use crate::config::names::shown;
use crate::config::place::At;
use crate::config::value::ByShape;
use crate::config::written::Place;
use crate::core::request::Direction;
use crate::secret::Secret;

/// Names and values.
type Lines = Vec<(String, String)>;

/// What a file's cases have in common.
pub(super) struct Reader<'f> {
    defaults: DefaultsFile,
    headers: Lines,
    caller: String,
    base: &'f Path,
}

impl<'f> Reader<'f> {
    /// Judges the defaults.
    pub(super) fn new(defaults: DefaultsFile, at: &At<'_>, base: &'f Path) -> Self {
        let headers = headers(&at.key("headers"), &defaults.headers.0);
        let caller = caller(&at.key("caller"), defaults.caller.as_deref());
        Self { headers, caller: caller.unwrap_or_default(), defaults, base }
    }

    /// The cases of one entry: one for each request. Where something is wrong with it, that is reported.
    pub(super) fn cases(&self, at: &At<'_>, file: &CaseFile, all: &mut Cases) -> Vec<Case> {
        let expect_at = at.key("expect");
        let expect = at.required("expect", file.expect.as_ref(), "say `allow`, `deny`, a reason, or more under it");
        let expect = expect.and_then(|expect| expected::expect(&expect_at, expect));
        let sent = self.sent(at, file, all);
        let requests = self.requests(at, file, all);
        let (Some(expect), Some(sent)) = (expect, sent) else { return Vec::new() };
        let kept = at.kept();
        let place = Place { file: kept.file, position: kept.position, path: kept.path };
        let direction = file.direction.or(self.defaults.direction).unwrap_or(Direction::Inbound);
        let decided_at = file.at.or(self.defaults.at).map(|when| when.0);
        let several = requests.len() > 1;
        let case = |(title, message): (String, Bytes)| Case {
            name: match &file.name {
                Some(name) if several => format!("{name}: {title}"),
                Some(name) => name.clone(),
                None => title,
            },
            place: place.clone(),
            question: Question { message, direction, sent: sent.clone(), at: decided_at },
            expect: expect.clone(),
        };
        requests.into_iter().map(case).collect()
    }

    /// The messages that Envoy would send, each with what it may be called.
    fn requests(&self, at: &At<'_>, file: &CaseFile, all: &mut Cases) -> Vec<(String, Bytes)> {
        match (&file.request, &file.recorded) {
            (Some(_), Some(_)) => at.error("`request` and `recorded` are both there; keep one"),
            (None, None) => at.missing("`request` is missing, such as `GET /orders/7`; or `recorded`"),
            (None, Some(name)) => return self.recorded(at, file, name, all).into_iter().collect(),
            (Some(ByShape::Scalar(text)), None) => {
                return self.described(at, &at.key("request"), file, text).into_iter().collect();
            }
            (Some(ByShape::List(texts)), None) => {
                let list = at.key("request");
                if texts.is_empty() {
                    list.missing("there is no request");
                }
                let texts = texts.iter().enumerate();
                return texts.filter_map(|(index, text)| self.described(at, &list.index(index), file, text)).collect();
            }
            (Some(ByShape::Map(never)), None) => match *never {},
        }
        Vec::new()
    }

    fn recorded(&self, at: &At<'_>, file: &CaseFile, name: &str, all: &mut Cases) -> Option<(String, Bytes)> {
        for (key, there) in [
            ("headers", !file.headers.0.is_empty()),
            ("caller", file.caller.is_some()),
            ("context_extensions", !file.context_extensions.0.is_empty()),
        ] {
            if there {
                at.key(key).error(format!("`{key}` does not go with `recorded`: the request has its own"));
            }
        }
        let read = named(self.base, name, all)
            .and_then(|file| request::bounded(file).map_err(|error| error.to_string()))
            .and_then(|bytes| request::recorded(bytes, Format::Auto))
            .and_then(|message| request::read(&message, Direction::Inbound).map(drop).map(|()| message));
        match read {
            Ok(message) => Some((name.to_owned(), message)),
            Err(error) => {
                at.key("recorded").error(error);
                None
            }
        }
    }

    /// `own` is where the text stands.
    fn described(&self, at: &At<'_>, own: &At<'_>, file: &CaseFile, text: &str) -> Option<(String, Bytes)> {
        let headers = over(&self.headers, headers(&at.key("headers"), &file.headers.0));
        let caller = caller(&at.key("caller"), file.caller.as_deref()).unwrap_or_else(|| self.caller.clone());
        let context = over(&self.defaults.context_extensions.0, file.context_extensions.0.clone());
        let (method, host, path) = match target(text) {
            Ok(target) => target,
            Err(error) => {
                own.error(error);
                return None;
            }
        };
        let Some(host) = host.or(self.defaults.host.as_deref()) else {
            own.error(
                "it names no host: write `GET shop.example/orders`, or say the host of them all, as `defaults.host`",
            );
            return None;
        };
        let described =
            Described { method, host, path, headers: &headers, caller: &caller, context_extensions: &context };
        Some((text.to_owned(), described.message()))
    }

    fn sent(&self, at: &At<'_>, file: &CaseFile, all: &mut Cases) -> Option<Sent> {
        let issuer = file.issuer.clone().or_else(|| self.defaults.issuer.clone());
        let defaults = self.defaults.claims.as_ref();
        let laid_over = |own: &Map<String, Value>| {
            let mut claims = defaults.cloned().unwrap_or_default();
            claims.extend(own.clone());
            Sent::Claims { claims, issuer: issuer.clone() }
        };
        match (&file.token, &file.claims) {
            (Some(_), Some(_)) => {
                at.error("`token` and `claims` are both there; keep one");
                None
            }
            (Some(name), None) => {
                let read = named(self.base, name, all)
                    .and_then(|file| text::bounded(file).map_err(|error| error.to_string()))
                    .and_then(|read| match text::bare(&read) {
                        "" => Err("there is no token in it".to_owned()),
                        token => Ok(Secret::new(token)),
                    });
                match read {
                    Ok(token) => Some(Sent::Token { token, issuer }),
                    Err(error) => {
                        at.key("token").error(error);
                        None
                    }
                }
            }
            (None, Some(ByShape::Map(own))) => Some(laid_over(own)),
            // A recorded request carries what it carries, unless its case says otherwise.
            (None, None) if file.recorded.is_none() && defaults.is_some() => Some(laid_over(&Map::new())),
            (None, Some(ByShape::Scalar(_) | ByShape::List(_)) | None) => {
                if file.issuer.is_some() {
                    at.key("issuer").error("`issuer` goes with `claims` or `token`");
                }
                Some(Sent::AsItIs)
            }
        }
    }
}

/// Checks names of headers, which come out in lower case.
fn headers(at: &At<'_>, lines: &[(String, String)]) -> Lines {
    let mut read = Vec::new();
    for (name, value) in lines {
        match request::header_name(name) {
            Some(name) => read.push((name, value.clone())),
            None => at.key(name).error(format!("`{}` cannot be the name of a header", shown(name))),
        }
    }
    read
}

/// A SPIFFE id; empty for `none`.
fn caller(at: &At<'_>, text: Option<&str>) -> Option<String> {
    match text? {
        "none" => Some(String::new()),
        id => match request::caller(id) {
            Ok(id) => Some(id),
            Err(error) => {
                at.error(format!("{error}, or `none`"));
                None
            }
        },
    }
}

/// Lines, with those of the same names replaced.
fn over(defaults: &[(String, String)], own: Lines) -> Lines {
    let kept = defaults.iter().filter(|(name, _)| own.iter().all(|(known, _)| known != name));
    let mut lines: Lines = kept.cloned().collect();
    lines.extend(own);
    lines
}

/// `GET shop.example/orders`: its method, its host where it names one, and its path.
fn target(text: &str) -> Result<(&str, Option<&str>, &str), String> {
    let (method, rest) = match text.split_once(' ') {
        // A space may stand in a path, if only to be refused.
        Some((method, rest)) if !method.contains('/') => (method, rest.trim_start()),
        Some(_) | None => ("GET", text),
    };
    let rest = rest.strip_prefix("https://").or_else(|| rest.strip_prefix("http://")).unwrap_or(rest);
    match rest.find('/') {
        Some(0) => Ok((method, None, rest)),
        Some(slash) => {
            let (host, path) = rest.split_at(slash);
            Ok((method, Some(host), path))
        }
        None => Err(format!(
            "expected a request such as `GET /orders/7` or `POST shop.example/orders`, found `{}`",
            shown(text)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_said_in_one_line() {
        for (text, want) in [
            ("GET /a", ("GET", None, "/a")),
            ("/a?b=c", ("GET", None, "/a?b=c")),
            ("POST shop.example/a", ("POST", Some("shop.example"), "/a")),
            ("shop.example:8080/a", ("GET", Some("shop.example:8080"), "/a")),
            ("PUT https://shop.example/a", ("PUT", Some("shop.example"), "/a")),
            ("/a b", ("GET", None, "/a b")),
            ("GET  //a", ("GET", None, "//a")),
            ("g/t /a", ("GET", Some("g"), "/t /a")),
        ] {
            assert_eq!(target(text), Ok(want), "{text}");
        }
        for text in ["", "GET", "GET shop.example", "orders"] {
            assert!(target(text).is_err(), "{text}");
        }
    }
}
