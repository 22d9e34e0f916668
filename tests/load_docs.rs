//! What `docs/load-testing.md` says fits what there is. Its commands need ghz, which `make load` installs; here they are
//! held to the schema, the metrics, the reasons and the options that they name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tollgate::core::reason::Reason;

const DOCUMENT: &str = include_str!("../docs/load-testing.md");

/// The fenced blocks of shell.
fn shell() -> Vec<&'static str> {
    DOCUMENT.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// What stands between backticks in running text. The templates of ghz hold backticks themselves; those are left out.
fn spans() -> impl Iterator<Item = &'static str> {
    let lines = DOCUMENT.lines().filter(|line| !line.contains("{{"));
    lines.flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// A template of ghz, filled in with something.
fn filled(template: &str) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        text += before;
        text += "1";
        rest = after.split_once("}}").unwrap().1;
    }
    text + rest
}

#[test]
fn the_shell_is_shell() {
    assert!(shell().len() >= 4);
    for block in shell() {
        let checked = Command::new("bash").args(["-n", "-c", block]).output().unwrap();
        assert!(checked.status.success(), "{block}\n{}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn five_lines_are_five_lines() {
    assert!(DOCUMENT.contains("Five lines,"));
    assert_eq!(shell()[0].lines().count(), 5);
}

#[test]
fn requests_are_of_the_schema() {
    let schema = fs::read_to_string("proto/envoy/service/auth/v3/attribute_context.proto").unwrap();
    let mut requests = 0;
    for line in shell().iter().flat_map(|block| block.lines()) {
        let Some(http) = line.strip_prefix("HTTP='").and_then(|line| line.strip_suffix('\'')) else { continue };
        // A shell variable in between, out of its quotes.
        let http: Value = serde_json::from_str(&filled(&http.replace("'$n'", "3"))).unwrap();
        for name in http.as_object().unwrap().keys() {
            assert!(schema.contains(&format!(" {name} = ")), "{name}");
        }
        requests += 1;
    }
    assert_eq!(requests, 2);
    let service = fs::read_to_string("proto/envoy/service/auth/v3/external_auth.proto").unwrap();
    assert!(DOCUMENT.contains("--call envoy.service.auth.v3.Authorization/Check "));
    assert!(service.contains("package envoy.service.auth.v3;") && service.contains("rpc Check("));
}

#[test]
fn files_metrics_reasons_and_options_exist() {
    let metrics = fs::read_to_string("docs/metrics.md").unwrap();
    let options = fs::read_to_string("bench/src/ghz.rs").unwrap();
    let mut named = [0; 4];
    for word in spans().flat_map(str::split_whitespace).chain(shell().iter().flat_map(|block| block.split_whitespace()))
    {
        if word.starts_with("proto/") {
            assert!(Path::new(word).exists(), "{word}");
            named[0] += 1;
        }
        let family = word.split('{').next().unwrap();
        if family.starts_with("tollgate_") {
            assert!(metrics.contains(&format!("| `{family}")), "{family}");
            named[1] += 1;
        }
    }
    for line in DOCUMENT.lines().filter(|line| line.ends_with(" agrees")) {
        if let [outcome @ ("allow" | "deny"), code, ..] = line.split_whitespace().collect::<Vec<_>>()[..] {
            let reason = Reason::ALL.iter().find(|reason| reason.code() == code).expect(code);
            assert_eq!(reason.http_status() == 200, outcome == "allow", "{code}");
            named[2] += 1;
        }
    }
    for line in DOCUMENT.lines().filter_map(|line| line.strip_prefix("make load ARGS=")) {
        for option in line.trim_matches('"').split_whitespace().filter_map(|word| word.strip_prefix("--")) {
            assert!(options.contains(&format!("    {option}: ")), "{option}");
            named[3] += 1;
        }
    }
    assert!(named.iter().all(|count| *count > 0), "{named:?}");
}
