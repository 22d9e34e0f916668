//! Rules of the repository that no compiler keeps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tollgate::core::reason::Reason;

/// Lines of a source file that may stand before its tests.
const MAX_LINES: usize = 400;

/// Files whose text is made by a tool.
const GENERATED: [&str; 1] = ["Cargo.lock"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file of the project, with its path from the root.
fn texts() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if ["target", ".git", ".tools", "node_modules"].contains(&&*name) {
                continue;
            }
            if path.is_dir() {
                walk(&path, found);
            } else if let Ok(text) = fs::read_to_string(&path) {
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    let mut found = Vec::new();
    walk(root(), &mut found);
    found.retain(|(path, _)| !GENERATED.iter().any(|name| path == Path::new(name)));
    assert!(found.iter().any(|(path, _)| path == Path::new("src/lib.rs")), "the walk misses the sources");
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The places, as `file:line`, where a text holds one of `words`.
fn places(words: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(&***word)) {
                found.push(format!("{}:{}: `{word}`", path.display(), number + 1));
            }
        }
    }
    found
}

#[test]
fn source_files_stay_short() {
    let mut long = Vec::new();
    for (path, text) in texts() {
        if path.starts_with("src") && path.extension().is_some_and(|ext| ext == "rs") {
            let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
            if lines > MAX_LINES {
                long.push(format!("{}: {lines} lines before its tests", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "split these: {long:#?}");
}

#[test]
fn nothing_is_left_to_do() {
    // In two parts, or this file would find itself.
    let words = [["TO", "DO"], ["FIX", "ME"], ["XX", "X:"]].map(|parts| parts.concat());
    let found = places(&words);
    assert!(found.is_empty(), "do it, or write an issue: {found:#?}");
}

#[test]
fn no_machine_paths_and_no_registry_hosts() {
    let words = [
        ["/wor", "k/"],
        ["/ro", "ot/"],
        ["../sha", "red"],
        ["shared/de", "sign"],
        ["crates", ".io"],
        ["pypi", ".org"],
        ["python", "hosted"],
        ["npmjs", ".org"],
        ["proxy.go", "lang"],
        ["repo1.ma", "ven"],
        ["deb.de", "bian"],
    ]
    .map(|parts| parts.concat());
    let found = places(&words);
    assert!(found.is_empty(), "these hold on one machine only: {found:#?}");
}

#[test]
fn no_test_is_ignored_and_none_sleeps_blindly() {
    let words = [["#[ign", "ore"], ["thread::sl", "eep"]].map(|parts| parts.concat());
    let mut found = places(&words);
    // Measurements are taken at intervals.
    found.retain(|place| !place.starts_with("bench/"));
    assert!(found.is_empty(), "wait for a condition with a deadline instead: {found:#?}");
}

#[test]
fn documents_name_only_make_targets_that_exist() {
    let makefile = read("Makefile");
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
        .filter_map(|line| line.split_once(':').map(|(target, _)| target))
        .collect();
    let mut named = 0;
    for (path, text) in texts() {
        if path.extension().is_none_or(|ext| ext != "md") {
            continue;
        }
        for code in code_spans(&text) {
            let mut words = code.split_whitespace();
            if words.next() == Some("make")
                && let Some(target) = words.next()
            {
                named += 1;
                assert!(targets.contains(target), "{}: `{code}`: the Makefile has no `{target}`", path.display());
            }
        }
    }
    assert!(named >= 2, "the README names the two commands");
}

/// What stands between backticks, and each line of a fenced block.
fn code_spans(text: &str) -> Vec<String> {
    let mut spans = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            spans.push(line.trim_start_matches("$ ").to_owned());
        } else {
            spans.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    spans
}

/// The cells of the table rows of a document whose first cell is a code in backticks.
fn rows(document: &str) -> Vec<Vec<String>> {
    document
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

#[test]
fn every_reason_is_documented_as_it_is() {
    let document = read("docs/reasons.md");
    let documented: Vec<(String, String, String)> = rows(&document)
        .iter()
        .map(|row| (row[0].trim_matches('`').to_owned(), row[1].clone(), row[2].clone()))
        .collect();
    let actual: Vec<(String, String, String)> = Reason::ALL
        .iter()
        .map(|reason| (reason.code().to_owned(), reason.http_status().to_string(), reason.fault().as_str().to_owned()))
        .collect();
    // One by one first: a difference is easier to read than two lists.
    for (documented, actual) in documented.iter().zip(&actual) {
        assert_eq!(documented, actual, "docs/reasons.md against src/core/reason.rs, in its order");
    }
    assert_eq!(documented.len(), actual.len(), "a reason without a row, or a row without a reason");
    for row in rows(&document) {
        assert!(row.len() == 5 && row.iter().all(|cell| !cell.is_empty()), "{row:?} has an empty cell");
    }
}

#[test]
fn the_policy_of_the_readme_loads_and_has_ten_lines() {
    let readme = read("README.md");
    let policy = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config = tollgate::config::load_from(policy, root(), Path::new("README.md")).unwrap();
    assert_eq!(config.table.rules().len(), 2);
    assert_eq!(policy.lines().count(), 10);
}

#[test]
fn exit_codes_are_documented_as_the_program_has_them() {
    let readme = read("README.md");
    let help = tollgate::cli::command().render_long_help().to_string();
    for code in
        [tollgate::cli::Exit::Yes, tollgate::cli::Exit::No, tollgate::cli::Exit::Usage, tollgate::cli::Exit::NotRun]
    {
        let code = code as u8;
        assert!(readme.contains(&format!("\n| {code} | ")), "README: {code}");
        assert!(help.contains(&format!("\n  {code}  ")), "help: {code}");
    }
}

#[test]
fn commands_are_listed_in_the_readme() {
    let readme = read("README.md");
    for command in tollgate::cli::command().get_subcommands() {
        assert!(readme.contains(&format!("\n| `tollgate {}` | ", command.get_name())), "{}", command.get_name());
    }
}

#[test]
fn what_holds_an_answer_to_a_known_mistake_is_there() {
    let text = read("docs/security.md");
    let table = text.split("| held by |").nth(1).unwrap();
    let rows: Vec<&str> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 20, "the table is not where it was");
    for row in rows {
        let last = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let named: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "held by nothing: {row}");
        for name in named {
            assert!(root().join(format!("tests/{name}.rs")).exists(), "there is no suite `{name}`: {row}");
        }
    }
}
