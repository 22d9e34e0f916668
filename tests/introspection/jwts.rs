//! JWTs whose issuer is asked as well: so that log-out bites, and so that tokens which say little are enough.

use serde_json::{Value, json};
use tollgate::core::reason::Reason;

use crate::fixture::{Gate, ISSUER, Idp, NOW, Named, active, claims, inactive};
use crate::support::mint::Signer;
use crate::wait::eventually;

#[tokio::test]
async fn row_168_a_log_out_ends_a_token_that_is_still_signed_and_valid() {
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named { introspection: "jwts: true, cache: { active: 10s }", ..Named::jwts(&idp) }]).await;
    let jwt = gate.jwt(&claims(&json!({})));
    idp.says(&jwt, active(&json!({})));
    assert_eq!(gate.ask(&jwt).await, Reason::Allowed);
    assert_eq!(gate.ask(&jwt).await, Reason::Allowed);
    assert_eq!(idp.asked(), 1);
    idp.says(&jwt, inactive());
    gate.advance(10);
    assert_eq!(gate.ask(&jwt).await, Reason::TokenInactive);
    assert_eq!(gate.events.take(), ["hit false", "active", "hit true", "hit false", "inactive"]);
}

#[tokio::test]
async fn jwts_are_not_introspected_unless_the_issuer_says_so() {
    let idp = Idp::start().await;
    let issuer = "tokens: both\nkeys: { jwks_file: jwks.json }\nalgorithms: [ES256]";
    let gate = Gate::start(&[Named { issuer, introspection: "jwts: false", ..Named::jwts(&idp) }]).await;
    let jwt = gate.jwt(&claims(&json!({})));
    assert_eq!((gate.ask(&jwt).await, gate.ask(&jwt).await), (Reason::Allowed, Reason::Allowed));
    assert_eq!(idp.asked(), 0);
    assert_eq!(gate.events.take(), ["jwt hit false", "jwt hit true"]);
}

#[tokio::test]
async fn row_179_a_jwt_that_failed_is_never_introspected() {
    let idp = Idp::start().await;
    for issuer in ["keys: { jwks_file: jwks.json }", "tokens: both\nkeys: { jwks_file: jwks.json }"] {
        let gate = Gate::start(&[Named { issuer, ..Named::jwts(&idp) }]).await;
        let (signer, forger) = (&gate.signer, Signer::es256());
        let sign = |more: Value| gate.jwt(&claims(&more));
        let good = gate.jwt(&claims(&json!({})));
        let (signed, _) = good.rsplit_once('.').unwrap();
        for (jwt, reason) in [
            (forger.sign(&forger.header("k1"), &claims(&json!({}))), Reason::TokenSignature),
            (signer.sign(&signer.header("k9"), &claims(&json!({}))), Reason::UnknownKey),
            (sign(json!({ "exp": NOW - 31 })), Reason::TokenExpired),
            (sign(json!({ "exp": null })), Reason::TokenClaims),
            (sign(json!({ "nbf": NOW + 31 })), Reason::TokenNotYetValid),
            (sign(json!({ "iss": "https://other.example" })), Reason::UnknownIssuer),
            (sign(json!({ "iss": null })), Reason::UnknownIssuer),
            (sign(json!({ "typ": "Refresh" })), Reason::TokenType),
            (sign(json!({ "cnf": { "jkt": "x" } })), Reason::TokenBinding),
            (format!("{signed}."), Reason::TokenMalformed),
            (signed.to_owned(), Reason::TokenMalformed),
            (format!("{good}.x"), Reason::TokenMalformed),
            (signed.split('.').next().unwrap().to_owned(), Reason::TokenMalformed),
        ] {
            idp.says(&jwt, active(&json!({})));
            assert_eq!(gate.ask(&jwt).await, reason, "{issuer}: {jwt}");
        }
    }
    assert_eq!(idp.asked(), 0);
}

/// As Keycloak's: `sub`, `aud` and roles come with the answer.
#[tokio::test]
async fn lightweight_tokens_get_their_claims_from_the_answer() {
    let idp = Idp::start().await;
    let issuer =
        "keys: { jwks_file: jwks.json }\nalgorithms: [ES256]\nclaims: { client: azp, roles: realm_access.roles }";
    let gate = Gate::start(&[Named { issuer, ..Named::jwts(&idp) }]).await;
    let own = json!({
        "exp": NOW + 300, "iat": NOW, "jti": "onltro:b2ff", "iss": ISSUER, "typ": "Bearer", "azp": "web-lightweight",
        "sid": "646a", "scope": "foo",
    });
    let jwt = gate.jwt(&own);
    let mut answer = own.clone();
    for (name, value) in json!({
        "active": true, "aud": "api", "sub": "alice", "client_id": "web-lightweight", "username": "alice",
        "token_type": "Bearer", "realm_access": { "roles": ["auditor", "customer"] },
    })
    .as_object()
    .unwrap()
    {
        answer[name] = value.clone();
    }
    idp.says(&jwt, answer);
    assert_eq!(gate.user(&jwt).await.as_deref(), Some("alice"));
    let principal = gate.answer("/", &jwt, crate::http::DEADLINE).await.principal.unwrap();
    assert_eq!((principal.client(), principal.roles().len()), (Some("web-lightweight"), 2));
    assert_eq!(idp.asked(), 1);
    // Without the answer the token would not do.
    let gate = Gate::start(&[Named {
        issuer: "tokens: both\nkeys: { jwks_file: jwks.json }",
        introspection: "jwts: false",
        ..Named::jwts(&idp)
    }])
    .await;
    assert_eq!(gate.ask(&gate.jwt(&own)).await, Reason::WrongAudience);
}

/// As Keycloak's exchanged tokens: the answer knows of more than the token was made to say.
#[tokio::test]
async fn a_narrowed_token_is_not_widened_by_the_answer() {
    let idp = Idp::start().await;
    let issuer = "keys: { jwks_file: jwks.json }
algorithms: [ES256]
claims: { scopes: { first_of: [scope, scp] }, client: { first_of: [client_id, azp] }, roles: { all_of: [resource_access.api.roles, resource_access.c.roles, groups] } }";
    let gate = Gate::start(&[Named { issuer, ..Named::jwts(&idp) }]).await;
    let own = claims(&json!({
        "client_id": null, "azp": "a", "scope": null, "scp": ["foo"], "resource_access": { "api": { "roles": ["reader"] } },
    }));
    let jwt = gate.jwt(&own);
    let wider = json!({
        "aud": ["api", "c"], "azp": "a", "client_id": "a", "scp": ["foo"], "scope": "foo", "groups": ["admin"],
        "resource_access": { "api": { "roles": ["reader", "writer"] }, "c": { "roles": ["admin"] } },
    });
    idp.says(&jwt, active(&wider));
    let answer = gate.answer("/", &jwt, crate::http::DEADLINE).await;
    assert_eq!(answer.reason, Reason::Allowed);
    let principal = answer.principal.unwrap();
    assert!(principal.audience().eq(["api"]));
    assert!(principal.roles().eq(["reader"]));
    assert_eq!((principal.client(), principal.scopes().len()), (Some("a"), 1));
}

#[tokio::test]
async fn an_answer_that_contradicts_the_token_denies() {
    let idp = Idp::start().await;
    let issuer = "keys: { jwks_file: jwks.json }\nalgorithms: [ES256]\nclaims: { roles: groups, tenant: org }";
    let gate = Gate::start(&[Named { issuer, ..Named::jwts(&idp) }]).await;
    let cases = [
        json!({ "iss": "https://other.example" }),
        json!({ "sub": "bob" }),
        json!({ "sub": "" }),
        json!({ "aud": "c" }),
        json!({ "aud": [] }),
        json!({ "exp": NOW + 601 }),
        json!({ "exp": NOW - 601 }),
        json!({ "iat": NOW - 6 }),
        json!({ "jti": "t-2" }),
        json!({ "client_id": "other" }),
        json!({ "scope": "foo bar" }),
        json!({ "scope": "" }),
        json!({ "groups": ["reader"] }),
        json!({ "org": "other" }),
        json!({ "cnf": { "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2" }, "jti": "t-2" }),
    ];
    for (number, more) in cases.into_iter().enumerate() {
        let own = claims(&json!({ "groups": ["reader", "writer"], "org": "mine", "number": number }));
        let jwt = gate.jwt(&own);
        idp.says(&jwt, active(&more));
        assert_eq!(gate.ask(&jwt).await, Reason::TokenConflict, "{more}");
    }
    assert_eq!(Reason::TokenConflict.http_status(), 401);
    let jwt = gate.jwt(&claims(&json!({ "groups": ["reader"] })));
    let fine =
        json!({ "aud": ["api"], "exp": 1_800_000_600.0, "groups": ["writer", "reader"], "azp": "web", "jti": "t-1" });
    idp.says(&jwt, active(&fine));
    assert_eq!(gate.ask(&jwt).await, Reason::Allowed);
}

/// What the answer adds is judged as if the token had said it.
#[tokio::test]
async fn row_175_an_answer_adds_what_denies_as_well() {
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named::jwts(&idp)]).await;
    let acts = (0..9).fold(json!({ "sub": "z" }), |act, _| json!({ "sub": "y", "act": act }));
    for (number, (more, reason)) in [
        (json!({ "nbf": NOW + 31 }), Reason::TokenNotYetValid),
        (json!({ "typ": "Refresh" }), Reason::TokenType),
        (json!({ "token_use": "refresh" }), Reason::TokenType),
        (json!({ "token_type": "DPoP" }), Reason::TokenBinding),
        (json!({ "cnf": { "jkt": "x" } }), Reason::TokenBinding),
        (json!({ "cnf": { "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2" } }), Reason::TokenBinding),
        (json!({ "act": acts }), Reason::ActorChain),
        (json!({ "act": "x" }), Reason::TokenClaims),
    ]
    .into_iter()
    .enumerate()
    {
        let jwt = gate.jwt(&claims(&json!({ "number": number })));
        idp.says(&jwt, active(&more));
        assert_eq!(gate.ask(&jwt).await, reason, "{more}");
    }
    // A kind that the token does not mark must not be hidden by one that it does.
    let jwt = gate.jwt(&claims(&json!({ "typ": "Bearer" })));
    idp.says(&jwt, active(&json!({ "typ": "ID" })));
    assert_eq!(gate.ask(&jwt).await, Reason::TokenType);
}

#[tokio::test]
async fn row_200_tokens_that_were_handed_on_too_often_are_refused() {
    let idp = Idp::start().await;
    let issuer = "tokens: both\nkeys: { jwks_file: jwks.json }\nalgorithms: [ES256]";
    let gate = Gate::start(&[Named { issuer, introspection: "jwts: false", ..Named::jwts(&idp) }]).await;
    for (length, reason) in [(8, Reason::Allowed), (9, Reason::ActorChain), (20, Reason::ActorChain)] {
        let act = (1..length).fold(json!({ "sub": "z" }), |act, _| json!({ "sub": "y", "act": act }));
        assert_eq!(gate.ask(&gate.jwt(&claims(&json!({ "act": act })))).await, reason, "{length}");
        let token = crate::fixture::opaque(length);
        idp.says(&token, active(&json!({ "act": act })));
        assert_eq!(gate.ask(&token).await, reason, "{length}");
    }
    assert_eq!(Reason::ActorChain.http_status(), 403);
}

#[tokio::test]
async fn the_profile_of_rfc_9068_may_be_met_by_both_together() {
    let idp = Idp::start().await;
    let issuer = "keys: { jwks_file: jwks.json }\nalgorithms: [ES256]\nprofile: rfc9068";
    let gate = Gate::start(&[Named { issuer, ..Named::jwts(&idp) }]).await;
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k1" });
    for (lacking, added, reason) in [
        ("sub", true, Reason::Allowed),
        ("aud", true, Reason::Allowed),
        ("client_id", true, Reason::Allowed),
        ("sub", false, Reason::TokenClaims),
        ("client_id", false, Reason::TokenClaims),
    ] {
        let own = claims(&json!({ lacking: null, "n": format!("{lacking}{added}") }));
        let jwt = gate.signer.sign(&header, &own);
        idp.says(&jwt, active(&if added { json!({}) } else { json!({ lacking: null }) }));
        assert_eq!(gate.ask(&jwt).await, reason, "{lacking} {added}");
    }
}

#[tokio::test]
async fn row_170_an_answer_dies_with_the_key_that_signed_the_token() {
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named { introspection: "jwts: true, cache: { active: 5m }", ..Named::jwts(&idp) }]).await;
    let jwt = gate.jwt(&claims(&json!({})));
    idp.says(&jwt, active(&json!({})));
    assert_eq!(gate.ask(&jwt).await, Reason::Allowed);
    let other = Signer::es256();
    gate.write("jwks.json", &json!({ "keys": [other.jwk("k2")] }).to_string());
    eventually("a removed key's token is refused", async || gate.ask(&jwt).await != Reason::Allowed).await;
    assert_eq!(gate.ask(&jwt).await, Reason::UnknownKey);
    assert_eq!(idp.asked(), 1);
}

#[tokio::test]
async fn a_second_look_at_a_jwt_asks_where_such_tokens_are_asked_about() {
    let idp = Idp::start().await;
    let both = "tokens: both\nkeys: { jwks_file: jwks.json }\nalgorithms: [ES256]";
    for (introspection, asked) in [("jwts: true", 1), ("jwts: false", 0)] {
        let gate = Gate::start(&[Named { issuer: both, introspection, ..Named::jwts(&idp) }]).await;
        let before = idp.asked();
        let jwt = gate.jwt(&claims(&json!({ "exp": NOW + 60 })));
        idp.says(&jwt, inactive());
        let found = gate.issuer(0).recheck(&jwt, gate.now()).await.map_err(|error| error.reason);
        assert_eq!(found, if asked == 1 { Err(Reason::TokenInactive) } else { Ok(()) });
        assert_eq!(idp.asked() - before, asked);
        gate.advance(90);
        let found = gate.issuer(0).recheck(&jwt, gate.now()).await.map_err(|error| error.reason);
        assert_eq!(found, Err(Reason::TokenExpired));
    }
}
