use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use serde_json::json;

use super::super::tests::{client_credentials, exchange};
use super::*;

fn fetched(status: u16, content_type: Option<&str>, body: impl Into<Bytes>) -> Fetched {
    let mut headers = HeaderMap::new();
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
    }
    Fetched { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() }
}

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// A good answer, changed by these members; null takes away.
fn answer(changes: &Value) -> Vec<u8> {
    let mut body = json!({
        "access_token": "new-token", "token_type": "Bearer", "issued_token_type": ACCESS_TOKEN,
        "expires_in": 300, "scope": "payments.charge", "refresh_token": "r",
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            body.as_object_mut().unwrap().remove(name);
        } else {
            body[name] = value.clone();
        }
    }
    body.to_string().into_bytes()
}

fn run(spec: &TokenSpec, changes: &Value) -> Result<Answered, AuthnError> {
    read(spec, fetched(200, Some("application/json"), answer(changes)))
}

fn reason(spec: &TokenSpec, changes: &Value) -> Result<(), Reason> {
    run(spec, changes).map(drop).map_err(|error| error.reason)
}

#[test]
fn a_good_answer_is_taken() {
    let good = run(&exchange(), &json!({})).unwrap();
    assert_eq!((good.token.expose(), good.expires_in), ("new-token", Some(Duration::from_secs(300))));
    for changes in [
        json!({ "token_type": "bearer" }),
        json!({ "token_type": "BEARER" }),
        json!({ "issued_token_type": JWT }),
        json!({ "scope": null }),
        json!({ "scope": "payments.charge profile" }),
        json!({ "scope": "profile payments.charge" }),
        json!({ "access_token": "00D!AQ.x-_~+/==" }),
        json!({ "expires_in": 1 }),
        json!({ "refresh_token": null, "not-before-policy": 0, "session_state": "x" }),
    ] {
        assert_eq!(reason(&exchange(), &changes), Ok(()), "{changes}");
    }
    assert_eq!(run(&exchange(), &json!({ "expires_in": null })).unwrap().expires_in, None);
    for content_type in ["application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8"] {
        assert!(read(&exchange(), fetched(200, Some(content_type), answer(&json!({})))).is_ok(), "{content_type}");
    }
}

#[test]
fn row_197_an_answer_that_cannot_be_used_is_no_token() {
    let huge = format!("{}{}", "x".repeat(8192), "y");
    for changes in [
        json!({ "access_token": null }),
        json!({ "access_token": "" }),
        json!({ "access_token": 1 }),
        json!({ "access_token": ["a"] }),
        json!({ "access_token": "a b" }),
        json!({ "access_token": "a\r\nx-user: root" }),
        json!({ "access_token": "a,b" }),
        json!({ "access_token": "ä" }),
        json!({ "access_token": "a\u{0}" }),
        json!({ "access_token": huge }),
        json!({ "token_type": null }),
        json!({ "token_type": "N_A" }),
        json!({ "token_type": "DPoP" }),
        json!({ "token_type": "mac" }),
        json!({ "token_type": "" }),
        json!({ "token_type": 7 }),
        json!({ "token_type": ["Bearer"] }),
        json!({ "issued_token_type": null }),
        json!({ "issued_token_type": "urn:ietf:params:oauth:token-type:refresh_token" }),
        json!({ "issued_token_type": "urn:ietf:params:oauth:token-type:id_token" }),
        json!({ "issued_token_type": "access_token" }),
        json!({ "issued_token_type": 1 }),
        json!({ "expires_in": 0 }),
        json!({ "expires_in": -1 }),
        json!({ "expires_in": "300" }),
        json!({ "expires_in": 1e99 }),
        json!({ "expires_in": 1.5 }),
        json!({ "expires_in": true }),
        json!({ "expires_in": [] }),
        json!({ "expires_in": 400_000_000_u64 }),
        json!({ "expires_in": u64::MAX }),
        json!({ "scope": ["payments.charge"] }),
        json!({ "scope": " payments.charge" }),
        json!({ "scope": "payments.charge  profile" }),
        json!({ "scope": "payments.charge admin" }),
        json!({ "scope": "payments.charge *" }),
        json!({ "scope": "admin" }),
    ] {
        assert_eq!(reason(&exchange(), &changes), Err(Reason::UpstreamTokenUnavailable), "{changes}");
    }
    // Narrower than asked for.
    for changes in [json!({ "scope": "" }), json!({ "scope": "profile" })] {
        assert_eq!(reason(&exchange(), &changes), Err(Reason::ExchangeScope), "{changes}");
        assert_eq!(reason(&client_credentials(), &changes), Err(Reason::UpstreamTokenRefused), "{changes}");
    }
    let duplicate = br#"{"access_token":"a","access_token":"b","token_type":"Bearer"}"#;
    let bodies: [&[u8]; 7] = [b"", b"null", b"[]", b"\"a\"", b"{", b"<html>503</html>", duplicate];
    for body in bodies {
        let error = read(&exchange(), fetched(200, Some("application/json"), body)).unwrap_err();
        assert_eq!(error.reason, Reason::UpstreamTokenUnavailable, "{body:?}");
    }
    for content_type in [None, Some("text/html"), Some("text/plain"), Some("application/jwt"), Some("")] {
        let error = read(&exchange(), fetched(200, content_type, answer(&json!({})))).unwrap_err();
        assert_eq!(error.reason, Reason::UpstreamTokenUnavailable, "{content_type:?}");
    }
    for status in [201, 204, 301, 302, 307, 500, 502, 503] {
        let error = read(&exchange(), fetched(status, Some("application/json"), answer(&json!({})))).unwrap_err();
        assert_eq!(error.reason, Reason::UpstreamTokenUnavailable, "{status}");
    }
}

#[test]
fn the_extra_scopes_are_named_and_the_token_is_not() {
    let error = run(&exchange(), &json!({ "scope": "payments.charge admin root\u{1b}" })).unwrap_err();
    assert_eq!(
        error.detail,
        "the token endpoint's answer: `scope` grants more than was asked for: `admin`, `root\\u{1b}`"
    );
    let many: String = (0..1000).map(|index| format!(" s{index}")).collect();
    let error = run(&exchange(), &json!({ "scope": format!("payments.charge{many}") })).unwrap_err();
    assert!(error.detail.len() < 300, "{}", error.detail);
}

#[test]
fn what_was_requested_must_come() {
    let mut spec = exchange();
    let Grant::Exchange(grant) = &mut spec.grant else { panic!() };
    grant.requested_token_type = Some(TokenType::Jwt);
    assert_eq!(reason(&spec, &json!({})), Err(Reason::UpstreamTokenUnavailable));
    assert_eq!(reason(&spec, &json!({ "issued_token_type": JWT })), Ok(()));
}

#[test]
fn without_scopes_of_its_own_a_token_may_have_any() {
    let mut spec = exchange();
    spec.scopes.clear();
    assert_eq!(reason(&spec, &json!({ "scope": "whatever the provider likes" })), Ok(()));
}

#[test]
fn a_clients_own_token_has_no_issued_type() {
    assert_eq!(reason(&client_credentials(), &json!({ "issued_token_type": null })), Ok(()));
}

#[test]
fn row_195_error_answers_say_whose_fault_it_is() {
    use Reason::{ExchangeDenied, ExchangeScope, ExchangeTarget, UpstreamTokenRefused, UpstreamTokenUnavailable};
    for (status, code, exchanging, own) in [
        (403, Some("access_denied"), ExchangeDenied, UpstreamTokenRefused),
        (400, Some("access_denied"), ExchangeDenied, UpstreamTokenRefused),
        (400, Some("invalid_target"), ExchangeTarget, UpstreamTokenRefused),
        (400, Some("invalid_scope"), ExchangeScope, UpstreamTokenRefused),
        (401, Some("invalid_client"), UpstreamTokenRefused, UpstreamTokenRefused),
        (400, Some("invalid_client"), UpstreamTokenRefused, UpstreamTokenRefused),
        (400, Some("unauthorized_client"), UpstreamTokenRefused, UpstreamTokenRefused),
        (401, Some("unauthorized_client"), UpstreamTokenRefused, UpstreamTokenRefused),
        (401, Some("invalid_request"), UpstreamTokenRefused, UpstreamTokenRefused),
        (401, None, UpstreamTokenRefused, UpstreamTokenRefused),
        // What the code says is more than what the status says.
        (401, Some("access_denied"), ExchangeDenied, UpstreamTokenRefused),
        (401, Some("invalid_scope"), ExchangeScope, UpstreamTokenRefused),
        (403, None, UpstreamTokenRefused, UpstreamTokenRefused),
        (403, Some("not_known"), UpstreamTokenRefused, UpstreamTokenRefused),
        (400, Some("invalid_request"), UpstreamTokenUnavailable, UpstreamTokenUnavailable),
        (400, Some("invalid_grant"), UpstreamTokenUnavailable, UpstreamTokenUnavailable),
        (400, Some("unsupported_grant_type"), UpstreamTokenUnavailable, UpstreamTokenUnavailable),
        (400, None, UpstreamTokenUnavailable, UpstreamTokenUnavailable),
        (404, None, UpstreamTokenUnavailable, UpstreamTokenUnavailable),
        (429, Some("access_denied"), UpstreamTokenUnavailable, UpstreamTokenUnavailable),
        (500, Some("access_denied"), UpstreamTokenUnavailable, UpstreamTokenUnavailable),
        (503, Some("invalid_client"), UpstreamTokenUnavailable, UpstreamTokenUnavailable),
        (302, Some("access_denied"), UpstreamTokenUnavailable, UpstreamTokenUnavailable),
    ] {
        let body = code.map_or_else(String::new, |code| json!({ "error": code }).to_string());
        for (spec, wanted) in [(exchange(), exchanging), (client_credentials(), own)] {
            let error = read(&spec, fetched(status, Some("application/json"), body.clone())).unwrap_err();
            assert_eq!(error.reason, wanted, "{status} {code:?}");
            assert!(error.detail.contains(code.unwrap_or("no error code")), "{}", error.detail);
        }
    }
}

#[test]
fn errors_repeat_a_code_and_no_other_words() {
    let long = "x".repeat(65);
    for code in ["a\u{1b}[31m", "über", "\"quoted\"", "", &long] {
        let body = json!({ "error": code, "error_description": "the secret is hunter2" }).to_string();
        let error = read(&exchange(), fetched(400, Some("application/json"), body)).unwrap_err();
        assert_eq!(error.detail, "the token endpoint answers with status 400 and no error code");
    }
}

#[test]
fn row_202_what_stands_in_the_place_of_a_name_is_not_repeated() {
    let secret = "4f9a6be0c1d27a35";
    for members in [json!({ "token_type": secret }), json!({ "issued_token_type": secret })] {
        let mut answer =
            json!({ "access_token": "new-token", "token_type": "Bearer", "issued_token_type": ACCESS_TOKEN });
        answer.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let error = read(&exchange(), fetched(200, Some("application/json"), answer.to_string())).unwrap_err();
        assert!(!error.to_string().contains(secret), "{error}");
    }
    let body = json!({ "error": secret }).to_string();
    let error = read(&exchange(), fetched(400, Some("application/json"), body)).unwrap_err();
    assert!(!error.to_string().contains(secret), "{error}");
}
