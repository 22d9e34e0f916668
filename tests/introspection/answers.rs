//! What an answer must say for a token to be accepted, and what becomes of each that does not.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate::core::reason::Reason;

use crate::fixture::{Gate, Idp, Named, OTHER, TOKEN, active, opaque, until};
use crate::http::{Answer, http, outages, status_json};

const SOME_TIME: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_active_token_speaks_for_whom_its_issuer_names() {
    let idp = Idp::start().await;
    idp.says(TOKEN, active(&json!({ "username": "alice@shop" })));
    let gate = Gate::start(&[Named::new(&idp)]).await;
    assert_eq!(gate.user(TOKEN).await.as_deref(), Some("alice"));
    let answer = gate.answer("/", TOKEN, SOME_TIME).await;
    let principal = answer.principal.unwrap();
    assert_eq!((principal.client(), principal.audience().len()), (Some("web"), 1));
    assert!(!principal.claims().contains_key("active") && !principal.claims().contains_key("token_type"));
    assert_eq!(principal.claims()["username"], "alice@shop");
    let request = idp.server.last();
    assert_eq!(request.header("authorization"), Some("Basic Z2F0ZTpodW50ZXIyLXMzY3JldA=="));
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(request.form(), [("token".into(), TOKEN.into()), ("token_type_hint".into(), "access_token".into())]);
    assert_eq!(gate.events.take(), ["hit false", "active", "hit true"]);
}

#[tokio::test]
async fn row_173_a_token_that_is_not_active_is_refused() {
    let idp = Idp::start().await;
    // Whatever is said besides.
    idp.says(TOKEN, active(&json!({ "active": false })));
    let gate = Gate::start(&[Named::new(&idp)]).await;
    assert_eq!(gate.ask(TOKEN).await, Reason::TokenInactive);
    assert_eq!(Reason::TokenInactive.http_status(), 401);
    assert_eq!(gate.ask(OTHER).await, Reason::TokenInactive, "it was never heard of");
    assert_eq!(gate.events.take(), ["hit false", "inactive", "hit false", "inactive"]);
}

#[tokio::test]
async fn row_174_active_is_the_boolean_true_and_nothing_else() {
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named::new(&idp)]).await;
    for value in [json!("true"), json!(1), json!(null), json!([true]), json!({}), json!("false"), json!(0)] {
        let mut answer = active(&json!({}));
        answer["active"] = value;
        idp.says(TOKEN, answer.clone());
        assert_eq!(gate.ask(TOKEN).await, Reason::IntrospectionUnavailable, "{answer}");
    }
    idp.says(TOKEN, active(&json!({ "active": null })));
    assert_eq!(gate.ask(TOKEN).await, Reason::IntrospectionUnavailable);
    assert_eq!(Reason::IntrospectionUnavailable.http_status(), 503);
    idp.says(TOKEN, active(&json!({})));
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
}

/// Bodies that JSON libraries read differently.
#[tokio::test]
async fn row_174_an_answer_has_one_reading_or_none() {
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named::new(&idp)]).await;
    let json = &["Content-Type: application/json"];
    for body in [
        r#"{"active":false,"active":true,"aud":"api"}"#,
        r#"{"active":true,"aud":"web","aud":"api"}"#,
        r#"{"active":true,"aud":"api"}{"active":false}"#,
        r#"{"active":true,"aud":"api""#,
        r#"[{"active":true,"aud":"api"}]"#,
        "\u{feff}{\"active\":true,\"aud\":\"api\"}",
        r#"{"active":true,"aud":"api","exp":1e999}"#,
        "",
    ] {
        idp.server.set(Answer::Bytes(http(200, json, body)));
        assert_eq!(gate.ask(TOKEN).await, Reason::IntrospectionUnavailable, "{body}");
    }
    let nested = format!(r#"{{"active":true,"aud":"api","x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    idp.server.set(Answer::Bytes(http(200, json, nested)));
    assert_eq!(gate.ask(TOKEN).await, Reason::IntrospectionUnavailable);
}

#[tokio::test]
async fn row_175_what_the_answer_says_is_judged() {
    use crate::fixture::NOW;
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named::new(&idp)]).await;
    let cases: Vec<(Value, Reason)> = vec![
        (json!({ "exp": NOW - 31 }), Reason::TokenExpired),
        (json!({ "exp": 0 }), Reason::TokenClaims),
        (json!({ "exp": "soon" }), Reason::TokenClaims),
        (json!({ "nbf": NOW + 31 }), Reason::TokenNotYetValid),
        (json!({ "iat": NOW + 31 }), Reason::TokenIssuedInFuture),
        (json!({ "iss": "https://other.example" }), Reason::UnknownIssuer),
        (json!({ "iss": format!("{}/", crate::fixture::ISSUER) }), Reason::UnknownIssuer),
        (json!({ "iss": [crate::fixture::ISSUER] }), Reason::TokenClaims),
        (json!({ "aud": "other" }), Reason::WrongAudience),
        (json!({ "aud": null }), Reason::WrongAudience),
        (json!({ "aud": ["other", 1] }), Reason::TokenClaims),
        (json!({ "sub": 1 }), Reason::TokenClaims),
        (json!({ "token_use": "refresh" }), Reason::TokenType),
        (json!({ "token_use": "id" }), Reason::TokenType),
        (json!({ "typ": "Refresh" }), Reason::TokenType),
        (json!({ "typ": "ID" }), Reason::TokenType),
        (json!({ "at_hash": "x" }), Reason::TokenType),
        (json!({ "token_type": "refresh_token" }), Reason::TokenType),
        (json!({ "token_type": "N_A" }), Reason::TokenType),
        (json!({ "token_type": 1 }), Reason::TokenType),
        (json!({ "token_type": "DPoP" }), Reason::TokenBinding),
        (json!({ "token_type": "pop" }), Reason::TokenBinding),
        (json!({ "cnf": { "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } }), Reason::TokenBinding),
        (json!({ "cnf": { "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2" } }), Reason::TokenBinding),
        (json!({ "cnf": {} }), Reason::TokenBinding),
        (json!({ "cnf": "x" }), Reason::TokenBinding),
    ];
    for (number, (more, reason)) in cases.into_iter().enumerate() {
        idp.says(&opaque(number), active(&more));
        assert_eq!(gate.ask(&opaque(number)).await, reason, "{more}");
        assert!(matches!(reason.http_status(), 401 | 403));
    }
    // What RFC 7662 leaves optional may be missing.
    for (number, name) in ["exp", "iss", "token_type", "sub", "scope", "client_id"].into_iter().enumerate() {
        idp.says(&opaque(100 + number), active(&json!({ name: null })));
        assert_eq!(gate.ask(&opaque(100 + number)).await, Reason::Allowed, "{name}");
    }
}

#[tokio::test]
async fn row_183_a_token_of_another_tenant_is_refused_though_it_is_active() {
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named::new(&idp)]).await;
    idp.says(TOKEN, active(&json!({ "iss": "https://idp.example/realms/other" })));
    assert_eq!(gate.ask(TOKEN).await, Reason::UnknownIssuer);
    idp.says(OTHER, active(&json!({ "iss": null, "aud": "other-tenant" })));
    assert_eq!(gate.ask(OTHER).await, Reason::WrongAudience);
}

#[tokio::test]
async fn row_176_our_own_credentials_are_the_operators_matter() {
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named::new(&idp)]).await;
    let body = json!({ "error": "invalid_request", "error_description": "Authentication failed." });
    for (status, body) in
        [(401, body.clone()), (403, body), (401, active(&json!({}))), (400, json!({ "error": "invalid_client" }))]
    {
        idp.server.set(status_json(status, &body));
        assert_eq!(gate.ask(TOKEN).await, Reason::IntrospectionRefused, "{status} {body}");
    }
    assert_eq!(Reason::IntrospectionRefused.http_status(), 503);
    // The secret was mended: nothing of that is remembered.
    idp.says(TOKEN, active(&json!({})));
    idp.mend();
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
}

#[tokio::test]
async fn row_176_a_secret_that_is_not_there_is_named_as_such_and_nobody_is_called() {
    let idp = Idp::start().await;
    idp.says(TOKEN, active(&json!({})));
    let gate = Gate::start(&[Named::new(&idp)]).await;
    gate.write("secret", "");
    assert_eq!(gate.ask(TOKEN).await, Reason::IntrospectionUnavailable);
    assert_eq!(idp.asked(), 0);
    gate.write("secret", "rotated");
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    assert_eq!(idp.server.last().header("authorization"), Some("Basic Z2F0ZTpyb3RhdGVk"));
}

#[tokio::test]
async fn row_177_and_178_an_issuer_in_trouble_lets_nobody_in_and_is_believed_again_at_once() {
    let idp = Idp::start().await;
    idp.says(TOKEN, active(&json!({})));
    for (name, answer) in outages() {
        let gate = Gate::start(&[Named { provider: "timeout: 300ms", ..Named::new(&idp) }]).await;
        idp.server.set(answer);
        assert_eq!(gate.ask(TOKEN).await, Reason::IntrospectionUnavailable, "{name}");
        idp.mend();
        assert_eq!(gate.ask(TOKEN).await, Reason::Allowed, "after {name}");
    }
}

#[tokio::test]
async fn row_178_a_redirect_is_not_followed() {
    let (idp, elsewhere) = (Idp::start().await, Idp::start().await);
    elsewhere.says(TOKEN, active(&json!({})));
    let gate = Gate::start(&[Named::new(&idp)]).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("Location: {}", elsewhere.server.url("/introspect"));
        idp.server.set(Answer::Bytes(http(status, &[&location], "")));
        assert_eq!(gate.ask(TOKEN).await, Reason::IntrospectionUnavailable, "{status}");
    }
    assert_eq!(elsewhere.asked(), 0, "neither the token nor our credentials went there");
}

#[tokio::test]
async fn row_180_a_token_is_encoded_once_and_brings_no_parameters() {
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named::new(&idp)]).await;
    let token = "a+b/c~d.e_f-ghijklmnop==";
    idp.says(token, active(&json!({})));
    assert_eq!(gate.ask(token).await, Reason::Allowed);
    let request = idp.server.last();
    assert_eq!(request.field("token").as_deref(), Some(token));
    assert!(request.body.starts_with("token=a%2Bb%2Fc"), "{}", request.body);
    // What is no token by RFC 6750 gets no further.
    for token in [
        "aaaaaaaaaaaaaaaaaa&active=true",
        "aaaaaaaaaaaaaaaaaa%26x%3Dy",
        "aaaaaaaaaaaaaaaaaaaa=a",
        "aaaaaaaaaaaaaaaa\ntoken",
    ] {
        assert_eq!(gate.ask(token).await, Reason::TokenMalformed, "{token:?}");
    }
    assert_eq!(idp.asked(), 1);
}

/// Where time runs out the reason is what was waited for; and what was under way goes on.
#[tokio::test]
async fn a_slow_issuer_is_what_the_answer_names() {
    let idp = Idp::start().await;
    let (open, gate_open) = tokio::sync::watch::channel(false);
    let answer = http(200, &["Content-Type: application/json"], active(&json!({})).to_string());
    idp.server.set(Answer::When(gate_open, answer));
    let gate = Gate::start(&[Named::new(&idp)]).await;
    assert_eq!(gate.ask_within(Duration::from_millis(1500), TOKEN).await, Reason::IntrospectionUnavailable);
    open.send(true).unwrap();
    until("the answer comes", || gate.events.count("active") == 1).await;
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    assert_eq!(idp.asked(), 1);
}

/// A token that is bound to a certificate is accepted from who shows it, also when the answer is known already.
#[tokio::test]
async fn row_118_a_binding_in_the_answer_is_compared_on_every_hit() {
    let certificate = || {
        let made = rcgen::generate_simple_self_signed(vec!["client.example".to_owned()]).unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, made.cert.der());
        let pem = made.cert.pem();
        let encoded = percent_encoding::utf8_percent_encode(&pem, percent_encoding::NON_ALPHANUMERIC);
        (encoded.to_string(), crate::support::mint::b64(digest.as_ref()))
    };
    let ((mine, thumbprint), (other, _)) = (certificate(), certificate());
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named::new(&idp)]).await;
    idp.says(TOKEN, active(&json!({ "cnf": { "x5t#S256": thumbprint } })));
    for certificate in ["", &*other, &*mine, "", &*other, &*mine] {
        let want = if certificate == mine { Reason::Allowed } else { Reason::TokenBinding };
        assert_eq!(gate.with_certificate(TOKEN, certificate).await, want);
    }
    assert_eq!(idp.asked(), 1);
}
