//! What a run leaves in files: JUnit XML, JSON, a page, LCOV records.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::{POLICY, Setup};

/// A policy and cases, with this text wherever a text of theirs is shown.
fn saying(setup: &Setup, said: &str) {
    // A text with its escapes: YAML has no other way for most controls.
    let escaped: String = said.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect();
    let quoted = format!("\"{escaped}\"");
    let rule: String = said.chars().filter(|c| (' '..='~').contains(c)).collect();
    let rule = serde_json::to_string(&format!("r{rule}r")).unwrap();
    setup.write("policy.yaml", POLICY.replace("name: orders", &format!("name: {rule}")));
    let cases = format!(
        "cases:
- {{ name: {quoted}, request: GET a.b/orders, claims: {{ sub: {quoted} }}, expect: {{ rule: {quoted}, headers: {{ x-user: {quoted} }} }} }}
- {{ request: GET a.b/healthz, claims: none, expect: allow }}
- {{ request: GET a.b/orders, issuer: {quoted}, claims: {{}}, expect: allow }}
- {{ {quoted}: 1 }}
"
    );
    setup.write("policy.test.yaml", cases);
}

const HOSTILE: [&str; 4] = [
    "<script>alert('x')</script> & \"q\" ]]> -->",
    "a\u{1b}[31m\u{0}\u{7f}\u{202e}b\r\nTN:\nend_of_record",
    "</style></failure></testsuite>&lt;&#0;",
    "ü \u{1f600} \u{fffe}",
];

const REPORTS: [&str; 8] =
    ["--junit", "out.xml", "--json", "out.json", "--coverage-html", "out.html", "--coverage-lcov", "out.lcov"];

/// Elements of a document, with their attributes. It is well-formed, and XML 1.0 has all of its characters.
fn elements(xml: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let is_char = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    assert!(xml.chars().all(is_char), "{xml:?}");
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let mut found = Vec::new();
    loop {
        match reader.read_event().unwrap_or_else(|error| panic!("{error}: {xml}")) {
            Event::Start(element) | Event::Empty(element) => {
                let attributes = element.attributes().map(|attribute| {
                    let attribute = attribute.unwrap();
                    let key = attribute.key.as_ref().to_owned();
                    (key, quick_xml::escape::unescape(&attribute.value).unwrap().into_owned())
                });
                let name = element.name().as_ref().to_owned();
                found.push((name, attributes.collect()));
            }
            Event::Eof => return found,
            _ => {}
        }
    }
}

#[test]
fn junit_has_a_suite_for_each_file_and_counts_what_came() {
    let setup = Setup::new(POLICY);
    setup.write("more.test.yaml", "cases: [ { request: GET a.b/healthz, expect: allow } ]\n");
    for said in HOSTILE {
        saying(&setup, said);
        let ran = setup.test(&REPORTS);
        assert_eq!(ran.code, 3, "{}", ran.err);
        let elements = elements(&setup.read("out.xml"));
        let named = |name: &str| elements.iter().filter(|(element, _)| element == name).collect::<Vec<_>>();
        let suites = named("testsuite");
        let numbers = |at: usize| ["tests", "failures", "errors"].map(|key| suites[at].1[key].clone());
        assert_eq!((suites[0].1["name"].as_str(), numbers(0)), ("more.test.yaml", ["1", "0", "0"].map(str::to_owned)));
        assert_eq!(suites[1].1["name"], "policy.test.yaml");
        // The last case has two faults or more: an unknown key, and what it lacks.
        let errors: usize = suites[1].1["errors"].parse().unwrap();
        assert_eq!((suites[1].1["failures"].as_str(), errors >= 2), ("1", true), "{said:?}");
        assert_eq!(named("failure").len(), 1);
        assert_eq!(named("error").len(), errors);
        let total: usize = suites.iter().map(|suite| suite.1["tests"].parse::<usize>().unwrap()).sum();
        assert_eq!(named("testcase").len(), total);
        let failed = &named("testcase")[1].1;
        assert_eq!((failed["file"].as_str(), failed["line"].as_str()), ("policy.test.yaml", "2"));
        assert!(failed["time"].parse::<f64>().unwrap() < 60.0);
    }
}

#[test]
fn a_page_shows_texts_and_obeys_none() {
    let setup = Setup::new(POLICY);
    let page = |said: &str| {
        saying(&setup, said);
        setup.test(&REPORTS);
        setup.read("out.html")
    };
    let markup = |page: &str| page.chars().filter(|c| "<>\"'".contains(*c)).collect::<String>();
    let plain = page("x");
    for said in HOSTILE {
        let page = page(said);
        assert_eq!(markup(&page), markup(&plain), "{page}");
        assert!(page.chars().all(|c| c == '\n' || !c.is_control()) && !page.contains('\u{202e}'), "{page:?}");
    }
    assert!(!plain.contains("<script") && !plain.contains("http://") && !plain.contains("https://"), "{plain}");
    assert!(
        plain.contains("default-src &#39;none&#39;; style-src &#39;sha256-")
            && plain.contains("rxr")
            && plain.contains("held 0, failed 1"),
        "{plain}"
    );
}

/// Records by their names, for each file.
fn records(lcov: &str) -> Vec<Vec<(&str, &str)>> {
    let mut files = vec![Vec::new()];
    for line in lcov.lines() {
        match line.split_once(':') {
            Some(record) => files.last_mut().unwrap().push(record),
            None => {
                assert_eq!(line, "end_of_record");
                files.push(Vec::new());
            }
        }
    }
    assert_eq!(files.pop(), Some(Vec::new()), "a file without an end");
    files
}

#[test]
fn lcov_counts_rules_branches_and_lines() {
    let policy = POLICY.replace("rules:", "rules_dir: rules.d\nrules:");
    let setup = Setup::new(&policy);
    setup.write("rules.d/more.yaml", "rules:\n  - { name: more, match: { paths: [/more] }, allow: anonymous }\n");
    let cases = "cases:
- { request: GET a.b/orders, claims: { sub: a, aud: orders, scope: orders.read }, expect: allow }
- { request: GET a.b/orders, claims: { sub: a, aud: orders }, expect: deny }
- { request: GET a.b/more, claims: none, expect: allow }
";
    let ran = setup.cases(cases, &REPORTS);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let lcov = setup.read("out.lcov");
    let files = records(&lcov);
    assert_eq!(files.len(), 2, "{lcov}");
    let line = |text: &str| policy.lines().position(|line| line.contains(text)).unwrap() + 1;
    let (orders, require) = (line("name: orders"), line("require:"));
    for wanted in [
        "SF:policy.yaml".to_owned(),
        format!("FN:{},health", line("name: health")),
        format!("FN:{orders},orders"),
        "FNDA:0,health".to_owned(),
        "FNDA:2,orders".to_owned(),
        "FNF:2".to_owned(),
        "FNH:1".to_owned(),
        // The token: accepted twice, never refused. The audience: the same. The scopes: held, and failed.
        format!("BRDA:{require},0,0,2"),
        format!("BRDA:{require},0,1,0"),
        format!("BRDA:{require},2,0,1"),
        format!("BRDA:{require},2,1,1"),
        "BRF:6".to_owned(),
        "BRH:4".to_owned(),
        format!("DA:{orders},2"),
        format!("DA:{},0", line("name: health")),
    ] {
        let (name, value) = wanted.split_once(':').unwrap();
        assert!(files[0].contains(&(name, value)), "{wanted}: {lcov}");
    }
    assert!(files[1].contains(&("SF", "rules.d/more.yaml")) && files[1].contains(&("FNDA", "1,more")), "{lcov}");
    for file in &files {
        let count = |name: &str| file.iter().filter(|(record, _)| *record == name).count().to_string();
        let value = |name: &str| file.iter().find(|(record, _)| *record == name).unwrap().1;
        assert_eq!(
            (count("DA"), count("BRDA"), count("FN")),
            (value("LF").into(), value("BRF").into(), value("FNF").into())
        );
    }
    for said in HOSTILE {
        saying(&setup, said);
        setup.test(&REPORTS);
        records(&setup.read("out.lcov"));
    }
}
