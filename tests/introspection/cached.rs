//! What is remembered of answers, for how long, and how little of that is believed.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tollgate::core::reason::Reason;

use crate::fixture::{Gate, Idp, NOW, Named, OTHER, TOKEN, active, inactive, until};
use crate::http::{Answer, http};

#[tokio::test]
async fn row_163_scopes_are_judged_anew_by_each_rule() {
    let idp = Idp::start().await;
    idp.says(TOKEN, active(&json!({ "scope": "foo" })));
    let gate = Gate::start(&[Named::new(&idp)]).await;
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    assert_eq!(gate.at("/bar", TOKEN).await, Reason::InsufficientScope);
    assert_eq!(idp.asked(), 1);
}

#[tokio::test]
async fn row_164_one_text_at_two_issuers_is_two_tokens() {
    let (one, two) = (Idp::start().await, Idp::start().await);
    one.says(TOKEN, active(&json!({ "iss": null })));
    let issuers = [
        Named { name: "one", issuer: "tokens: opaque\nissuer: https://one.example", ..Named::new(&one) },
        Named { name: "two", issuer: "tokens: opaque\nissuer: https://two.example", ..Named::new(&two) },
    ];
    // A rule for both would not know whom to ask; each has a rule of its own.
    let gate = Gate::start_apart(&issuers).await;
    for _ in 0..2 {
        let both = tokio::join!(gate.at("/one", TOKEN), gate.at("/two", TOKEN));
        assert_eq!(both, (Reason::Allowed, Reason::TokenInactive));
    }
    assert_eq!((one.asked(), two.asked()), (1, 1));
}

#[tokio::test]
async fn row_165_nothing_but_the_whole_token_is_a_key() {
    let idp = Idp::start().await;
    idp.says(TOKEN, active(&json!({})));
    let gate = Gate::start(&[Named::new(&idp)]).await;
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    let longer = format!("{TOKEN}x");
    for other in [OTHER, &TOKEN[..42], &longer, &TOKEN.to_lowercase()] {
        assert_eq!(gate.ask(other).await, Reason::TokenInactive, "{other}");
    }
    assert_eq!(idp.asked(), 5);
}

#[tokio::test]
async fn row_167_an_answer_is_used_until_its_exp_and_no_longer_than_configured() {
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named { introspection: "cache: { active: 60s }", ..Named::new(&idp) }]).await;
    idp.says(TOKEN, active(&json!({ "exp": NOW + 40 })));
    idp.says(OTHER, active(&json!({ "exp": null })));
    for (seconds, token_asked, other_asked) in [(0, 1, 1), (39, 1, 1), (1, 2, 1), (19, 3, 1), (1, 4, 2)] {
        gate.advance(seconds);
        let now = (gate.now().as_unix_seconds() - NOW, gate.ask(TOKEN).await, gate.ask(OTHER).await);
        assert_eq!((now.1, now.2), (Reason::Allowed, Reason::Allowed), "{now:?}");
        let asked = idp.server.requests();
        let count = |token| asked.iter().filter(|request| request.field("token").as_deref() == Some(token)).count();
        assert_eq!((count(TOKEN), count(OTHER)), (token_asked, other_asked), "{now:?}");
    }
    // The issuer still calls it active, which does not help beyond the leeway.
    gate.advance(10);
    assert_eq!(gate.ask(TOKEN).await, Reason::TokenExpired);
}

#[tokio::test]
async fn row_168_a_token_that_was_revoked_is_refused_when_the_answer_is_over() {
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named { introspection: "cache: { active: 10s }", ..Named::new(&idp) }]).await;
    idp.says(TOKEN, active(&json!({})));
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    idp.says(TOKEN, inactive());
    gate.advance(9);
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    gate.advance(1);
    assert_eq!(gate.ask(TOKEN).await, Reason::TokenInactive);
}

#[tokio::test]
async fn row_168_without_a_cache_it_is_refused_at_once() {
    for introspection in ["cache: { active: 0s, inactive: 0s }", "cache: { active: 30s }"] {
        let issuer =
            if introspection.contains("0s,") { "tokens: opaque" } else { "tokens: opaque\ncache: { max_bytes: 0B }" };
        let idp = Idp::start().await;
        let gate = Gate::start(&[Named { introspection, issuer, ..Named::new(&idp) }]).await;
        idp.says(TOKEN, active(&json!({})));
        for _ in 0..3 {
            assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
        }
        idp.says(TOKEN, inactive());
        assert_eq!(gate.ask(TOKEN).await, Reason::TokenInactive);
        assert_eq!(idp.asked(), 4);
    }
}

#[tokio::test]
async fn a_refusal_is_remembered_for_a_shorter_time() {
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named { introspection: "cache: { inactive: 3s }", ..Named::new(&idp) }]).await;
    assert_eq!(gate.ask(TOKEN).await, Reason::TokenInactive);
    idp.says(TOKEN, active(&json!({})));
    gate.advance(2);
    assert_eq!(gate.ask(TOKEN).await, Reason::TokenInactive);
    assert_eq!(idp.asked(), 1);
    gate.advance(1);
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    assert_eq!(gate.events.take(), ["hit false", "inactive", "hit true", "hit false", "active"]);
}

/// A token whose time has not come is refused, but not beyond that moment.
#[tokio::test]
async fn a_refusal_for_a_time_ends_with_it() {
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named { introspection: "cache: { inactive: 5m }", ..Named::new(&idp) }]).await;
    idp.says(TOKEN, active(&json!({ "nbf": NOW + 31 })));
    assert_eq!(gate.ask(TOKEN).await, Reason::TokenNotYetValid);
    gate.advance(1);
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
}

/// A clock that is set back makes what was learned in its future unusable.
#[tokio::test]
async fn answers_from_the_future_are_forgotten() {
    let idp = Idp::start().await;
    idp.says(TOKEN, active(&json!({})));
    let gate = Gate::start(&[Named::new(&idp)]).await;
    assert_eq!((gate.ask(TOKEN).await, gate.ask(OTHER).await), (Reason::Allowed, Reason::TokenInactive));
    gate.clock.set(gate.now().saturating_sub(Duration::from_secs(3600)));
    assert_eq!((gate.ask(TOKEN).await, gate.ask(OTHER).await), (Reason::Allowed, Reason::TokenInactive));
    assert_eq!(idp.asked(), 4);
}

#[tokio::test]
async fn row_181_a_thousand_at_once_with_one_new_token_are_one_question() {
    let idp = Idp::start().await;
    let (open, gate_open) = tokio::sync::watch::channel(false);
    let answer = http(200, &["Content-Type: application/json"], active(&json!({})).to_string());
    idp.server.set(Answer::When(gate_open, answer));
    let gate = Gate::start(&[Named::new(&idp)]).await;
    let all = join_all((0..1000).map(|_| gate.ask(TOKEN)));
    let opened = async {
        idp.server.saw(1).await;
        open.send(true).unwrap();
    };
    let (reasons, ()) = tokio::join!(all, opened);
    assert!(reasons.iter().all(|reason| *reason == Reason::Allowed));
    assert_eq!(idp.asked(), 1);
    assert_eq!(gate.events.count("active"), 1);
}

/// The same on many threads, where answers come while others are about to ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn row_181_a_thousand_on_many_threads_are_one_question() {
    let idp = Idp::start().await;
    for token in [TOKEN, OTHER] {
        idp.says(token, active(&json!({})));
    }
    let gate = std::sync::Arc::new(Gate::start(&[Named::new(&idp)]).await);
    for (number, token) in [TOKEN, OTHER].into_iter().enumerate() {
        let all = (0..1000).map(|_| {
            let gate = std::sync::Arc::clone(&gate);
            tokio::spawn(async move { gate.ask(token).await })
        });
        for reason in join_all(all).await {
            assert_eq!(reason.unwrap(), Reason::Allowed);
        }
        assert_eq!(idp.asked(), number + 1);
    }
}

#[tokio::test]
async fn row_182_who_gives_up_first_leaves_the_question_to_the_others() {
    let idp = Idp::start().await;
    let (open, gate_open) = tokio::sync::watch::channel(false);
    let answer = http(200, &["Content-Type: application/json"], active(&json!({})).to_string());
    idp.server.set(Answer::When(gate_open, answer));
    let gate = Gate::start(&[Named::new(&idp)]).await;
    {
        // Dropped as a call is whose client has hung up.
        let leader = gate.ask(TOKEN);
        tokio::pin!(leader);
        tokio::select! {
            _ = &mut leader => panic!("nobody answered"),
            () = idp.server.saw(1) => {}
        }
    }
    let (follower, ()) = tokio::join!(gate.ask(TOKEN), async { open.send(true).unwrap() });
    assert_eq!(follower, Reason::Allowed);
    until("it is counted", || gate.events.count("active") == 1).await;
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    assert_eq!(idp.asked(), 1);
}

#[tokio::test]
async fn a_second_look_goes_past_what_is_remembered_and_leaves_its_findings() {
    let idp = Idp::start().await;
    idp.says(TOKEN, active(&json!({})));
    let gate = Gate::start(&[Named::new(&idp)]).await;
    assert_eq!(gate.ask(TOKEN).await, Reason::Allowed);
    let issuer = gate.issuer(0);
    assert_eq!(issuer.recheck(TOKEN, gate.now()).await, Ok(()));
    assert_eq!(idp.asked(), 2, "it was asked again");
    idp.server.set(Answer::HangUp);
    assert_eq!(issuer.recheck(TOKEN, gate.now()).await, Ok(()), "nothing can be told");
    idp.mend();
    idp.says(TOKEN, inactive());
    assert_eq!(issuer.recheck(TOKEN, gate.now()).await.unwrap_err().reason, Reason::TokenInactive);
    assert_eq!(gate.ask(TOKEN).await, Reason::TokenInactive, "the older answer is forgotten");
    idp.says(OTHER, active(&json!({ "exp": NOW - 30 })));
    assert_eq!(issuer.recheck(OTHER, gate.now()).await.unwrap_err().reason, Reason::TokenExpired);
    assert_eq!(issuer.recheck("short", gate.now()).await.unwrap_err().reason, Reason::TokenMalformed);
}
