//! F. Claims: time, issuer, audience, subject, scope. What rules ask of audiences and scopes (rows 92, 94, 96 and 98) is
//! judged here as rules do it, from the principal.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate::clock::Timestamp;
use tollgate::core::principal::ClaimPath;
use tollgate::core::principal::Principal;
use tollgate::core::reason::Reason;
use tollgate::core::rule::AnyAll;

use crate::bench::{Bench, ISSUER, KID, NOW, claims_with, good_claims};
use crate::support::mint::Signer;

/// A token whose claim `name` is this JSON text.
fn with_number(bench: &Bench, name: &str, text: &str) -> String {
    let mut claims = claims_with(&json!({ name: null }));
    claims[name] = json!("@@");
    let payload = claims.to_string().replace("\"@@\"", text);
    bench.signer.sign_raw(bench.signer.header(KID).to_string().as_bytes(), payload.as_bytes())
}

/// A token whose claim `name` is null: [`claims_with`] would leave it out.
fn with_null(bench: &Bench, name: &str) -> String {
    with_number(bench, name, "null")
}

/// Whether a rule that wants this audience is satisfied.
fn is_for(principal: &Principal, audience: &str) -> bool {
    let wanted = AnyAll { any: vec![audience.into()], all: Vec::new() };
    wanted.holds(|name| principal.audience().any(|one| one == name))
}

#[test]
fn row_079_exp_missing() {
    let bench = Bench::quick();
    bench.claims_refused(&claims_with(&json!({ "exp": null })), Reason::TokenClaims);
}

#[test]
fn row_080_exp_of_another_type() {
    let mut bench = Bench::quick();
    let text = bench.token(&claims_with(&json!({ "exp": (NOW + 300).to_string() })));
    bench.refused(&text, &[Reason::TokenClaims]);
    bench.refused(&with_null(&bench, "exp"), &[Reason::TokenClaims]);
    for exp in [json!(true), json!([NOW + 300]), json!({ "n": NOW + 300 }), json!("tomorrow")] {
        bench.claims_refused(&claims_with(&json!({ "exp": exp })), Reason::TokenClaims);
    }
    bench.spec.times_in_strings = true;
    bench.accepted(&text);
    bench.accepted(&bench.token(&claims_with(&json!({ "exp": format!("{}.123456", NOW + 300) }))));
    for exp in ["", "never", "1e12", "-1", "0x7fffffff", "99999999999999999999", " 1900000000"] {
        bench.claims_refused(&claims_with(&json!({ "exp": exp })), Reason::TokenClaims);
    }
    bench.claims_refused(&claims_with(&json!({ "exp": (NOW - 300).to_string() })), Reason::TokenExpired);
}

#[test]
fn row_081_exp_zero() {
    let mut bench = Bench::quick();
    for text in ["0", "0.0", "-0", "0e5"] {
        bench.refused(&with_number(&bench, "exp", text), &[Reason::TokenClaims]);
    }
    bench.spec.times_in_strings = true;
    bench.claims_refused(&claims_with(&json!({ "exp": "0" })), Reason::TokenClaims);
}

#[test]
fn row_082_exp_out_of_range() {
    let bench = Bench::quick();
    let refused: &[Reason] = &[Reason::TokenClaims, Reason::TokenMalformed];
    for text in [
        "-1",
        "-0.5",
        "1e400",
        "-1e400",
        "2.001e206",
        "NaN",
        "Infinity",
        "18446744073709551616",
        "18446744073709551615",
        "9223372036854775808",
        "9223372036854775807",
        "-9223372036854775808",
        "1e300",
        "1.7976931348623157e308",
    ] {
        bench.refused(&with_number(&bench, "exp", text), refused);
    }
}

#[test]
fn row_083_exp_with_a_fraction() {
    let bench = Bench::quick();
    let token = with_number(&bench, "exp", &format!("{}.5", NOW + 10));
    let principal = bench.accepted(&token);
    assert_eq!(principal.expires_at(), Timestamp::from_unix_millis((NOW + 10) * 1000 + 500));
    let last = Timestamp::from_unix_millis((NOW + 40) * 1000 + 499);
    assert!(bench.validate_at(&token, last).is_ok());
    let over = Timestamp::from_unix_millis((NOW + 40) * 1000 + 500);
    assert_eq!(bench.validate_at(&token, over).unwrap_err().reason, Reason::TokenExpired);
}

#[test]
fn row_084_far_futures_and_long_lives() {
    let mut bench = Bench::quick();
    // A time that no calendar has is refused in any case.
    bench.refused(&with_number(&bench, "exp", "292277026596"), &[Reason::TokenClaims]);
    bench.spec.max_lifetime = Some(Duration::from_secs(3600));
    bench.refused(&with_number(&bench, "exp", "292277026596"), &[Reason::TokenClaims]);
    let life = |iat: Value, exp: i64| claims_with(&json!({ "iat": iat, "exp": exp }));
    bench.accepted(&bench.token(&life(json!(NOW - 10), NOW - 10 + 3600)));
    bench.claims_refused(&life(json!(NOW - 10), NOW - 10 + 3601), Reason::TokenLifetime);
    bench.claims_refused(&life(json!(NOW - 10), 253_402_300_799), Reason::TokenLifetime);
    bench.claims_refused(&life(json!(0), NOW + 10), Reason::TokenLifetime);
    // Without `iat` the rest of its life counts.
    bench.accepted(&bench.token(&life(json!(null), NOW + 3600)));
    bench.claims_refused(&life(json!(null), NOW + 3601), Reason::TokenLifetime);
    bench.spec.max_lifetime = None;
    bench.accepted(&bench.token(&life(json!(NOW - 10), 253_402_300_799)));
}

#[test]
fn row_085_the_edge_of_the_leeway() {
    let bench = Bench::quick();
    bench.claims_refused(&claims_with(&json!({ "exp": NOW - 31 })), Reason::TokenExpired);
    bench.claims_refused(&claims_with(&json!({ "exp": NOW - 30 })), Reason::TokenExpired);
    bench.accepted(&bench.token(&claims_with(&json!({ "exp": NOW - 29 }))));
}

#[test]
fn row_086_nbf() {
    let mut bench = Bench::quick();
    for nbf in [NOW + 31, NOW + 3600, 253_402_300_799] {
        bench.claims_refused(&claims_with(&json!({ "nbf": nbf })), Reason::TokenNotYetValid);
    }
    for nbf in [json!(i64::MAX), json!((NOW + 3600).to_string()), json!("0"), json!(true), json!(-1), json!([0])] {
        bench.claims_refused(&claims_with(&json!({ "nbf": nbf })), Reason::TokenClaims);
    }
    bench.refused(&with_null(&bench, "nbf"), &[Reason::TokenClaims]);
    for nbf in [0, NOW - 1, NOW, NOW + 30] {
        bench.accepted(&bench.token(&claims_with(&json!({ "nbf": nbf }))));
    }
    bench.spec.times_in_strings = true;
    bench.claims_refused(&claims_with(&json!({ "nbf": (NOW + 3600).to_string() })), Reason::TokenNotYetValid);
}

#[test]
fn row_087_iat_in_the_future() {
    let bench = Bench::quick();
    for iat in [NOW + 31, NOW + 3600] {
        bench.claims_refused(&claims_with(&json!({ "iat": iat })), Reason::TokenIssuedInFuture);
    }
    bench.accepted(&bench.token(&claims_with(&json!({ "iat": NOW + 30 }))));
    bench.accepted(&bench.token(&claims_with(&json!({ "iat": null }))));
    for iat in [json!("1"), json!(true), json!(i64::MAX)] {
        bench.claims_refused(&claims_with(&json!({ "iat": iat })), Reason::TokenClaims);
    }
}

#[test]
fn row_089_issuers_that_are_not_this_one() {
    let bench = Bench::quick();
    bench.claims_refused(&claims_with(&json!({ "iss": null })), Reason::UnknownIssuer);
    for iss in [json!(1), json!(true), json!({ "iss": ISSUER })] {
        bench.claims_refused(&claims_with(&json!({ "iss": iss })), Reason::TokenClaims);
    }
    bench.refused(&with_null(&bench, "iss"), &[Reason::TokenClaims]);
    for iss in [
        "",
        "https://other.example",
        "HTTPS://ISSUER.EXAMPLE/REALMS/SHOP",
        "https://issuer.example/realms/shop/",
        "https://issuer.example/realms/shop ",
        "https://issuer.example/realms/shop\0",
        "https://issuer.example:443/realms/shop",
        "https://issuer.example/realms/shop?",
        "https://issuer.example/realms/%73hop",
        "https://issuer.example/realms",
        "http://issuer.example/realms/shop",
        "https://issuer.example\\/realms/shop",
    ] {
        bench.claims_refused(&claims_with(&json!({ "iss": iss })), Reason::UnknownIssuer);
    }
}

#[test]
fn row_089_an_issuer_without_iss_takes_only_tokens_without() {
    let mut bench = Bench::quick();
    bench.spec.issuer = tollgate::authn::spec::IssuerClaim::Absent;
    bench.accepted(&bench.token(&claims_with(&json!({ "iss": null }))));
    bench.claims_refused(&good_claims(), Reason::UnknownIssuer);
    bench.claims_refused(&claims_with(&json!({ "iss": "" })), Reason::UnknownIssuer);
    bench.refused(&with_null(&bench, "iss"), &[Reason::TokenClaims]);
}

#[test]
fn row_090_lists_of_issuers() {
    let bench = Bench::quick();
    for iss in [json!([ISSUER]), json!([ISSUER, "https://other.example"]), json!([])] {
        bench.claims_refused(&claims_with(&json!({ "iss": iss })), Reason::TokenClaims);
    }
}

/// The same over two running issuers is with the credentials.
#[test]
fn row_091_a_key_of_another_issuer() {
    let bench = Bench::quick();
    let other = Signer::ed25519();
    bench.refused(&other.sign(&other.header(KID), &good_claims()), &[Reason::TokenSignature]);
    bench.refused(&other.sign(&other.header("other"), &good_claims()), &[Reason::UnknownKey]);
}

#[test]
fn row_092_aud_missing_is_no_audience() {
    let mut bench = Bench::quick();
    let claims = claims_with(&json!({ "aud": null }));
    let principal = bench.accepted(&bench.token(&claims));
    assert!(principal.audience().len() == 0 && !is_for(&principal, "orders") && !is_for(&principal, ""));
    bench.spec.rfc9068 = true;
    let token = bench.signer.sign(&json!({ "alg": "EdDSA", "kid": KID, "typ": "at+jwt" }), &claims);
    bench.refused(&token, &[Reason::TokenClaims]);
}

#[test]
fn row_093_aud_of_another_type() {
    let bench = Bench::quick();
    for aud in [
        json!(1),
        json!(true),
        json!({ "orders": true }),
        json!(["orders", 1]),
        json!(["orders", null]),
        json!([["orders"]]),
    ] {
        bench.claims_refused(&claims_with(&json!({ "aud": aud })), Reason::TokenClaims);
    }
    bench.refused(&with_null(&bench, "aud"), &[Reason::TokenClaims]);
}

#[test]
fn row_094_audiences_are_taken_as_they_are() {
    let bench = Bench::quick();
    for (aud, want) in [
        (json!("orders,billing"), vec!["orders,billing"]),
        (json!("orders billing"), vec!["orders billing"]),
        (json!("*"), vec!["*"]),
        (json!("ORDERS"), vec!["ORDERS"]),
        (json!("orders-api"), vec!["orders-api"]),
        (json!([]), vec![]),
        (json!(""), vec![]),
        (json!([""]), vec![]),
    ] {
        let principal = bench.accepted(&bench.token(&claims_with(&json!({ "aud": aud }))));
        assert!(principal.audience().eq(want), "{aud}");
        assert!(!is_for(&principal, "orders"), "{aud}");
    }
}

#[test]
fn row_095_aud_with_ours_among_others() {
    let bench = Bench::quick();
    let principal = bench.accepted(&bench.token(&claims_with(&json!({ "aud": ["billing", "orders"] }))));
    assert!(principal.audience().eq(["billing", "orders"]));
    assert!(is_for(&principal, "orders"));
}

#[test]
fn row_096_a_right_token_for_another_audience() {
    let bench = Bench::quick();
    let principal = bench.accepted(&bench.token(&good_claims()));
    assert!(is_for(&principal, "orders") && !is_for(&principal, "billing") && !is_for(&principal, "order"));
    let reason = Reason::WrongAudience;
    assert_eq!((reason.http_status(), reason.code()), (401, "wrong_audience"));
}

#[test]
fn row_097_sub() {
    let mut bench = Bench::quick();
    for sub in [json!(42), json!(true), json!(["user-1"]), json!({})] {
        bench.claims_refused(&claims_with(&json!({ "sub": sub })), Reason::TokenClaims);
    }
    bench.refused(&with_null(&bench, "sub"), &[Reason::TokenClaims]);
    for sub in [json!(""), json!(null)] {
        assert_eq!(bench.accepted(&bench.token(&claims_with(&json!({ "sub": sub })))).subject(), None);
    }
    bench.spec.rfc9068 = true;
    for sub in [json!(""), json!(null)] {
        let header = json!({ "alg": "EdDSA", "kid": KID, "typ": "at+jwt" });
        bench.refused(&bench.signer.sign(&header, &claims_with(&json!({ "sub": sub }))), &[Reason::TokenClaims]);
    }
}

#[test]
fn row_098_and_099_scopes() {
    let bench = Bench::quick();
    for (claims, want) in [
        (json!({ "scope": "a b" }), vec!["a", "b"]),
        (json!({ "scope": "a" }), vec!["a"]),
        (json!({ "scope": ["a", "b"] }), vec!["a", "b"]),
        (json!({ "scope": null, "scp": ["a", "b"] }), vec!["a", "b"]),
        (json!({ "scope": null, "scp": "a b" }), vec!["a", "b"]),
        (json!({ "scope": null, "scopes": ["a"] }), vec!["a"]),
        (json!({ "scope": "a", "scp": ["b"] }), vec!["a"]),
        (json!({ "scope": null }), vec![]),
        (json!({ "scope": "" }), vec![]),
        (json!({ "scope": [] }), vec![]),
        (json!({ "scope": "a  b" }), vec![]),
        (json!({ "scope": " a" }), vec![]),
        (json!({ "scope": "a\tb" }), vec![]),
        (json!({ "scope": "a\nb" }), vec![]),
        (json!({ "scope": "a\u{a0}b" }), vec![]),
        (json!({ "scope": ["a b"] }), vec![]),
        (json!({ "scope": ["a", 1] }), vec![]),
        (json!({ "scope": 7 }), vec![]),
        (json!({ "scope": { "a": true } }), vec![]),
        (json!({ "scope": true, "scp": "a" }), vec![]),
        (json!({ "scope": "*" }), vec![]),
        (json!({ "scope": ["*", "a"] }), vec!["a"]),
    ] {
        let principal = bench.accepted(&bench.token(&claims_with(&claims)));
        assert!(principal.scopes().eq(want), "{claims}");
        assert!(!principal.has_every_scope() && !principal.grants("admin"), "{claims}");
    }
}

#[test]
fn row_098_the_wildcard_where_it_is_configured() {
    let mut bench = Bench::quick();
    bench.spec.wildcard_scope = Some("*".into());
    for claims in [json!({ "scope": "*" }), json!({ "scope": ["a", "*"] }), json!({ "scope": "a *" })] {
        let principal = bench.accepted(&bench.token(&claims_with(&claims)));
        assert!(principal.has_every_scope() && principal.grants("anything"), "{claims}");
        assert!(!principal.scopes().any(|name| name == "*"), "{claims}");
    }
    for claims in [json!({ "scope": "a:*" }), json!({ "scope": "**" }), json!({ "scope": ["* a"] })] {
        assert!(!bench.accepted(&bench.token(&claims_with(&claims))).has_every_scope(), "{claims}");
    }
}

#[test]
fn row_100_claim_names_that_are_urls_or_hold_dots() {
    let mut bench = Bench::quick();
    let whole = ClaimPath::new(["https://acme.example/roles.v1"]).unwrap();
    bench.spec.claims.roles = vec![whole.clone(), ClaimPath::dotted("realm_access.roles").unwrap()];
    bench.spec.claims.extra = vec![("roles".into(), whole), ("dotted".into(), ClaimPath::new(["a.b"]).unwrap())];
    let principal = bench.accepted(&bench.token(&claims_with(&json!({
        "https://acme.example/roles.v1": ["admin"],
        "https://acme": { "example/roles": { "v1": ["forged"] } },
        "realm_access": { "roles": ["user"] },
        "realm_access.roles": ["forged"],
        "a": { "b": "nested" },
    }))));
    assert!(principal.roles().eq(["admin", "user"]));
    assert!(principal.all_mapped().eq([("roles", &json!(["admin"]))]));
}

#[test]
fn row_103_payloads_that_are_not_claims() {
    let bench = Bench::quick();
    let header = bench.signer.header(KID).to_string();
    for payload in ["[]", "\"claims\"", "7", "null", "true", " ", "[{}]"] {
        let token = bench.signer.sign_raw(header.as_bytes(), payload.as_bytes());
        bench.refused(&token, &[Reason::TokenMalformed]);
    }
    bench.refused(&bench.signer.sign_raw(header.as_bytes(), b""), &[Reason::TokenMalformed]);
    bench.refused(&bench.signer.sign_raw(header.as_bytes(), b"{}"), &[Reason::UnknownIssuer]);
}

#[test]
fn every_claim_of_rfc_9068_is_required_where_the_profile_is() {
    let mut bench = Bench::quick();
    bench.spec.rfc9068 = true;
    let header = json!({ "alg": "EdDSA", "kid": KID, "typ": "at+jwt" });
    bench.accepted(&bench.signer.sign(&header, &good_claims()));
    for name in ["exp", "aud", "sub", "client_id", "iat", "jti"] {
        bench.refused(&bench.signer.sign(&header, &claims_with(&json!({ name: null }))), &[Reason::TokenClaims]);
    }
    bench.refused(&bench.signer.sign(&header, &claims_with(&json!({ "iss": null }))), &[Reason::UnknownIssuer]);
    for change in [json!({ "client_id": 1 }), json!({ "jti": 7 }), json!({ "client_id": "" })] {
        bench.refused(&bench.signer.sign(&header, &claims_with(&change)), &[Reason::TokenClaims]);
    }
}

/// Signatures are the last thing looked at: cheap checks come first, so that a hopeless token costs little.
#[test]
fn row_222_what_a_forged_token_is_told() {
    let bench = Bench::quick();
    let forger = Signer::ed25519();
    let forged = |claims: &Value| forger.sign(&forger.header(KID), claims);
    bench.refused(&forged(&good_claims()), &[Reason::TokenSignature]);
    bench.refused(&forged(&claims_with(&json!({ "exp": NOW - 300 }))), &[Reason::TokenExpired]);
}

#[test]
fn mapped_claims_that_are_empty_or_of_another_type_are_absent() {
    let mut bench = Bench::quick();
    bench.spec.claims.client = vec![ClaimPath::dotted("client").unwrap()];
    bench.spec.claims.service = ClaimPath::dotted("service");
    bench.spec.claims.tenant = ClaimPath::dotted("org.id");
    bench.spec.claims.roles = vec![ClaimPath::dotted("roles").unwrap()];
    bench.spec.claims.extra = vec![("plan".into(), ClaimPath::dotted("plan").unwrap())];
    for odd in [json!(""), json!(7), json!(true), json!({}), json!([]), json!([""]), json!(["a", "b"]), json!([1])] {
        let claims = json!({ "client": odd, "service": odd, "org": { "id": odd }, "plan": odd });
        let principal = bench.accepted(&bench.token(&claims_with(&claims)));
        assert_eq!((principal.client(), principal.service(), principal.tenant()), (None, None, None), "{odd}");
        // Templates decide what becomes of an odd value: it is handed on as it is.
        assert!(principal.all_mapped().eq([("plan", &odd)]));
    }
    for (roles, want) in [(json!(["a", "", "b"]), 2), (json!("a"), 0), (json!(["a", 1]), 0), (json!({ "a": true }), 0)]
    {
        assert_eq!(
            bench.accepted(&bench.token(&claims_with(&json!({ "roles": roles })))).roles().len(),
            want,
            "{roles}"
        );
    }
    let principal =
        bench.accepted(&bench.token(&claims_with(&json!({ "client": ["one"], "service": "s", "org": { "id": "o" } }))));
    assert_eq!((principal.client(), principal.service(), principal.tenant()), (Some("one"), Some("s"), Some("o")));
}

#[test]
fn details_say_what_was_seen_and_wanted() {
    let bench = Bench::quick();
    let detail = |token: &str| bench.validate(token).unwrap_err().detail;
    for (token, parts) in [
        (bench.token(&claims_with(&json!({ "exp": NOW - 31 }))), vec!["1799999969.000s", "1800000000.000s", "30s"]),
        (bench.token(&claims_with(&json!({ "iss": "https://x" }))), vec!["`https://x`", ISSUER]),
        (bench.with_header(&json!({ "alg": "HS256" })), vec!["`HS256`", "RS256, RS384"]),
        (
            bench.with_header(&json!({ "alg": "EdDSA", "kid": KID, "typ": "logout+jwt" })),
            vec!["`logout+jwt`", "`at+jwt`"],
        ),
        (bench.with_header(&json!({ "alg": "EdDSA", "kid": "other" })), vec!["`other`", "keys: 1"]),
    ] {
        let detail = detail(&token);
        assert!(parts.iter().all(|part| detail.contains(part)), "{detail}");
    }
}
