//! The command: what it takes, what it refuses, what it shows, and what it never shows.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::corpus::{Corpus, Keys};
use super::program::{Ran, tollgate};

const NOW: i64 = 1_767_225_600;

const POLICY: &str = r#"
server:
  check: [{ listen: "0.0.0.0:9191", direction: inbound }]
issuers:
  shop: { issuer: "https://shop.example", keys: { jwks_file: keys.jwks }, algorithms: [ES256] }
  # Nobody is there: whoever fetches its keys waits in vain.
  far: { issuer: "https://far.example", keys: { jwks: "https://127.0.0.1:9/keys" }, credential: { header: x-far } }
rules:
  - { name: health, match: { paths: [/healthz] }, allow: anonymous }
  - { name: orders, match: { paths: ["/orders/**"] }, require: { issuers: [shop], audience: { any: [orders] } } }
  - { name: far, match: { paths: ["/far"] }, require: { issuers: [far], audience: { any: [orders] } } }
"#;

struct Setup(TempDir);

impl Setup {
    fn new(policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("policy.yaml"), policy).unwrap();
        fs::copy(Keys::shared().directory.path().join("keys.jwks"), folder.path().join("keys.jwks")).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn run(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Ran {
        let mut all = vec!["explain", "--config", "policy.yaml", "--at", "2026-01-01T00:00:00Z"];
        all.extend(arguments);
        tollgate(self.0.path(), &all, input.as_ref())
    }
}

fn token(aud: &str) -> String {
    let claims = json!({ "iss": "https://shop.example", "sub": "alice", "aud": aud, "exp": NOW + 60, "iat": NOW });
    Keys::shared().signer("ec").sign(&json!({ "alg": "ES256", "kid": "ec" }), &claims)
}

const ORDERS: [&str; 4] = ["--host", "shop.example", "--path", "/orders/7"];

#[test]
fn a_token_comes_from_a_file_and_is_shown_nowhere() {
    let setup = Setup::new(POLICY);
    for (aud, code, reason) in [("orders", 0, "allowed"), ("other", 1, "wrong_audience")] {
        let token = token(aud);
        setup.write("token.txt", &token);
        let recorded = json!({ "attributes": { "request": { "http": { "method": "GET", "host": "shop.example",
            "path": "/orders/7", "headers": { "authorization": format!("Bearer {token}") } } } } });
        setup.write("check.json", recorded.to_string());
        let by_file = ["--token", "token.txt"];
        let by_stdin = ["--token", "-"];
        let runs: [Vec<&str>; 5] = [
            [&ORDERS[..], &by_file, &["--issuer", "shop"]].concat(),
            [&ORDERS[..], &by_file, &["--issuer", "shop", "--json"]].concat(),
            [&ORDERS[..], &by_stdin, &["--issuer", "shop"]].concat(),
            vec!["--request", "check.json"],
            vec!["--request", "check.json", "--json", "--all"],
        ];
        for arguments in runs {
            let ran = setup.run(&arguments, &token);
            assert_eq!(ran.code, code, "{arguments:?}: {}{}", ran.out, ran.err);
            assert!(ran.out.contains(reason) && ran.out.contains("alice"), "{arguments:?}: {}", ran.out);
            for part in token.split('.') {
                assert!(
                    !ran.out.contains(part) && !ran.err.contains(part),
                    "{arguments:?} shows the token: {}",
                    ran.out
                );
            }
        }
    }
}

#[test]
fn with_claims_nothing_is_fetched() {
    let setup = Setup::new(POLICY);
    let claims = r#"{ "sub": "alice", "aud": "orders" }"#;
    setup.write("claims.json", claims);
    for given in [claims, "claims.json"] {
        let arguments = ["--host", "a.b", "--path", "/far", "--issuer", "far", "--claims", given, "--json"];
        let ran = setup.run(&arguments, "");
        let told = ran.json();
        assert_eq!((ran.code, &told["answer"]["reason"]), (0, &json!("allowed")), "{}{}", ran.out, ran.err);
        assert_eq!((&told["token"]["header"], &told["token"]["stated"]), (&json!("x-far"), &json!(true)));
        assert_eq!(told["token"]["added"], json!(["iss", "iat", "exp"]));
    }
    // A token of that issuer needs its keys.
    setup.write("token.txt", token("orders").replace("shop", "far"));
    let claims = json!({ "iss": "https://far.example", "sub": "a", "aud": "orders", "exp": NOW + 60 });
    setup.write("token.txt", Keys::shared().signer("ec").sign(&json!({ "alg": "ES256", "kid": "ec" }), &claims));
    let arguments =
        ["--host", "a.b", "--path", "/far", "--issuer", "far", "--token", "token.txt", "--timeout", "100ms", "--json"];
    assert_eq!(setup.run(&arguments, "").json()["answer"]["reason"], "keys_unavailable");
    // So it is where the claims are another issuer's than the rule accepts.
    let arguments = [&ORDERS[..], &["--issuer", "far", "--claims", "{}", "--json"]].concat();
    assert_eq!(setup.run(&arguments, "").json()["answer"]["reason"], "missing_token");
}

#[test]
fn a_recorded_request_is_read_as_json_and_as_bytes() {
    let corpus = Corpus::all().into_iter().next().unwrap();
    let case = corpus.cases().next().unwrap();
    let bytes = prost::Message::encode_to_vec(&case.check_request(&corpus));
    let setup = Setup::new(POLICY);
    setup.write("check.bin", &bytes);
    let http = case.asked();
    let json = json!({ "attributes": { "request": { "http": { "method": http.method, "host": http.host, "path": http.path } } } });
    setup.write("check.json", json.to_string());
    let read = |arguments: &[&str], input: &[u8]| {
        let ran = setup.run(&[arguments, &["--json"]].concat(), input);
        assert!(ran.code < 2, "{arguments:?}: {}", ran.err);
        ran.json()["request"].clone()
    };
    let want = read(&["--method", &http.method, "--host", &http.host, "--path", &http.path], b"");
    assert_eq!(want["host"], json!(http.host.to_ascii_lowercase()));
    for (arguments, input) in [
        (&["--request", "check.bin"][..], &b""[..]),
        (&["--request", "check.json"], b""),
        (&["--request", "check.bin", "--format", "binary"], b""),
        (&["--request", "-", "--format", "json"], json.to_string().as_bytes()),
        (&[], json.to_string().as_bytes()),
        (&[], &bytes),
    ] {
        assert_eq!(read(arguments, input), want, "{arguments:?}");
    }
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    let setup = Setup::new(POLICY);
    setup.write("typo.json", "{\"attributes\": {\n  \"request\": {\"http\": {\"methode\": \"GET\"}}}}");
    setup.write("empty.json", "{\"attributes\": {}}");
    setup.write("noise.bin", [0xff; 40]);
    setup.write("claims.json", "{\"sub\": 1,\n \"sub\": 2}");
    let claims = |given: &'static str| [&ORDERS[..], &["--issuer", "shop", "--claims", given]].concat();
    for (arguments, code, said) in [
        (vec!["--request", "typo.json"], 3, "typo.json: `attributes.request.http"),
        (vec!["--request", "typo.json"], 3, "line 2"),
        (
            vec!["--request", "empty.json"],
            3,
            "`attributes.request` is missing; the gate denies this: malformed_request",
        ),
        (vec!["--request", "noise.bin"], 3, "noise.bin: the message is not a CheckRequest"),
        (vec!["--request", "absent.json"], 3, "absent.json: "),
        (claims("{\"sub\":"), 3, "`--claims`: "),
        (claims("claims.json"), 3, "`--claims` is JSON, or names a file of it"),
        (vec!["--host", "a.b"], 2, "--path"),
        (vec!["--request", "typo.json", "--path", "/x"], 2, "cannot be used with"),
        ([&ORDERS[..], &["--issuer", "nobody", "--claims", "{}"]].concat(), 2, "no issuer is named `nobody`"),
        ([&ORDERS[..], &["--issuer", "shop"]].concat(), 2, "`--issuer` goes with"),
        ([&ORDERS[..], &["--claims", "{}"]].concat(), 2, "name the issuer with `--issuer`"),
        ([&ORDERS[..], &["--token", "-", "--claims", "{}"]].concat(), 2, "cannot be used with"),
        (vec!["--token", "-"], 2, "only one of"),
        ([&ORDERS[..], &["--caller", "CN=x"]].concat(), 2, "expected a SPIFFE id"),
        ([&ORDERS[..], &["--context", "tier"]].concat(), 2, "expected `key=value`"),
    ] {
        let ran = setup.run(&arguments, "");
        assert_eq!(ran.code, code, "{arguments:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(said), "{arguments:?}: {}", ran.err);
    }
    let ran = tollgate(setup.0.path(), &["explain", "--at", "noon"], b"");
    assert!(ran.code == 2 && ran.err.contains("expected a time"), "{}", ran.err);
    // A configuration with errors decides nothing: that is not the answer no.
    setup.write("policy.yaml", "rules: [7]");
    let ran = setup.run(&ORDERS, "");
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("policy.yaml:1:9: rules[0]: "), "{}", ran.err);
}

#[test]
fn a_credential_is_no_argument_and_is_not_repeated() {
    let setup = Setup::new(POLICY);
    for arguments in [
        vec!["hunter2.hunter2.hunter2"],
        [&ORDERS[..], &["--header", "authorization: Bearer hunter2"]].concat(),
        [&ORDERS[..], &["--header", "Proxy_Authorization: hunter2"]].concat(),
        [&ORDERS[..], &["--header", "x-far: hunter2"]].concat(),
        [&ORDERS[..], &["--token", "hunter2", "--issuer", "shop"]].concat(),
        [&ORDERS[..], &["--claims", "hunter2"]].concat(),
    ] {
        let ran = setup.run(&arguments, "");
        assert!(ran.code >= 2, "{arguments:?}: {}", ran.out);
        assert!(!ran.err.contains("hunter2") && !ran.out.contains("hunter2"), "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains("token"), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn where_nobody_can_be_believed_the_caller_is_not_looked_at() {
    let setup = Setup::new(POLICY);
    let told = setup.run(&[&ORDERS[..], &["--caller", "spiffe://a/b", "--json"]].concat(), "").json();
    assert_eq!(told["request"]["caller"], Value::Null);
    assert!(told["notes"][0].as_str().unwrap().contains("not looked at"), "{told}");
    let trusted = Setup::new(&POLICY.replace("0.0.0.0", "127.0.0.1"));
    let told = trusted.run(&[&ORDERS[..], &["--caller", "spiffe://a/b", "--json"]].concat(), "").json();
    assert_eq!((&told["request"]["caller"], &told["notes"]), (&json!("spiffe://a/b"), &json!([])));
}

#[test]
fn of_many_rules_the_near_ones_are_shown_and_the_others_counted() {
    let far: String = (0..10_000)
        .map(|at| {
            format!(
                "  - {{ name: r{at}, match: {{ paths: [\"/r{at}/**\"], methods: [GET, POST] }}, allow: anonymous }}\n"
            )
        })
        .collect();
    let setup = Setup::new(&format!("{POLICY}{far}  - {{ name: wide, match: {{ paths: [\"/**\"] }}, deny: true }}\n"));
    let arguments = ["--method", "DELETE", "--host", "a.b", "--path", "/r7/x", "--json"];
    let told = setup.run(&arguments, "").json();
    let names = |told: &Value| {
        let considered = told["rules"]["considered"].as_array().unwrap().iter();
        considered.map(|told| told["rule"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&told), ["wide", "r7"], "{}", told["rules"]);
    assert_eq!(told["rules"]["others"], json!({ "paths": 10_002 }));
    assert_eq!(told["rules"]["considered"][1]["misses"][0]["part"], "methods");
    let text = setup.run(&arguments[..6], "");
    assert!(
        text.out.contains("10002 more do not match: 10002 by `paths`") && text.out.lines().count() < 30,
        "{}",
        text.out
    );
    let all = setup.run(&[&arguments[..], &["--all"]].concat(), "").json();
    assert_eq!((names(&all).len(), &all["rules"]["others"]), (10_004, &json!({})));
}

#[test]
fn nothing_of_a_request_reaches_the_terminal_as_it_is() {
    let setup = Setup::new(POLICY);
    let hostile = "\u{1b}[31m\u{202e}\r\nx";
    let request = json!({ "attributes": { "request": { "http": { "method": "GET", "host": "shop.example",
        "path": "/orders/%C2%9B7", "headers": { "x-a": hostile } } } } });
    setup.write("check.json", request.to_string());
    let claims = json!({ "sub": hostile, "aud": ["orders", hostile], "iss": "https://shop.example" }).to_string();
    setup.write("claims.json", claims);
    for more in [&[][..], &["--json"]] {
        let arguments = [&["--request", "check.json", "--claims", "claims.json", "--issuer", "shop"], more].concat();
        let ran = setup.run(&arguments, "");
        assert!(ran.code < 2, "{}", ran.err);
        assert!(ran.out.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{:?}", ran.out);
    }
}
