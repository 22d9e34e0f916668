//! Files and cases that cannot be read: each fault has its place, and the rest runs.

use std::fmt::Write as _;

use super::{POLICY, Setup};

/// Faults of one case: what stands there, and what is said of it.
const OF_CASES: [(&str, &str); 34] = [
    ("{ reqest: GET a.b/, expect: allow }", ":5: cases[1].reqest: unknown key `reqest`; did you mean `request`?"),
    ("{ request: GET a.b/ }", ":3: cases[1]: `expect` is missing"),
    ("{ expect: allow }", ":3: cases[1]: `request` is missing"),
    ("{ request: 7, expect: allow }", ":14: cases[1].request: expected text, found the number `7`; put it in quotes"),
    ("{ request: {}, expect: allow }", ":14: cases[1].request: expected a text or a list, found a map"),
    ("{ request: [], expect: allow }", ":14: cases[1].request: there is no request"),
    ("{ request: GET, expect: allow }", ":14: cases[1].request: expected a request such as"),
    ("{ request: GET /x, expect: allow }", ":14: cases[1].request: it names no host"),
    ("{ request: [GET a.b/, GET /x], expect: allow }", ":25: cases[1].request[1]: it names no host"),
    ("{ request: GET a.b/, recorded: x, expect: allow }", "`request` and `recorded` are both there"),
    (
        "{ recorded: nothing.json, expect: allow }",
        ":15: cases[1].recorded: the file `nothing.json` cannot be read: it does not exist",
    ),
    ("{ recorded: typo.json, expect: allow }", ":15: cases[1].recorded: `attributes.request.http`"),
    ("{ recorded: empty.json, expect: allow }", "`attributes.request` is missing; the gate denies this"),
    ("{ recorded: good.json, headers: { a: b }, expect: allow }", "`headers` does not go with `recorded`"),
    ("{ request: GET a.b/, headers: { 'a b': c }, expect: allow }", "`a b` cannot be the name of a header"),
    ("{ request: GET a.b/, headers: { ':path': c }, expect: allow }", "`:path` cannot be the name of a header"),
    ("{ request: GET a.b/, direction: up, expect: allow }", "expected one of `inbound` and `outbound`"),
    (
        "{ request: GET a.b/, caller: CN=x, expect: allow }",
        "expected a SPIFFE id: spiffe://trust-domain/path, or `none`",
    ),
    ("{ request: GET a.b/, claims: nobody, expect: allow }", "expected `none` or a map, such as `{ sub: alice }`"),
    ("{ request: GET a.b/, claims: [], expect: allow }", "expected a text or a map, found a list"),
    ("{ request: GET a.b/, claims: {}, token: x, expect: allow }", "`token` and `claims` are both there"),
    ("{ request: GET a.b/, token: nothing.jwt, expect: allow }", "the file `nothing.jwt` cannot be read"),
    ("{ request: GET a.b/, token: blank.jwt, expect: allow }", "there is no token in it"),
    ("{ request: GET a.b/, issuer: shop, expect: allow }", "`issuer` goes with `claims` or `token`"),
    ("{ request: GET a.b/, at: noon, expect: allow }", "expected a time such as 2026-05-01T12:00:00Z"),
    ("{ request: GET a.b/, expect: alow }", "found `alow`; did you mean `allow`?"),
    ("{ request: GET a.b/, expect: {} }", "nothing is expected; say `decision`"),
    (
        "{ request: GET a.b/, expect: { reason: nope } }",
        "expected a reason, such as `insufficient_scope`, found `nope`",
    ),
    ("{ request: GET a.b/, expect: { decision: allow, reason: no_rule } }", "`no_rule` denies, against `decision`"),
    ("{ request: GET a.b/, expect: { decision: deny, status: 200 } }", "an allowed request has the status 200"),
    ("{ request: GET a.b/, expect: { decision: deny, headers: { a: b } } }", "a denied request goes to no upstream"),
    ("{ request: GET a.b/, expect: { headers: { a: { absent: false } } } }", "expected `true`"),
    ("{ request: GET a.b/, expect: { headers: { a: b, A: c } } }", "the header `a` is already there"),
    ("{ request: GET a.b/, request: GET a.b/x, expect: allow }", "the key `request` is already there"),
];

#[test]
fn a_case_that_cannot_be_read_is_told_with_its_place_and_the_rest_runs() {
    let setup = Setup::new(POLICY);
    setup.write("typo.json", "{\"attributes\": {\"request\": {\"http\": {\"methode\": \"GET\"}}}}");
    setup.write("empty.json", "{\"attributes\": {}}");
    setup.write("good.json", r#"{"attributes":{"request":{"http":{"method":"GET","host":"a.b","path":"/healthz"}}}}"#);
    setup.write("blank.jwt", "\n");
    let good = "- { request: GET a.b/healthz, expect: allow }";
    for (case, said) in OF_CASES {
        let ran = setup.cases(&format!("cases:\n{good}\n- {case}\n{}\n", good.replace("healthz", "health")), &[]);
        assert_eq!(ran.code, 3, "{case}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains("FAULT   policy.test.yaml:3:") && ran.out.contains(said), "{case}: {}", ran.out);
        // What stands before it and after it was decided.
        assert!(
            ran.out.contains("policy.test.yaml:4: ") && ran.out.contains("1 passed, 1 failed, "),
            "{case}: {}",
            ran.out
        );
        assert!(!ran.out.contains("0 could not be decided"), "{case}: {}", ran.out);
    }
}

#[test]
fn a_case_that_the_policy_cannot_decide_is_told_with_its_place() {
    let policy = POLICY.replace(
        "rules:",
        "  far: { issuer: \"https://far.example\", keys: { discovery: true }, credential: { header: x-far } }\nrules:",
    );
    let setup = Setup::new(&policy);
    for (case, said) in [
        (
            "{ request: GET a.b/x, issuer: nobody, claims: {}, expect: deny }",
            "no issuer is named `nobody`; there are `shop`, `far`",
        ),
        ("{ request: GET a.b/x, claims: {}, expect: deny }", "name the issuer with `issuer`"),
    ] {
        let ran = setup.cases(&format!("cases:\n- {case}\n- {{ request: GET a.b/healthz, expect: allow }}\n"), &[]);
        assert!(
            ran.code == 3 && ran.out.contains(said) && ran.out.contains("FAULT   policy.test.yaml:2"),
            "{}",
            ran.out
        );
        assert!(ran.out.contains("1 passed, 1 could not be decided"), "{}", ran.out);
    }
}

#[test]
fn a_file_that_cannot_be_read_leaves_the_others() {
    let setup = Setup::new(POLICY);
    setup.write("good.test.yaml", "cases: [ { request: GET a.b/healthz, expect: allow } ]\n");
    let mut deep = String::from("cases: [");
    for _ in 0..60 {
        write!(deep, "[").unwrap();
    }
    for (text, said) in [
        (&b""[..], "bad.test.yaml: the file is empty"),
        (b"# nothing\n", "the file is empty"),
        (b"\xff\xfe", "not UTF-8 text"),
        (b"- a\n", "bad.test.yaml:1:1: expected a map, found a list"),
        (b"cases: [", "bad.test.yaml:1:"),
        (b"{}", "`cases` is missing"),
        (b"cases: []", "bad.test.yaml:1:8: cases: there is no case"),
        (b"cases: none", "cases: expected a list"),
        (b"case: []\ncases: [{ request: GET a.b/, expect: deny }]", "unknown key `case`; did you mean `cases`?"),
        (
            b"defaults: { hosts: a }\ncases: [{ request: GET a.b/, expect: deny }]",
            "defaults.hosts: unknown key `hosts`",
        ),
        (b"defaults: { at: x }\ncases: [{ request: GET a.b/, expect: deny }]", "defaults.at: expected a time"),
        (
            b"defaults: { caller: x }\ncases: [{ request: GET a.b/, expect: deny }]",
            "defaults.caller: expected a SPIFFE id",
        ),
        (
            b"cases: [{ name: a, request: GET a.b/, expect: deny },\n { name: a, request: GET a.b/, expect: deny }]",
            "bad.test.yaml:2:10: cases[1].name: this name is already there, at 1:9",
        ),
        (deep.as_bytes(), "bad.test.yaml:1:"),
    ] {
        setup.write("bad.test.yaml", text);
        let ran = setup.test(&["--verbose"]);
        let shown = String::from_utf8_lossy(text);
        assert!(ran.code == 3 && ran.out.contains(said), "{shown}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains("ok      good.test.yaml:1: GET a.b/healthz"), "{shown}: {}", ran.out);
    }
}

/// Nothing that a file says moves the cursor.
#[test]
fn what_is_shown_is_printable() {
    let setup = Setup::new(POLICY);
    let cases = "cases:\n- { name: \"a\\e[2Jb\\u202ec\", request: \"GET a.b/\\e[2J\", expect: { rule: \"x\\e[2J\" } }\n- { \"k\\e[2J\": 1 }\n";
    let ran = setup.cases(cases, &["--explain", "--verbose", "--coverage"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.out.chars().all(|c| c == '\n' || !c.is_control()) && !ran.out.contains('\u{202e}'), "{:?}", ran.out);
}
