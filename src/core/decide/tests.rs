use super::super::principal::Parts;
use super::super::request::{Direction, Header, Headers, RawRequest};
use super::super::rule::{AnyAll, Effect, IssuerIndex};
use super::super::table::{Matcher, PathPattern, PolicyTable, RuleSpec};
use super::*;
use crate::clock::Timestamp;

const ID: DecisionId = DecisionId(0xabc);

fn requirements() -> Arc<Requirements> {
    Arc::new(Requirements {
        issuers: vec![IssuerIndex(0)],
        audience: AudienceRequirement::Checked(AnyAll { any: vec!["orders".into()], all: Vec::new() }),
        scopes: Vec::new(),
        roles: Vec::new(),
        claims: Vec::new(),
        caller: None,
    })
}

fn table(action: Action, upstream_token: Option<TokenIndex>) -> PolicyTable {
    let effect = Effect { action, injection: Injection::default(), denial: Arc::default(), upstream_token };
    let rule = Rule { name: "hop".into(), effect: Arc::new(effect) };
    let matcher = Matcher {
        direction: Some(Direction::Outbound),
        paths: vec![PathPattern::parse("/**").unwrap()],
        ..Matcher::default()
    };
    let spec = RuleSpec { rule, matcher, priority: 0, fallback: false, cors_preflight: true };
    PolicyTable::compile(vec![spec], &["x-user-id".into()]).unwrap()
}

fn verified(audience: &str) -> Authentication {
    let expires_at = Timestamp::from_unix_seconds(2_000_000_000);
    let issuer = "shop".into();
    let parts = Parts { subject: Some("alice"), audience: vec![audience], expires_at, ..Parts::of(&issuer) };
    let principal = Arc::new(Principal::from(parts));
    Authentication::Verified { principal, header: "authorization".into() }
}

/// Decides on a request with these headers, and passes on what came of it.
fn with<T>(
    table: &PolicyTable,
    method: &str,
    headers: &[(&str, &str)],
    authentication: Authentication,
    then: impl FnOnce(Decided<'_>) -> T,
) -> T {
    let lines = headers.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
    let facts = RequestFacts::parse(RawRequest {
        direction: Direction::Outbound,
        method,
        host: "payments.internal",
        path: "/charge",
        headers: Headers::new(lines),
        principal: "",
        certificate: "",
        context_extensions: Vec::new(),
    })
    .unwrap();
    let found = table.find(&facts).unwrap().unwrap();
    let guarded = GuardedHeaders::new(table, &["authorization".into(), "x-access-token".into()]);
    then(decide(&found, &facts, authentication, &guarded, ID))
}

const SENT: [(&str, &str); 8] = [
    ("authorization", "Bearer callers-own"),
    ("x-access-token", "forged"),
    ("X-Access_Token", "forged"),
    ("proxy-authorization", "Basic Zm9yZ2Vk"),
    ("proxy_authorization", "Basic Zm9yZ2Vk"),
    ("x-user-id", "forged"),
    ("cookie", "session=callers-own"),
    ("accept", "*/*"),
];

fn answer(decided: Decided<'_>) -> Answer {
    match decided {
        Decided::Answer(answer) => answer,
        Decided::NeedsToken(_) => panic!("it waits for a token"),
    }
}

fn waiting(decided: Decided<'_>) -> NeedsToken<'_> {
    match decided {
        Decided::NeedsToken(waiting) => waiting,
        Decided::Answer(answer) => panic!("answered: {}", answer.reason),
    }
}

#[test]
fn a_rule_that_attaches_a_token_allows_with_the_token_alone() {
    let table = table(Action::Require(requirements()), Some(TokenIndex(3)));
    let allowed = with(&table, "GET", &SENT, verified("orders"), |decided| {
        let waiting = waiting(decided);
        assert_eq!(waiting.token(), TokenIndex(3));
        waiting.attach(Secret::new("new"))
    });
    assert_eq!(allowed.reason, Reason::Allowed);
    assert_eq!(allowed.principal.as_ref().unwrap().subject(), Some("alice"));
    let Verdict::Allow(allowed) = allowed.verdict else { panic!() };
    assert_eq!(allowed.bearer().unwrap().expose(), "new");
    let mut removed: Vec<&str> = allowed.remove().collect();
    removed.sort_unstable();
    // Envoy removes last: `authorization`, which is set, is not among them.
    let wanted =
        ["cookie", "proxy-authorization", "proxy_authorization", "x-access-token", "x-access_token", "x-user-id"];
    assert_eq!(removed, wanted);

    let denied = with(&table, "GET", &SENT, verified("orders"), |decided| {
        waiting(decided).refuse(Reason::UpstreamTokenUnavailable)
    });
    assert_eq!(denied.reason, Reason::UpstreamTokenUnavailable);
    assert!(matches!(denied.verdict, Verdict::Deny(denied) if denied.http_status() == 503));
    assert!(denied.principal.is_some());
}

#[test]
fn a_token_that_does_not_come_never_allows_whatever_the_reason() {
    let table = table(Action::Require(requirements()), Some(TokenIndex(0)));
    for reason in Reason::ALL {
        let denied = with(&table, "GET", &SENT, verified("orders"), |decided| waiting(decided).refuse(*reason));
        assert!(!denied.reason.allows() && matches!(denied.verdict, Verdict::Deny(_)), "{reason}");
    }
}

#[test]
fn a_request_that_does_not_meet_its_rule_waits_for_no_token() {
    let table = table(Action::Require(requirements()), Some(TokenIndex(0)));
    for (authentication, reason) in [
        (verified("stock"), Reason::WrongAudience),
        (Authentication::Absent, Reason::MissingToken),
        (Authentication::NotWanted, Reason::InternalError),
        (Authentication::Refused(Reason::TokenInactive), Reason::TokenInactive),
    ] {
        assert_eq!(with(&table, "GET", &[], authentication, answer).reason, reason);
    }
    let table = super::tests::table(Action::Deny, Some(TokenIndex(0)));
    assert_eq!(with(&table, "GET", &[], Authentication::NotWanted, answer).reason, Reason::DeniedByRule);
}

#[test]
fn the_gates_own_token_replaces_what_an_unjudged_caller_sent() {
    let table = table(Action::Anonymous { caller: None }, Some(TokenIndex(0)));
    let allowed =
        with(&table, "GET", &SENT, Authentication::NotWanted, |decided| waiting(decided).attach(Secret::new("own")));
    assert_eq!(allowed.reason, Reason::AllowedAnonymous);
    let Verdict::Allow(allowed) = allowed.verdict else { panic!() };
    assert_eq!(allowed.bearer().unwrap().expose(), "own");
    assert!(allowed.remove().any(|name| name == "x-access-token"));
    assert!(allowed.remove().any(|name| name == "proxy-authorization"));
    assert!(allowed.remove().any(|name| name == "cookie"));
}

#[test]
fn a_preflight_carries_no_token_of_ours() {
    let table = table(Action::Anonymous { caller: None }, Some(TokenIndex(0)));
    let sent = [("origin", "https://shop.example"), ("access-control-request-method", "POST")];
    let allowed = with(&table, "OPTIONS", &sent, Authentication::NotWanted, answer);
    assert_eq!(allowed.reason, Reason::AllowedPreflight);
    assert!(matches!(allowed.verdict, Verdict::Allow(allowed) if allowed.bearer().is_none()));
}

#[test]
fn without_a_token_to_attach_other_parties_credentials_are_left_alone() {
    let table = table(Action::Require(requirements()), None);
    let Verdict::Allow(allowed) = with(&table, "GET", &SENT, verified("orders"), answer).verdict else { panic!() };
    let mut removed: Vec<&str> = allowed.remove().collect();
    removed.sort_unstable();
    assert_eq!(removed, ["x-access-token", "x-access_token", "x-user-id"]);
    assert_eq!(allowed.bearer(), None);
}
