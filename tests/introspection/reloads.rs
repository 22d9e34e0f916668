//! What a changed configuration keeps, and when a gate is ready.

use std::sync::Arc;

use serde_json::json;
use tollgate::core::reason::Reason;
use tollgate::engine::Readiness;

use crate::fixture::{Gate, Idp, Named, TOKEN, active, claims};
use crate::http::Answer;

#[tokio::test]
async fn row_169_answers_live_on_under_other_rules_and_die_with_the_issuers_configuration() {
    let idp = Idp::start().await;
    idp.says(TOKEN, active(&json!({})));
    let gate = Gate::start(&[Named::new(&idp)]).await;
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    let before = gate.issuer(0);
    gate.reload(&[Named::new(&idp)], "  - { name: new, match: { hosts: [x.example.com] }, deny: true }\n").await;
    assert!(Arc::ptr_eq(&before, &gate.issuer(0)));
    assert_eq!((gate.ask(TOKEN).await, idp.asked()), (Reason::Allowed, 1));

    // Another way to judge or to ask: what was learned before is forgotten; the provider and its breaker live on.
    for (number, introspection) in
        ["cache: { active: 20s }", "opaque: { min_bytes: 20 }", "unknown: { burst: 99 }"].iter().enumerate()
    {
        gate.reload(&[Named { introspection, ..Named::new(&idp) }], "").await;
        let after = gate.issuer(0);
        assert!(!Arc::ptr_eq(&before, &after));
        assert!(Arc::ptr_eq(before.provider().unwrap(), after.provider().unwrap()), "{introspection}");
        assert_eq!((gate.ask(TOKEN).await, idp.asked()), (Reason::Allowed, 2 + number), "{introspection}");
    }
    gate.reload(&[Named { provider: "max_in_flight: 63", ..Named::new(&idp) }], "").await;
    assert!(!Arc::ptr_eq(before.provider().unwrap(), gate.issuer(0).provider().unwrap()));
}

/// Else a reload would hold up all opaque tokens there are, for as long as the budget for garbage takes to ask about them.
#[tokio::test]
async fn tokens_that_were_known_before_a_reload_need_no_budget_after_it() {
    let idp = Idp::start().await;
    idp.says(TOKEN, active(&json!({})));
    let introspection = "unknown: { per_second: 1, burst: 1 }";
    let gate = Gate::start(&[Named { introspection, ..Named::new(&idp) }]).await;
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    gate.reload(&[Named { introspection, issuer: "tokens: opaque\nleeway: 31s", ..Named::new(&idp) }], "").await;
    let rest = ["x1", "x2", "x3"].map(|end| format!("{}{end}", "garbage-".repeat(4)));
    let mut limited = 0;
    for garbage in &rest {
        limited += usize::from(gate.ask(garbage).await == Reason::IntrospectionLimited);
    }
    assert!(limited > 0, "the budget is used up");
    let asked = idp.asked();
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    assert_eq!(idp.asked(), asked + 1, "what was said before the reload is forgotten");
}

/// A call that is under way when its issuer is replaced answers whom it was made for, and nobody else.
#[tokio::test]
async fn row_169_a_question_under_way_belongs_to_the_configuration_that_asked_it() {
    let idp = Idp::start().await;
    let (open, gate_open) = tokio::sync::watch::channel(false);
    let body = active(&json!({})).to_string();
    idp.server.set(Answer::When(gate_open, crate::http::http(200, &["Content-Type: application/json"], body)));
    let gate = Gate::start(&[Named::new(&idp)]).await;
    let reload = async {
        idp.server.saw(1).await;
        gate.reload(&[Named { introspection: "cache: { active: 20s }", ..Named::new(&idp) }], "").await;
        open.send(true).unwrap();
    };
    let (reason, ()) = tokio::join!(gate.ask(TOKEN), reload);
    assert_eq!(reason, Reason::Allowed);
    assert_eq!((gate.ask(TOKEN).await, idp.asked()), (Reason::Allowed, 2));
}

#[tokio::test]
async fn a_gate_may_be_ready_without_the_keys_of_some_issuers() {
    let (idp, keys) = (Idp::start().await, Idp::start().await);
    idp.says(TOKEN, active(&json!({})));
    keys.server.kill().await;
    for (outage, ready) in
        [("", false), ("outage: { cold_start: wait }", false), ("outage: { cold_start: serve }", true)]
    {
        let issuer =
            format!("tokens: both\nalgorithms: [ES256]\nkeys: {{ jwks: \"{}\" }}\n{outage}", keys.server.url("/jwks"));
        let gate = Gate::start(&[Named { issuer: &issuer, ..Named::new(&idp) }]).await;
        assert_eq!(matches!(gate.engine.readiness(), Readiness::Ready), ready, "{outage}");
        assert_eq!(gate.ask(&gate.jwt(&claims(&json!({})))).await, Reason::KeysUnavailable, "{outage}");
        assert_eq!(gate.ask(TOKEN).await, Reason::Allowed, "{outage}: opaque tokens need no keys");
        assert_eq!(gate.ask(TOKEN).await, Reason::Allowed, "{outage}");
    }
    assert_eq!(idp.asked(), 3);
}
