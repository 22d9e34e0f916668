//! `docs/explain.md` shows what the program says.

use std::fs;

use super::program::{members, tollgate, words};

const DOCUMENT: &str = include_str!("../../docs/explain.md");

fn blocks(kind: &str) -> Vec<&'static str> {
    let opening = format!("```{kind}\n");
    // A block ends where a line begins with its fence.
    DOCUMENT.split(&opening).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

#[test]
fn what_the_document_shows_is_what_the_program_says() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policy.yaml"), blocks("yaml")[0]).unwrap();
    fs::write(folder.path().join("check.json"), blocks("json check")[0]).unwrap();
    fs::create_dir(folder.path().join("secrets")).unwrap();
    fs::write(folder.path().join("secrets/client"), "not a secret").unwrap();
    let mut sessions = 0;
    for session in blocks("console") {
        let (command, shown) = session.split_once("\n\n").unwrap_or((session, ""));
        let command = command.strip_prefix("$ tollgate ").unwrap().replace("\\\n", " ");
        let words = words(&command);
        let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        let ran = tollgate(folder.path(), &arguments, b"");
        assert!(ran.code < 2, "{command}: {}", ran.err);
        assert_eq!(ran.out.trim_end(), shown.trim_end(), "{command}");
        sessions += 1;
    }
    assert!(sessions >= 3, "{sessions}");
}

/// The members that the document's table lists: `answer.set[].name`.
fn documented() -> Vec<&'static str> {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next()).filter(|path| !path.starts_with("--")).collect()
}

/// What a token says, and what is counted by parts, has members of its own.
const OPEN: [&str; 5] =
    ["token.claims", "token.identity", "token.introspection", "rules.others", "requirements[].seen"];

#[test]
fn every_member_of_the_json_is_documented_and_there() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policy.yaml"), blocks("yaml")[0]).unwrap();
    fs::write(folder.path().join("check.json"), blocks("json check")[0]).unwrap();
    fs::create_dir(folder.path().join("secrets")).unwrap();
    fs::write(folder.path().join("secrets/client"), "not a secret").unwrap();
    let mut found = Vec::new();
    for session in blocks("console") {
        let command = session.split("\n\n").next().unwrap();
        let command = command.strip_prefix("$ tollgate ").unwrap().replace("\\\n", " ");
        let mut words = words(&command);
        words.push("--json".to_owned());
        let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        let ran = tollgate(folder.path(), &arguments, b"");
        found.extend(members(&ran.json(), &OPEN));
    }
    let documented = documented();
    for member in &found {
        assert!(documented.contains(&member.as_str()), "`{member}` is not documented");
    }
    for member in documented {
        assert!(found.iter().any(|found| *found == *member), "`{member}` is in no session of the document");
    }
}
