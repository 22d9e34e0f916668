//! `tollgate import`: its documented example, what it refuses to guess, and the program around it. That policies are never
//! wider than what was imported is what `envoy_import` shows on a real Envoy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tollgate::import::{Effect, EnvoyOptions, ImportError, Imported, envoy};

fn import(text: &str) -> Result<Imported, Vec<ImportError>> {
    envoy(&[("envoy.yaml".to_owned(), text.to_owned())], &EnvoyOptions::default())
}

fn document() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/import.md")).unwrap()
}

fn block(document: &str, info: &str) -> String {
    let rest = document.split(&format!("```{info}\n")).nth(1).unwrap();
    rest.split("```").next().unwrap().to_owned()
}

#[test]
fn the_documented_example_comes_out_as_it_is_shown() {
    let document = document();
    let imported = import(&block(&document, "yaml original")).unwrap();
    imported.check().unwrap();
    assert!(!imported.is_exact());
    if std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
        let shown = block(&document, "yaml imported");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/import.md");
        fs::write(path, document.replace(&shown, &imported.policy)).unwrap();
        return;
    }
    assert_eq!(imported.policy, block(&document, "yaml imported"));
}

fn filter(kind: &str, config: Value) -> Value {
    let (name, kind) = match kind {
        "jwt" => ("envoy.filters.http.jwt_authn", "jwt_authn.v3.JwtAuthentication"),
        _ => ("envoy.filters.http.rbac", "rbac.v3.RBAC"),
    };
    let mut config = config;
    config["@type"] = format!("type.googleapis.com/envoy.extensions.filters.http.{kind}").into();
    json!({ "name": name, "typed_config": config })
}

fn allow_all() -> Value {
    json!({ "rules": { "policies": { "all": { "permissions": [{ "any": true }], "principals": [{ "any": true }] } } } })
}

fn manager(listener: &str, filters: Value, route: Value) -> Value {
    json!({ "name": listener, "filter_chains": [{ "filters": [{
        "name": "hcm",
        "typed_config": {
            "stat_prefix": listener, "normalize_path": true, "http_filters": filters,
            "route_config": { "virtual_hosts": [{ "name": "v", "domains": ["*"], "routes": [route] }] },
        },
    }] }] })
}

#[test]
fn a_configuration_alone_a_filter_a_list_and_a_bootstrap_are_the_same() {
    let filter = filter("rbac", allow_all());
    let listeners =
        json!([manager("one", json!([filter.clone()]), json!({})), manager("two", json!([filter.clone()]), json!({}))]);
    for whole in [
        allow_all(),
        filter.clone(),
        json!([filter.clone()]),
        json!({ "http_filters": [filter.clone()] }),
        json!({ "static_resources": { "listeners": listeners } }),
    ] {
        let imported = import(&whole.to_string()).unwrap();
        assert!(imported.is_exact(), "{whole}");
        assert!(imported.policy.contains("allow: anonymous"), "{whole}\n{}", imported.policy);
        assert_eq!(imported.rules, 1);
    }
}

#[test]
fn nothing_is_guessed() {
    let rbac = filter("rbac", allow_all());
    let own_way = json!({ "typed_per_filter_config": { "envoy.filters.http.rbac": { "@type": "x/envoy.extensions.filters.http.rbac.v3.RBACPerRoute" } } });
    let jwt = filter("jwt", json!({ "providers": {}, "rules": [] }));
    let other = filter("rbac", json!({ "rules": { "action": "DENY", "policies": {} } }));
    let two = json!([manager("one", json!([rbac.clone()]), json!({})), manager("two", json!([other]), json!({}))]);
    let mut named = rbac.clone();
    named["name"] = "mine".into();
    let wrapped = json!({ "@type": "x/envoy.config.route.v3.FilterConfig", "disabled": true });
    let of_named = json!({ "typed_per_filter_config": { "mine": wrapped } });
    let header_of = |name: &str| {
        let provider = json!({ "issuer": "https://a", "local_jwks": { "inline_string": "{\"keys\":[]}" },
            "claim_to_headers": [{ "header_name": name, "claim_name": "sub" }] });
        json!([filter("jwt", json!({ "providers": { "a": provider }, "rules": [] }))])
    };
    let config = &rbac["typed_config"];
    let twice = json!([{ "name": "envoy.filters.http.rbac", "typedConfig": config, "typed_config": config }]);
    let without_type = json!([{ "name": "envoy.filters.http.rbac" }]);
    for (text, message, place) in [
        ("a: [".to_owned(), "not readable as YAML", "envoy.yaml:"),
        ("a: 1\nb: 2".to_owned(), "expected the configuration of a jwt_authn or rbac filter", "envoy.yaml:1:1"),
        (
            format!("{jwt}").replace("\"rules\":[]", "\"rules\":[],\"rules\":[]"),
            "`rules` is there twice",
            "envoy.yaml:1:",
        ),
        (
            format!("{jwt}").replace("\"rules\":[]", "\"rules\":[],\"bypassCorsPreflight\":\"maybe\""),
            "neither true nor false",
            ":1:",
        ),
        (twice.to_string(), "is there twice", "envoy.yaml:1:"),
        (manager("one", json!([named]), of_named).to_string(), "in its own way", "typed_per_filter_config.mine"),
        (header_of("x-envoy-user").to_string(), "can neither set nor remove it", "claim_to_headers"),
        (header_of("content-type").to_string(), "can neither set nor remove it", "claim_to_headers"),
        ("[]".to_owned(), "no jwt_authn or rbac HTTP filter", "envoy.yaml"),
        ("a: 1\n---\nb: 1".to_owned(), "a second document", "envoy.yaml:2:1"),
        (manager("one", json!([rbac.clone()]), own_way).to_string(), "in its own way", "typed_per_filter_config"),
        (json!([jwt.clone(), jwt]).to_string(), "second jwt_authn filter", "[1].typed_config"),
        (json!({ "listeners": two }).to_string(), "choose one with `--listener`: one, two", "listeners[1]"),
        (without_type.to_string(), "typed_config", "[0]"),
    ] {
        let errors = import(&text).unwrap_err();
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert!(errors[0].message.contains(message), "{text}: {errors:?}");
        assert!(errors[0].place.contains(place), "{text}: {errors:?}");
    }
}

/// What is not understood in a filter refuses whatever it might have refused.
#[test]
fn what_is_not_known_refuses() {
    for config in [
        json!({ "rules": { "action": "PERHAPS", "policies": {} } }),
        json!({ "rules": { "action": "DENY", "policies": {}, "novelty": 1 } }),
        json!({ "rules": { "action": "DENY", "policies": {} }, "novelty": 1 }),
        json!({ "matcher": { "on_no_match": {} } }),
        json!({ "rules": { "policies": { "p": { "permissions": [{ "novelty": 1 }], "principals": [{ "any": true }] } } } }),
        json!({ "rules": { "policies": { "p": { "permissions": [{ "any": true }], "principals": [{ "any": true }], "condition": {} } } } }),
        json!({ "rules": { "action": "DENY", "policies": { "p": { "permissions": [{ "not_rule": { "novelty": 1 } }], "principals": [{ "any": true }] } } } }),
    ] {
        let imported = import(&json!([filter("rbac", config.clone())]).to_string()).unwrap();
        assert!(!imported.policy.contains("allow:"), "{config}: {}", imported.policy);
        assert!(imported.policy.contains("deny: true"), "{config}: {}", imported.policy);
        assert!(
            imported.notes.iter().any(|note| note.effect == Effect::Narrowed && !note.rules.is_empty()),
            "{config}"
        );
    }
}

#[test]
fn a_provider_that_cannot_be_said_lets_nobody_in() {
    let set = r#"{"keys":[]}"#;
    for provider in [
        json!({ "local_jwks": { "inline_string": set } }),
        json!({ "issuer": "https://a", "local_jwks": { "inline_string": "not json" } }),
        json!({ "issuer": "https://a", "local_jwks": { "environment_variable": "X" } }),
        json!({ "issuer": "https://a" }),
        json!({ "issuer": "https://a", "local_jwks": { "inline_string": set }, "novelty": true }),
        json!({ "issuer": "https://a", "local_jwks": { "inline_string": set }, "from_params": ["t"] }),
        json!({ "issuer": "https://a", "local_jwks": { "inline_string": set }, "subjects": { "exact": "x" } }),
        json!({ "issuer": "https://a", "remote_jwks": { "http_uri": { "uri": "ftp://a/" } } }),
    ] {
        let any = json!({ "requires_any": { "requirements": [{ "provider_name": "a" }, { "allow_missing": {} }] } });
        for requires in
            [json!({ "provider_name": "a" }), json!({ "provider_name": "b" }), any, json!({ "allow_missing": {} })]
        {
            let rules = json!([{ "match": { "prefix": "/" }, "requires": requires }]);
            let jwt = json!({ "providers": { "a": provider }, "rules": rules });
            let imported = import(&json!([filter("jwt", jwt.clone())]).to_string()).unwrap();
            assert!(imported.policy.contains("deny: true"), "{jwt}: {}", imported.policy);
            assert!(!imported.policy.contains("allow:") && !imported.is_exact(), "{jwt}: {}", imported.policy);
        }
    }
}

#[test]
fn names_of_others_stay_text_in_the_policy() {
    let hostile = "x\n  allow: anonymous\n# \u{2028}rules: []";
    let jwt = json!({
        "providers": { hostile: {
            "issuer": "https://a.example/#[x]:", "audiences": ["a # b: [c]", "- d"], "local_jwks": { "inline_string": "{\"keys\":[]}" },
            "claim_to_headers": [{ "header_name": "x-user", "claim_name": hostile }],
        } },
        "rules": [{ "match": { "prefix": "/" }, "requires": { "provider_name": hostile } }],
    });
    let imported = import(&json!([filter("jwt", jwt)]).to_string()).unwrap();
    imported.check().unwrap();
    assert_eq!(imported.rules, 1);
    assert!(!imported.policy.lines().any(|line| line.trim_start().starts_with("allow:")), "{}", imported.policy);
    assert!(!imported.files[0].0.contains(['/', '\\']), "{:?}", imported.files);
}

fn tollgate(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollgate")).args(arguments).current_dir(folder).output().unwrap()
}

#[test]
fn the_program_writes_what_check_accepts_and_says_how_exact_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let provider = json!({ "issuer": "https://a.example", "local_jwks": { "inline_string": "{\"keys\":[]}" } });
    let rules = |prefix: &str| json!([{ "match": { "prefix": prefix }, "requires": { "provider_name": "a" } }]);
    for (name, prefix, code) in [("exact", "/", 0), ("narrower", "/api", 1)] {
        let jwt = json!({ "providers": { "a": provider }, "rules": rules(prefix) });
        fs::write(folder.path().join("envoy.json"), json!([filter("jwt", jwt)]).to_string()).unwrap();
        let policy = format!("{name}/policy.yaml");
        fs::create_dir(folder.path().join(name)).unwrap();
        let arguments = ["import", "envoy", "envoy.json", "--out", &policy];
        let ran = tollgate(folder.path(), &arguments);
        let notes = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(code), "{notes}");
        assert!(ran.stdout.is_empty());
        assert_eq!(notes.contains("narrowed: "), code == 1, "{notes}");
        assert!(folder.path().join(name).join("a.jwks").exists());
        assert_eq!(tollgate(folder.path(), &["check", "--config", &policy]).status.code(), Some(0));
        // Nothing that is there is written over, unless it is asked for.
        let again = tollgate(folder.path(), &arguments);
        assert_eq!(again.status.code(), Some(3));
        let forced = tollgate(folder.path(), &[&arguments[..], &["--force", "--json"]].concat());
        let report: Value = serde_json::from_slice(&forced.stdout).unwrap();
        assert_eq!(report["exact"], code == 0);
        assert_eq!(report["key_files"], json!(["a.jwks"]));
    }
    fs::write(folder.path().join("bad.yaml"), "[").unwrap();
    let ran = tollgate(folder.path(), &["import", "envoy", "bad.yaml", "--out", "bad-policy.yaml"]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8(ran.stderr).unwrap().starts_with("bad.yaml:"));
    assert!(!folder.path().join("bad-policy.yaml").exists());
}

/// A client's own are removed also where nobody sets them: from other rules, and for claims that have no name here.
#[test]
fn headers_that_are_set_for_the_upstream_cannot_be_forged() {
    let provider = |issuer: &str, header: &str, claim: &str| {
        json!({ "issuer": issuer, "local_jwks": { "inline_string": "{\"keys\":[]}" },
            "claim_to_headers": [{ "header_name": header, "claim_name": claim }] })
    };
    let providers = json!({
        "used": provider("https://a", "X-User", "sub"),
        "left-out": provider("https://b", "x-team", "a..b"),
        "unused": provider("https://c", "x-tier", "tier"),
        "unsayable": { "claim_to_headers": [{ "header_name": "x-plan", "claim_name": "plan" }] },
    });
    let rules = json!([{ "match": { "prefix": "/" }, "requires": { "provider_name": "used" } }]);
    let imported =
        import(&json!([filter("jwt", json!({ "providers": providers, "rules": rules }))]).to_string()).unwrap();
    assert!(imported.policy.contains("identity_headers: [x-plan, x-team, x-tier, x-user]\n"), "{}", imported.policy);
    imported.check().unwrap();
}

/// RE2 and the gate's regular expressions differ in these.
#[test]
fn regular_expressions_that_are_read_differently_are_refused() {
    let claims = include_str!("import/claims.yaml").replace("JWKS_A", "'{\"keys\":[]}'");
    let imported = import(&claims).unwrap();
    for path in ["/word", "/class"] {
        let rule = format!("refused{}", path.replace('/', "-"));
        assert!(imported.notes.iter().any(|note| note.rules.contains(&rule)), "{rule}: {:#?}", imported.notes);
    }
}
