//! Imports go downwards only. Reads every `crate::` and `super::` path of the sources, tests left out, and holds it to
//! the layering of ARCHITECTURE.md. A new edge is a change of the design, made here and there in a commit of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each module may import beside itself. An entry with `::` allows that part alone, `*` everything above it here.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("secret", &[]),
    ("watch", &[]),
    ("turns", &[]),
    ("html", &[]),
    ("trace_context", &[]),
    ("core", &["clock", "secret"]),
    ("net", &["clock", "secret", "core::event"]),
    ("provider", &["clock", "secret", "turns", "trace_context", "core::event", "core::algorithm", "net"]),
    ("authn", &["clock", "secret", "watch", "turns", "trace_context", "core", "net", "provider"]),
    ("outbound", &["clock", "secret", "watch", "trace_context", "core", "net", "provider", "authn"]),
    ("config", &["clock", "secret", "core", "net::spec", "provider::spec", "authn::spec", "outbound::spec"]),
    ("lint", &["core", "provider::spec", "authn::spec", "outbound::spec", "config"]),
    ("import", &["core", "config"]),
    ("engine", &["clock", "secret", "watch", "turns", "core", "net", "provider", "authn", "outbound", "config"]),
    (
        "telemetry",
        &["clock", "secret", "trace_context", "core", "net", "provider", "authn", "outbound", "config", "engine"],
    ),
    ("listen", &["config::server"]),
    ("grpc", &["clock", "secret", "watch", "core", "authn", "config", "engine", "telemetry", "listen"]),
    ("admin", &["clock", "secret", "html", "core", "authn", "config", "engine", "telemetry", "listen"]),
    ("cases", &["clock", "secret", "core", "net", "authn", "config", "engine", "grpc"]),
    ("demo", &["*"]),
    ("cli", &["*"]),
];

/// What the pure core must not know: transports, run times, files, and clocks of its own.
const NOT_IN_CORE: &[&str] = &[
    "axum",
    "hyper",
    "hyper_util",
    "moka",
    "prost",
    "reqwest",
    "std::env",
    "std::fs",
    "std::io",
    "std::process",
    "std::thread",
    "tokio",
    "tonic",
    "tracing",
    "SystemTime::now",
    "Instant::now",
];

/// The sources: path from `src/`, module path, code without comments, literals and tests.
fn sources() -> Vec<(PathBuf, Vec<String>, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                found.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&src, &mut paths);
    paths.sort();
    let mut sources = Vec::new();
    for path in paths {
        let relative = path.strip_prefix(&src).unwrap().to_owned();
        let module: Vec<String> =
            relative.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        // `tests.rs` and `tests/` are included by a `#[cfg(test)] mod tests;`.
        if ["lib", "main"].contains(&&*module[0]) || module.iter().any(|part| part == "tests") {
            continue;
        }
        let code = without_tests(&without_comments_and_literals(&fs::read_to_string(&path).unwrap()));
        sources.push((relative, module, code));
    }
    sources
}

/// Blanks comments, strings and character literals. Line breaks stay.
fn without_comments_and_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let start = i;
        match (at(i), at(i + 1)) {
            ('/', '/') => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            ('/', '*') => {
                let mut depth = 0;
                while i < chars.len() {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            ('r', '"' | '#') if !out.ends_with(|c: char| c.is_alphanumeric() || c == '_') => {
                let hashes = chars[i + 1..].iter().take_while(|c| **c == '#').count();
                if at(i + 1 + hashes) == '"' {
                    i += 2 + hashes;
                    while i < chars.len()
                        && !(at(i) == '"' && chars[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes)
                    {
                        i += 1;
                    }
                    i += 1 + hashes;
                } else {
                    out.push(at(i));
                    i += 1;
                    continue;
                }
            }
            ('"', _) => {
                i += 1;
                while i < chars.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
            // A lifetime has no closing quote.
            ('\'', '\\') => {
                i += 3;
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            ('\'', _) if at(i + 2) == '\'' => i += 3,
            (other, _) => {
                out.push(other);
                i += 1;
                continue;
            }
        }
        out.extend(chars[start..i.min(chars.len())].iter().filter(|c| **c == '\n'));
        out.push(' ');
    }
    out
}

/// Drops every item under `#[cfg(test)]`: to its closing brace, or to its semicolon.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
        out.push_str(before);
        let mut depth = 0_usize;
        let end = after.char_indices().find(|(_, c)| match c {
            '{' => {
                depth += 1;
                false
            }
            '}' => {
                depth = depth.saturating_sub(1);
                depth == 0
            }
            ';' => depth == 0,
            _ => false,
        });
        rest = end.map_or("", |(at, _)| &after[at + 1..]);
    }
    out.push_str(rest);
    out
}

/// The paths from the crate's root, two names deep, that a module's code holds: `core::reason`, `config`.
fn imports(module: &[String], code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        if !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            leaves(&code[at + "crate::".len()..], &mut Vec::new(), &mut found);
        }
    }
    for (at, _) in code.match_indices("super::") {
        if !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            leaves(&code[at..], &mut module.to_vec(), &mut found);
        }
    }
    found
}

/// Adds what the use tree or path at the start of `text` reaches, cut to two names.
fn leaves(text: &str, base: &mut Vec<String>, found: &mut BTreeSet<String>) {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        let mut depth = 0_usize;
        let mut start = 0;
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    if !group[start..at].trim().is_empty() {
                        leaves(&group[start..at], &mut base.clone(), found);
                    }
                    start = at + 1;
                    if c == '}' {
                        return;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    match &*name {
        "super" => drop(base.pop()),
        // `super::*` and `{self, …}` name the module itself.
        "" | "self" => {}
        name => base.push(name.to_owned()),
    }
    match text[name.len()..].trim_start().strip_prefix("::") {
        Some(rest) if !name.is_empty() => leaves(rest, base, found),
        _ if base.is_empty() => {}
        _ => {
            found.insert(base[..base.len().min(2)].join("::"));
        }
    }
}

fn allowed(from: &str, path: &str) -> bool {
    let place = |name: &str| MAY_IMPORT.iter().position(|(module, _)| *module == name);
    let to = path.split("::").next().unwrap();
    let (Some(at), Some(below)) = (place(from), place(to)) else { return false };
    let (_, may) = MAY_IMPORT[at];
    to == from || may.contains(&to) || may.contains(&path) || (may.contains(&"*") && below < at)
}

#[test]
fn every_file_is_part_of_the_program() {
    let sources = sources();
    let front = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let mut front: BTreeMap<&[String], &str> = BTreeMap::from([(&[][..], &*front)]);
    front.extend(sources.iter().map(|(_, module, code)| (&**module, &**code)));
    for (file, module, _) in &sources {
        let (name, parent) = module.split_last().unwrap();
        let declared = front
            .get(parent)
            .is_some_and(|code| code.split(';').any(|item| item.trim_end().ends_with(&format!("mod {name}"))));
        assert!(declared, "`{}` is declared by no `mod`", file.display());
    }
}

#[test]
fn imports_go_downwards() {
    let mut faults = Vec::new();
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, module, code) in sources() {
        for path in imports(&module, &code) {
            edges.entry(module[0].clone()).or_default().insert(path.clone());
            if !allowed(&module[0], &path) {
                faults.push(format!("src/{}: `{}` must not import `crate::{path}`", file.display(), module[0]));
            }
        }
    }
    assert!(faults.is_empty(), "imports against the layering: {faults:#?}");
    assert!(edges["engine"].contains("core::reason"), "the scan sees nothing: {edges:#?}");
}

/// What makes a principal of claims that somebody states, and the only files that may name it: those that explain.
const STATED: [&str; 3] = ["stated", "Stated", "Explainer"];

#[test]
fn nothing_that_answers_requests_takes_claims_for_a_token() {
    let explains = |module: &[String]| {
        let path: Vec<&str> = module.iter().map(String::as_str).collect();
        matches!(
            path[..],
            ["authn", "stated"] | ["engine", "explain", ..] | ["cases", ..] | ["cli", "explain" | "test", ..]
        )
    };
    let mut named = BTreeSet::new();
    for (file, module, code) in sources() {
        let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
        if words.into_iter().any(|word| STATED.contains(&word)) && !explains(&module) {
            named.insert(file.display().to_string());
        }
    }
    // The one names its parts.
    assert_eq!(named, BTreeSet::from(["authn.rs".to_owned()]), "a credential that nobody verified");
    let (_, _, front) = sources().into_iter().find(|(file, ..)| file == Path::new("authn.rs")).unwrap();
    assert_eq!(front.matches("stated").count(), 1, "`authn` declares the module and no more");
    for (file, module, code) in sources() {
        // Nothing in service may go the course of an explanation either.
        assert!(explains(&module) || !code.contains("engine::explain"), "src/{}", file.display());
    }
}

/// A configuration may be read without its keys and secrets to try it, and never to serve it.
#[test]
fn what_serves_has_all_its_files() {
    let mut named = BTreeSet::new();
    for (_, module, code) in sources() {
        if code.contains("load_elsewhere") {
            named.insert(module.join("::"));
        }
    }
    assert_eq!(named, BTreeSet::from(["cli::test::pass", "config"].map(str::to_owned)));
}

#[test]
fn every_module_has_a_place() {
    for (file, module, _) in sources() {
        assert!(
            MAY_IMPORT.iter().any(|(known, _)| *known == module[0]),
            "src/{}: give `{}` a place in the layering",
            file.display(),
            module[0]
        );
    }
}

#[test]
fn the_layering_has_no_cycle() {
    // Whatever a module may import stands above it in the table.
    for (at, (module, may)) in MAY_IMPORT.iter().enumerate() {
        for path in *may {
            let to = path.split("::").next().unwrap();
            assert!(
                to == "*" || MAY_IMPORT[..at].iter().any(|(lower, _)| *lower == to),
                "`{module}` may import `{path}`"
            );
        }
    }
}

#[test]
fn the_core_is_pure() {
    let mut faults = Vec::new();
    for (file, module, code) in sources() {
        if module[0] == "core" {
            for word in NOT_IN_CORE {
                if code.match_indices(word).any(|(at, _)| {
                    !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
                        && code[at + word.len()..].starts_with(|c: char| !c.is_alphanumeric() && c != '_')
                }) {
                    faults.push(format!("src/{}: `{word}`", file.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "the decision is pure: {faults:#?}");
}

#[test]
fn the_scan_understands_use_trees_and_leaves_out_tests() {
    let code = r#"
        use crate::core::{answer::Answer, reason::{Fault, Reason}};
        use crate::{engine::Engine, telemetry};
        // use crate::comment::Path;
        const TEXT: &str = "crate::string::Path"; const QUOTE: char = '"';
        fn f<'a>(x: &'a crate::config::Config) { super::super::grpc::run(); super::sibling(); }
        #[cfg(test)]
        mod tests { use crate::demo::run; fn g() { { } } }
        use super::{spec::IssuerSpec, super::cli};
        fn h() { crate::admin::serve(); }
    "#;
    let module = ["authn".to_owned(), "jwt".to_owned()];
    let found = imports(&module, &without_tests(&without_comments_and_literals(code)));
    // `authn::cli`: an inner `super` is read by itself, too. That reaches less far up, so it can accuse nobody.
    let expected = [
        "admin::serve",
        "authn::cli",
        "authn::sibling",
        "authn::spec",
        "cli",
        "config::Config",
        "core::answer",
        "core::reason",
    ];
    let expected: BTreeSet<String> =
        expected.iter().chain(&["engine::Engine", "grpc::run", "telemetry"]).map(|path| (*path).to_owned()).collect();
    assert_eq!(found, expected);
}

#[test]
fn an_upward_import_is_refused() {
    assert!(allowed("config", "authn::spec"));
    assert!(!allowed("config", "authn::store"));
    assert!(!allowed("core", "engine::Engine"));
    assert!(!allowed("grpc", "admin::serve"));
    assert!(!allowed("nowhere", "core::reason"));
    assert!(!allowed("demo", "cli::run"));
    assert!(allowed("cli", "demo::run"));
}
