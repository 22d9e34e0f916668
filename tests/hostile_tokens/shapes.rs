//! The tokens that real issuers make are accepted, and say who speaks.

use std::path::Path;

use serde_json::json;
use tollgate::authn::keys::KeySet;
use tollgate::authn::spec::{Algorithm, IssuerClaim, KeySource};
use tollgate::core::principal::ClaimPath;
use tollgate::core::reason::Reason;

use crate::bench::{Bench, KID, NOW};
use crate::support::mint::Signer;

fn path(names: &[&str]) -> ClaimPath {
    ClaimPath::new(names.iter().copied()).unwrap()
}

/// Neither `kid` nor `iss`, the client in `aud`, times as strings in older releases, and the wildcard scope.
#[test]
fn laravel_passport() {
    let mut bench = Bench::new(Signer::rs256());
    bench.spec.issuer = IssuerClaim::Absent;
    bench.spec.keys = KeySource::Pem(vec!["oauth-public.key".into()]);
    bench.spec.times_in_strings = true;
    bench.spec.algorithms = vec![Algorithm::RS256];
    bench.spec.claims.client = vec![path(&["aud"])];
    bench.spec.wildcard_scope = Some("*".into());
    let pem = bench.signer.public_pem();
    bench.keys = KeySet::from_pem([(Path::new("oauth-public.key"), pem.as_bytes())]).unwrap();
    let claims = json!({
        "aud": "9", "jti": "c0ffee", "iat": format!("{NOW}.123456"), "nbf": format!("{NOW}.123456"),
        "exp": format!("{}.5", NOW + 3600), "sub": "", "scopes": ["*"],
    });
    let principal = bench.accepted(&bench.signer.sign(&json!({ "typ": "JWT", "alg": "RS256" }), &claims));
    assert_eq!((principal.client(), principal.subject()), (Some("9"), None));
    assert!(principal.has_every_scope() && principal.scopes().len() == 0);
    assert_eq!(principal.issuer_url(), None);
    // A `kid` says nothing where keys have none.
    bench.accepted(&bench.signer.sign(&json!({ "alg": "RS256", "kid": "whatever" }), &claims));
    let other = Signer::other_rs256();
    bench.refused(&other.sign(&json!({ "alg": "RS256" }), &claims), &[Reason::TokenSignature]);
}

#[test]
fn keycloak() {
    let mut bench = Bench::new(Signer::ps256());
    let iss = "https://keycloak.internal/realms/shop";
    bench.spec.issuer = IssuerClaim::Exact(iss.into());
    bench.spec.claims.roles = vec![path(&["realm_access", "roles"]), path(&["resource_access", "orders", "roles"])];
    let principal = bench.accepted(&bench.token(&json!({
        "exp": NOW + 300, "iat": NOW, "nbf": 0, "jti": "t", "iss": iss, "aud": ["orders", "account"], "typ": "Bearer",
        "sub": "2f1c7bfa-0000-4000-8000-000000000000", "azp": "shop-web", "nonce": "n", "scope": "openid profile",
        "realm_access": { "roles": ["user"] }, "resource_access": { "orders": { "roles": ["clerk"] } },
    })));
    assert_eq!(principal.client(), Some("shop-web"));
    assert!(principal.roles().eq(["user", "clerk"]));
    assert_eq!(principal.issuer_url(), Some(iss));
}

#[test]
fn auth0_with_its_trailing_slash_and_url_claims() {
    let mut bench = Bench::new(Signer::rs256());
    let iss = "https://shop.eu.auth0.com/";
    bench.spec.issuer = IssuerClaim::Exact(iss.into());
    bench.spec.claims.roles = vec![path(&["permissions"]), path(&["https://acme.com/roles"])];
    let claims = |iss: &str| {
        json!({
            "iss": iss, "sub": "auth0|123", "aud": ["https://api", "https://shop.eu.auth0.com/userinfo"], "azp": "app",
            "iat": NOW, "exp": NOW + 60, "scope": "read", "permissions": ["p"], "https://acme.com/roles": ["r"],
        })
    };
    let principal = bench.accepted(&bench.token(&claims(iss)));
    assert!(principal.roles().eq(["p", "r"]));
    bench.claims_refused(&claims(iss.trim_end_matches('/')), Reason::UnknownIssuer);
}

#[test]
fn okta_entra_and_cognito() {
    let mut bench = Bench::new(Signer::rs256());
    bench.spec.claims.client = vec![path(&["client_id"]), path(&["cid"]), path(&["appid"])];
    let token = |extra: serde_json::Value| {
        let mut claims = json!({ "iss": crate::bench::ISSUER, "sub": "s", "aud": "api", "iat": NOW, "exp": NOW + 60 });
        claims.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let header = json!({ "alg": "RS256", "kid": KID, "typ": "JWT", "x5t": "AAAA" });
        bench.accepted(&bench.signer.sign(&header, &claims))
    };
    let okta = token(json!({ "cid": "app", "scp": ["a", "b"], "ver": 1 }));
    let entra = token(json!({ "appid": "app", "scp": "a b", "ver": "1.0", "tid": "t" }));
    let cognito = token(json!({ "client_id": "app", "scope": "a b", "token_use": "access" }));
    for principal in [okta, entra, cognito] {
        assert_eq!(principal.client(), Some("app"));
        assert!(principal.scopes().eq(["a", "b"]));
    }
}

/// Its claims have names that hold dots, and its header no `typ`.
#[test]
fn kubernetes_service_accounts() {
    let mut bench = Bench::new(Signer::rs256());
    let iss = "https://kubernetes.default.svc.cluster.local";
    bench.spec.issuer = IssuerClaim::Exact(iss.into());
    bench.spec.claims.tenant = Some(path(&["kubernetes.io", "namespace"]));
    bench.spec.claims.service = Some(path(&["kubernetes.io", "serviceaccount", "name"]));
    let claims = json!({
        "aud": ["tollgate"], "exp": NOW + 3600, "iat": NOW, "nbf": NOW, "iss": iss, "sub": "system:serviceaccount:shop:orders",
        "kubernetes.io": { "namespace": "shop", "serviceaccount": { "name": "orders", "uid": "u" } },
    });
    let principal = bench.accepted(&bench.signer.sign(&json!({ "alg": "RS256", "kid": KID }), &claims));
    assert_eq!((principal.tenant(), principal.service()), (Some("shop"), Some("orders")));
}

#[test]
fn every_algorithm_there_is() {
    let rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].map(|alg| Signer::rsa(0, alg));
    let mut seen = Vec::new();
    for signer in rsa.into_iter().chain([Signer::es256(), Signer::es384(), Signer::ed25519()]) {
        let bench = Bench::new(signer);
        bench.accepted(&bench.token(&crate::bench::good_claims()));
        seen.push(bench.signer.alg());
    }
    assert_eq!(seen, Algorithm::ALL.map(Algorithm::as_str));
}
