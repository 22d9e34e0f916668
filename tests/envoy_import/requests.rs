//! Requests at, below and beside everything that a configuration names, with tokens of every kind.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::mint::Signer;

/// A request as both are asked about it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) host: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// Two issuers and what they and others sign.
pub(crate) struct Tokens {
    a: Signer,
    b: Signer,
    /// Header lines of a kind of credential each; none at all first.
    pub(crate) kinds: Vec<Vec<(String, String)>>,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        let (a, b, stranger) = (Signer::es256(), Signer::es256(), Signer::es256());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let base = |issuer: &str| json!({ "iss": issuer, "sub": "alice", "iat": now - 10, "exp": now + 3600 });
        let sign = |signer: &Signer, issuer: &str, claims: Value| {
            let mut whole = base(issuer);
            whole.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
            signer.sign(&signer.header("k"), &whole)
        };
        let of_a = |claims: Value| sign(&a, "https://a.example", claims);
        let of_b = |claims: Value| sign(&b, "https://b.example", claims);
        let bearers = [
            of_a(json!({ "aud": "orders" })),
            of_a(json!({ "aud": ["other", "x"], "role": "writer", "groups": ["staff", "x"] })),
            of_a(json!({ "aud": "orders", "role": "admin", "groups": ["guests"], "flag": true, "n": 7 })),
            of_a(json!({ "aud": "orders", "role": "suspended", "groups": ["staff"], "realm": { "roles": ["boss"] } })),
            of_a(json!({ "aud": "orders", "role": "WRITER", "groups": "staff", "flag": "true", "n": "7" })),
            of_a(json!({ "aud": "nobody", "role": "admin" })),
            of_a(json!({ "role": ["writer"], "n": 8, "flag": false })),
            of_a(json!({ "aud": "orders", "exp": now - 1000 })),
            of_a(json!({ "aud": "orders", "nbf": now + 1000 })),
            of_b(json!({ "aud": "orders", "role": "writer" })),
            of_b(json!({ "aud": ["other"], "role": "admin", "groups": ["staff"] })),
            sign(&a, "https://b.example", json!({ "aud": "orders" })),
            sign(&stranger, "https://c.example", json!({ "aud": "orders" })),
            sign(&stranger, "https://a.example", json!({ "aud": "orders" })),
            "a.b.c".to_owned(),
        ];
        let bearer = |token: &String| ("authorization".to_owned(), format!("Bearer {token}"));
        let own = |token: &String| ("x-token".to_owned(), token.clone());
        let mut kinds = vec![Vec::new()];
        kinds.extend(bearers.iter().map(|token| vec![bearer(token)]));
        kinds.push(vec![own(&bearers[9])]);
        kinds.push(vec![own(&bearers[10])]);
        kinds.push(vec![own(&bearers[0])]);
        kinds.push(vec![bearer(&bearers[0]), own(&bearers[9])]);
        kinds.push(vec![bearer(&bearers[3]), own(&bearers[10])]);
        kinds.push(vec![bearer(&bearers[0]), own(&bearers[14])]);
        Self { a, b, kinds }
    }

    /// Puts the issuers' keys where a configuration says `JWKS_A` and `JWKS_B`.
    pub(crate) fn fill(&self, mut filters: Value) -> Value {
        let set = |signer: &Signer| json!({ "keys": [signer.jwk("k")] }).to_string();
        each_text(&mut filters, &mut |text| match text.as_str() {
            "JWKS_A" => *text = set(&self.a),
            "JWKS_B" => *text = set(&self.b),
            _ => {}
        });
        filters
    }
}

fn each_text(value: &mut Value, visit: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, visit)),
        Value::Object(map) => map.values_mut().for_each(|item| each_text(item, visit)),
        _ => {}
    }
}

/// Every path near one that the configuration names, with the methods, hosts and headers that it names and others.
pub(crate) fn requests(filters: &Value, tokens: &Tokens) -> Vec<Request> {
    let mut texts = BTreeSet::new();
    each_text(&mut filters.clone(), &mut |text| {
        texts.insert(text.clone());
    });
    let mut paths = BTreeSet::from(["/".to_owned(), "/x".to_owned()]);
    for text in texts.iter().filter(|text| text.starts_with('/')) {
        let base = text.split('(').next().unwrap().trim_end_matches('/');
        for end in ["", "/", "/x", "/x.key", "x", "/?q=1"] {
            paths.insert(format!("{base}{end}"));
        }
        paths.insert(format!("{base}?q=1"));
    }
    paths.retain(|path| path.starts_with('/'));
    let named = |word: &str| texts.iter().any(|text| text.split('|').any(|part| part == word));
    let methods: Vec<&str> = ["GET", "POST", "PUT", "DELETE"]
        .into_iter()
        .filter(|method| *method == "GET" || *method == "DELETE" || named(method))
        .collect();
    let hosts: Vec<&str> = if texts.contains("shop.example") {
        vec![
            "shop.example",
            "shop.example:8080",
            "SHOP.example",
            "a.api.example",
            "api.example",
            "a.api.example:80",
            "xshop.example",
        ]
    } else {
        vec!["any.example"]
    };
    let mut made = Vec::new();
    let with_tokens = texts.iter().any(|text| text.contains("JwtAuthentication"));
    let kinds = if with_tokens { &tokens.kinds[..] } else { &tokens.kinds[..2] };
    for path in &paths {
        for host in &hosts {
            for method in &methods {
                for headers in kinds {
                    made.push(Request {
                        host: (*host).to_owned(),
                        method: (*method).to_owned(),
                        path: path.clone(),
                        headers: headers.clone(),
                    });
                }
            }
            let other = [("x-test", "1"), ("x-odd", "1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
            let preflight = [("origin", "https://app.example"), ("access-control-request-method", "GET")];
            let preflight = preflight.map(|(name, value)| (name.to_owned(), value.to_owned()));
            for (method, headers) in [("GET", other.to_vec()), ("OPTIONS", preflight.to_vec()), ("OPTIONS", Vec::new())]
            {
                made.push(Request { host: (*host).to_owned(), method: method.to_owned(), path: path.clone(), headers });
            }
        }
    }
    made
}
