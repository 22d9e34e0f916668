//! Which requests a rule is for.

use crate::config::file::rule::{GrpcFile, HeaderFile, MatchFile};
use crate::config::names::{listed, shown};
use crate::config::place::At;
use crate::core::request::is_token;
use crate::core::table::{HeaderCondition, HeaderTest, HostPattern, Matcher, PathPattern};

use super::headers;

/// Judges `match`.
pub(in crate::config) fn build(at: &At<'_>, file: &MatchFile) -> Matcher {
    let mut matcher = Matcher { direction: file.direction, ..Matcher::default() };
    matcher.hosts = patterns(&at.key("hosts"), file.hosts.as_deref(), HostPattern::parse);
    matcher.paths = patterns(&at.key("paths"), file.paths.as_deref(), PathPattern::parse);
    matcher.methods = methods(&at.key("methods"), file.methods.as_deref());
    if let Some(grpc) = &file.grpc {
        if file.paths.is_some() || file.methods.is_some() {
            at.key("grpc")
                .error("stands instead of `paths` and `methods`: a gRPC method is the path `/service/method`");
        }
        matcher.paths = grpc_paths(&at.key("grpc"), grpc);
    }
    let list = at.key("headers");
    if file.headers.as_ref().is_some_and(Vec::is_empty) {
        list.missing("the list is empty; leave it out where headers do not matter");
    }
    for (index, header) in file.headers.iter().flatten().enumerate() {
        matcher.headers.extend(header_condition(&list.index(index), header));
    }
    let extensions = at.key("context_extensions");
    for (key, value) in &file.context_extensions.0 {
        if key.is_empty() {
            extensions.error("a key is empty");
        }
        matcher.context_extensions.push((key.as_str().into(), value.as_str().into()));
    }
    matcher
}

/// The parameters that every one of these paths has.
pub(in crate::config) fn shared_parameters(paths: &[PathPattern]) -> Vec<String> {
    let Some((first, rest)) = paths.split_first() else { return Vec::new() };
    let everywhere = |name: &&str| rest.iter().all(|path| path.parameters().any(|other| other == *name));
    first.parameters().filter(everywhere).map(str::to_owned).collect()
}

fn patterns<P: PartialEq, E: std::fmt::Display>(
    at: &At<'_>,
    texts: Option<&[String]>,
    parse: impl Fn(&str) -> Result<P, E>,
) -> Vec<P> {
    let Some(texts) = texts else { return Vec::new() };
    if texts.is_empty() {
        at.missing("the list is empty; leave it out where it does not matter");
    }
    let mut made: Vec<P> = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match parse(text) {
            Ok(pattern) if made.len() < 64 && made.contains(&pattern) => {
                at.index(index).error(format!("`{}` is there twice", shown(text)));
            }
            Ok(pattern) => made.push(pattern),
            Err(error) => at.index(index).error(format!("`{}`: {error}", shown(text))),
        }
    }
    made
}

fn methods(at: &At<'_>, texts: Option<&[String]>) -> Vec<Box<str>> {
    const COMMON: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    let check = |text: &str| -> Result<Box<str>, String> {
        let upper = text.to_ascii_uppercase();
        if !is_token(text) {
            Err("not a method".to_owned())
        } else if text != upper && COMMON.contains(&upper.as_str()) {
            Err(format!("methods are case-sensitive; write `{upper}`"))
        } else {
            Ok(text.into())
        }
    };
    patterns(at, texts, check)
}

fn grpc_paths(at: &At<'_>, file: &GrpcFile) -> Vec<PathPattern> {
    let name = |text: &str| {
        let mut bytes = text.bytes();
        bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let Some(service) = at.required("service", file.service.as_ref(), "write it with its package: `shop.v1.Payments`")
    else {
        return Vec::new();
    };
    if !service.split('.').all(name) {
        at.key("service").error(format!("`{}` is not a service; write `shop.v1.Payments`", shown(service)));
        return Vec::new();
    }
    let Some(methods) = &file.methods else {
        // Every method: one segment, whatever it is.
        return patterns(&at.key("service"), Some(&[format!("/{service}/{{method}}")]), PathPattern::parse);
    };
    let list = at.key("methods");
    if methods.is_empty() {
        list.missing("the list is empty; leave it out for every method");
    }
    for (index, method) in methods.iter().enumerate().filter(|(_, method)| !name(method)) {
        list.index(index).error(format!("`{}` is not a gRPC method; write its name alone: `Charge`", shown(method)));
    }
    methods.iter().map(|method| PathPattern::literal([service.as_str(), method.as_str()])).collect()
}

fn header_condition(at: &At<'_>, file: &HeaderFile) -> Option<HeaderCondition> {
    let name = at.required("name", file.name.as_ref(), "which header?");
    let name = name.and_then(|name| headers::selecting(&at.key("name"), name));
    let mut tests = Vec::new();
    if let Some(value) = &file.equals {
        tests.push(("equals", HeaderTest::Equals(value.as_str().into())));
    }
    if let Some(value) = &file.not_equals {
        tests.push(("not_equals", HeaderTest::NotEquals(value.as_str().into())));
    }
    if file.present.is_some() {
        tests.push(("present", HeaderTest::Present));
    }
    if file.absent.is_some() {
        tests.push(("absent", HeaderTest::Absent));
    }
    let test = one_test(at, tests, "`equals`, `not_equals`, `present: true` and `absent: true`");
    Some(HeaderCondition { name: name?.into(), test: test? })
}

/// The one test of a condition, or an error.
pub(in crate::config) fn one_test<T>(at: &At<'_>, mut tests: Vec<(&'static str, T)>, choice: &str) -> Option<T> {
    if tests.len() > 1 {
        let names = listed(tests.iter().map(|(name, _)| *name));
        at.error(format!("{names} are there together; write one condition for each"));
        return None;
    }
    let test = tests.pop();
    if test.is_none() {
        at.missing(format!("no test: write one of {choice}"));
    }
    test.map(|(_, test)| test)
}
