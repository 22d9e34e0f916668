//! Filters made at random, the same for each seed.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

const PATHS: [&str; 8] = ["/", "/a", "/a/", "/a/b", "/a/b/", "/c/", "/c/d", "/a/b/c/"];

/// One or two filters of each kind, in their usual order.
pub(crate) fn random(seed: u64) -> Value {
    let mut random = StdRng::seed_from_u64(seed);
    let mut filters = Vec::new();
    if random.random_bool(0.9) {
        filters.push(jwt(&mut random));
    }
    for _ in 0..random.random_range(0..3) {
        filters.push(rbac(&mut random));
    }
    if filters.is_empty() {
        filters.push(jwt(&mut random));
    }
    filters.into()
}

fn jwt(random: &mut StdRng) -> Value {
    let header = if random.random_bool(0.3) { json!([{ "name": "x-token" }]) } else { json!([]) };
    let audiences = if random.random_bool(0.5) { json!(["orders", "other"]) } else { json!([]) };
    let rules: Vec<Value> = (0..random.random_range(1..5))
        .map(|_| {
            let kind = *["prefix", "path", "path_separated_prefix"].choose(random).unwrap();
            let path = *PATHS.choose(random).unwrap();
            let path = if kind == "path_separated_prefix" { path.trim_end_matches('/') } else { path };
            let (kind, path) = if path.is_empty() { ("prefix", "/") } else { (kind, path) };
            let mut rule = json!({ "match": { kind: path } });
            if random.random_bool(0.2) {
                rule["match"]["headers"] = json!([{ "name": "x-test", "present_match": true }]);
            }
            if random.random_bool(0.85) {
                rule["requires"] = requirement(random, 2);
            }
            rule
        })
        .collect();
    json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {
                "a": { "issuer": "https://a.example", "audiences": audiences, "local_jwks": { "inline_string": "JWKS_A" }, "payload_in_metadata": "a" },
                "b": { "issuer": "https://b.example", "local_jwks": { "inline_string": "JWKS_B" }, "payload_in_metadata": "b", "from_headers": header },
            },
            "rules": rules,
        },
    })
}

fn requirement(random: &mut StdRng, depth: usize) -> Value {
    match random.random_range(0..if depth == 0 { 3 } else { 8 }) {
        0 => json!({ "provider_name": "a" }),
        1 => json!({ "provider_name": "b" }),
        2 => json!({ "provider_and_audiences": { "provider_name": "a", "audiences": ["orders"] } }),
        3 => json!({ "allow_missing": {} }),
        4 => json!({ "allow_missing_or_failed": {} }),
        5 => json!({ "requires_all": { "requirements": [requirement(random, 0), requirement(random, 0)] } }),
        _ => {
            let mut parts = vec![requirement(random, 0), requirement(random, depth - 1)];
            if random.random_bool(0.4) {
                parts.push(json!({ "allow_missing": {} }));
            }
            json!({ "requires_any": { "requirements": parts } })
        }
    }
}

fn rbac(random: &mut StdRng) -> Value {
    let policies: serde_json::Map<String, Value> = (0..random.random_range(1..4))
        .map(|index| {
            let policy = json!({ "permissions": [permission(random, 2)], "principals": [principal(random, 2)] });
            (format!("policy-{index}"), policy)
        })
        .collect();
    let action = if random.random_bool(0.5) { "ALLOW" } else { "DENY" };
    json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": { "action": action, "policies": policies },
        },
    })
}

fn permission(random: &mut StdRng, depth: usize) -> Value {
    let path = *PATHS.choose(random).unwrap();
    match random.random_range(0..if depth == 0 { 5 } else { 8 }) {
        0 => json!({ "any": true }),
        1 => json!({ "url_path": { "path": { "exact": path } } }),
        2 | 3 => json!({ "url_path": { "path": { "prefix": path } } }),
        4 => {
            json!({ "header": { "name": ":method", "string_match": { "exact": *["GET", "POST"].choose(random).unwrap() } } })
        }
        5 => json!({ "not_rule": permission(random, depth - 1) }),
        6 => json!({ "and_rules": { "rules": [permission(random, depth - 1), permission(random, depth - 1)] } }),
        _ => json!({ "or_rules": { "rules": [permission(random, depth - 1), permission(random, depth - 1)] } }),
    }
}

fn principal(random: &mut StdRng, depth: usize) -> Value {
    let key = *["a", "a", "b"].choose(random).unwrap();
    let claim = |name: &str, value: Value| {
        json!({ "metadata": {
            "filter": "envoy.filters.http.jwt_authn", "path": [{ "key": key }, { "key": name }], "value": value,
        } })
    };
    match random.random_range(0..if depth == 0 { 5 } else { 8 }) {
        0 | 1 => json!({ "any": true }),
        2 => claim("role", json!({ "string_match": { "exact": *["writer", "admin"].choose(random).unwrap() } })),
        3 => claim("groups", json!({ "list_match": { "one_of": { "string_match": { "exact": "staff" } } } })),
        4 => claim("role", json!({ "present_match": true })),
        5 => json!({ "not_id": principal(random, depth - 1) }),
        6 => json!({ "and_ids": { "ids": [principal(random, depth - 1), principal(random, depth - 1)] } }),
        _ => json!({ "or_ids": { "ids": [principal(random, depth - 1), principal(random, depth - 1)] } }),
    }
}
