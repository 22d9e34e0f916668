//! What is written and shipped for Keycloak fits together: it is run against a real one elsewhere (`make test-idp`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/markdown.rs"]
mod markdown;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tollgate::config;

/// The blocks of a document with this after the opening fence.
fn blocks(document: &str, info: &str) -> Vec<String> {
    markdown::blocks(document).into_iter().filter(|(kind, _)| kind == info).map(|(_, text)| text).collect()
}

/// Loads a policy whose secrets are in a folder that is there.
fn load(policy: &str, shown: &str) -> config::Config {
    let directory = tempfile::tempdir().unwrap();
    let mut policy = policy.to_owned();
    for place in policy.clone().split_whitespace().filter_map(|word| {
        word.trim_end_matches(',')
            .strip_prefix('/')
            .filter(|path| path.ends_with("client-secret") || path.starts_with("secrets/"))
    }) {
        let file = directory.path().join(place);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "not-a-secret\n").unwrap();
        policy = policy.replace(&format!(" /{place}"), &format!(" {}", file.display()));
    }
    config::load_from(&policy, directory.path(), Path::new(shown)).unwrap_or_else(|errors| panic!("{errors}\n{policy}"))
}

fn realm() -> Value {
    serde_json::from_str(&fs::read_to_string("examples/keycloak/realm.json").unwrap()).unwrap()
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().into_iter().flatten()
}

#[test]
fn the_whole_policies_of_the_document_load() {
    let document = fs::read_to_string("docs/keycloak.md").unwrap();
    let policies = blocks(&document, "yaml file");
    assert_eq!(policies.len(), 3);
    for policy in policies {
        load(&policy, "docs/keycloak.md");
    }
    let part = blocks(&document, "yaml");
    assert!(part.iter().all(|part| part.starts_with("client: ")), "a part that no test loads: {part:?}");
}

#[test]
fn the_objects_of_the_document_are_those_of_the_realm() {
    let document = fs::read_to_string("docs/keycloak.md").unwrap();
    let objects: Vec<Value> =
        blocks(&document, "json").iter().map(|text| serde_json::from_str(text).expect(text)).collect();
    assert_eq!(objects.len(), 2);
    let realm = realm();
    for object in &objects {
        let (items, key) =
            if object.get("clientId").is_some() { ("clients", "clientId") } else { ("clientScopes", "name") };
        let shipped = list(&realm, items).find(|item| item[key] == object[key]).unwrap();
        for (name, value) in object.as_object().unwrap() {
            // The realm's own default scopes are those of `realm.json`; the document's are Keycloak's.
            if name != "defaultClientScopes" {
                assert_eq!(&shipped[name], value, "{name}");
            }
        }
    }
}

#[test]
fn the_shipped_policies_load_and_ask_for_what_the_realm_has() {
    let realm = realm();
    let scopes: BTreeSet<&str> = list(&realm, "clientScopes").map(|scope| scope["name"].as_str().unwrap()).collect();
    let client = |name: &Value| list(&realm, "clients").find(|client| client["clientId"] == *name).unwrap();
    for client in list(&realm, "clients") {
        for kind in ["defaultClientScopes", "optionalClientScopes"] {
            assert!(list(client, kind).all(|scope| scopes.contains(scope.as_str().unwrap())), "{client:#}");
        }
        let secret = client["secret"].as_str().unwrap_or("not-a-secret");
        assert!(secret.starts_with("not-a-secret"), "nobody may take these for secrets");
    }
    let mut obtained = 0;
    for service in ["service-a", "service-b", "service-c"] {
        let path = format!("examples/keycloak/{service}.yaml");
        let text = fs::read_to_string(&path).unwrap();
        load(&text, &path);
        let policy: Value = serde_saphyr::from_str(&text).unwrap();
        for (name, token) in policy["tokens"].as_object().into_iter().flatten() {
            obtained += 1;
            let grant = token.as_object().unwrap().values().next().unwrap();
            let asks = client(&grant["client"]["id"]);
            for scope in list(grant, "scopes") {
                assert!(list(asks, "optionalClientScopes").any(|known| known == scope), "{path}, {name}: {scope}");
            }
            if let Some(audience) = grant.get("audience") {
                client(audience);
                assert_eq!(asks["attributes"]["standard.token.exchange.enabled"], "true", "{path}, {name}");
            }
        }
    }
    assert_eq!(obtained, 4);
}

/// What is fetched is what was looked at: a hash for everything, and no place to fetch it from.
#[test]
fn the_packages_for_the_tests_are_pinned_by_their_hashes() {
    let lock: Value = serde_json::from_str(&fs::read_to_string("tests/idp/opaque/package-lock.json").unwrap()).unwrap();
    let packages = lock["packages"].as_object().unwrap();
    assert!(packages.contains_key("node_modules/oidc-provider"));
    for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
        assert!(package["integrity"].as_str().is_some_and(|hash| hash.starts_with("sha512-")), "{name}");
        assert!(package.get("resolved").is_none(), "{name}");
    }
    let pin = fs::read_to_string(".ci/keycloak.txt").unwrap();
    let pins: Vec<&str> = pin.lines().filter(|line| !line.starts_with('#')).collect();
    let [pin] = pins.as_slice() else { panic!("{pins:?}") };
    let (version, hash) = pin.split_once(' ').unwrap();
    assert!(
        version.split('.').count() == 3 && hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit()),
        "{pin}"
    );
    let series = version.rsplit_once('.').unwrap().0;
    assert!(fs::read_to_string("docs/keycloak.md").unwrap().contains(&format!("Keycloak {series}")), "{series}");
}
