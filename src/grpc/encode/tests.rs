use std::borrow::Cow;
use std::sync::Arc;

use super::*;
use crate::core::answer::DecisionId;
use crate::secret::Secret;

const ID: DecisionId = DecisionId(0xabc);

fn answer(reason: Reason, verdict: Verdict) -> Answer {
    Answer { decision_id: ID, reason, rule: None, principal: None, caller: None, verdict }
}

fn denied(http_status: u16, headers: Vec<(Arc<str>, String)>) -> Verdict {
    Verdict::Deny(DeniedResponse { http_status, headers, body: "no".to_owned() })
}

fn code(response: &wire::CheckResponse) -> i32 {
    response.status.as_ref().unwrap().code
}

#[test]
fn whatever_the_reason_and_the_verdict_only_two_shapes_leave() {
    for reason in Reason::ALL {
        let allow = response(&answer(*reason, Verdict::Allow(AllowedRequest::default())));
        match allow.http_response.as_ref().unwrap() {
            HttpResponse::OkResponse(_) => assert!(reason.allows() && code(&allow) == 0, "{reason}"),
            HttpResponse::DeniedResponse(denied) => {
                assert!(!reason.allows() && code(&allow) == 13, "{reason}");
                assert_eq!(denied.status.as_ref().unwrap().code, 500);
            }
        }
        let deny = response(&answer(*reason, denied(403, Vec::new())));
        assert!(matches!(deny.http_response, Some(HttpResponse::DeniedResponse(_))), "{reason}");
        assert_ne!(code(&deny), 0, "{reason}");
        if !reason.allows() {
            assert_eq!(code(&deny), reason.rpc_code() as i32);
        }
    }
}

#[test]
fn a_denial_is_never_a_success_in_http() {
    for (status, sent) in [(0, 403), (200, 403), (302, 403), (399, 403), (400, 400), (404, 404), (599, 599), (600, 403)]
    {
        let response = response(&answer(Reason::NoRule, denied(status, Vec::new())));
        let Some(HttpResponse::DeniedResponse(denied)) = response.http_response else { panic!() };
        assert_eq!(denied.status.unwrap().code, sent, "{status}");
        assert_eq!(denied.body, "no");
    }
}

#[test]
fn denied_headers_keep_repeated_names_and_say_their_action() {
    let headers = vec![("www-authenticate".into(), "Bearer".into()), ("www-authenticate".into(), "DPoP".into())];
    let response = response(&answer(Reason::MissingToken, denied(401, headers)));
    let Some(HttpResponse::DeniedResponse(denied)) = response.http_response else { panic!() };
    assert_eq!(denied.headers, [header("www-authenticate", "Bearer"), header("www-authenticate", "DPoP")]);
    assert_eq!(denied.headers[0].append_action(), wire::AppendAction::OverwriteIfExistsOrAdd);
}

#[test]
fn what_is_set_is_never_removed() {
    let allowed = AllowedRequest {
        bearer: None,
        set: vec![("x-user-id".into(), "u1".into())],
        remove: vec![Cow::Borrowed("X-User-Id"), Cow::Borrowed("x_user_id"), Cow::Borrowed("x-tenant")],
        response_headers: vec![("x-policy".into(), "checked".into())],
    };
    let response = response(&answer(Reason::Allowed, Verdict::Allow(allowed)));
    let Some(HttpResponse::OkResponse(ok)) = response.http_response else { panic!() };
    assert_eq!(ok.headers, [header("x-user-id", "u1")]);
    assert_eq!(ok.headers_to_remove, ["x_user_id", "x-tenant"]);
    assert_eq!(ok.response_headers_to_add, [header("x-policy", "checked")]);
}

#[test]
fn row_220_a_tokens_words_stay_on_their_line_of_envoys_log() {
    for (text, line) in [
        ("alice@shop.example", "alice@shop.example"),
        ("auth0|7 Zoë 山田", "auth0|7 Zoë 山田"),
        ("a\r\n\u{1b}[35mb", "a%0D%0A%1B[35mb"),
        ("a\u{202e}b\u{2028}\0", "a%E2%80%AEb%E2%80%A8%00"),
        ("100%0A", "100%250A"),
    ] {
        assert_eq!(one_line(text), line, "{text:?}");
    }
}

fn with_token(set: Vec<(Arc<str>, String)>, remove: Vec<Cow<'static, str>>) -> AllowedRequest {
    AllowedRequest { set, remove, response_headers: Vec::new(), bearer: Some(Secret::new("new-token")) }
}

#[test]
fn an_obtained_token_is_set_over_whatever_was_sent_and_never_removed() {
    let set = vec![("x-user-id".into(), "u1".into()), ("Authorization".into(), "Basic of-a-rule".into())];
    let remove = vec![Cow::Borrowed("authorization"), Cow::Borrowed("AUTHORIZATION"), Cow::Borrowed("x-access-token")];
    let response = response(&answer(Reason::Allowed, Verdict::Allow(with_token(set, remove))));
    let Some(HttpResponse::OkResponse(ok)) = response.http_response else { panic!() };
    assert_eq!(ok.headers, [header("x-user-id", "u1"), header("authorization", "Bearer new-token")]);
    assert!(ok.headers.iter().all(|set| set.append_action() == wire::AppendAction::OverwriteIfExistsOrAdd));
    assert_eq!(ok.headers_to_remove, ["x-access-token"]);
}

#[test]
fn row_202_an_obtained_token_is_in_its_header_alone() {
    for reason in [Reason::Allowed, Reason::UpstreamTokenUnavailable] {
        let answer = answer(reason, Verdict::Allow(with_token(Vec::new(), Vec::new())));
        assert!(!format!("{answer:?}").contains("new-token"), "{answer:?}");
        let mut response = response(&answer);
        if let Some(HttpResponse::OkResponse(ok)) = &mut response.http_response {
            assert!(reason.allows());
            ok.headers.retain(|set| set.header.as_ref().unwrap().key != "authorization");
        }
        assert!(!format!("{response:?}").contains("new-token"), "{reason}: {response:?}");
    }
}
