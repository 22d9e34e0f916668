//! `tollgate test`: files of cases, what comes of them, and what of a policy they exercise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "cases/coverage.rs"]
mod coverage;
#[path = "cases/documented.rs"]
mod documented;
#[path = "cases/faults.rs"]
mod faults;
#[path = "cases/given.rs"]
mod given;
#[path = "support/markdown.rs"]
mod markdown;
#[path = "support/mint.rs"]
mod mint;
#[path = "support/program.rs"]
mod program;
#[path = "cases/reports.rs"]
mod reports;
#[path = "support/wait.rs"]
mod wait;
#[path = "cases/watch.rs"]
mod watch;

use std::fs;
use std::path::{Path, PathBuf};

use program::{Ran, tollgate};
use tempfile::TempDir;

/// A folder with a policy, and whatever else a test puts there.
struct Setup(TempDir);

const POLICY: &str = r#"
server: { check: [ { listen: "unix:/run/tollgate/inbound.sock", direction: inbound } ] }
issuers:
  shop:
    issuer: https://idp.example/shop
    keys: { pem: [keys/shop.pem] }
    algorithms: [ES256]
    claims: { client: azp, scopes: scope }
rules:
  - { name: health, match: { paths: ["/healthz"] }, allow: anonymous }
  - name: orders
    match: { paths: ["/orders/**"] }
    require: { audience: { any: [orders] }, scopes: { any: [orders.read] } }
    inject: { x-user: "{subject}" }
"#;

impl Setup {
    fn new(policy: &str) -> Self {
        let setup = Self(tempfile::tempdir().unwrap());
        setup.write("policy.yaml", policy);
        setup
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs the cases of the folder.
    fn test(&self, arguments: &[&str]) -> Ran {
        tollgate(self.0.path(), &[&["test", "--config", "policy.yaml"], arguments].concat(), b"")
    }

    /// Runs these cases alone.
    fn cases(&self, cases: &str, arguments: &[&str]) -> Ran {
        self.write("policy.test.yaml", cases);
        self.test(arguments)
    }
}

/// Every policy that is shipped with cases decides as they say, and the cases leave nothing of it out.
#[test]
fn shipped_cases_hold_and_exercise_everything() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let keycloak = ["a", "b", "c"].map(|service| format!("keycloak/service-{service}.yaml"));
    for policy in ["demo/policy.yaml", "full.yaml"].into_iter().chain(keycloak.iter().map(String::as_str)) {
        let ran = tollgate(&root, &["test", "--config", policy, "--coverage", "--coverage-min", "100"], b"");
        assert_eq!(ran.code, 0, "{policy}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains("covered 100.0 %") && ran.out.contains(" in 1 file"), "{}", ran.out);
    }
}

const DEFAULTS: &str =
    "defaults: { host: a.b, at: 2026-05-01T12:00:00Z, claims: { sub: alice, aud: orders, scope: orders.read } }\n";

#[test]
fn what_comes_otherwise_is_shown_beside_what_was_expected() {
    let setup = Setup::new(POLICY);
    let cases = format!(
        "{DEFAULTS}cases:
  - {{ name: as it is, request: GET /orders/7, expect: {{ rule: orders, headers: {{ x-user: alice }} }} }}
  - {{ name: no health there, request: GET /orders/7, claims: none, expect: {{ rule: health, decision: allow, status: 200 }} }}
  - {{ name: another header, request: GET /orders/7, expect: {{ decision: allow, headers: {{ x-user: bob, x-other: {{ absent: true }} }} }} }}
  - {{ name: nowhere, request: GET /nothing, expect: allow }}
  - {{ name: not this rule, request: GET /healthz, expect: {{ rule: order }} }}
  - {{ name: not so open, request: GET /healthz, expect: deny }}
  - {{ name: not so strict, request: GET /orders/7, claims: {{ exp: -1h }}, expect: {{ decision: allow, rule: orders }} }}
  - {{ name: no challenge, request: GET /orders/7, claims: none, expect: {{ decision: deny, response_headers: {{ www-authenticate: {{ absent: true }} }} }} }}
"
    );
    let ran = setup.cases(&cases, &["--verbose"]);
    insta::assert_snapshot!(ran.out);
    assert_eq!((ran.code, &*ran.err), (1, ""));
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let setup = Setup::new(POLICY);
    let none = setup.test(&[]);
    assert!(none.code == 3 && none.err.contains("there are no cases"), "{}", none.err);
    let good = format!("{DEFAULTS}cases: [ {{ request: GET /healthz, claims: none, expect: allow }} ]\n");
    assert_eq!(setup.cases(&good, &[]).code, 0);
    assert_eq!(setup.cases(&good, &["--coverage-min", "10"]).code, 0);
    let short = setup.cases(&good, &["--coverage-min", "90"]);
    assert!(short.code == 1 && short.out.contains("less than the 90 % of --coverage-min"), "{}", short.out);
    assert_eq!(setup.cases(&good.replace("allow", "deny"), &[]).code, 1);
    assert_eq!(setup.cases(&good.replace("allow", "nothing"), &[]).code, 3);
    // What could not be decided goes before what came otherwise.
    let both =
        good.replace("cases: [", "cases: [ { request: GET /healthz, expect: deny }, { request: none, expect: deny },");
    assert_eq!(setup.cases(&both, &[]).code, 3);
    assert_eq!(setup.test(&["--coverage-min", "101"]).code, 2);
    assert_eq!(setup.test(&["nothing.test.yaml"]).code, 3);
    let filtered = setup.cases(&good, &["--filter", "nothing like it"]);
    assert!(filtered.code == 3 && filtered.err.contains("none of 1 cases"), "{}", filtered.err);
    let (sections, _) = POLICY.split_once("rules:").unwrap();
    setup.write("policy.yaml", format!("{sections}rules: []\n"));
    let empty = setup.cases(&good.replace("allow", "no_rule"), &["--coverage-min", "100"]);
    assert!(empty.code == 0 && empty.out.contains("covered 100.0 %: there is no rule"), "{}{}", empty.out, empty.err);
    setup.write("policy.yaml", "rules: [7]");
    assert_eq!(setup.test(&[]).code, 3);
    setup.write("policy.yaml", POLICY);
    assert_eq!(setup.cases(&good, &["--junit", "no/such/folder.xml"]).code, 3);
}

#[test]
fn cases_are_found_beside_the_policy_and_chosen() {
    let setup = Setup::new(POLICY);
    let cases = |name: &str, expect: &str| {
        format!("cases: [ {{ name: {name}, request: GET a.b/healthz, claims: none, expect: {expect} }} ]\n")
    };
    setup.write("policy.test.yaml", cases("one", "allow"));
    setup.write("tests/deep/more.test.yml", cases("two", "allow"));
    setup.write("elsewhere/other.test.yaml", cases("three", "deny"));
    setup.write("lone.yaml", cases("four", "deny"));
    let named = |ran: &Ran| ["one", "two", "three", "four"].map(|name| ran.out.contains(&format!(": {name}")));
    for (arguments, code, want) in [
        (&[][..], 0, [true, true, false, false]),
        (&["elsewhere"], 1, [false, false, true, false]),
        (&["lone.yaml", "tests", "lone.yaml"], 1, [false, true, false, true]),
        (&["--filter", "tw"], 0, [false, true, false, false]),
        (&["--filter", "policy.test.yaml:1"], 0, [true, false, false, false]),
        (&["--filter", "one", "--filter", "two"], 0, [true, true, false, false]),
    ] {
        let ran = setup.test(&[arguments, &["--verbose"]].concat());
        assert_eq!((ran.code, named(&ran)), (code, want), "{arguments:?}: {}{}", ran.out, ran.err);
    }
}

#[test]
fn a_decision_is_explained_as_explain_does() {
    let setup = Setup::new(POLICY);
    let cases = format!("{DEFAULTS}cases: [ {{ name: wrong, request: GET /orders/7, expect: deny }} ]\n");
    let told = setup.cases(&cases, &["--explain", "--json", "out.json"]);
    let of_case: serde_json::Value = serde_json::from_str(&setup.read("out.json")).unwrap();
    setup.write("keys/shop.pem", mint::Signer::es256().public_pem());
    let arguments = [
        "explain",
        "--config",
        "policy.yaml",
        "--host",
        "a.b",
        "--path",
        "/orders/7",
        "--at",
        "2026-05-01T12:00:00Z",
        "--claims",
        r#"{"sub":"alice","aud":"orders","scope":"orders.read"}"#,
    ];
    let explained = tollgate(setup.0.path(), &arguments, b"");
    assert_eq!(explained.code, 0, "{}", explained.err);
    assert!(told.out.contains(explained.out.trim_end()), "{}\n\n{}", told.out, explained.out);
    let explained = tollgate(setup.0.path(), &[&arguments[..], &["--json"]].concat(), b"").json();
    assert_eq!(of_case["cases"][0]["explanation"], explained);
}
