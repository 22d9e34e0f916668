//! What an operator may say of outages: how long old keys and old answers serve, and what a cold start does.

use std::time::Duration;

use futures_util::future::join_all;
use tollgate::core::reason::Reason;
use tollgate::engine::Readiness;

use crate::faults::Fault;
use crate::world::{Need, Setting, World, policy, provider};

const MINUTE: Duration = Duration::from_secs(60);

/// Every fault that brings no keys. Good keys whose metadata have become another issuer's are taken from where they
/// were until the metadata are due.
const FAULTS: [Fault; 8] = [
    Fault::Killed,
    Fault::Hanging,
    Fault::Status500,
    Fault::Html,
    Fault::HalfABody,
    Fault::FiftyMegabytes,
    Fault::Redirect,
    Fault::EmptyKeySet,
];

async fn stale_keys(need: Need, fault: Fault) {
    let what = (need, fault);
    let world = World::new(need, Setting { outage: "stale_keys: 30m", ..Setting::of(fault) }).await;
    let known = world.allowed().await;
    world.idp.fail(fault).await;
    world.clock.advance(30 * MINUTE);
    world.both_new(Reason::Allowed, &what).await;
    world.both_with(&known, Reason::Allowed, &what).await;
    world.clock.advance(Duration::from_millis(1));
    world.both_new(Reason::KeysUnavailable, &what).await;
    world.both_with(&known, Reason::KeysUnavailable, &what).await;
    assert!(world.gate.engine.status().issuers[0].keys.expired, "{what:?}");
    assert_eq!(world.gate.engine.readiness(), Readiness::Ready, "{what:?}: an outage takes no replica out of service");
    world.idp.heal().await;
    world.becomes(Reason::Allowed, || world.token(), &what).await;
    world.both_with(&known, Reason::Allowed, &what).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_187_stale_keys_serve_for_as_long_as_is_said_and_no_longer() {
    let cases = FAULTS.into_iter().flat_map(|fault| [(Need::Discovery, fault), (Need::Jwks, fault)]);
    join_all(cases.map(|(need, fault)| stale_keys(need, fault))).await;
}

/// An answer that is too old, with an issuer that fails so.
async fn stale_answer(need: Need, fault: Fault) {
    let what = (need, fault);
    let setting = Setting { outage: "stale_introspection: 60s", ..Setting::of(fault) };
    let world = World::new(need, setting).await;
    let (known, revoked) = (world.allowed().await, world.allowed().await);
    world.idp.revoke(&revoked);
    world.clock.advance(Duration::from_secs(30));
    // A call that is too slow by chance is an outage, too.
    world.becomes(Reason::TokenInactive, || revoked.clone(), &what).await;
    world.becomes(Reason::Allowed, || known.clone(), &what).await;
    world.idp.fail(fault).await;
    // The answer is 30 seconds old: not to be used any more, were there another.
    world.clock.advance(Duration::from_secs(30));
    let refused = match (fault, need) {
        (Fault::WrongIssuer, Need::Jwts) => Reason::TokenConflict,
        (Fault::WrongIssuer, _) => Reason::UnknownIssuer,
        _ => Reason::IntrospectionUnavailable,
    };
    world.both_with(&known, if fault.is_down() { Reason::Allowed } else { refused }, &what).await;
    // Never where the last word was another, and never what nobody vouched for.
    let still = if fault == Fault::WrongIssuer { Reason::TokenInactive } else { refused };
    world.both_with(&revoked, still, &what).await;
    world.both_new(refused, &what).await;
    world.clock.advance(Duration::from_millis(59_999));
    if fault.is_down() {
        world.both_with(&known, Reason::Allowed, &what).await;
        world.clock.advance(Duration::from_millis(1));
    }
    world.both_with(&known, refused, &what).await;
    world.idp.heal().await;
    world.becomes(Reason::Allowed, || known.clone(), &what).await;
    world.becomes(Reason::TokenInactive, || revoked.clone(), &what).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_introspection_serves_in_transport_faults_and_5xx_alone() {
    let faults = Fault::ALL.into_iter().filter(|fault| *fault != Fault::EmptyKeySet);
    let cases = faults.flat_map(|fault| [(Need::Opaque, fault), (Need::Jwts, fault)]);
    join_all(cases.map(|(need, fault)| stale_answer(need, fault))).await;
}

#[tokio::test]
async fn a_stale_answer_ends_with_its_token() {
    for need in [Need::Opaque, Need::Jwts] {
        let outage = "stale_introspection: 24h";
        let world = World::new(need, Setting { outage, ..Setting::default() }).await;
        let known = world.allowed().await;
        world.idp.fail(Fault::Status500).await;
        world.clock.advance(Duration::from_secs(86_399));
        world.both_with(&known, Reason::Allowed, &need).await;
        world.clock.advance(Duration::from_secs(1));
        // A JWT is still within its leeway; its issuer's answer serves no longer.
        world.both_with(&known, Reason::IntrospectionUnavailable, &need).await;
        world.clock.advance(Duration::from_secs(30));
        let ended = if need == Need::Jwts { Reason::TokenExpired } else { Reason::IntrospectionUnavailable };
        world.both_with(&known, ended, &need).await;
    }
}

#[tokio::test]
async fn without_a_word_about_it_no_answer_is_used_beyond_its_time() {
    for need in [Need::Opaque, Need::Jwts] {
        let world = World::new(need, Setting::default()).await;
        let known = world.allowed().await;
        world.idp.fail(Fault::Killed).await;
        world.clock.advance(Duration::from_millis(29_999));
        world.both_with(&known, Reason::Allowed, &need).await;
        world.clock.advance(Duration::from_millis(1));
        world.both_with(&known, Reason::IntrospectionUnavailable, &need).await;
    }
}

async fn cold_start(need: Need, fault: Fault, serve: bool) {
    let what = (need, fault, serve);
    let outage = if serve { "cold_start: serve" } else { "cold_start: wait" };
    let (idp, clock) = provider().await;
    idp.fail(fault).await;
    let text = policy(need, Setting { outage, ..Setting::of(fault) });
    let world = World::with(need, &text, idp, clock).await;
    let waiting = Readiness::WaitingFor(vec!["shop".into()]);
    let engine = &world.gate.engine;
    assert_eq!(engine.readiness(), if serve { Readiness::Ready } else { waiting }, "{what:?}");
    world.both_new(Reason::KeysUnavailable, &what).await;
    world.idp.heal().await;
    crate::world::soon(engine.until_ready()).await;
    world.becomes(Reason::Allowed, || world.token(), &what).await;
    assert_eq!(engine.readiness(), Readiness::Ready, "{what:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_188_a_cold_start_waits_or_serves_as_is_said() {
    let cases = [Fault::Killed, Fault::Hanging, Fault::Status500, Fault::EmptyKeySet].into_iter();
    let cases = cases.flat_map(|fault| [(Need::Discovery, fault), (Need::Jwks, fault)]);
    join_all(cases.flat_map(|(need, fault)| [true, false].map(|serve| cold_start(need, fault, serve)))).await;
}
