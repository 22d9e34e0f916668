//! Callers do not wait for providers beyond their time, and what they started goes on without them.

use std::time::Duration;

use futures_util::future::join_all;
use tollgate::core::reason::Reason;

use crate::faults::Fault;
use crate::wait::Looks;
use crate::world::{Need, Setting, World, assert_answer, policy, provider};

/// What a caller has.
const TIME: Duration = Duration::from_secs(2);
/// A provider may take longer than these tests do.
const PATIENT: Setting = Setting { outage: "", call: "60s", open: "10m", more: "" };

async fn hangs(need: Need) {
    let (idp, clock) = provider().await;
    if !need.is_of_keys() {
        idp.fail(Fault::Hanging).await;
    }
    let world = World::with(need, &policy(need, PATIENT), idp, clock).await;
    if need.is_of_keys() {
        world.allowed().await;
        world.idp.fail(Fault::Hanging).await;
        // The cooldown since the first fetch may be on.
        let mut looks = Looks::at(format!("{need:?}: an unknown key is asked for"));
        while world.ask_within(&world.idp.rotated_jwt(), TIME).await == Reason::UnknownKey {
            let _ = world.ask_within(&world.idp.jwt_of_key("k9"), Duration::from_millis(100)).await;
            looks.again().await;
        }
    }
    let new = || if need.is_of_keys() { world.idp.rotated_jwt() } else { world.token() };
    let (one, other) = (new(), new());
    let (engine, server) = tokio::join!(world.ask_within(&one, TIME), world.ask_server(&other, Some(TIME)));
    assert_eq!(engine, need.unavailable(), "{need:?}");
    assert_answer(&server, need.unavailable(), &need);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_177_and_row_189_and_row_196_a_provider_that_hangs_costs_callers_their_time_and_no_more() {
    join_all(Need::ALL.map(hangs)).await;
}

/// A caller gives up, and its successor finds what it asked for.
async fn goes_on(need: Need) {
    let world = World::new(need, PATIENT).await;
    let switch = world.idp.hold();
    let token = world.token();
    assert_eq!(world.ask_within(&token, Duration::from_millis(200)).await.http_status(), 503, "{need:?}");
    switch.send_replace(true);
    world.becomes(need.allowed(), || token.clone(), &need).await;
    assert_eq!(world.idp.calls(), if need == Need::Exchange { (0, 1) } else { (1, 0) }, "{need:?}");
}

#[tokio::test]
async fn row_182_a_caller_that_gives_up_leaves_its_question_running() {
    join_all([Need::Opaque, Need::Jwts, Need::Exchange].map(goes_on)).await;
}

/// Once an issuer is known to be down, who has no time for another call is answered with what was said before.
#[tokio::test]
async fn a_hasty_caller_gets_the_old_answer_of_an_issuer_that_is_known_to_hang() {
    let setting = Setting { outage: "stale_introspection: 60s", call: "60s", ..PATIENT };
    let world = World::new(Need::Opaque, setting).await;
    let known = world.allowed().await;
    world.clock.advance(Duration::from_secs(30));
    world.idp.fail(Fault::Hanging).await;
    // Nothing is known of an outage yet.
    assert_eq!(world.ask_within(&known, TIME).await, Reason::IntrospectionUnavailable);
    world.idp.fail(Fault::Status500).await;
    let other = world.token();
    assert_eq!(world.ask(&other).await, Reason::IntrospectionUnavailable);
    world.idp.fail(Fault::Hanging).await;
    let (of_known, of_other) = tokio::join!(world.ask_within(&known, TIME), world.ask_within(&other, TIME));
    assert_eq!(of_known, Reason::Allowed);
    assert_eq!(of_other, Reason::IntrospectionUnavailable, "it never was active");
}
