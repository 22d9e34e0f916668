mod typed;

use std::sync::Arc;

use envoy_types::pb::envoy::service::auth::v3 as auth_pb;
use proptest::prelude::*;
use prost::Message as _;

use self::typed::header;
use super::wire::check_response::HttpResponse;
use super::*;
use crate::core::answer::DecisionId;
use crate::core::header_list::HeaderList;
use crate::core::principal::{Parts, Principal};
use crate::secret::Secret;

/// What a frame says.
fn response(answer: &Answer) -> wire::CheckResponse {
    wire::CheckResponse::decode(message(&frame(answer))).unwrap()
}

/// The message in a frame, whose prefix must fit it.
fn message(frame: &[u8]) -> &[u8] {
    let (prefix, message) = frame.split_at(5);
    assert_eq!(prefix[0], 0, "not compressed");
    assert_eq!(u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize, message.len());
    message
}

const ID: DecisionId = DecisionId(0xabc);

fn answer(reason: Reason, verdict: Verdict) -> Answer {
    Answer { decision_id: ID, reason, rule: None, principal: None, caller: None, verdict, trail: Default::default() }
}

fn denied(http_status: u16, headers: HeaderList) -> Verdict {
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
        let deny = response(&answer(*reason, denied(403, HeaderList::default())));
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
        let response = response(&answer(Reason::NoRule, denied(status, HeaderList::default())));
        let Some(HttpResponse::DeniedResponse(denied)) = response.http_response else { panic!() };
        assert_eq!(denied.status.unwrap().code, sent, "{status}");
        assert_eq!(denied.body, "no");
    }
}

#[test]
fn denied_headers_keep_repeated_names_and_say_their_action() {
    let headers = HeaderList::from_iter([("www-authenticate", "Bearer"), ("www-authenticate", "DPoP")]);
    let response = response(&answer(Reason::MissingToken, denied(401, headers)));
    let Some(HttpResponse::DeniedResponse(denied)) = response.http_response else { panic!() };
    assert_eq!(denied.headers, [header("www-authenticate", "Bearer"), header("www-authenticate", "DPoP")]);
    assert_eq!(denied.headers[0].append_action(), wire::AppendAction::OverwriteIfExistsOrAdd);
}

#[test]
fn what_is_set_is_never_removed() {
    let allowed = AllowedRequest::new(
        HeaderList::from_iter([("x-user-id", "u1")]),
        ["X-User-Id".into(), "x_user_id".into(), "x-tenant".into()].into(),
        [("x-policy".into(), "checked".into())].into(),
    );
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

fn with_token(set: &[(&str, &str)], remove: &[&str]) -> AllowedRequest {
    let (set, remove) = (set.iter().copied().collect(), remove.iter().copied().map(Into::into).collect());
    AllowedRequest::new(set, remove, Arc::default()).with_bearer(Secret::new("new-token"))
}

#[test]
fn an_obtained_token_is_set_over_whatever_was_sent_and_never_removed() {
    let set = [("x-user-id", "u1"), ("Authorization", "Basic of-a-rule")];
    let remove = ["authorization", "AUTHORIZATION", "x-access-token"];
    let response = response(&answer(Reason::Allowed, Verdict::Allow(with_token(&set, &remove))));
    let Some(HttpResponse::OkResponse(ok)) = response.http_response else { panic!() };
    assert_eq!(ok.headers, [header("x-user-id", "u1"), header("authorization", "Bearer new-token")]);
    assert!(ok.headers.iter().all(|set| set.append_action() == wire::AppendAction::OverwriteIfExistsOrAdd));
    assert_eq!(ok.headers_to_remove, ["x-access-token"]);
}

#[test]
fn row_202_an_obtained_token_is_in_its_header_alone() {
    for reason in [Reason::Allowed, Reason::UpstreamTokenUnavailable] {
        let answer = answer(reason, Verdict::Allow(with_token(&[], &[])));
        assert!(!format!("{answer:?}").contains("new-token"), "{answer:?}");
        let mut response = response(&answer);
        if let Some(HttpResponse::OkResponse(ok)) = &mut response.http_response {
            assert!(reason.allows());
            ok.headers.retain(|set| set.header.as_ref().unwrap().key != "authorization");
        }
        assert!(!format!("{response:?}").contains("new-token"), "{reason}: {response:?}");
    }
}

/// Texts whose lengths need one, two and three bytes, and whose characters need care.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![4 => ".{0,12}", 2 => "[a-z]{100,140}", 1 => (16_370..16_400_usize).prop_map(|length| "x".repeat(length))]
}

fn lines() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof!["[Xx]-[a-c_-]{0,2}", "[Aa]uthorization", texts()];
    prop::collection::vec((name, texts()), 0..5)
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    let remove = prop::collection::vec(prop_oneof!["[Xx]-[a-c_-]{0,2}", "[Aa]uthorization"], 0..5);
    let allow =
        (lines(), remove, lines(), prop::option::of(texts())).prop_map(|(set, remove, response_headers, bearer)| {
            let remove = remove.into_iter().map(Into::into).collect();
            let response_headers =
                response_headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
            let allowed = AllowedRequest::new(set.into_iter().collect(), remove, response_headers);
            Verdict::Allow(match bearer {
                Some(token) => allowed.with_bearer(Secret::new(token)),
                None => allowed,
            })
        });
    let deny = (0..700_u16, lines(), texts()).prop_map(|(http_status, headers, body)| {
        Verdict::Deny(DeniedResponse { http_status, headers: headers.into_iter().collect(), body })
    });
    prop_oneof![allow, deny]
}

fn principals() -> impl Strategy<Value = Arc<Principal>> {
    (prop::option::of(texts()), prop::option::of(texts()), texts()).prop_map(|(subject, client, issuer)| {
        let (subject, client, issuer) = (subject.as_deref(), client.as_deref(), issuer.as_str().into());
        Arc::new(Parts { subject, client, ..Parts::of(&issuer) }.into())
    })
}

proptest! {
    #[test]
    fn a_frame_says_what_the_typed_message_says(
        id in any::<u128>(),
        reason in prop::sample::select(Reason::ALL),
        verdict in verdicts(),
        principal in prop::option::of(principals()),
    ) {
        let answer = Answer { decision_id: DecisionId(id), principal, ..answer(reason, verdict) };
        let frame = frame(&answer);
        let typed = typed::response(&answer);
        prop_assert_eq!(wire::CheckResponse::decode(message(&frame)).unwrap(), typed.clone());
        let envoys = |bytes: &[u8]| auth_pb::CheckResponse::decode(bytes).unwrap();
        prop_assert_eq!(envoys(message(&frame)), envoys(&typed.encode_to_vec()));
    }
}
