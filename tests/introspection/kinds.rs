//! Whose token is it: JWTs and opaque ones, and issuers that a rule accepts beside each other.

use serde_json::json;
use tollgate::authn::Accepted;
use tollgate::authn::explain::explain;
use tollgate::authn::trace::{Check, Outcome};
use tollgate::core::caller::Caller;
use tollgate::core::reason::Reason;

use crate::fixture::{Gate, Idp, NOW, Named, TOKEN, active, claims, inactive};

const BOTH: &str = "tokens: both\nkeys: { jwks_file: jwks.json }\nalgorithms: [ES256]";

#[tokio::test]
async fn row_179_a_jose_header_with_an_accepted_algorithm_makes_a_jwt() {
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named { issuer: BOTH, ..Named::new(&idp) }]).await;
    idp.says(TOKEN, active(&json!({})));
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    assert_eq!(idp.asked(), 1);
    let jwt = gate.jwt(&claims(&json!({})));
    assert_eq!(gate.ask(&jwt).await, Reason::Allowed);
    assert_eq!(idp.asked(), 1, "verified here");
    // Others are texts like any other, and not believed for what they look like.
    let forged = |header: &str| {
        let part = |text: &str| crate::support::mint::b64(text);
        format!("{}.{}.{}", part(header), part(&claims(&json!({})).to_string()), part("signature"))
    };
    for (number, header) in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"es256"}"#,
        r#"{"alg":["ES256"]}"#,
        r#"{"alg":"ES256","alg":"ES256"}"#,
        r#"{"typ":"JWT"}"#,
        r#"["ES256"]"#,
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(gate.ask(&forged(header)).await, Reason::TokenInactive, "{header}");
        assert_eq!(idp.asked(), 2 + number, "{header}");
    }
}

#[tokio::test]
async fn row_179_an_issuer_of_opaque_tokens_is_asked_about_jwts_too() {
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named::new(&idp)]).await;
    // Expired, and signed by nobody knows whom: what the issuer says of the text counts.
    let jwt = gate.jwt(&claims(&json!({ "exp": NOW - 600, "iss": "https://other.example" })));
    idp.says(&jwt, active(&json!({})));
    assert_eq!(gate.ask(&jwt).await, Reason::Allowed);
    assert_eq!(idp.asked(), 1);
}

#[tokio::test]
async fn row_179_an_issuer_of_jwts_has_no_opaque_tokens() {
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named::jwts(&idp)]).await;
    idp.says(TOKEN, active(&json!({})));
    assert_eq!(gate.ask(TOKEN).await, Reason::TokenMalformed);
    assert_eq!(idp.asked(), 0);
}

#[tokio::test]
async fn issuers_beside_each_other_are_told_apart_by_what_a_token_looks_like() {
    let (jwts, a, b) = (Idp::start().await, Idp::start().await, Idp::start().await);
    let gate = Gate::start(&[
        Named { name: "jwts", ..Named::jwts(&jwts) },
        Named {
            name: "a",
            issuer: "tokens: opaque\nissuer: https://a.example",
            introspection: "opaque: { prefix: a_ }",
            ..Named::new(&a)
        },
        Named {
            name: "b",
            issuer: "tokens: opaque\nissuer: https://b.example",
            introspection: "opaque: { prefix: b_ }",
            ..Named::new(&b)
        },
    ])
    .await;
    let (of_a, of_b) = (format!("a_{TOKEN}"), format!("b_{TOKEN}"));
    for (idp, token) in [(&a, &of_a), (&b, &of_b)] {
        idp.says(token, active(&json!({ "iss": null })));
    }
    let jwt = gate.jwt(&claims(&json!({})));
    jwts.says(&jwt, active(&json!({})));
    for _ in 0..2 {
        for token in [&of_a, &of_b, &jwt] {
            assert_eq!(gate.ask(token).await, Reason::Allowed, "{token}");
        }
    }
    assert_eq!((jwts.asked(), a.asked(), b.asked()), (1, 1, 1));
    // On a rule for one of them alone the others' tokens are nothing, known or not.
    assert_eq!(gate.at("/a", &of_b).await, Reason::TokenMalformed);
    assert_eq!(gate.at("/jwts", &of_a).await, Reason::TokenMalformed);
    assert_eq!(gate.at("/a", &jwt).await, Reason::TokenMalformed);
    assert_eq!(gate.ask(&format!("c_{TOKEN}")).await, Reason::TokenMalformed);
    assert_eq!((jwts.asked(), a.asked(), b.asked()), (1, 1, 1));
}

/// A JWT of an issuer that the rule does not accept is not shown to one that the rule does.
#[tokio::test]
async fn row_179_a_jwt_is_not_shown_to_the_issuer_beside() {
    let (jwts, texts) = (Idp::start().await, Idp::start().await);
    let gate = Gate::start(&[
        Named { name: "jwts", ..Named::jwts(&jwts) },
        Named { name: "texts", issuer: "tokens: opaque\nissuer: https://texts.example", ..Named::new(&texts) },
    ])
    .await;
    let jwt = gate.jwt(&claims(&json!({ "iss": "https://texts.example" })));
    texts.says(&jwt, active(&json!({ "iss": null })));
    assert_eq!(gate.ask(&jwt).await, Reason::UnknownIssuer);
    assert_eq!((jwts.asked(), texts.asked()), (0, 0));
    // A rule for that issuer alone takes it as the text that it is; which does not carry over.
    assert_eq!(gate.at("/texts", &jwt).await, Reason::Allowed);
    assert_eq!(gate.ask(&jwt).await, Reason::UnknownIssuer);
    assert_eq!((jwts.asked(), texts.asked()), (0, 1));
}

/// What `tollgate token` shows is the same run.
#[tokio::test]
async fn a_report_shows_the_introspection() {
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named { issuer: BOTH, introspection: "jwts: true", ..Named::new(&idp) }]).await;
    let issuer = gate.issuer(0);
    let (caller, now) = (Caller::new("", ""), gate.now());
    let report = |token: String| {
        let issuer = &issuer;
        let caller = &caller;
        async move { explain(Accepted::all(std::slice::from_ref(issuer)), &token, caller, now).await }
    };
    let failed = |steps: &[(Check, Outcome)]| {
        steps.iter().find(|(_, outcome)| matches!(outcome, Outcome::Failed(_))).map(|(check, _)| *check)
    };

    idp.says(TOKEN, active(&json!({ "extra": 1 })));
    let opaque = report(TOKEN.to_owned()).await;
    assert_eq!(opaque.result.unwrap().subject(), Some("alice"));
    assert!(opaque.opaque && opaque.header.is_none() && opaque.claims.is_none());
    assert_eq!(opaque.introspected.unwrap()["extra"], 1);
    let names: Vec<&str> = opaque.steps.iter().map(|(check, _)| check.as_str()).collect();
    assert_eq!(names.iter().filter(|name| ["signature", "header", "agreement"].contains(name)).count(), 0, "{names:?}");
    assert!(opaque.steps.iter().all(|(_, outcome)| matches!(outcome, Outcome::Passed(_))), "{:?}", opaque.steps);

    let jwt = gate.jwt(&claims(&json!({})));
    idp.says(&jwt, active(&json!({ "extra": 1 })));
    let both = report(jwt.clone()).await;
    assert!(both.result.is_ok() && !both.opaque);
    assert!(both.steps.iter().all(|(_, outcome)| matches!(outcome, Outcome::Passed(_))), "{:?}", both.steps);
    assert!(both.steps.iter().any(|(check, _)| *check == Check::Merge));

    idp.says(&jwt, active(&json!({ "sub": "bob" })));
    let conflict = report(jwt.clone()).await;
    assert_eq!(failed(&conflict.steps), Some(Check::Merge));
    assert!(conflict.introspected.is_some() && conflict.claims.is_some());
    idp.says(&jwt, inactive());
    assert_eq!(failed(&report(jwt.clone()).await.steps), Some(Check::Introspection));
    idp.server.set(crate::http::Answer::HangUp);
    assert_eq!(report(jwt).await.result.unwrap_err().reason, Reason::IntrospectionUnavailable);
    let short = report("short".to_owned()).await;
    assert_eq!(failed(&short.steps), Some(Check::Form));
    assert_eq!(gate.events.take(), [""; 0], "nothing of it is counted");
}
