//! What of a policy cases exercise.

use serde_json::Value;

use super::Setup;

/// Everything that can be exercised, once: sets, alternatives of each kind, preflights, headers that are required.
const POLICY: &str = r#"
server: { check: [ { listen: "unix:/run/in.sock", direction: inbound } ] }
issuers:
  shop: { issuer: "https://shop.example", keys: { discovery: true }, claims: { scopes: scope, roles: roles, tenant: org } }
  far: { issuer: "https://far.example", keys: { discovery: true }, claims: { scopes: scope, roles: roles }, wildcard_scope: "*" }
requirements:
  base:
    issuers: [shop, far]
    audience: { any: [a, b] }
    claims: [{ path: plan, in: [gold, tin] }]
rules:
  - { name: open, match: { paths: [/open] }, allow: anonymous }
  - { name: closed, match: { paths: ["/closed/**"] }, deny: true }
  - name: all
    match: { paths: ["/all/{id}"], methods: [GET] }
    cors_preflight: allow
    require:
      use: base
      scopes: { any_of: [{ all: [x, y] }, { any: [z] }] }
      roles: { any: [clerk, boss] }
      claims: [{ path: level, equals: 1 }]
      caller: { spiffe: ["spiffe://m/a", "spiffe://m/b/**"] }
    inject:
      X-User: { value: "{subject}", required: true }
      x-id: { value: "{path.id}", required: true }
      x-by: { value: "{caller}", required: true }
  - name: optional
    match: { paths: [/optional] }
    allow: optional
    require: { issuers: [shop], audience: unchecked }
"#;

/// What a run tells of coverage.
struct Seen(Value);

impl Seen {
    fn gaps(&self) -> Vec<String> {
        let text = |gap: &Value, key: &str| gap[key].as_str().unwrap_or_default().to_owned();
        let gaps = self.0["gaps"].as_array().unwrap().iter();
        gaps.map(|gap| format!("{} {}: {}", text(gap, "rule"), text(gap, "what"), text(gap, "unseen"))).collect()
    }

    fn counts(&self) -> [(u64, u64); 3] {
        ["rules", "requirements", "alternatives"]
            .map(|kind| (self.0[kind]["exercised"].as_u64().unwrap(), self.0[kind]["total"].as_u64().unwrap()))
    }
}

fn seen(setup: &Setup, cases: &str) -> Seen {
    let cases = format!(
        "defaults:
  host: h.example
  caller: spiffe://m/a
  claims: {{ iss: 'https://shop.example', sub: s, aud: a, scope: x y, roles: [clerk], plan: gold, level: 1 }}
cases:
{cases}"
    );
    let ran = setup.cases(&cases, &["--json", "out.json"]);
    assert!(ran.code < 2, "{}{}", ran.out, ran.err);
    let out: Value = serde_json::from_str(&setup.read("out.json")).unwrap();
    Seen(out["coverage"].clone())
}

#[test]
fn nothing_is_exercised_that_no_case_exercises() {
    let setup = Setup::new(POLICY);
    let none = seen(&setup, "  - { request: GET /nothing, expect: no_rule }\n");
    assert_eq!(none.gaps(), ["open", "closed", "all", "optional"].map(|rule| format!("{rule} : answers no case")));
    // token, audience, caller, scopes, roles, two claims, x-user; the token of `optional`. Headers that always have a
    // value are none, and an audience that is not checked is none.
    assert_eq!(none.counts(), [(0, 4), (0, 9), (0, 13)]);
    assert_eq!(none.0["percent"], 0.0);
}

#[test]
fn a_requirement_is_exercised_when_it_held_and_when_it_failed() {
    let setup = Setup::new(POLICY);
    let held = seen(&setup, "  - { request: GET /all/1, expect: allow }\n");
    assert_eq!(
        held.gaps(),
        [
            "open : answers no case",
            "closed : answers no case",
            "all preflights: never answered",
            "all token: never failed",
            "all token: issuer `far`: never met it alone",
            "all audience: never failed",
            "all audience: `b`: never met it alone",
            "all caller: never failed",
            "all caller: `spiffe://m/b/**`: never met it alone",
            "all scopes: never failed",
            "all scopes: `z`: never met it alone",
            "all roles: never failed",
            "all roles: `boss`: never met it alone",
            "all claim `plan`: never failed",
            "all claim `plan`: `\"tin\"`: never met it alone",
            "all claim `level`: never failed",
            "all header `x-user`: never failed",
            "optional : answers no case",
        ]
    );
    let failed = seen(&setup, "  - { request: GET /all/1, claims: { scope: x }, expect: deny }\n");
    let gaps = failed.gaps();
    let of = |what: &str| gaps.iter().filter(|gap| gap.starts_with(&format!("all {what}"))).count();
    assert!(gaps.contains(&"all scopes: never held".to_owned()), "{gaps:?}");
    assert!(gaps.contains(&"all roles: never judged".to_owned()), "{gaps:?}");
    // Of what never held, no alternative is told.
    assert_eq!((of("scopes"), of("roles")), (1, 1), "{gaps:?}");
}

/// The cases that exercise everything; leaving any one of them out leaves a gap.
const WHOLE: [&str; 15] = [
    "{ request: GET /open, expect: allow }",
    "{ request: GET /closed/x, expect: deny }",
    "{ request: GET /all/1, claims: none, expect: missing_token }",
    "{ request: GET /all/1, claims: { iss: 'https://far.example' }, expect: allow }",
    "{ request: GET /all/1, claims: { aud: b, scope: z, roles: [boss], plan: tin }, caller: spiffe://m/b/c, expect: allow }",
    "{ request: GET /all/1, claims: { aud: c }, expect: wrong_audience }",
    "{ request: GET /all/1, caller: spiffe://m/c, expect: caller_not_allowed }",
    "{ request: GET /all/1, claims: { scope: x }, expect: insufficient_scope }",
    "{ request: GET /all/1, claims: { roles: [] }, expect: insufficient_role }",
    "{ request: GET /all/1, claims: { plan: iron }, expect: claim_mismatch }",
    "{ request: GET /all/1, claims: { level: 2 }, expect: claim_mismatch }",
    "{ request: GET /all/1, claims: { sub: null }, expect: missing_identity }",
    "{ request: OPTIONS /all/1, headers: { origin: a, access-control-request-method: GET }, claims: none, expect: allowed_preflight }",
    "{ request: GET /optional, expect: allow }",
    "{ request: GET /optional, claims: { exp: -1h }, expect: token_expired }",
];

#[test]
fn each_of_the_cases_that_exercise_everything_is_needed() {
    let setup = Setup::new(POLICY);
    let list = |without: Option<usize>| -> String {
        let kept = WHOLE.iter().enumerate().filter(|(at, _)| Some(*at) != without);
        kept.map(|(_, case)| format!("  - {case}\n")).collect()
    };
    let whole = seen(&setup, &list(None));
    assert_eq!(whole.gaps(), [""; 0]);
    assert_eq!(whole.counts(), [(4, 4), (9, 9), (13, 13)]);
    assert_eq!(whole.0["percent"], 100.0);
    for (without, case) in WHOLE.iter().enumerate() {
        let seen = seen(&setup, &list(Some(without)));
        assert!(!seen.gaps().is_empty(), "nothing misses {case}");
    }
    let ran = setup.test(&["--coverage-min", "100"]);
    assert!(ran.code == 1 && ran.out.contains("less than the 100 %"), "{}", ran.out);
}

/// What two alternatives meet, either of them could do without.
#[test]
fn an_alternative_is_exercised_when_it_alone_met_its_requirement() {
    let setup = Setup::new(POLICY);
    for (case, scopes, roles) in [
        ("{ request: GET /all/1, claims: { scope: x y z, roles: [clerk, boss] }, expect: allow }", 2, 2),
        ("{ request: GET /all/1, claims: { scope: x z, roles: [boss] }, expect: allow }", 1, 1),
        ("{ request: GET /all/1, claims: { iss: 'https://far.example', scope: '*' }, expect: allow }", 2, 1),
    ] {
        let gaps = seen(&setup, &format!("  - {case}\n")).gaps();
        let of = |what: &str| {
            let alternative = |gap: &&String| gap.starts_with(&format!("all {what}: `")) && gap.contains("alone");
            gaps.iter().filter(alternative).count()
        };
        assert_eq!((of("scopes"), of("roles")), (scopes, roles), "{case}: {gaps:?}");
    }
}

#[test]
fn what_is_not_exercised_is_told_where_it_stands() {
    let setup = Setup::new(POLICY);
    let seen = seen(&setup, "  - { request: GET /all/1, expect: allow }\n");
    let line_of = |what: &str| {
        let gap = seen.0["gaps"].as_array().unwrap().iter().find(|gap| gap["what"] == what).unwrap().clone();
        let line = usize::try_from(gap["line"].as_u64().unwrap()).unwrap();
        (POLICY.lines().nth(line - 1).unwrap().trim().to_owned(), gap["path"].as_str().unwrap().to_owned())
    };
    for (what, line, path) in [
        ("token: issuer `far`", "issuers: [shop, far]", "requirements.base.issuers[1]"),
        ("audience: `b`", "audience: { any: [a, b] }", "requirements.base.audience.any[1]"),
        ("claim `plan`: `\"tin\"`", "claims: [{ path: plan, in: [gold, tin] }]", "requirements.base.claims[0].in[1]"),
        ("claim `level`", "claims: [{ path: level, equals: 1 }]", "rules[2].require.claims[0]"),
        (
            "scopes: `z`",
            "scopes: { any_of: [{ all: [x, y] }, { any: [z] }] }",
            "rules[2].require.scopes.any_of[1].any[0]",
        ),
        ("header `x-user`", "X-User: { value: \"{subject}\", required: true }", "rules[2].inject.X-User"),
        ("preflights", "cors_preflight: allow", "rules[2].cors_preflight"),
        (
            "caller: `spiffe://m/b/**`",
            "caller: { spiffe: [\"spiffe://m/a\", \"spiffe://m/b/**\"] }",
            "rules[2].require.caller.spiffe[1]",
        ),
    ] {
        assert_eq!(line_of(what), (line.to_owned(), path.to_owned()), "{what}");
    }
    let shown = setup.test(&["--coverage"]).out;
    assert!(shown.contains("  policy.yaml:24:") && shown.contains("rule `all`, roles: `boss`"), "{shown}");
}
