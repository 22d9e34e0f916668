//! `docs/testing.md` shows what the program says, and describes what it reads and writes.

use std::fs;
use std::path::Path;

use super::markdown::blocks;
use super::program::{members, tollgate};
use super::{DEFAULTS, POLICY, Setup};

const DOCUMENT: &str = include_str!("../../docs/testing.md");

fn block(kind: &str) -> String {
    let mut found: Vec<String> =
        blocks(DOCUMENT).into_iter().filter(|(info, _)| info == kind).map(|(_, text)| text).collect();
    assert_eq!(found.len(), 1, "{kind}");
    found.remove(0)
}

fn documented() -> Setup {
    let setup = Setup::new(&block("yaml policy"));
    setup.write("policy.test.yaml", block("yaml cases"));
    setup.write("wrong.yaml", block("yaml wrong"));
    setup
}

#[test]
fn what_the_document_shows_is_what_the_program_says() {
    let setup = documented();
    let mut sessions = 0;
    for (_, session) in blocks(DOCUMENT).iter().filter(|(info, _)| info == "console") {
        let (command, shown) = session.split_once("\n\n").unwrap();
        let arguments: Vec<&str> = command.strip_prefix("$ tollgate ").unwrap().split_whitespace().collect();
        let ran = tollgate(setup.0.path(), &arguments, b"");
        assert_eq!((ran.out.trim_end(), &*ran.err), (shown.trim_end(), ""), "{command}");
        sessions += 1;
    }
    assert_eq!(sessions, 3);
}

/// The cases that `--help` shows are cases.
#[test]
fn the_cases_of_the_help_run() {
    let help = tollgate::cli::command().find_subcommand_mut("test").unwrap().clone().render_long_help().to_string();
    let cases = help.split("A file of cases:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let policy = POLICY.replace("name: orders", "name: read-orders");
    let ran = Setup::new(&policy).cases(cases, &[]);
    assert_eq!(ran.code, 0, "{}{}\n{cases}", ran.out, ran.err);
    assert!(ran.out.contains("2 passed"), "{}", ran.out);
}

/// The keys of the first column of a table, below a heading.
fn keys(heading: &str) -> Vec<String> {
    let (_, section) = DOCUMENT.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let first = |row: &str| row.split('|').nth(1).unwrap().to_owned();
    rows.flat_map(|row| first(row).split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The published schema is that of the types that read the files, and the document has each of its keys.
#[test]
fn every_key_of_a_case_is_documented() {
    let schema = tollgate::cases::read::schema();
    let path = Path::new("docs/cases.schema.json");
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    if std::env::var_os("INSTA_UPDATE").is_some_and(|mode| mode == "always") {
        fs::write(path, &text).unwrap();
    }
    assert!(
        fs::read_to_string(path).unwrap() == text,
        "{} is out of date: run with `INSTA_UPDATE=always`",
        path.display()
    );
    let of = |name: &str| -> Vec<String> {
        schema["$defs"][name]["properties"].as_object().unwrap().keys().cloned().collect()
    };
    let sorted = |mut keys: Vec<String>| {
        keys.sort();
        keys
    };
    assert_eq!(sorted(keys("What a case says")), sorted(of("CaseFile")));
    assert_eq!(sorted(keys("What is expected")), sorted(of("ExpectFile")));
    for key in of("DefaultsFile") {
        assert!(DOCUMENT.contains(&format!("`{key}`")), "{key}");
    }
    let printed = tollgate(Path::new("."), &["schema", "--cases"], b"").json();
    assert_eq!(printed, schema);
}

#[test]
fn every_member_of_the_json_is_documented_and_there() {
    let setup = Setup::new(POLICY);
    let cases = format!(
        "{DEFAULTS}cases: [ {{ request: GET /orders/7, expect: deny }}, {{ request: GET /x, issuer: y, expect: deny }}, {{ a: b }} ]\n"
    );
    assert_eq!(setup.cases(&cases, &["--json", "out.json"]).code, 3);
    // How a case was decided is described elsewhere.
    let mut found = members(&serde_json::from_str(&setup.read("out.json")).unwrap(), &["cases[].explanation"]);
    let kinds = ["requirements", "alternatives"].map(|kind| format!("coverage.{kind}."));
    found.retain(|member| !kinds.iter().any(|kind| member.starts_with(kind)));
    let mut documented = keys("In CI");
    documented.sort();
    assert_eq!(found, documented);
}
