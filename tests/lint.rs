//! `tollgate lint`: every code by its example, allowances, shipped policies, and the command.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/markdown.rs"]
mod markdown;
#[path = "support/program.rs"]
mod program;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use markdown::blocks;
use program::{Ran, tollgate};
use proptest::prelude::*;
use serde_json::Value;
use tollgate::config;
use tollgate::core::request::{Direction, RequestFacts};
use tollgate::core::table::algebra::Sample;
use tollgate::lint::{Code, Report, lint};

const SERVER: &str = "server: { check: [{ listen: \"unix:/run/tollgate/inbound.sock\", direction: inbound }] }\n";
const ISSUERS: &str =
    "issuers: { keycloak: { issuer: \"https://keycloak.internal/realms/shop\", keys: { discovery: true } } }\n";

/// A folder with the files that examples name.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in ["secrets/client", "secrets/token", "secrets/apiserver", "secrets/ca.crt", "keys/passport.pem"] {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "not-a-secret\n").unwrap();
    }
    directory
}

/// A whole configuration around a part.
fn completed(text: &str) -> String {
    let mut whole = String::new();
    if !text.lines().any(|line| line.starts_with("server:")) {
        whole += SERVER;
    }
    if text.contains("keycloak") && !text.lines().any(|line| line.starts_with("issuers:")) {
        whole += ISSUERS;
    }
    whole + text
}

fn linted(text: &str) -> Report {
    let directory = directory();
    let whole = completed(text);
    let config = config::load_from(&whole, directory.path(), Path::new("policy.yaml"));
    lint(&config.unwrap_or_else(|errors| panic!("{errors}\n{whole}")))
}

/// `name at line: message`, for what is found in a part.
fn found(text: &str) -> Vec<String> {
    let before = completed(text).lines().count() - text.lines().count();
    let line = |finding: &tollgate::lint::Finding| finding.place.position.0 - before;
    linted(text).findings.iter().map(|finding| format!("{} at {}", finding.code.name(), line(finding))).collect()
}

#[test]
fn every_code_is_documented_as_it_is_and_its_example_shows_it() {
    let document = fs::read_to_string("docs/lint.md").unwrap();
    let blocks = blocks(&document);
    for code in Code::ALL {
        let heading = format!(
            "### `{}` `{}`\n\n{:?}. Why: {}. What to do: {}.\n",
            code.id(),
            code.name(),
            code.severity(),
            code.reason(),
            code.remedy()
        );
        assert!(document.contains(&heading), "docs/lint.md lacks:\n{heading}");
        let info = format!("yaml {}", code.name());
        let examples: Vec<&str> = blocks.iter().filter(|(of, _)| *of == info).map(|(_, text)| &**text).collect();
        assert_eq!(examples.len(), 1, "{}", code.name());
        let report = linted(examples[0]);
        let names: Vec<&str> = report.findings.iter().map(|finding| finding.code.name()).collect();
        assert_eq!(names, [code.name()], "{:#?}", report.findings);
        assert!(report.findings[0].place.position.0 > 0);
        assert_eq!((Code::parse(code.id()), Code::parse(code.name())), (Some(*code), Some(*code)));
    }
    assert_eq!(document.matches("\n### `TG").count(), Code::ALL.len(), "docs/lint.md has codes that do not exist");
    for (_, text) in blocks.iter().filter(|(info, _)| info == "yaml allowed") {
        let report = linted(text);
        assert_eq!((report.findings.len(), report.allowed), (0, 1), "{:#?}", report.findings);
    }
}

/// Every policy that is shipped: examples, and whole files of documents.
fn shipped() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["examples", "examples/issuers", "examples/demo", "examples/keycloak"] {
        let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.to_str().is_some_and(|path| path.ends_with(".yaml") && !path.ends_with(".test.yaml")));
        paths.sort();
        found.extend(paths.iter().map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap())));
    }
    for document in ["README.md", "docs/policy.md", "docs/keycloak.md"] {
        let text = fs::read_to_string(document).unwrap();
        let whole = blocks(&text)
            .into_iter()
            .filter(|(info, _)| info == "yaml file" || document == "README.md" && info == "yaml");
        found.extend(whole.map(|(_, text)| (document.to_owned(), text)));
    }
    assert!(found.len() >= 18, "{}", found.len());
    found
}

#[test]
fn shipped_policies_are_as_they_are_meant() {
    let directory = directory();
    fs::create_dir(directory.path().join("rules.d")).unwrap();
    fs::write(
        directory.path().join("rules.d/a.yaml"),
        "rules: [{ name: a, require: { issuers: [keycloak], audience: { any: [a] } } }]\n",
    )
    .unwrap();
    let secrets = directory.path().join("secrets");
    let mut left = String::new();
    for (name, text) in shipped() {
        let mut text = text
            .replace("../keys/", "keys/")
            .replace("../secrets/", "secrets/")
            .replace("/run/tollgate/oauth-public.key", "keys/passport.pem");
        text = text.replace("/var/run/secrets/kubernetes.io/serviceaccount/", "secrets/");
        for word in text.clone().split([' ', ',', '}', '\n']) {
            if word.starts_with('/') && (word.contains("client-secret") || word.starts_with("/secrets/")) {
                text = text.replace(word, &secrets.join("client").display().to_string());
            }
        }
        let config = config::load_from(&text, directory.path(), Path::new(&name));
        let report = lint(&config.unwrap_or_else(|errors| panic!("{name}: {errors}")));
        for finding in report.findings {
            writeln!(left, "{name}:{}: {} {}", finding.place.position.0, finding.code.name(), finding.message).unwrap();
        }
    }
    assert!(left.is_empty(), "{left}");
}

const UNCHECKED: &str = "require: { issuers: [keycloak], audience: unchecked }";

#[test]
fn comments_allow_what_begins_on_their_line() {
    let rule = |before: &str, after: &str| {
        format!("rules:\n{before}  - name: orders\n    match: {{ paths: [/orders] }}\n    {UNCHECKED}{after}\n")
    };
    let allow = "# tollgate: allow(audience-unchecked) why not";
    for (text, want) in [
        (rule("", ""), vec!["audience-unchecked at 4"]),
        (rule(&format!("  {allow}\n"), ""), vec![]),
        (rule("", &format!("  {allow}")), vec![]),
        (rule("  # tollgate: allow(TG204, wide-anonymous) why\n", ""), vec!["unused-allow at 2"]),
        (rule(&format!("  {allow}\n  # another comment\n\n"), ""), vec![]),
        (rule(&format!("  {allow}\n  # tollgate: allow(wide-anonymous) x\n"), ""), vec!["unused-allow at 3"]),
        (rule("", &format!("\n{allow}")), vec!["audience-unchecked at 4", "unused-allow at 5"]),
        (format!("{allow}\n{}", rule("", "")), vec!["unused-allow at 1", "audience-unchecked at 5"]),
        (rule("  # tollgate: allow(audience-unchekced) x\n", ""), vec!["unknown-code at 2", "audience-unchecked at 5"]),
        (rule("  # tollgate: allow audience-unchecked\n", ""), vec!["malformed-allow at 2", "audience-unchecked at 5"]),
        (rule("  # tollgate: allow(audience-unchecked) - \n", ""), vec!["malformed-allow at 2"]),
        (rule("  # tollgate: allow(unused-allow) x\n", &format!(" {allow}")), vec!["unused-allow at 2"]),
        // No comment, though it looks like one.
        (rule("", "").replace("name: orders", &format!("name: \"{allow}\"")), vec!["audience-unchecked at 4"]),
        (
            rule("", "").replace("name: orders", "name: x#tollgate:allow(audience-unchecked)"),
            vec!["audience-unchecked at 4"],
        ),
        (rule("", &format!("\n    denial: {{ realm: '{allow}' }}")), vec!["audience-unchecked at 4"]),
        (
            rule(
                "",
                &format!(
                    "\n    denial:\n      body:\n        content_type: text/plain\n        text: >-\n          {allow}"
                ),
            ),
            vec!["audience-unchecked at 4"],
        ),
        // What stands above another rule.
        (
            rule(
                "  # tollgate: allow(audience-unchecked) x\n  - { name: a, match: { paths: [/a], methods: [GET] }, allow: anonymous }\n",
                "",
            ),
            vec!["unused-allow at 2", "audience-unchecked at 6"],
        ),
    ] {
        assert_eq!(found(&text), want, "{text}");
    }
    let of_a_set = format!(
        "requirements:\n  any: {{ issuers: [keycloak], audience: unchecked }}  {allow}\nrules:\n  - {{ name: a, match: {{ paths: [/a] }}, require: any }}\n  - {{ name: b, match: {{ paths: [/b] }}, require: {{ use: any }} }}\n"
    );
    assert_eq!(linted(&of_a_set).allowed, 1, "what is written once is found once");
}

#[test]
fn comments_of_rule_files_speak_of_those_files() {
    let directory = directory();
    fs::create_dir(directory.path().join("rules.d")).unwrap();
    let main = format!(
        "{SERVER}{ISSUERS}rules_dir: rules.d\nrules:\n  - {{ name: a, match: {{ paths: [/a] }}, {UNCHECKED} }}\n"
    );
    let more = format!(
        "\n\n\nrules:\n  - {{ name: b, match: {{ paths: [/b] }}, {UNCHECKED} }}  # tollgate: allow(audience-unchecked) it is said\n"
    );
    fs::write(directory.path().join("policy.yaml"), main).unwrap();
    fs::write(directory.path().join("rules.d/b.yaml"), more).unwrap();
    let report = lint(&config::load(&directory.path().join("policy.yaml")).unwrap());
    assert_eq!((report.findings.len(), report.allowed), (1, 1));
    let place = &report.findings[0].place;
    assert!(place.file.ends_with("policy.yaml") && place.path == "rules[0].require.audience", "{place:?}");
}

/// What is said of the one rule that nothing reaches.
fn unreachable(rules: &str) -> Vec<String> {
    let report = linted(&format!("rules:\n{rules}"));
    let lost = report.findings.iter().filter(|finding| finding.code == Code::UnreachableRule);
    lost.map(|finding| finding.message.clone()).collect()
}

#[test]
fn rules_are_shadowed_where_that_is_proven() {
    let rule = |name: &str, matching: &str, more: &str| {
        format!("  - {{ name: {name}, match: {{ {matching} }}, allow: anonymous, {more} }}\n")
    };
    let deny = |name: &str, matching: &str| format!("  - {{ name: {name}, match: {{ {matching} }}, deny: true }}\n");
    // By a greater priority.
    let both = rule("low", "paths: [/a], methods: [GET]", "priority: 1")
        + &rule("high", "paths: [/a], methods: [GET]", "priority: 2");
    assert_eq!(
        unreachable(&both),
        ["no request reaches rule `low`: the rule `high` (policy.yaml:4:5) answers every one that it matches"]
    );
    // By two together, one with a header and one without.
    let header = |test: &str| format!("paths: [/a], methods: [GET], headers: [{{ name: x-v, {test} }}]");
    let three = rule("plain", "paths: [/a], methods: [GET]", "fallback: true")
        + &rule("with", &header("present: true"), "fallback: true")
        + &rule("without", &header("absent: true"), "fallback: true");
    assert!(
        unreachable(&three)[0].contains("`with` (policy.yaml:4:5), `without` (policy.yaml:5:5) answer every"),
        "{three}"
    );
    let two = rule("plain", "paths: [/a], methods: [GET]", "fallback: true")
        + &rule("with", &header("equals: a"), "fallback: true");
    assert!(unreachable(&two).is_empty());
    // By `deny` rules on every path that there is.
    let closed =
        deny("self", "paths: [/a]") + &deny("slash", "paths: [/a/]") + &deny("below", "paths: [\"/a/{x}/**\"]");
    let open = rule("all", "paths: [\"/a/**\"], methods: [GET]", "");
    assert_eq!(unreachable(&(closed.clone() + &open)).len(), 1);
    assert!(unreachable(&(closed.replace("/a/{x}/**", "/a/{x}") + &open)).is_empty());
    // Not by a rule for fewer hosts or methods, nor for another direction.
    assert!(
        unreachable(&(deny("d", "hosts: [\"*.example.com\"]") + &rule("r", "paths: [/a], methods: [GET]", "")))
            .is_empty()
    );
    assert!(unreachable(&(deny("d", "methods: [GET, POST]") + &rule("r", "paths: [/a]", ""))).is_empty());
    assert_eq!(
        unreachable(
            &(deny("d", "hosts: [\"*.example.com\"]") + &rule("r", "hosts: [a.example.com], methods: [GET]", ""))
        )
        .len(),
        1
    );
}

#[test]
fn conditions_that_no_token_meets() {
    let claims = |claims: &str| {
        let text = format!(
            "rules:\n  - name: a\n    match: {{ paths: [\"/a/{{x}}\"], hosts: [a.b] }}\n    require: {{ issuers: [keycloak], audience: {{ any: [a] }}, claims: [{claims}] }}\n"
        );
        linted(&text).findings.iter().any(|finding| finding.code == Code::ContradictoryConditions)
    };
    for clash in [
        "{ path: a, equals: x }, { path: a, equals: y }",
        "{ path: a, equals: \"1\" }, { path: a, equals: 1 }",
        "{ path: a, in: [x, y] }, { path: a, equals: z }",
        "{ path: a, in: [x, y] }, { path: a, not_in: [x, y, z] }",
        "{ path: a, equals: x }, { path: a, pattern: 'y+' }",
        "{ path: a, present: true }, { path: a, absent: true }",
        "{ path: a, contains: x }, { path: a, equals: x }",
        "{ path: a, equals: 1 }, { path: a, equals_path: x }",
        "{ path: a, equals: x }, { path: a.b, present: true }",
        "{ path: a, contains: x }, { path: a.b, absent: true }",
        "{ path: a, absent: true }, { path: a.b, equals: x }",
        "{ path: iss, equals: \"https://elsewhere.example\" }",
        "{ path: a, equals_host_label: 2 }",
    ] {
        assert!(claims(clash), "{clash}");
    }
    for fine in [
        "{ path: a, equals: x }, { path: b, equals: y }",
        "{ path: a, in: [x, y] }, { path: a, not_in: [x] }",
        "{ path: a, equals: yy }, { path: a, pattern: 'y+' }",
        "{ path: a, present: true }, { path: a, contains: x }",
        "{ path: a, contains: x }, { path: a, contains: y }",
        "{ path: a, present: true }, { path: a.b, equals: x }",
        "{ path: a, absent: true }, { path: a.b, absent: true }",
        "{ path: iss, equals: \"https://keycloak.internal/realms/shop\" }",
        "{ path: a, equals_host_label: 1 }, { path: a, pattern: 'b' }",
    ] {
        assert!(!claims(fine), "{fine}");
    }
}

#[test]
fn anonymous_rules_beside_those_that_want_a_token() {
    let gap = |site: &str, own: &str| {
        let text = format!(
            "rules:\n  - {{ name: site, match: {{ {site} }}, allow: anonymous }}\n  - {{ name: own, match: {{ {own} }}, require: {{ issuers: [keycloak], audience: {{ any: [a] }} }} }}\n"
        );
        let report = linted(&text);
        let found = report.findings.iter().find(|finding| finding.code == Code::AnonymousGap);
        found.map(|finding| finding.example.as_ref().unwrap().request.to_string())
    };
    let site = "paths: [\"/s/**\"], methods: [GET, POST]";
    for (site, own, want) in [
        (site, "paths: [/s/own], methods: [GET]", Some("GET any.example/s/own/")),
        (site, "paths: [\"/s/own/**\"], methods: [GET]", Some("POST any.example/s/own")),
        (site, "paths: [\"/s/own/**\"]", None),
        // What everybody may read, not everybody may write.
        (site, "paths: [\"/s/own/**\"], methods: [POST]", None),
        // An anonymous rule for the very paths is meant.
        ("paths: [\"/s/own/**\"], methods: [POST]", "paths: [\"/s/own/**\"], methods: [GET]", None),
        ("hosts: [a.example], paths: [\"/**\"], methods: [GET]", "paths: [\"/own/**\"]", Some("GET a.example/own")),
    ] {
        assert_eq!(gap(site, own).as_deref(), want, "{site} {own}");
    }
}

#[test]
fn ten_thousand_rules_take_seconds_at_most() {
    let mut text = String::from("rules:\n");
    for at in 0..10_000 {
        let path = match at % 4 {
            0 => format!("/s{}/items/{{id}}", at / 4),
            1 => format!("/{{tenant}}/r{}/**", at / 4),
            2 => format!("/s{}/{{id}}/parts", at / 4),
            _ => format!("/closed/{at}"),
        };
        let scope = format!("scope{at}.read");
        writeln!(text, "  - {{ name: r{at}, match: {{ paths: [\"{path}\"], methods: [GET] }}, require: {{ issuers: [keycloak], audience: {{ any: [a] }}, scopes: {{ any: [{scope}] }} }} }}").unwrap();
    }
    text += "  - { name: closed, match: { paths: [\"/closed/**\"] }, deny: true }\n";
    let directory = directory();
    let config = config::load_from(&completed(&text), directory.path(), Path::new("policy.yaml")).unwrap();
    let start = std::time::Instant::now();
    let report = lint(&config);
    let took = start.elapsed();
    println!("linted in {took:?}");
    let count = |code: Code| report.findings.iter().filter(|finding| finding.code == code).count();
    assert_eq!(count(Code::UnreachableRule), 2_500);
    assert_eq!(count(Code::OverlappingTemplates), 5_000);
    // Unoptimised, and on a busy machine.
    assert!(took < std::time::Duration::from_secs(20), "{took:?}");
}

/// The random part of a rule.
fn any_rule() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "{p}"]);
    let path = (prop::collection::vec(segment, 1..4), prop::sample::select(vec!["", "/", "/**"])).prop_map(
        |(segments, end)| {
            let named = segments.iter().enumerate().map(|(at, text)| text.replace("{p}", &format!("{{p{at}}}")));
            format!("\"/{}{end}\"", named.collect::<Vec<_>>().join("/"))
        },
    );
    let host = prop::sample::select(vec!["", "", "a.example", "\"*.example\"", "b.a.example"]);
    let method = prop::sample::select(vec!["", "", "GET", "POST", "GET, POST"]);
    let header = prop::sample::select(vec!["", "", "", "present: true", "absent: true", "equals: v", "not_equals: v"]);
    let action = prop::sample::select(vec![
        "deny: true",
        "allow: anonymous",
        "require: { issuers: [keycloak], audience: { any: [a] } }",
        "require: { issuers: [keycloak], audience: { any: [b] } }",
    ]);
    (prop::collection::vec(path, 1..3), host, method, header, action, 0..3).prop_map(
        |(mut paths, host, method, header, action, priority)| {
            paths.dedup();
            let list =
                |key: &str, items: &str| if items.is_empty() { String::new() } else { format!(", {key}: [{items}]") };
            let header =
                if header.is_empty() { String::new() } else { format!(", headers: [{{ name: x-v, {header} }}]") };
            format!(
                "match: {{ paths: [{}]{}{}{header} }}, {action}, priority: {priority}, fallback: true",
                paths.join(", "),
                list("hosts", host),
                list("methods", method)
            )
        },
    )
}

fn answered_by(config: &config::Config, sample: &Sample) -> Option<String> {
    let facts = RequestFacts::parse(sample.raw()).unwrap();
    config.table.find(&facts).unwrap().map(|found| found.rule.name.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_lint_says_is_what_the_table_does(rules in prop::collection::vec(any_rule(), 2..9)) {
        // One after the other, without those that are at odds with others.
        let directory = directory();
        let mut text = completed("rules:\n  - { name: last, match: { hosts: [z.example] }, require: { issuers: [keycloak], audience: { any: [a] } } }\n");
        let mut config = config::load_from(&text, directory.path(), Path::new("policy.yaml")).unwrap();
        for (at, rule) in rules.iter().enumerate() {
            let more = format!("{text}  - {{ name: r{at}, {rule} }}\n");
            if let Ok(loaded) = config::load_from(&more, directory.path(), Path::new("policy.yaml")) {
                (text, config) = (more, loaded);
            }
        }
        let report = lint(&config);
        let mut lost: Vec<&str> = Vec::new();
        for finding in &report.findings {
            if let Some(example) = &finding.example {
                prop_assert_eq!(&answered_by(&config, &example.request), &example.answered_by, "{}\n{:?}", text, finding);
            }
            if finding.code == Code::UnreachableRule {
                let name = finding.message.strip_prefix("no request reaches rule `").unwrap().split('`').next();
                lost.extend(name);
            }
        }
        for host in ["z.example", "a.example", "b.a.example", "example", "elsewhere"] {
            for segments in ["", "a", "b", "a/", "x/a", "a/a", "a/b", "b/x", "a/b/", "a/a/b", "x/y/z", "b/b/b/", "a/b/b/a"] {
                for (method, header) in [("GET", None), ("POST", Some("v")), ("PUT", Some("w"))] {
                    let sample = Sample {
                        direction: Direction::Inbound,
                        method: method.into(),
                        host: host.into(),
                        path: format!("/{segments}"),
                        headers: header.iter().map(|value| ("x-v".to_owned(), (*value).to_owned())).collect(),
                        context_extensions: Vec::new(),
                    };
                    if let Some(rule) = answered_by(&config, &sample) {
                        prop_assert!(!lost.contains(&&*rule), "{} is answered by {}\n{}", sample, rule, text);
                    }
                }
            }
        }
    }
}

fn run(text: &str, arguments: &[&str]) -> Ran {
    let directory = directory();
    fs::write(directory.path().join("policy.yaml"), completed(text)).unwrap();
    let all: Vec<&str> = ["lint", "--config", "policy.yaml"].into_iter().chain(arguments.iter().copied()).collect();
    tollgate(directory.path(), &all, b"")
}

const TWO: &str = "rules:
  - name: orders-are-closed
    match: { paths: [\"/orders/**\"] }
    deny: true
  - name: export
    match: { paths: [/orders/export], methods: [GET] }
    allow: anonymous
  - name: catalogue
    match: { paths: [\"/catalogue/**\"] }
    allow: anonymous
";

#[test]
fn the_command_shows_findings_and_ends_as_documented() {
    let ran = run(TWO, &[]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    insta::assert_snapshot!(ran.out);
    let only_note = ["--allow", "unreachable-rule"];
    assert_eq!(run(TWO, &only_note).code, 0);
    assert_eq!(run(TWO, &[&only_note[..], &["--deny", "wide-anonymous"]].concat()).code, 1);
    assert_eq!(run(TWO, &[&only_note[..], &["--deny", "all"]].concat()).code, 1);
    assert_eq!(run(TWO, &["--allow", "TG001", "--allow", "TG105", "--deny", "all"]).out, "nothing found in 3 rules\n");
    let unknown = run(TWO, &["--deny", "nonsense"]);
    assert!(unknown.code == 2 && unknown.err.contains("`nonsense`"), "{}", unknown.err);
    let broken = run("rules: [{ name: a, allow: everybody }]\n", &[]);
    assert!(broken.code == 1 && broken.out.starts_with("policy.yaml:2:"), "{}", broken.out);
}

#[test]
fn the_command_speaks_json() {
    let ran = run(TWO, &["--json", "--deny", "wide-anonymous"]);
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(json["summary"], serde_json::json!({ "errors": 2, "warnings": 0, "notes": 0, "allowed": 0 }));
    let first = &json["findings"][0];
    assert_eq!(
        (&first["code"], &first["name"], &first["path"]),
        (&"TG001".into(), &"unreachable-rule".into(), &"rules[1]".into())
    );
    assert_eq!((&first["line"], &first["column"]), (&6.into(), &5.into()));
    assert_eq!(first["example"]["answered_by"], "orders-are-closed");
    assert_eq!(first["example"]["request"]["path"], "/orders/export");
    assert!(json["findings"][1]["example"].is_null() && json["findings"][1]["severity"] == "error");
    let document = fs::read_to_string("docs/lint.md").unwrap();
    for field in json.as_object().unwrap().keys().chain(first.as_object().unwrap().keys()) {
        let said = ["`", "."]
            .iter()
            .any(|before| ["`", "["].iter().any(|after| document.contains(&format!("{before}{field}{after}"))));
        assert!(said, "{field}");
    }
    let broken = run("rules: [{ name: a, allow: everybody }]\n", &["--json"]);
    let json: Value = serde_json::from_str(&broken.out).unwrap();
    assert!(broken.code == 1 && json["errors"][0]["path"] == "rules[0].allow", "{json}");
}

#[test]
fn codes_are_listed_and_explained() {
    let list = run(TWO, &["--list"]);
    assert_eq!((list.code, list.out.lines().count()), (0, Code::ALL.len()));
    assert!(list.out.starts_with("TG001  error    unreachable-rule\n"), "{}", list.out);
    let explained = run(TWO, &["--explain", "TG103"]);
    assert!(explained.code == 0 && explained.out.contains("deny-by-header"), "{}", explained.out);
    assert_eq!(run(TWO, &["--explain", "TG000"]).code, 2);
}

#[test]
fn nothing_in_a_policy_reaches_the_terminal_raw() {
    let text = "rules:\n  - { name: a, match: { paths: [\"/a\\u202e\\x9b31m/**\"] }, allow: anonymous }\n"
        .replace("\\x9b", "");
    let ran = run(&text.replace("\\u202e", "%E2%80%AE"), &[]);
    let raw = ran.out.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
    assert!(raw.is_none() && ran.out.contains("\\u202e"), "{}", ran.out);
}
