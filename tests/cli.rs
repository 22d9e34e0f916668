//! The program as its users call it: arguments, standard streams, exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/program.rs"]
mod program;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use program::{Ran, tollgate};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate::cli;

/// A folder with a configuration, and the key that its issuer signs with.
struct Setup {
    folder: TempDir,
    key: KeyPair,
}

const POLICY: &str = r#"
server:
  check: [ { listen: "unix:SOCKET", direction: inbound } ]
  probes: { listen: "127.0.0.1:0" }
issuers:
  shop:
    issuer: https://idp.example/shop
    keys: { pem: [key.pem] }
    algorithms: [ES256]
    claims: { client: azp, scopes: scope }
rules:
  - name: health
    match: { direction: inbound, paths: ["/healthz"] }
    allow: anonymous
  - name: orders
    match: { direction: inbound, paths: ["/orders/**"] }
    require: { audience: { any: [orders] }, scopes: { any: [orders] } }
"#;

impl Setup {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        fs::write(folder.path().join("key.pem"), key.public_key_pem()).unwrap();
        let socket = folder.path().join("inbound.sock").display().to_string();
        fs::write(folder.path().join("policy.yaml"), POLICY.replace("SOCKET", &socket)).unwrap();
        Self { folder, key }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str], input: &str) -> Ran {
        tollgate(self.folder.path(), arguments, input.as_bytes())
    }

    /// A valid token with these claims on top.
    fn token(&self, claims: Value) -> String {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        let mut whole = json!({
            "iss": "https://idp.example/shop", "sub": "alice", "aud": "orders", "azp": "web",
            "scope": "orders read", "iat": now, "exp": now + 600,
        });
        whole.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let key = EncodingKey::from_ec_der(&self.key.serialize_der());
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), &whole, &key).unwrap()
    }
}

/// The help of a command as a terminal of a fixed width would show it, and those of its subcommands.
fn helps(mut command: clap::Command, path: &str, found: &mut Vec<(String, String)>) {
    command = command.term_width(100);
    found.push((path.to_owned(), command.render_long_help().to_string()));
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let name = format!("{path} {}", sub.get_name());
        helps(sub.clone().bin_name(&name), &name, found);
    }
}

#[test]
fn help_teaches() {
    let mut found = Vec::new();
    helps(cli::command(), "tollgate", &mut found);
    for (path, help) in &found {
        insta::assert_snapshot!(path.replace(' ', "_"), help);
        assert!(help.contains("Exit codes:"), "{path} does not say how it ends");
        if path.contains(' ') {
            assert!(help.contains("Examples:"), "{path} shows no example");
        }
    }
}

#[test]
fn the_command_line_is_well_formed() {
    cli::command().debug_assert();
}

#[test]
fn exit_codes_of_the_grammar() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["help", "check"], 0),
        (&[], 2),
        (&["nonsense"], 2),
        (&["check", "--nonsense"], 2),
        (&["token", "--at", "noon"], 2),
        (&["health", "--address", "nowhere"], 2),
    ] {
        assert_eq!(tollgate(folder.path(), arguments, b"").code, code, "{arguments:?}");
    }
}

#[test]
fn check_sums_up_a_good_file() {
    let setup = Setup::new();
    let ran = setup.run(&["check", "--config", "policy.yaml"], "");
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    for part in
        ["ok: 2 rules", "policy.yaml", "issuer    shop (ES256)", "Check (inbound) on unix:", "probes on 127.0.0.1:0"]
    {
        assert!(ran.out.contains(part), "{part} is not in {}", ran.out);
    }
    let json = setup.run(&["check", "--config", "policy.yaml", "--json"], "").json();
    assert_eq!((json["ok"].clone(), json["rules"].clone()), (json!(true), json!(2)));
    assert_eq!(json["issuers"], json!(["shop"]));
}

#[test]
fn check_sums_up_what_is_introspected_and_obtained() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let ran = tollgate(&examples, &["check", "--config", "full.yaml"], b"");
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    for line in [
        "  issuer    passport (RS256)",
        "  issuer    keycloak (RS256, ES256, opaque, JWTs introspected)",
        "  token     payment-service (exchange)",
        "  token     partner (client_credentials)",
    ] {
        assert!(ran.out.lines().any(|found| found == line), "{line} is not in {}", ran.out);
    }
    let json = tollgate(&examples, &["check", "--config", "full.yaml", "--json"], b"").json();
    assert_eq!(json["tokens"], json!(["payment-service", "order-service", "partner"]));
}

#[test]
fn check_tells_every_error_with_its_place() {
    let setup = Setup::new();
    let broken = POLICY.replace("allow: anonymous", "allow: everybody").replace("ES256", "HS256");
    fs::write(setup.path("policy.yaml"), broken.replace("SOCKET", "/run/x.sock")).unwrap();
    let ran = setup.run(&["check", "--config", "policy.yaml"], "");
    assert_eq!(ran.code, 1);
    assert_eq!(ran.out.lines().count(), 2, "{}", ran.out);
    assert!(ran.out.lines().all(|line| line.starts_with("policy.yaml:")), "{}", ran.out);
    assert!(ran.out.contains("rules[0].allow") && ran.out.contains("issuers.shop.algorithms[0]"), "{}", ran.out);

    let ran = setup.run(&["check", "--config", "policy.yaml", "--json"], "");
    assert_eq!(ran.code, 1);
    let errors = ran.json()["errors"].as_array().unwrap().clone();
    assert_eq!(errors.len(), 2);
    for error in errors {
        assert!(error["line"].as_u64().unwrap() > 1 && error["message"].is_string(), "{error}");
    }
}

#[test]
fn the_configuration_is_found_by_argument_environment_or_default() {
    let setup = Setup::new();
    let with_environment = |arguments: &[&str]| {
        let done = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(arguments)
            .env("TOLLGATE_CONFIG", setup.path("policy.yaml"))
            .output()
            .unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    assert_eq!(with_environment(&["check"]).0, Some(0));
    let (code, out) = with_environment(&["check", "--config", "/nonexistent/policy.yaml"]);
    assert_eq!(code, Some(1), "the argument wins");
    assert!(out.contains("/nonexistent/policy.yaml"), "{out}");
    assert!(setup.run(&["check"], "").out.contains("/etc/tollgate/policy.yaml"));
}

#[test]
fn token_accepts_a_good_one_from_standard_input_and_from_a_file() {
    let setup = Setup::new();
    let token = setup.token(json!({}));
    let ran = setup.run(&["token", "--config", "policy.yaml"], &format!("Bearer {token}\n"));
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.ends_with("accepted by issuer `shop`\n"), "{}", ran.out);
    assert!(ran.out.contains("subject     alice") && ran.out.contains("client      web"), "{}", ran.out);
    let signature = token.rsplit('.').next().unwrap();
    assert!(!ran.out.contains(signature), "what is shown cannot be used as a token");

    fs::write(setup.path("token"), &token).unwrap();
    let ran = setup.run(&["token", "--config", "policy.yaml", "--file", "token", "--json"], "");
    assert_eq!(ran.code, 0);
    let json = ran.json();
    assert_eq!((json["accepted"].clone(), json["identity"]["subject"].clone()), (json!(true), json!("alice")));
    assert_eq!(json["identity"]["scopes"], json!(["orders", "read"]));
}

#[test]
fn token_says_which_check_fails() {
    let setup = Setup::new();
    let other = Setup::new();
    let cases = [
        (setup.token(json!({ "exp": 1_000_000_000, "iat": 999_999_000 })), "token_expired", "expiry"),
        (setup.token(json!({ "nbf": 99_999_999_999_i64 })), "token_not_yet_valid", "not before"),
        (setup.token(json!({ "iss": "https://evil.example" })), "unknown_issuer", "issuer"),
        (other.token(json!({})), "token_signature", "signature"),
        ("abc".to_owned(), "token_malformed", "compact form"),
    ];
    for (token, reason, check) in cases {
        let ran = setup.run(&["token", "--config", "policy.yaml", "--json"], &token);
        assert_eq!(ran.code, 1, "{reason}");
        let json = ran.json();
        assert_eq!(json["reason"], reason);
        let failed: Vec<&Value> =
            json["checks"].as_array().unwrap().iter().filter(|step| step["outcome"] == "failed").collect();
        assert_eq!(failed.len(), 1, "{reason}");
        assert_eq!(failed[0]["check"], check, "{reason}");
        let ran = setup.run(&["token", "--config", "policy.yaml"], &token);
        assert_eq!(ran.code, 1);
        assert!(ran.out.contains(&format!("FAILED  {check}")), "{}", ran.out);
        assert!(ran.out.lines().last().unwrap().starts_with("refused"), "{}", ran.out);
    }
}

#[test]
fn token_is_judged_as_of_a_time() {
    let setup = Setup::new();
    let token = setup.token(json!({ "exp": 1_777_637_400, "iat": 1_777_636_800 }));
    let at = |time: &str| setup.run(&["token", "--config", "policy.yaml", "--at", time], &token).code;
    assert_eq!((at("2026-05-01T12:05:00Z"), at("1777636900"), at("2026-05-01T13:00:00Z")), (0, 0, 1));
}

#[test]
fn token_is_never_an_argument() {
    let setup = Setup::new();
    let token = setup.token(json!({}));
    for arguments in [vec!["token", &token], vec!["token", "--token", &token], vec!["token", "--json", "--", &token]] {
        let ran = setup.run(&arguments, "");
        assert_eq!(ran.code, 2);
        assert!(ran.err.contains("process list") && ran.err.contains("--file"), "{}", ran.err);
        assert!(!ran.err.contains(&token) && !ran.out.contains(&token), "the token is shown again");
    }
    let by_equals = setup.run(&["token", &format!("--jwt={token}")], "");
    assert_eq!(by_equals.code, 2);
    assert!(!by_equals.err.contains(&token), "the token is shown again");
}

#[test]
fn nothing_in_a_token_reaches_the_terminal_raw() {
    let setup = Setup::new();
    let evil = "\u{1b}]0;owned\u{7}\u{9b}31m\r\n\u{202e}";
    let token = setup.token(json!({ "sub": evil, "azp": evil, "scope": evil, evil: [evil] }));
    let of_another = setup.token(json!({ "iss": evil }));
    for (token, json) in [(&token, false), (&token, true), (&of_another, false), (&of_another, true)] {
        let mut arguments = vec!["token", "--config", "policy.yaml"];
        arguments.extend(json.then_some("--json"));
        let ran = setup.run(&arguments, token);
        assert!(!ran.out.is_empty());
        for text in [&ran.out, &ran.err] {
            let raw = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
            assert_eq!(raw, None, "{text:?}");
        }
    }
}

#[test]
fn token_that_cannot_be_read_is_no_verdict() {
    let setup = Setup::new();
    let empty = setup.run(&["token", "--config", "policy.yaml"], " \n");
    assert_eq!(empty.code, 3);
    assert!(empty.err.contains("no token was given"), "{}", empty.err);
    assert_eq!(setup.run(&["token", "--config", "policy.yaml", "--file", "nowhere"], "").code, 3);
    let issuer = setup.run(&["token", "--config", "policy.yaml", "--issuer", "nobody"], "x");
    assert_eq!(issuer.code, 2);
    assert!(issuer.err.contains("`shop`"), "{}", issuer.err);
}

#[test]
fn doctor_is_content_with_what_is_in_order() {
    let setup = Setup::new();
    let ran = setup.run(&["doctor", "--config", "policy.yaml"], "");
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("key without id: ES256") && ran.out.ends_with("0 faults, 0 warnings\n"), "{}", ran.out);
}

/// Answers each connection by what `answer` says for the request's path, until the process ends.
fn provider(answer: impl Fn(&str, &str) -> Option<String> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let own = base.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                request.extend_from_slice(&byte);
            }
            let request = String::from_utf8(request).unwrap();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let (status, body) = match answer(path, &own) {
                Some(body) => ("200 OK", body),
                None => ("404 Not Found", String::new()),
            };
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            // A client that has left is not our concern.
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    base
}

fn discovery_policy(setup: &Setup, base: &str) {
    let policy = POLICY
        .replace("SOCKET", &setup.path("inbound.sock").display().to_string())
        .replace("https://idp.example/shop", &format!("{base}/shop"))
        .replace("{ pem: [key.pem] }", "{ discovery: true }");
    fs::write(setup.path("policy.yaml"), policy).unwrap();
}

fn jwks(key: &KeyPair) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let point = key.public_key_raw();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
    json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "k1", "alg": "ES256", "x": x, "y": y }] }).to_string()
}

#[test]
fn doctor_goes_the_way_of_discovery() {
    let setup = Setup::new();
    let keys = jwks(&setup.key);
    let base = provider(move |path, own| match path {
        "/shop/.well-known/openid-configuration" => {
            Some(json!({ "issuer": format!("{own}/shop"), "jwks_uri": format!("{own}/keys") }).to_string())
        }
        "/keys" => Some(keys.clone()),
        _ => None,
    });
    discovery_policy(&setup, &base);
    let ran = setup.run(&["doctor", "--config", "policy.yaml"], "");
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    for part in ["/.well-known/openid-configuration (", "/keys (", "key `k1`: ES256"] {
        assert!(ran.out.contains(part), "{part} is not in {}", ran.out);
    }
}

#[test]
fn doctor_says_what_is_wrong_and_what_to_do() {
    let setup = Setup::new();
    let base = provider(|path, _| {
        path.ends_with("openid-configuration").then(|| {
            json!({ "issuer": "https://elsewhere.example", "jwks_uri": "https://elsewhere.example" }).to_string()
        })
    });
    discovery_policy(&setup, &base);
    let ran = setup.run(&["doctor", "--config", "policy.yaml", "--json"], "");
    assert_eq!(ran.code, 1);
    let fault = |json: &Value| {
        let faults = json["findings"].as_array().unwrap().iter().filter(|finding| finding["mark"] == "fault");
        let faults: Vec<Value> = faults.cloned().collect();
        assert_eq!(faults.len(), 1, "{json}");
        faults[0].clone()
    };
    assert!(fault(&ran.json())["text"].as_str().unwrap().contains("to the letter"), "{}", ran.out);

    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    discovery_policy(&setup, &format!("http://{gone}"));
    let ran = setup.run(&["doctor", "--config", "policy.yaml", "--json"], "");
    assert_eq!(ran.code, 1);
    assert!(fault(&ran.json())["remedy"].as_str().unwrap().contains("is the provider up"), "{}", ran.out);
}

#[test]
fn doctor_names_a_socket_folder_that_is_not_there() {
    let setup = Setup::new();
    let socket = setup.path("missing/inbound.sock").display().to_string();
    fs::write(setup.path("policy.yaml"), POLICY.replace("SOCKET", &socket)).unwrap();
    let ran = setup.run(&["doctor", "--config", "policy.yaml"], "");
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("FAULT    no socket can be made in"), "{}", ran.out);
}

#[test]
fn schema_is_json_schema() {
    let setup = Setup::new();
    let ran = setup.run(&["schema"], "");
    assert_eq!(ran.code, 0);
    let schema = ran.json();
    assert!(schema["$schema"].as_str().unwrap().contains("2020-12"));
    assert!(schema["properties"]["issuers"].is_object(), "{schema}");
}

#[test]
fn an_output_that_nobody_reads_is_no_panic() {
    let setup = Setup::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .arg("schema")
        .current_dir(setup.folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert_eq!(err, "");
}
