use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::core::decide::refuse;
use crate::core::principal::{KeptClaims, Origin, Parts, Principal};
use crate::core::request::{Header, Headers, RawRequest};
use crate::core::rule::{Action, AudienceRequirement, DenialStyle, Effect, Injection, IssuerIndex, Requirements};
use crate::core::trail::{Obtained, ObtainedKind, TokenId, Work};
use crate::secret::Secret;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// 2026-03-14T09:26:53.589Z
fn at() -> Timestamp {
    Timestamp::from_unix_millis(1_773_480_413_589)
}

fn rule() -> Arc<Rule> {
    let scopes = |any: &[&str], all: &[&str]| AnyAll {
        any: any.iter().map(|scope| (*scope).into()).collect(),
        all: all.iter().map(|scope| (*scope).into()).collect(),
    };
    let wanted = Requirements {
        issuers: vec![IssuerIndex(0)],
        audience: AudienceRequirement::Unchecked,
        scopes: vec![scopes(&["orders.read", "orders.write"], &[]), scopes(&[], &["admin"])],
        roles: vec![],
        claims: vec![],
        caller: None,
    };
    let effect = Effect {
        action: Action::Require(Arc::new(wanted)),
        injection: Injection::default(),
        denial: Arc::<DenialStyle>::default(),
        upstream_token: None,
    };
    Arc::new(Rule { name: "orders".into(), effect: Arc::new(effect) })
}

fn principal(text: &str, every_scope: bool) -> Arc<Principal> {
    let origin =
        Origin { issuer: "keycloak".into(), issuer_url: None, mapped: vec![], kept: KeptClaims::Only(Vec::new()) };
    Arc::new(Principal::from(Parts {
        subject: Some(text),
        client: Some("order-service"),
        service: Some("order-service"),
        tenant: Some("acme"),
        audience: vec!["orders"],
        scopes: vec!["orders.read", "openid"],
        every_scope,
        ..Parts::from(Arc::new(origin))
    }))
}

/// A denial with everything that is known of one.
fn denial(subject: &str) -> Answer {
    let obtained = Obtained { token: "payment-service".into(), kind: ObtainedKind::Exchange };
    let id = DecisionId(0x0f1e_2d3c_4b5a_6978_8796_a5b4_c3d2_e1f0);
    let reason = Reason::UpstreamTokenUnavailable;
    Answer {
        rule: Some(rule()),
        principal: Some(principal(subject, true)),
        trail: Trail {
            generation: 3,
            token: Some(TokenId(0x2c26_b46b_68ff_c68f_f99b_453c_1d30_4134)),
            work: Work::CalledOut,
            obtained: Some(obtained),
        },
        ..refuse(reason, false, id)
    }
}

fn request<'m>(path: &'m str, host: &'m str, id: &'m [u8], peer: &'m str) -> RawRequest<'m> {
    RawRequest {
        direction: Direction::Inbound,
        method: "GET",
        host,
        path,
        headers: Headers::new(vec![
            Header { name: "X-Request-Id", value: id },
            Header { name: "traceparent", value: TRACE.as_bytes() },
            Header { name: "authorization", value: b"Bearer hunter2" },
        ]),
        principal: peer,
        certificate: "",
        context_extensions: vec![],
    }
}

fn written(answer: &Answer, request: &RawRequest<'_>, selection: &Selection) -> String {
    let asked = Asked::of(request);
    let mut out = Vec::new();
    let facts = Facts::of_answer(answer, Duration::from_micros(412), Some(&asked), None);
    facts.write(&mut out, &Masks::of(selection), at());
    String::from_utf8(out).unwrap()
}

fn usual() -> RawRequest<'static> {
    request(
        "/orders/17?access_token=hunter2",
        "api.example.com",
        b"6f1c1b1e-4a47-4a0e-9c2f-3a5f4a1d9b11",
        "spiffe://cluster.local/ns/shop/sa/web",
    )
}

fn masking(fields: &[MaskedField], mask: Mask) -> Selection {
    let mut selection = Selection { hash_key: Some(Secret::new("0123456789abcdef")), ..Selection::default() };
    fields.iter().for_each(|field| selection.masks[*field as usize] = mask);
    selection
}

/// The lines that `docs/audit.md` shows.
#[test]
fn the_lines_of_the_documentation_are_those_that_are_written() {
    let whole = written(&denial("3f2b"), &usual(), &Selection::default());
    let masked = masking(&[MaskedField::Subject], Mask::Hash);
    let masked = Selection {
        masks: {
            let mut masks = masked.masks;
            masks[MaskedField::Path as usize] = Mask::Omit;
            masks
        },
        ..masked
    };
    let masked = written(&denial("3f2b"), &usual(), &masked);
    let mut refusal = Vec::new();
    let took = Duration::ZERO;
    Facts::of_refusal(DecisionId(7), Reason::Overloaded, Direction::Inbound, took).write(
        &mut refusal,
        &Masks::default(),
        at(),
    );
    let documentation = include_str!("../../../../docs/audit.md");
    let shown: Vec<&str> = documentation.lines().filter(|line| line.starts_with("{\"v\":")).collect();
    let lines = [whole, masked, String::from_utf8(refusal).unwrap()];
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    assert_eq!(shown, lines);
}

#[test]
fn the_documentation_lists_the_fields_in_their_order() {
    let line: Value = serde_json::from_str(&written(&denial("a"), &usual(), &Selection::default())).unwrap();
    let (mut has, mut all): (Vec<&str>, Vec<&str>) =
        (line.as_object().unwrap().keys().map(String::as_str).collect(), FIELDS.to_vec());
    let documented: Vec<&str> = include_str!("../../../../docs/audit.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    assert_eq!(documented, FIELDS);
    has.sort_unstable();
    all.sort_unstable();
    assert_eq!(has, all, "a line with everything has every field");
}

#[test]
fn masked_fields_are_left_out_or_digested() {
    let line = |selection: &Selection| -> Value {
        serde_json::from_str(&written(&denial("3f2b"), &usual(), selection)).unwrap()
    };
    let plain = line(&Selection::default());
    let (omitted, hashed) =
        (line(&masking(&MaskedField::ALL, Mask::Omit)), line(&masking(&MaskedField::ALL, Mask::Hash)));
    for field in MaskedField::ALL.map(MaskedField::as_str) {
        assert!(plain[field].is_string(), "{field}");
        assert_eq!(omitted.get(field), None, "{field}");
        let digest = hashed[field].as_str().unwrap();
        assert!(digest.strip_prefix("hmac:").is_some_and(|hex| hex.len() == 32), "{field}: {digest}");
    }
    assert_eq!(hashed["client"], hashed["service"], "the same text has the same digest");
    let mut other = masking(&MaskedField::ALL, Mask::Hash);
    other.hash_key = Some(Secret::new("another key of 16"));
    assert_ne!(line(&other)["subject"], hashed["subject"]);
    other.hash_key = None;
    assert_eq!(line(&other).get("subject"), None, "without a key nothing is told");
}

#[test]
fn where_the_decision_is_traced_its_own_span_is_named() {
    let (answer, request, mut out) = (denial("3f2b"), usual(), Vec::new());
    let (asked, span) = (Asked::of(&request), Some(SpanRef { trace_id: 10, span_id: 11 }));
    let facts = Facts::of_answer(&answer, Duration::ZERO, Some(&asked), span);
    facts.write(&mut out, &Masks::default(), at());
    let line: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(line["trace_id"], "0000000000000000000000000000000a");
    assert_eq!(line["span_id"], "000000000000000b");
}

#[test]
fn nobody_can_write_megabytes() {
    let long = "\u{1b}".repeat(1 << 20);
    let line = written(&denial(&long), &request(&long, &long, long.as_bytes(), &long), &Selection::default());
    assert!(line.len() < 64 << 10, "{}", line.len());
    assert!(serde_json::from_str::<Value>(&line).is_ok());
}

proptest! {
    /// Whatever a request and a token say, a line is one line of JSON, and says the same.
    #[test]
    fn lines_say_what_was_asked(
        path in "/[^?#]{0,64}",
        query in any::<String>(),
        host in any::<String>(),
        id in proptest::collection::vec(any::<u8>(), 1..32),
        peer in any::<String>(),
        subject in any::<String>(),
    ) {
        let full = format!("{path}?{query}");
        let line = written(&denial(&subject), &request(&full, &host, &id, &peer), &Selection::default());
        prop_assert!(line.ends_with('\n') && line.chars().filter(|c| c.is_control()).count() == 1);
        let read: Value = serde_json::from_str(&line).unwrap();
        let text = |field: &str| read[field].as_str().unwrap_or_default().to_owned();
        prop_assert_eq!(text("path"), path);
        prop_assert_eq!(text("host"), host.rsplit('@').next().unwrap_or_default());
        prop_assert_eq!(text("caller"), peer);
        prop_assert_eq!(text("subject"), subject);
        prop_assert_eq!(text("request_id"), String::from_utf8_lossy(&id).into_owned());
        prop_assert_eq!(text("trace_id"), TRACE[3..35].to_owned());
        prop_assert_eq!(text("span_id"), TRACE[36..52].to_owned());
        prop_assert_eq!(&read["wanted_scopes"], &serde_json::json!([{ "any": ["orders.read", "orders.write"] }, { "all": ["admin"] }]));
        prop_assert_eq!(&read["status"], Reason::UpstreamTokenUnavailable.http_status());
        prop_assert!(!line.contains("hunter2"));
    }
}
