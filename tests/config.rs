//! The configuration file: what loads, what does not, and what the operator is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/markdown.rs"]
mod markdown;

use std::path::Path;

use markdown::blocks;
use tempfile::TempDir;
use tollgate::config::{self, Config};

/// A directory with every file that the tests' configurations name.
fn directory() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("keys/passport.pem", "-----BEGIN PUBLIC KEY-----"),
        ("keys/jwks.json", "{}"),
        ("tls/tls.crt", "x"),
        ("tls/tls.key", "x"),
        ("tls/ca.crt", "x"),
        ("secrets/control", "hunter2hunter2\n"),
        ("secrets/audit", "hunter2hunter2hunter2"),
        ("secrets/empty", "\n"),
        ("secrets/apiserver", "x"),
        ("secrets/client", "hunter2hunter2"),
        ("secrets/key.pem", "hunter2hunter2"),
        ("secrets/token", "hunter2hunter2"),
        ("secrets/ca.crt", "x"),
    ] {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    dir
}

/// Loads a text as `policy.yaml`; errors as a user reads them.
fn load(text: &str) -> Result<Config, String> {
    load_in(directory().path(), text)
}

fn load_in(dir: &Path, text: &str) -> Result<Config, String> {
    config::load_from(text, dir, Path::new("policy.yaml")).map_err(|errors| errors.to_string())
}

#[test]
fn the_full_example_loads() {
    let text = std::fs::read_to_string("examples/full.yaml").unwrap();
    match load(&text) {
        Ok(config) => println!("{config:#?}"),
        Err(errors) => panic!("{errors}"),
    }
}

/// A configuration with these rules, each written from its first key on.
fn with_rules(rules: &[&str]) -> String {
    let mut text = String::from(
        "server: { check: [{ listen: \"unix:/run/in.sock\", direction: inbound }, { listen: \"0.0.0.0:9192\", direction: outbound }] }
issuers:
  passport: { issuer_claim: absent, keys: { pem: [keys/passport.pem] }, claims: { extra: { plan: [\"https://acme.com/plan\"] } } }
  keycloak: { issuer: \"https://kc.internal/realms/a\", keys: { jwks: \"https://kc.internal/certs\" } }
  external: { issuer: \"https://kc.internal/realms/a\", keys: { jwks: \"https://kc.example/certs\" } }
  elsewhere: { issuer: \"https://kc.internal/realms/a\", keys: { jwks: \"https://kc.example/certs\" }, credential: { header: x-access-token } }
requirements:
  orders: { issuers: [keycloak], audience: { any: [orders] }, claims: [{ path: a, equals: 1 }] }
  tenants: { issuers: [keycloak], audience: { any: [orders] }, claims: [{ path: a, equals_path: org }] }
rules:
",
    );
    for rule in rules {
        for (number, line) in rule.lines().enumerate() {
            text.push_str(if number == 0 { "  - " } else { "    " });
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// A configuration with this server and this issuer.
fn with_sections(server: &str, issuer: &str) -> String {
    format!("server:\n{}\nissuers:\n  a:\n{}\nrules: []\n", indented(server, 2), indented(issuer, 4))
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

const SERVER: &str = "check: [{ listen: \"unix:/run/in.sock\", direction: inbound }]";
const ISSUER: &str = "issuer: https://kc.internal\nkeys: { pem: [keys/passport.pem] }";

/// What each of these texts is answered with, for a golden file. A text that loads is a mistake.
fn answers<'c>(cases: impl IntoIterator<Item = (&'c str, String)>) -> String {
    let dir = directory();
    let mut all = String::new();
    for (shown, text) in cases {
        match load_in(dir.path(), &text) {
            Ok(_) => panic!("loads:\n{shown}"),
            Err(errors) => {
                let errors = errors.replace(&dir.path().display().to_string(), "DIR");
                let lines: Vec<&str> = errors.lines().collect();
                let (_count, lines) = lines.split_last().unwrap();
                all.push_str(&format!("{}\n    {}\n\n", shown.trim_end(), lines.join("\n    ")));
            }
        }
    }
    all
}

#[test]
fn errors_of_rules() {
    let cases = [
        "name: a",
        "match: {}\nallow: anonymous",
        "name: a\nallow: nobody",
        "name: a\nallow: anonymous\nrequire: { audience: unchecked, scopes: { any: [x] } }",
        "name: a\nallow: anonymous\nrequire: orders",
        "name: a\nallow: anonymous\nrequire: {}",
        "name: a\nallow: anonymous\nremove_token: false",
        "name: a\nallow: optional",
        "name: a\ndeny: false",
        "name: a\ndeny: true\nrequire: orders\ninject: { x-a: b }\nresponse_headers: { x-a: b }\ncors_preflight: allow",
        "name: a\nrequire: { issuers: [keycloak] }",
        "name: a\nrequire: { issuers: [keyclaok], audience: unchecked }",
        "name: a\nrequire: { issuers: [], audience: unchecked }",
        "name: a\nrequire: { issuers: [keycloak, keycloak], audience: unchecked }",
        "name: a\nrequire: { audience: unchecked }",
        "name: a\nrequire: { issuers: [keycloak, external], audience: unchecked }",
        "name: a\nrequire: { issuers: [keycloak], audience: any }",
        "name: a\nrequire: { issuers: [keycloak], audience: [orders] }",
        "name: a\nrequire: { issuers: [keycloak], audience: {} }",
        "name: a\nrequire: { issuers: [keycloak], audience: { any: [] } }",
        "name: a\nrequire: { issuers: [keycloak], audience: { any: [\"\"] } }",
        "name: a\nrequire: { issuers: [keycloak], audience: unchecked, scopes: [a] }",
        "name: a\nrequire: { issuers: [keycloak], audience: unchecked, scopes: { any: [] }, roles: { all: [] } }",
        "name: a\nrequire: { issuers: [keycloak], audience: unchecked, scopes: { any: [\"a b\"] } }",
        "name: a\nrequire: { issuers: [keycloak], audience: unchecked, scopes: { any_of: [], any: [a] } }",
        "name: a\nrequire: { issuers: [keycloak], audience: unchecked, scopes: { any_of: [{}] } }",
        "name: a\nrequire: order",
        "name: a\nrequire: { use: order }",
        "name: a\nrequire: { use: orders, issuers: [passport], audience: unchecked }",
        "name: a\nrequire: { use: tenants }",
        "name: a\nrequire: tenants\nmatch: { paths: [\"/{org}/a\", \"/b\"] }",
        "name: a\nrequire: { issuers: [keycloak], audience: unchecked, claims: [] }",
        "name: a\nrequire:\n  issuers: [keycloak]\n  audience: unchecked\n  claims:\n    - { path: a }\n    - { equals: 1 }\n    - { path: a, equals: 1, in: [2] }\n    - { path: \"\", equals: 1 }\n    - { path: a..b, equals: 1 }\n    - { path: [], present: true }\n    - { path: a, equals: 1.5 }\n    - { path: a, equals: [1] }\n    - { path: a, equals: }\n    - { path: a, in: [] }\n    - { path: a, present: false }\n    - { path: a, pattern: \"(\" }\n    - { path: a, pattern: \"a)|(b\" }\n    - { path: a, pattern: \"(a{1000}){1000}\" }\n    - { path: a, equals_path: org }\n    - { path: a, equals_host_label: -1 }\n    - { path: a, equals_host_label: 300 }\n    - { path: a, equals_query: \"\" }",
        "name: a\nrequire: { issuers: [keycloak], audience: unchecked, caller: { spiffe: [] } }",
        "name: a\nrequire: { issuers: [keycloak], audience: unchecked, caller: { spiffe: [\"spiffe://x/*\", \"https://x\"] } }",
        "name: a\nallow: anonymous\nmatch:\n  hosts: [\"https://x\", \"*.b.*\", \"a:80\", \"a.b\", \"a.b\"]\n  paths: [\"a\", \"/a/**/b\", \"/a//b\", \"/a?b\", \"/{a}/{a}\", \"/x{a}\", \"/%2e%2e/a\"]\n  methods: [get, \"G T\"]\n  headers: [{ name: \":path\", equals: a }, { name: \"x y\", present: true }, { name: host, equals: x }, { name: a }, { equals: b }, { name: a, equals: b, absent: true }]",
        "name: a\nallow: anonymous\nmatch: { hosts: [], paths: [], methods: [], headers: [] }",
        "name: a\nallow: anonymous\nmatch: { direction: in }",
        "name: a\nallow: anonymous\nmatch: { grpc: { service: shop.v1.Payments, methods: [\"a/b\"] }, paths: [/a], methods: [POST] }",
        "name: a\nallow: anonymous\nmatch: { grpc: { service: \"/shop\" } }",
        "name: a\nallow: anonymous\nmatch: { grpc: { methods: [] } }",
        "name: a\nrequire: orders\ninject: { x-a: \"{nobody}\", x-b: \"{path.id}\", x-c: \"{claim.plan}\", x-d: \"\", x-e: \"{\", x-f: \"ä\", x-g: { required: true } }",
        "name: a\nallow: anonymous\ninject: { x-a: \"{subject}\" }",
        "name: a\nrequire: orders\nmatch: { paths: [\"/{id}\", \"/{other}\"] }\ninject: { x-a: \"{path.id}\" }",
        "name: a\nrequire: orders\ninject: { x-user-id: \"{subject}\", x_user_id: \"{subject}\", X-User-Id: a }",
        "name: a\nrequire: orders\nresponse_headers: { \"a b\": x, connection: close, x-a: \"a\\r\\nb\", x-b: \"\", x-envoy-immediate-health-check-fail: \"1\", www-authenticate: x, content-type: x, x-c: 1 }",
        "name: a\nrequire: orders\npriority: high\nfallback: yes\nremove_token: on",
        "name: a\nrequire: orders\npriority: 010",
        "name: a\nrequire: orders\ndenial: { status: 200 }",
        "name: a\nrequire: orders\ndenial: { status: 700, realm: \"a\\\"b\", resource_metadata: \"http://x\", body: { content_type: plain, text: x }, headers: { content-type: x, te: trailers } }",
        "name: a\nrequire: orders\ndenial: { status: 451 }",
        "name: a\nrequire: orders\ndenial: { body: {} }",
        "name: a\nrequire: orders\ninject: { Content_Length: \"1\", x_envoy_original_path: a }",
        "name: \"\"\nrequire: orders",
        "name: 1\nrequire: orders",
        "nam: a\nrequires: orders\nmatches: {}",
        "just a text",
    ];
    let alone = cases.iter().map(|rule| (*rule, with_rules(&[rule])));
    let tie = "name: a\nrequire: orders\nmatch: { paths: [/a] }";
    let tied = with_rules(&[tie, "name: b\nrequire: orders\nmatch: { paths: [/a, /b] }"]);
    let named = with_rules(&[tie, "name: a\nrequire: orders"]);
    let folded = with_rules(&[
        "name: a\nrequire: orders\nmatch: { paths: [/a] }\ninject: { x-user.id: \"{subject}\" }",
        "name: b\nrequire: orders\nmatch: { paths: [/b] }\ninject: { x-user-id: \"{subject}\" }",
    ]);
    let broken = with_rules(&[
        "name: a\nrequire: orders\nmatch: { paths: [/a], headers: [{ name: x-v, equals: 1 }] }",
        "name: b\nrequire: orders\nmatch: { paths: [/a] }",
        "name: c\nrequire: orders\nmatch: { paths: [a] }",
        "name: d\nrequire: orders\nremove_token: \"true\"",
    ]);
    let pairs = [
        ("no ties of what is left of a broken match", broken),
        ("two rules for one path", tied),
        ("one name twice", named),
        ("two spellings", folded),
    ];
    insta::assert_snapshot!(answers(alone.chain(pairs)));
}

#[test]
fn errors_of_issuers() {
    let keys = |keys: &str| format!("issuer: https://kc.internal\nkeys: {keys}");
    let cases: Vec<String> = [
        "keys: { pem: [keys/passport.pem] }",
        "issuer: https://kc.internal\nissuer_claim: absent\nkeys: { pem: [keys/passport.pem] }",
        "issuer: https://kc.internal",
        "issuer: \"\"\nkeys: { pem: [keys/passport.pem] }",
        "issuer_claim: absent\nprofile: rfc9068\nkeys: { discovery: true }",
        "keys: { discovery: yes }",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain(
        [
            "{}",
            "{ pem: [keys/passport.pem], jwks: \"https://a\" }",
            "{ pem: [] }",
            "{ pem: [keys/nothing.pem, keys] }",
            "{ pem: keys/passport.pem }",
            "{ pem: [keys/passport.pem], refresh: 10m, ca_file: tls/ca.crt }",
            "{ jwks_file: \"\" }",
            "{ jwks: \"http://kc.internal/certs\" }",
            "{ jwks: \"https://169.254.169.254/latest\" }",
            "{ jwks: \"https://[fe80::1]/\" }",
            "{ jwks: \"https://[fd00:ec2::254]/\" }",
            "{ jwks: \"https://100.100.100.200/\" }",
            "{ jwks: \"https://[::ffff:169.254.169.254]/\" }",
            "{ jwks: \"http://2852039166/\" }",
            "{ jwks: \"file:///etc/passwd\" }",
            "{ jwks: \"https://user:secret@kc.internal/certs\" }",
            "{ jwks: \"https://kc.internal/certs#top\" }",
            "{ jwks: kc.internal, allowed_hosts: [a] }",
            "{ discovery: false }",
            "{ discovery: true, allowed_hosts: [\"https://a\", \"*.a\", \"a:443\", \"\"] }",
            "{ discovery: true, refresh: 0s, timeout: 2h, unknown_kid_cooldown: 1ms, refresh_min: 2h }",
            "{ discovery: true, refresh: 10 }",
            "{ discovery: true, refresh: 10 minutes and a bit }",
            "{ discovery: true, bearer_token_file: secrets/nothing }",
            "{ discovery: true }\noutage: { stale_keys: 0s }",
        ]
        .map(keys),
    )
    .chain(
        [
            "algorithms: []",
            "algorithms: [HS256, none, RS257, rs256, RS256, RS256]",
            "leeway: 10m",
            "kid: required",
            "kid: maybe",
            "times: text",
            "max_lifetime: 0s",
            "wildcard_scope: \"a b\"",
            "wildcard_scope: \"*\"\nclaims: { scopes: scopes, extra: { all: scopes, plan: plan } }",
            "credential: { header: Authorization }",
            "credential: { header: cookie }",
            "credential: { header: \":path\" }",
            "credential: {}",
            "max_token_bytes: 1MB",
            "max_token_bytes: 100MiB",
            "cache: { max_age: 2d, max_byte: 1KiB }",
            "claims: { subject: \"\", client: { all_of: [a] }, roles: { first_of: [a] }, scopes: { first_of: [] }, extra: { \"a b\": c, d: {} } }",
            "claims: { subject: { first_of: [a] } }",
            "secret: hunter2",
        ]
        .map(|line| format!("{ISSUER}\n{line}")),
    )
    .collect();
    insta::assert_snapshot!(answers(cases.iter().map(|issuer| (issuer.as_str(), with_sections(SERVER, issuer)))));
}

#[test]
fn errors_of_the_server() {
    let tls = |tls: &str| format!("check: [{{ listen: \"0.0.0.0:1\", direction: inbound, tls: {tls} }}]");
    let cases: Vec<String> = [
        "{}",
        "check: []",
        "check: {}",
        "check: [{}]",
        "check: [{ listen: \"localhost:1\", direction: inbound }, { listen: \":1\", direction: up }, { listen: /run/x, direction: inbound }]",
        "check: [{ listen: \"unix:\", direction: inbound }, { listen: \"unix:/run/x\", mode: 0660, direction: inbound }, { listen: \"unix:/run/y\", mode: 660, direction: inbound }]",
        "check: [{ listen: \"unix:/run/x\", mode: \"0999\", direction: inbound }, { listen: \"127.0.0.1:1\", mode: \"0660\", direction: inbound }]",
        "check: [{ listen: \"127.0.0.1:1\", direction: inbound }, { listen: \"127.0.0.1:1\", direction: outbound }]",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain(
        [
            "{}",
            "{ certificate: tls/nothing.crt, key: tls/nothing.key, client_ca: tls/nothing.ca }",
            "{ certificate: tls/tls.crt, key: tls/tls.key, allowed_peers: [a] }",
            "{ certificate: tls/tls.crt, key: tls/tls.key, client_ca: tls/ca.crt, allowed_peers: [] }",
            "{ certificate: tls/tls.crt, key: tls/tls.key, client_ca: tls/ca.crt, allowed_peers: [\"*.a\", \"\"] }",
        ]
        .map(tls),
    )
    .chain(
        [
            "probes: { listen: 9100 }",
            "probes: {}",
            "control: { listen: \"0.0.0.0:1\", token_file: secrets/control }",
            "control: { listen: \"127.0.0.1:1\" }",
            "control: { listen: \"127.0.0.1:1\", token: hunter2 }",
            "control: { listen: \"127.0.0.1:1\", token_file: secrets/control, token_env: X }",
            "control: { listen: \"127.0.0.1:1\", token_file: secrets/nothing }",
            "control: { listen: \"127.0.0.1:1\", token_file: secrets/empty }",
            "control: { listen: \"127.0.0.1:1\", token_env: TOLLGATE_TEST_IS_NOT_SET }",
            "deadline: 0s\nfirst_keys: 1y",
            "deadline: 150",
            "reflection: yes",
            "limits: { max_message_bytes: 1, max_concurrent_streams: 0, max_connections: -1, tls_handshake: 1ms, max_in_flight: 268435456 }",
            "limits: { max_connections: 010, max_in_flight: 4_096, max_concurrent_streams: \"5\" }",
            "drain: { delay: 1h, grace: 1d }",
        ]
        .map(|line| format!("{SERVER}\n{line}")),
    )
    .collect();
    insta::assert_snapshot!(answers(cases.iter().map(|server| (server.as_str(), with_sections(server, ISSUER)))));
}

#[test]
fn errors_of_the_audit_log() {
    let cases = [
        "{}",
        "stdout",
        "{ to: stderr }",
        "{ to: [] }",
        "{ to: {} }",
        "{ to: { file: \"\" } }",
        "{ to: { file: /var/log/ } }",
        "{ to: { file: a, mode: \"0444\" } }",
        "{ to: { file: a, mode: 640 } }",
        "{ to: { file: a, rotate: {} } }",
        "{ to: { file: a, rotate: { size: 1KiB, keep: 0 } } }",
        "{ to: { path: a } }",
        "{ to: stdout, sample_allows: 1.5 }",
        "{ to: stdout, sample_allows: 10% }",
        "{ to: stdout, mask: { subjects: omit } }",
        "{ to: stdout, mask: { token: hash } }",
        "{ to: stdout, mask: { subject: drop } }",
        "{ to: stdout, mask: { subject: hash } }",
        "{ to: stdout, hash_key_file: secrets/nothing }",
        "{ to: stdout, hash_key_file: secrets/control, hash_key_env: X }",
        "{ to: stdout, buffer: 1KiB }",
        "{ to: stdout, sampling: 1 }",
    ];
    let whole = |audit: &str| format!("{}audit: {audit}\n", with_sections(SERVER, ISSUER));
    insta::assert_snapshot!(answers(cases.map(|audit| (audit, whole(audit)))));
}

/// The messages of the one text, or a panic where it loads.
fn refused(text: &str) -> String {
    match load(text) {
        Ok(_) => panic!("loads:\n{text}"),
        Err(errors) => errors,
    }
}

fn assert_refused(text: &str, wanted: &str) {
    let errors = refused(text);
    assert!(errors.contains(wanted), "no `{wanted}` in\n{errors}\nfor\n{text}");
}

const ALLOW: &str = "name: a\nallow: anonymous";

#[test]
fn row_158_header_names_that_cannot_be_set_are_refused() {
    for name in [
        ":authority",
        ":path",
        "host",
        "Host",
        "content-length",
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "authorization",
        "x-access-token",
        "X_Access_Token",
        "x-envoy-retry-on",
        "cookie",
        "a b",
        "a\\r\\nb",
        "",
        "ü",
    ] {
        let injected = with_rules(&[&format!("name: a\nrequire: orders\ninject: {{ \"{name}\": \"x\" }}")]);
        assert_refused(&injected, "rules[0].inject");
        let reserved = format!("{}identity_headers: [\"{name}\"]\n", with_rules(&[ALLOW]));
        assert_refused(&reserved, ": identity_headers[0]: ");
    }
    // Upper case is a matter of spelling.
    let config = load(&with_rules(&["name: a\nrequire: orders\ninject: { X-User-Id: \"{subject}\" }"])).unwrap();
    assert_eq!(&*config.table.rules()[0].effect.injection.headers[0].name, "x-user-id");
}

#[test]
fn row_223_broken_files_are_refused_and_say_where() {
    let good = with_rules(&[ALLOW]);
    load(&good).unwrap();
    for (text, wanted) in [
        ("", "policy.yaml: the file is empty"),
        ("# only a comment\n---\n", "policy.yaml: the file is empty"),
        ("just text", "policy.yaml:1:1: expected a map, found the text `just text`"),
        ("- a\n- b\n", "policy.yaml:1:1: expected a map, found a list"),
        ("server: {}\n---\nrules: []\n", "policy.yaml:2:1: a second document starts here"),
        ("server: [\n", "policy.yaml:"),
        ("server:\n\tcheck: []\n", "policy.yaml:2:"),
        ("server: {}\nrules: []\nserver: {}\n", "policy.yaml:3:1: server: the key `server` is already there, at 1:1"),
        ("{ a: 1, rules: [] }", "policy.yaml:1:3: a: unknown key `a`; known here: `server`"),
        ("server: {}\nrule: []\n", "policy.yaml:2:1: rule: unknown key `rule`; did you mean `rules`?"),
        ("server: !!python/object x\nrules: []\n", "policy.yaml:1:"),
        ("server:\nrules:\n", "policy.yaml:1:"),
    ] {
        assert_refused(text, wanted);
    }
    // Cut off at any line before its rules.
    let full = std::fs::read_to_string("examples/full.yaml").unwrap();
    let lines: Vec<&str> = full.lines().collect();
    let first_rule = lines.iter().position(|line| line.starts_with("rules:")).unwrap();
    for count in 0..first_rule {
        refused(&lines[..count].join("\n"));
    }
}

#[test]
fn row_223_missing_large_and_binary_files_are_refused() {
    let dir = directory();
    let path = dir.path().join("policy.yaml");
    let errors = config::load(&path).unwrap_err().to_string();
    assert!(errors.contains("policy.yaml: not readable: it does not exist"), "{errors}");
    std::fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let errors = config::load(&path).unwrap_err().to_string();
    assert!(errors.contains("larger than 16 MiB"), "{errors}");
    std::fs::write(&path, b"server: \xff\n").unwrap();
    let errors = config::load(&path).unwrap_err().to_string();
    assert!(errors.contains("not UTF-8"), "{errors}");
    std::fs::write(&path, b"server: \0\n").unwrap();
    config::load(&path).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    config::load(&path).unwrap_err();
}

#[test]
fn row_223_a_symlink_swap_is_followed() {
    let dir = directory();
    for (name, rule) in [("one", "a"), ("two", "b")] {
        let data = dir.path().join(name);
        std::fs::create_dir(&data).unwrap();
        let text = with_rules(&[&format!("name: {rule}\nallow: anonymous")]).replace("keys/", "../keys/");
        std::fs::write(data.join("policy.yaml"), text).unwrap();
    }
    let link = dir.path().join("current");
    let mut sums = Vec::new();
    for (name, rule) in [("one", "a"), ("two", "b")] {
        let fresh = dir.path().join("fresh");
        std::os::unix::fs::symlink(name, &fresh).unwrap();
        std::fs::rename(&fresh, &link).unwrap();
        let config = config::load(&link.join("policy.yaml")).unwrap();
        assert_eq!(&*config.table.rules()[0].name, rule);
        sums.push(config.sources[0].sha256.clone());
    }
    assert_ne!(sums[0], sums[1]);
}

#[test]
fn row_224_no_rules_must_be_said() {
    let config = load(&with_sections(SERVER, ISSUER)).unwrap();
    assert!(config.table.rules().is_empty());
    let silent = with_sections(SERVER, ISSUER).replace("rules: []", "");
    assert_refused(&silent, "`rules` is missing; no rules at all must be said, as `rules: []`");
    assert_refused(
        &with_sections(SERVER, ISSUER).replace("rules: []", "rules:"),
        "rules: expected a list, found nothing",
    );
}

#[test]
fn row_226_an_invalid_first_file_yields_no_configuration() {
    // One error anywhere is enough; the rest being good does not matter.
    assert_refused(
        &with_rules(&[ALLOW, "name: b\nmatch: { paths: [x] }\nallow: anonymous"]),
        "rules[1].match.paths[0]",
    );
}

#[test]
fn row_227_yaml_bombs_are_capped_and_old_scalars_typed() {
    let mut bomb = String::from("a: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", ")));
    }
    let start = std::time::Instant::now();
    assert_refused(&bomb, "anchors and aliases stand for too much here");
    let mut deep = String::from("a0: &a0 [x]\n");
    for level in 1..2000 {
        deep.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    refused(&deep);
    for opening in ["[", "{a: ", "- "] {
        let errors = refused(&opening.repeat(100_000));
        assert!(errors.lines().count() == 2 && errors.len() < 1000, "{errors}");
    }
    refused(&(0..200_000).map(|n| format!("k{n}: &k{n} 1\n")).collect::<String>());
    assert!(start.elapsed() < std::time::Duration::from_secs(30), "{:?}", start.elapsed());
    for (line, wanted) in [
        ("fallback: yes", "expected a boolean, found the text `yes`; YAML 1.2 has `true` and `false` alone"),
        ("fallback: off", "expected a boolean, found the text `off`"),
        ("fallback: 1", "expected a boolean, found the number `1`"),
        ("priority: 017", "expected a whole number, found the text `017`; leading zeros are not allowed"),
        ("priority: 1_0", "expected a whole number, found the text `1_0`"),
        ("priority: 1.0", "expected a whole number, found the number `1`"),
        ("priority: .inf", "expected a whole number, found the text `.inf`"),
        ("priority: 4294967296", "expected a whole number from -2147483648 to 2147483647"),
        ("<<: { deny: true }", "merge keys are not part of YAML 1.2"),
    ] {
        assert_refused(&with_rules(&[&format!("{ALLOW}\n{line}")]), wanted);
    }
    // A country is not a boolean, a version not a number.
    assert_refused(&with_rules(&["name: 1.10\nallow: anonymous"]), "expected text, found the number");
    let config = load(&with_rules(&["name: no\nallow: anonymous"])).unwrap();
    assert_eq!(&*config.table.rules()[0].name, "no");
}

#[test]
fn anchors_share_values_within_bounds() {
    let shared = with_rules(&[
        "name: a\nmatch: { paths: &p [/a/**], methods: [GET] }\nallow: anonymous",
        "name: b\nmatch: { paths: *p, methods: [PUT] }\nallow: anonymous",
    ]);
    assert_eq!(load(&shared).unwrap().table.rules().len(), 2);
}

#[test]
fn row_228_patterns_are_bounded() {
    let rule = |pattern: &str| {
        with_rules(&[&format!("name: a\nrequire: {{ use: orders, claims: [{{ path: a, pattern: '{pattern}' }}] }}")])
    };
    load(&rule("(a*)*b")).unwrap();
    assert_refused(&rule("(a{1000}){1000}"), "rules[0].require.claims[0].pattern: the pattern is too large");
    assert_refused(&rule(r"(a)\1"), "backreferences are not supported");
    assert_refused(&rule(&"(".repeat(10_000)), "rules[0].require.claims[0].pattern: not a regular expression");
}

#[test]
fn row_233_caller_identity_is_trusted_on_trusted_listeners_alone() {
    let spiffe = "caller: { spiffe: [\"spiffe://cluster.local/ns/shop/**\"] }";
    let uses = [
        format!("name: a\nallow: anonymous\nrequire: {{ {spiffe} }}"),
        format!("name: a\nrequire: {{ use: orders, {spiffe} }}"),
        format!("name: a\nallow: optional\nrequire: {{ use: orders, {spiffe} }}"),
        "name: a\nrequire: orders\ninject: { X-Caller: \"by {caller}\" }".to_owned(),
        "name: a\nallow: anonymous\ninject: { x-caller: { value: \"{caller}\" } }".to_owned(),
        "name: a\nrequire: workloads".to_owned(),
    ];
    let set = format!("requirements:\n  workloads: {{ issuers: [keycloak], audience: unchecked, {spiffe} }}\n");
    let with = |listener: &str, rule: &str| {
        let server = format!("check: [{listener}, {{ listen: \"unix:/run/other.sock\", direction: inbound }}]");
        let text = with_rules(&[rule]);
        let (_, rest) = text.split_once('\n').unwrap();
        format!("server: {{ {server} }}\n{}", rest.replace("requirements:\n", &set))
    };
    let tls = |rest: &str| {
        format!(
            "{{ listen: \"0.0.0.0:1\", direction: inbound, tls: {{ certificate: tls/tls.crt, key: tls/tls.key{rest} }} }}"
        )
    };
    for rule in &uses {
        for good in [
            "{ listen: \"unix:/run/in.sock\", direction: inbound }".to_owned(),
            "{ listen: \"127.0.0.1:1\", direction: inbound }".to_owned(),
            "{ listen: \"[::1]:1\", direction: inbound }".to_owned(),
            "{ listen: \"0.0.0.0:1\", direction: outbound }".to_owned(),
            tls(", client_ca: tls/ca.crt, allowed_peers: [\"spiffe://cluster.local/ns/shop/sa/envoy\"]"),
        ] {
            if let Err(errors) = load(&with(&good, rule)) {
                panic!("{good}\n{rule}\n{errors}");
            }
        }
        for bad in [
            "{ listen: \"0.0.0.0:1\", direction: inbound }".to_owned(),
            "{ listen: \"10.0.0.1:1\", direction: inbound }".to_owned(),
            tls(""),
            tls(", client_ca: tls/ca.crt"),
        ] {
            let errors = refused(&with(&bad, rule));
            assert!(
                errors.contains("on `server.check[0]` anybody could forge it: let it listen on a unix socket or a loopback address, or give it `tls` with `client_ca` and `allowed_peers`"),
                "{bad}\n{rule}\n{errors}"
            );
            assert!(errors.ends_with("\n1 error in the configuration"), "{errors}");
        }
    }
}

#[test]
fn a_direction_needs_a_listener() {
    let rule = "name: a\nmatch: { direction: outbound }\nallow: anonymous";
    load(&with_rules(&[rule])).unwrap();
    let text =
        with_sections(SERVER, ISSUER).replace("rules: []", &format!("rules:\n  - {}", rule.replace('\n', "\n    ")));
    assert_refused(&text, "rules[0].match.direction: this rule is for `outbound` requests, but no listener");
}

#[test]
fn errors_of_syntax() {
    let texts = [
        "server: {}\n---\nrules: []\n",
        "server: [\n",
        "server: }\n",
        "server:\n\tcheck: []\n",
        "server: \"a\n",
        "server: *nothing\n",
        "server: !!python/object x\n",
        "server: a: b\n",
        "  server: {}\n rules: []\n",
        "server: !!int x\n",
        "? [a, b]\n: c\n",
        "a: &a [*a]\n",
    ];
    insta::assert_snapshot!(answers(texts.map(|text| (text, text.to_owned()))));
}

#[test]
fn ten_thousand_rules_load_in_little_time() {
    let rules = |count: usize| -> String {
        (0..count).map(|n| {
            format!(
                "  - name: rule-{n}\n    match: {{ hosts: [\"h{}.example.com\"], paths: [\"/s{n}/{{id}}/**\"], methods: [GET, POST] }}\n    require: {{ use: orders, scopes: {{ any: [\"s{n}.read\", admin] }}, claims: [{{ path: oid, equals_path: id }}, {{ path: mail, pattern: \"[a-z]+@example\\\\.com\" }}] }}\n    inject: {{ x-user-id: \"{{subject}}\", x-n: \"{n} {{path.id}}\" }}\n    response_headers: {{ x-rule: \"{n}\" }}\n",
                n % 100
            )
        })
        .collect()
    };
    let good = with_rules(&[]) + &rules(10_000);
    let start = std::time::Instant::now();
    let config = load(&good).unwrap();
    let took = start.elapsed();
    assert_eq!(config.table.rules().len(), 10_000);
    // Unoptimised and on a busy machine; linear in any case.
    assert!(took < std::time::Duration::from_secs(20), "{took:?}");

    let bad = with_rules(&[]) + &rules(1_000);
    let bad = bad.replace("inject: {", "injekt: 1\n    inject: {").replace("methods: [GET, POST]", "methods: [get, 1]");
    let start = std::time::Instant::now();
    let errors = config::load_from(&bad, directory().path(), Path::new("policy.yaml")).unwrap_err();
    let took = (took, start.elapsed());
    assert_eq!(errors.0.len(), 3_000);
    assert!(took.1 < std::time::Duration::from_secs(10), "{took:?}");
    println!("loaded and refused in {took:?}");
}

#[test]
fn a_denial_has_a_status_that_envoy_knows() {
    use envoy_types::pb::envoy::r#type::v3::StatusCode;
    for status in 399..=600 {
        let rule = format!("name: a\ndeny: true\ndenial: {{ status: {status} }}");
        let known = (400..=599).contains(&status) && StatusCode::try_from(status).is_ok();
        match load(&with_rules(&[&rule])) {
            Ok(_) => assert!(known, "{status} loads"),
            Err(errors) => {
                assert!(!known, "{errors}");
                assert!(errors.contains("rules[0].denial.status: "), "{errors}");
            }
        }
    }
}

/// A whole file around a block of the documentation.
fn completed(info: &str, block: &str) -> String {
    let issuers = "issuers:
  keycloak: { issuer: \"https://keycloak.internal/realms/shop\", keys: { discovery: true } }
  scalekit: { issuer: \"https://scalekit.internal\", keys: { discovery: true }, claims: { extra: { plan: plan } } }
";
    let server = "server: { check: [{ listen: \"unix:/run/in.sock\", direction: inbound }, { listen: \"127.0.0.1:1\", direction: outbound }] }\n";
    let sets = "requirements:\n  orders-api: { issuers: [keycloak], audience: { any: [orders] } }\n";
    match info {
        "yaml file" => block.to_owned(),
        "yaml server" => format!("server:\n{}{issuers}rules: []\n", indented(block, 2)),
        "yaml issuer" => format!("{server}issuers:\n  example:\n{}rules: []\n", indented(block, 4)),
        "yaml rule-with-tokens" => format!(
            "{server}{issuers}tokens:
  payment-service: {{ exchange: {{ issuer: keycloak, client: {{ id: a, secret_file: secrets/client }}, audience: payments }} }}
  order-service: {{ client_credentials: {{ issuer: scalekit, client: {{ id: a, secret_file: secrets/client }} }} }}
rules:\n{}",
            indented(block, 2)
        ),
        "yaml rule" => format!("{server}{issuers}{sets}rules:\n{}", indented(block, 2)),
        "yaml top" => format!("{server}{issuers}{block}rules: []\n"),
        other => panic!("what is `{other}`?"),
    }
}

/// Every block of the documentation and every shipped example, as a whole file.
fn documents() -> Vec<(String, String)> {
    let markdown = std::fs::read_to_string("docs/policy.md").unwrap();
    let mut documents: Vec<(String, String)> = blocks(&markdown)
        .into_iter()
        .filter(|(info, _)| !info.is_empty())
        .map(|(info, block)| (format!("docs/policy.md, {info}:\n{block}"), completed(&info, &block)))
        .collect();
    assert!(documents.len() > 10, "{}", documents.len());
    documents.extend(examples().into_iter().map(|path| {
        let text = std::fs::read_to_string(&path).unwrap();
        // Where a pod finds them, and where the example does.
        let text = text.replace(POD, "secrets/").replace("../keys/", "keys/").replace("../secrets/", "secrets/");
        (path.display().to_string(), text)
    }));
    documents
}

/// Where a pod has its ServiceAccount's token.
const POD: &str = "/var/run/secrets/kubernetes.io/serviceaccount/";

/// Every shipped example.
fn examples() -> Vec<std::path::PathBuf> {
    let folder = |name: &str| std::fs::read_dir(name).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let mut paths = [folder("examples"), folder("examples/issuers")].concat();
    paths.retain(|path| path.to_str().is_some_and(|path| path.ends_with(".yaml") && !path.ends_with(".test.yaml")));
    paths.sort();
    assert!(paths.len() > 9, "{paths:?}");
    paths
}

#[test]
fn every_block_of_the_documentation_and_every_example_loads() {
    let dir = directory();
    let rules = dir.path().join("rules.d");
    std::fs::create_dir(&rules).unwrap();
    std::fs::write(rules.join("a.yaml"), "rules: []\n").unwrap();
    for (shown, text) in documents() {
        if let Err(errors) = load_in(dir.path(), &text) {
            panic!("{shown}\n{errors}\n{text}");
        }
    }
}

#[test]
fn examples_load_where_they_are() {
    for path in examples() {
        if let Err(errors) = config::load(&path) {
            // That of a pod loads in a pod, and misses nothing but what a pod has.
            let elsewhere = |error: &&config::ConfigError| !error.message.starts_with(&format!("the file `{POD}"));
            let own: Vec<_> = errors.0.iter().filter(elsewhere).collect();
            assert!(own.is_empty() && path.ends_with("kubernetes.yaml"), "{errors}");
        }
    }
}

#[test]
fn every_preset_has_an_example_and_corpus_cases() {
    let schema = config::schema();
    let presets = schema["$defs"]["PresetFile"]["oneOf"].as_array().unwrap();
    assert_eq!(presets.len(), 9);
    for preset in presets {
        let name = preset["const"].as_str().unwrap();
        let example = std::fs::read_to_string(format!("examples/issuers/{name}.yaml")).unwrap();
        let said = [format!("claims: {name} "), format!("preset: {name}")];
        assert!(said.iter().any(|said| example.contains(said)), "{name}");
        let cases = std::fs::read_to_string(format!("tests/corpus/issuer_{name}.yaml")).unwrap();
        assert!(cases.contains(&format!("\nexample: {name}\n")), "{name}");
    }
}

#[test]
fn every_key_is_documented() {
    fn keys(schema: &serde_json::Value, found: &mut Vec<String>) {
        match schema {
            serde_json::Value::Object(object) => {
                if let Some(serde_json::Value::Object(properties)) = object.get("properties") {
                    found.extend(properties.keys().cloned());
                }
                object.values().for_each(|value| keys(value, found));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }
    let markdown = std::fs::read_to_string("docs/policy.md").unwrap();
    let mut names = Vec::new();
    keys(&config::schema(), &mut names);
    assert!(names.len() > 80, "{}", names.len());
    for name in names {
        // In the first column of a table or in running text, as code.
        let mentioned = ["`", ".", "{ ", ", "].iter().any(|before| {
            [":", "`", ",", ".", " }", "["].iter().any(|after| markdown.contains(&format!("{before}{name}{after}")))
        });
        assert!(mentioned, "`{name}` is not in docs/policy.md");
    }
}

/// What of `value` does not satisfy `schema`, for the keywords that our schema uses. An unknown keyword is a mistake here.
fn violations(
    root: &serde_json::Value,
    schema: &serde_json::Value,
    value: &serde_json::Value,
    at: &str,
) -> Vec<String> {
    use serde_json::Value;
    let object = match schema {
        Value::Bool(true) => return Vec::new(),
        Value::Object(object) => object,
        other => return vec![format!("{at}: the schema is `{other}`")],
    };
    let mut found = Vec::new();
    for (keyword, operand) in object {
        match (keyword.as_str(), operand) {
            ("$schema" | "$defs" | "title" | "description" | "default" | "format", _) => {}
            ("$ref", Value::String(to)) => {
                let target = root.pointer(to.strip_prefix('#').unwrap()).unwrap();
                found.extend(violations(root, target, value, at));
            }
            ("type", kinds) => {
                let is = |kind: &Value| match kind.as_str().unwrap() {
                    "null" => value.is_null(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    "string" => value.is_string(),
                    "array" => value.is_array(),
                    "object" => value.is_object(),
                    other => panic!("type {other}"),
                };
                if !kinds.as_array().map_or_else(|| is(kinds), |kinds| kinds.iter().any(is)) {
                    found.push(format!("{at}: `{value}` is not of type {kinds}"));
                }
            }
            ("const", want) if want != value => found.push(format!("{at}: `{value}` is not {want}")),
            ("const", _) => {}
            ("enum", Value::Array(choices)) if !choices.contains(value) => {
                found.push(format!("{at}: `{value}` is not one of {operand}"));
            }
            ("enum", _) => {}
            ("anyOf" | "oneOf", Value::Array(choices)) => {
                let fits = choices.iter().filter(|choice| violations(root, choice, value, at).is_empty()).count();
                if fits == 0 || keyword == "oneOf" && fits > 1 {
                    found.push(format!("{at}: `{value}` fits {fits} choices"));
                }
            }
            ("properties", Value::Object(properties)) => {
                for (key, schema) in properties {
                    if let Some(value) = value.get(key) {
                        found.extend(violations(root, schema, value, &format!("{at}.{key}")));
                    }
                }
            }
            ("required", Value::Array(keys)) => {
                let missing = keys.iter().filter(|key| value.is_object() && value.get(key.as_str().unwrap()).is_none());
                found.extend(missing.map(|key| format!("{at}: {key} is missing")));
            }
            ("additionalProperties", schema) => {
                let known = object.get("properties").and_then(Value::as_object);
                for (key, value) in value.as_object().into_iter().flatten() {
                    if known.is_some_and(|known| known.contains_key(key)) {
                        continue;
                    }
                    match schema {
                        Value::Bool(false) => found.push(format!("{at}: unknown key `{key}`")),
                        schema => found.extend(violations(root, schema, value, &format!("{at}.{key}"))),
                    }
                }
            }
            ("items", schema) => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(violations(root, schema, value, &format!("{at}[{index}]")));
                }
            }
            ("minItems", least) => {
                if value.as_array().is_some_and(|items| (items.len() as u64) < least.as_u64().unwrap()) {
                    found.push(format!("{at}: too few items"));
                }
            }
            ("minimum", least) => {
                if value.as_f64().is_some_and(|number| number < least.as_f64().unwrap()) {
                    found.push(format!("{at}: `{value}` is less than {least}"));
                }
            }
            ("maximum", most) => {
                if value.as_f64().is_some_and(|number| number > most.as_f64().unwrap()) {
                    found.push(format!("{at}: `{value}` is more than {most}"));
                }
            }
            ("pattern", Value::String(pattern)) => {
                if value.as_str().is_some_and(|text| !regex::Regex::new(pattern).unwrap().is_match(text)) {
                    found.push(format!("{at}: `{value}` does not match {pattern}"));
                }
            }
            (keyword, operand) => panic!("the keyword `{keyword}: {operand}` is not known here"),
        }
    }
    found
}

#[test]
fn what_loads_satisfies_the_schema() {
    let schema = config::schema();
    let dir = directory();
    let rules = dir.path().join("rules.d");
    std::fs::create_dir(&rules).unwrap();
    std::fs::write(rules.join("a.yaml"), "rules: []\n").unwrap();
    for (shown, text) in documents() {
        let document = load_in(dir.path(), &text).unwrap().effective();
        let violations = violations(&schema, &schema, &document, "");
        assert!(violations.is_empty(), "{shown}\n{violations:#?}");
    }
    for (text, wanted) in [
        ("rule: []", "unknown key `rule`"),
        ("rules:", ".rules: `null` is not of type"),
        ("denial: { status: }", ".denial.status: `null` is not of type"),
        ("issuers: { a: { keys: } }", ".issuers.a.keys: `null` is not of type"),
        ("server: { check: [] }", ".server.check: too few items"),
        ("server: { check: [{ listen: a }] }", "\"direction\" is missing"),
        ("server: { check: [{ listen: 1, direction: inbound }] }", "listen: `1` is not of type"),
        ("server: { deadline: 150 }", ".server.deadline"),
        ("issuers: { a: { algorithms: [HS256] } }", ".issuers.a.algorithms"),
        ("rules: [{ name: a, deny: false }]", ".rules[0].deny"),
        ("rules: [{ name: a, denial: { status: 200 } }]", ".rules[0].denial"),
    ] {
        let document: serde_json::Value = serde_saphyr::from_str(text).unwrap();
        let violations = violations(&schema, &schema, &document, "").join("\n");
        assert!(violations.contains(wanted), "{text}\n{violations}");
    }
}

#[test]
fn cases_that_are_shipped_satisfy_their_schema() {
    let schema = tollgate::cases::read::schema();
    let mut count = 0;
    for folder in ["examples", "examples/demo", "examples/keycloak"] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.to_str().is_some_and(|path| path.ends_with(".test.yaml")) {
                let text = std::fs::read_to_string(&path).unwrap();
                let document: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
                let violations = violations(&schema, &schema, &document, "");
                assert!(violations.is_empty(), "{}\n{violations:#?}", path.display());
                count += 1;
            }
        }
    }
    assert!(count >= 5, "{count}");
    for (text, wanted) in [
        ("cases: []", ".cases: too few items"),
        ("cases: [{ request: GET a.b/ }]", "\"expect\" is missing"),
        ("cases: [{ reqest: GET a.b/, expect: allow }]", "unknown key `reqest`"),
        ("cases: [{ request: GET a.b/, claims: nobody, expect: allow }]", ".cases[0].claims"),
        ("cases: [{ request: GET a.b/, expect: { headers: { a: { absent: false } } } }]", ".cases[0].expect"),
    ] {
        let document: serde_json::Value = serde_saphyr::from_str(text).unwrap();
        let violations = violations(&schema, &schema, &document, "").join("\n");
        assert!(violations.contains(wanted), "{text}\n{violations}");
    }
}

#[test]
fn the_published_schema_is_the_types() {
    let path = "docs/policy.schema.json";
    let text = serde_json::to_string_pretty(&config::schema()).unwrap() + "\n";
    if std::env::var_os("INSTA_UPDATE").is_some_and(|mode| mode == "always") {
        std::fs::write(path, &text).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap() == text, "{path} is out of date: run with `INSTA_UPDATE=always`");
    assert_eq!(config::schema()["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn defaults_are_the_documented_ones() {
    use tollgate::authn::spec::{Algorithm, CredentialSource, IssuerClaim, KeySource};
    use tollgate::config::server::Address;
    let config =
        load(&with_sections(SERVER, "issuer: https://kc.internal/realms/a/\nkeys: { discovery: true }")).unwrap();
    let server = &config.server;
    let seconds = std::time::Duration::from_secs;
    assert_eq!(server.deadline, std::time::Duration::from_millis(150));
    assert_eq!((server.first_keys, server.drain.delay, server.drain.grace), (seconds(2), seconds(2), seconds(10)));
    assert_eq!(server.limits.max_message_bytes, 1 << 20);
    assert_eq!((server.limits.max_concurrent_streams, server.limits.max_connections), (1024, 1024));
    assert_eq!((server.limits.max_in_flight, server.limits.tls_handshake), (4096, seconds(5)));
    assert!(!server.reflection && server.probes.is_none() && server.control.is_none());
    assert_eq!(server.check[0].address, Address::Unix { path: "/run/in.sock".into(), mode: 0o660 });
    let issuer = &config.issuers[0];
    assert_eq!(&*issuer.name, "a");
    assert_eq!(issuer.issuer, IssuerClaim::Exact("https://kc.internal/realms/a/".into()));
    assert_eq!(issuer.algorithms, [Algorithm::RS256, Algorithm::ES256]);
    assert!(!issuer.kid_optional && !issuer.times_in_strings && !issuer.rfc9068);
    assert_eq!((issuer.leeway, issuer.max_lifetime, issuer.max_token_bytes), (seconds(30), None, 8192));
    assert_eq!(issuer.credential, CredentialSource::Authorization);
    assert_eq!((issuer.cache.max_age, issuer.cache.max_bytes), (seconds(300), 64 << 20));
    let paths = |paths: &[tollgate::core::principal::ClaimPath]| {
        paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(paths(&issuer.claims.client), "client_id azp");
    assert_eq!(paths(&issuer.claims.scopes), "scope scp scopes");
    assert_eq!((issuer.claims.subject.to_string(), issuer.claims.audience.to_string()), ("sub".into(), "aud".into()));
    assert!(issuer.claims.roles.is_empty() && issuer.claims.service.is_none() && issuer.claims.tenant.is_none());
    let KeySource::Discovery { url, allowed_hosts, fetch } = &issuer.keys else { panic!("{:?}", issuer.keys) };
    assert_eq!(url.as_str(), "https://kc.internal/realms/a/.well-known/openid-configuration");
    assert!(allowed_hosts.is_empty() && !fetch.transport.allow_insecure_http);
    assert_eq!((fetch.refresh, fetch.refresh_bounds), (seconds(600), (seconds(30), seconds(3600))));
    assert_eq!((fetch.timeout, fetch.stale_keys, fetch.unknown_kid_cooldown), (seconds(5), seconds(3600), seconds(15)));
    let pem = load(&with_sections(SERVER, ISSUER)).unwrap();
    assert!(pem.issuers[0].kid_optional);
    let KeySource::Pem(files) = &pem.issuers[0].keys else { panic!("{:?}", pem.issuers[0].keys) };
    assert!(files[0].is_absolute() && files[0].ends_with("keys/passport.pem"));
}

#[test]
fn loopback_keys_may_come_over_plain_http() {
    for (url, allowed) in [
        ("http://127.0.0.1:8080/certs", true),
        ("http://[::1]/certs", true),
        ("http://localhost/certs", true),
        ("http://localhost.example.com/certs", false),
        ("http://10.0.0.1/certs", false),
        ("https://10.0.0.1/certs", true),
    ] {
        let issuer = |more: &str| format!("issuer: https://a\nkeys: {{ jwks: \"{url}\"{more} }}");
        assert_eq!(load(&with_sections(SERVER, &issuer(""))).is_ok(), allowed, "{url}");
        load(&with_sections(SERVER, &issuer(", allow_insecure_http: true"))).unwrap();
    }
}

#[test]
fn sets_and_what_rules_have_alike_are_shared_and_added_to() {
    use std::sync::Arc;
    use tollgate::core::rule::{Action, AudienceRequirement, IssuerIndex, Requirements};
    let config = load(&with_rules(&[
        "name: a\nmatch: { paths: [/a] }\nrequire: orders",
        "name: b\nmatch: { paths: [/b] }\nrequire: orders",
        "name: c\nmatch: { paths: [/c] }\nrequire: { use: orders, scopes: { all: [x] }, claims: [{ path: b, present: true }] }",
        "name: d\nmatch: { paths: [\"/d/{org}\"] }\nallow: optional\nrequire: tenants",
        "name: e\nmatch: { paths: [/e] }\nrequire: { issuers: [keycloak], audience: { any: [x] }, claims: [{ path: p, pattern: 'a+' }] }\ninject: { x-a: \"{subject}\" }",
        "name: f\nmatch: { paths: [/f] }\nrequire: { issuers: [keycloak], audience: { any: [x] }, claims: [{ path: p, pattern: 'a+' }] }\ninject: { X-A: \"{subject}\" }",
        "name: g\nmatch: { paths: [/g] }\nrequire: { issuers: [keycloak], audience: { any: [x] }, claims: [{ path: p, pattern: 'a*' }] }\ninject: { x-a: { value: \"{subject}\", required: true } }",
    ]))
    .unwrap();
    let required = |index: usize| -> Arc<Requirements> {
        match &config.table.rules()[index].effect.action {
            Action::Require(requirements) | Action::Optional(requirements) => Arc::clone(requirements),
            other => panic!("{other:?}"),
        }
    };
    assert!(Arc::ptr_eq(&required(0), &required(1)));
    let effect = |index: usize| &config.table.rules()[index].effect;
    assert!(Arc::ptr_eq(effect(0), effect(1)) && Arc::ptr_eq(effect(4), effect(5)));
    assert!(required(4) != required(6) && effect(4).injection != effect(6).injection);
    let added = required(2);
    assert_eq!((added.claims.len(), added.scopes.len(), &*added.issuers), (2, 1, &[IssuerIndex(1)][..]));
    assert!(matches!(&added.audience, AudienceRequirement::Checked(names) if *names.any == ["orders".into()]));
    assert!(matches!(config.table.rules()[3].effect.action, Action::Optional(_)));
    let chained = with_rules(&[ALLOW]).replace("  tenants:", "  more: { use: orders }\n  tenants:");
    assert_refused(&chained, "requirements.more.use: sets do not build on each other");
}

#[test]
fn rule_files_join_the_table() {
    let dir = directory();
    let rules = dir.path().join("rules.d");
    std::fs::create_dir(&rules).unwrap();
    let main = with_rules(&[]).replace("rules:\n", "rules_dir: rules.d\n");
    let answer = |files: &[(&str, &str)], main: &str| {
        for entry in std::fs::read_dir(&rules).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (name, text) in files {
            std::fs::write(rules.join(name), text).unwrap();
        }
        load_in(dir.path(), main).map_err(|errors| errors.replace(&dir.path().display().to_string(), "DIR"))
    };
    let a = "rules:\n  - { name: a, match: { paths: [/a] }, allow: anonymous }\n";
    let b = "rules:\n  - { name: b, match: { paths: [/b] }, require: orders }\n";
    let config = answer(&[("2.yaml", b), ("1.yml", a), (".hidden.yaml", "x"), ("notes.txt", "x")], &main).unwrap();
    let names: Vec<&str> = config.table.rules().iter().map(|rule| &*rule.name).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(config.sources.len(), 3);
    assert!(config.sources[1].path.ends_with("rules.d/1.yml") && config.sources[1].sha256.len() == 64);
    assert_eq!(config.effective()["rules"][1]["name"], "b");
    let both = format!("{main}rules: [{{ name: c, match: {{ paths: [/c] }}, allow: anonymous }}]\n");
    assert_eq!(answer(&[("1.yaml", a)], &both).unwrap().table.rules().len(), 2);

    // Nobody said that there are no rules.
    let errors = answer(&[], &main).unwrap_err();
    assert!(errors.contains("`rules` is missing"), "{errors}");
    assert!(answer(&[("1.yaml", "rules: []\n")], &main).unwrap().table.rules().is_empty());

    let wrong = "rules:\n  - { name: a, match: { paths: [a] }, allow: anonymous }\nserver: {}\n";
    let errors =
        answer(&[("1.yaml", a), ("2.yaml", wrong), ("3.yaml", "rules: ["), ("4.yaml", ""), ("5.yaml", "x: 1")], &main);
    insta::assert_snapshot!(errors.unwrap_err());
    let tied = a.replace("name: a", "name: z");
    let errors = answer(&[("1.yaml", a), ("2.yaml", &tied)], &main).unwrap_err();
    assert!(errors.starts_with("DIR/rules.d/2.yaml:2:5: rules[0]: rules `a` and `z` match the same"), "{errors}");
    assert!(errors.contains("(the other one is at 1.yaml:2:5)"), "{errors}");
    let errors = answer(&[], &main.replace("rules.d", "nowhere")).unwrap_err();
    assert!(errors.contains("rules_dir: the directory `DIR/nowhere` cannot be read: it does not exist"), "{errors}");
}

#[test]
fn every_error_of_every_section_is_there_at_once() {
    let text = "servr: {}
server:
  check: [{ listen: \"0.0.0.0:1\", direction: inbund }, { listen: nowhere }]
  deadline: soon
  control: { listen: \"0.0.0.0:2\", token_env: TOLLGATE_TEST_IS_NOT_SET }
issuers:
  a: { issuer: https://a, keys: { pem: [gone.pem] }, algorithms: [HS256], leeway: 1h }
  b: { keys: { jwks: \"http://b\" } }
identity_headers: [host, x-a, x.a]
denial: { status: 302 }
requirements:
  r: { issuers: [c], scopes: { any: [] } }
rules:
  - { name: one, require: q }
  - { name: one, match: { paths: [x], method: [GET] }, require: { audience: any } }
  - { require: r, inject: { host: \"{x}\" }, priority: first }
";
    let dir = directory();
    let errors = load_in(dir.path(), text).unwrap_err();
    insta::assert_snapshot!(errors.replace(&dir.path().display().to_string(), "DIR"));
}

#[test]
fn secrets_stay_out_of_sight() {
    let server = format!("{SERVER}\ncontrol: {{ listen: \"127.0.0.1:1\", token_file: secrets/control }}");
    let config = load(&with_sections(&server, ISSUER)).unwrap();
    assert_eq!(config.server.control.as_ref().unwrap().token.expose(), "hunter2hunter2");
    assert_eq!(config.effective()["server"]["control"]["token_file"], "secrets/control");
    assert!(!config.effective().to_string().contains("hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"));
    let written = refused(&with_sections(&server.replace("token_file: secrets/control", "token: hunter2"), ISSUER));
    assert!(!written.contains("hunter2"), "{written}");
}
