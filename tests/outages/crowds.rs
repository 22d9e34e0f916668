//! Many requests at once over gRPC, counted at the provider.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tollgate::core::reason::Reason;
use tollgate::telemetry::Exposition;

use crate::wait::until;
use crate::world::{Need, Setting, World, policy, provider, reason};

const CROWD: usize = 1000;

/// A thousand requests with one new token, all of them under way before the provider answers.
async fn at_once(need: Need, setting: Setting) -> (usize, usize) {
    let world = World::new(need, Setting { call: "60s", ..setting }).await;
    let switch = world.idp.hold();
    let token = world.token();
    let asked = join_all((0..CROWD).map(|_| world.ask_server(&token, None)));
    let waiting = async {
        let all = format!("\ntollgate_checks_in_flight {CROWD}\n");
        let waiting = || world.gate.recorder.exposition(Exposition::Prometheus).contains(&all);
        until(format!("{need:?}: all of them wait"), waiting).await;
        switch.send_replace(true);
    };
    let (answers, ()) = tokio::join!(asked, waiting);
    assert!(answers.iter().all(|answer| reason(answer) == "allowed"), "{need:?}");
    // And none of those that come afterwards asks again.
    world.both_with(&token, Reason::Allowed, &need).await;
    assert_eq!(world.idp.server.count_of("/.well-known/openid-configuration"), 1, "{need:?}");
    world.idp.calls()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_181_a_thousand_requests_with_one_new_token_are_one_introspection() {
    assert_eq!(at_once(Need::Opaque, Setting::default()).await, (1, 0));
    assert_eq!(at_once(Need::Jwts, Setting::default()).await, (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_181_a_thousand_requests_with_one_new_token_are_one_introspection_and_one_exchange() {
    let more = "introspection: { jwts: true, client: { id: gate, secret_file: secret } }";
    assert_eq!(at_once(Need::Exchange, Setting { more, ..Setting::default() }).await, (1, 1));
}

/// A thousand unknown key ids in one interval make one fetch; and so on, interval by interval.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_184_a_thousand_unknown_kids_are_one_fetch_of_the_keys_in_an_interval() {
    let (idp, clock) = provider().await;
    let text =
        policy(Need::Jwks, Setting { call: "60s", ..Setting::default() }).replace("cooldown: 1s", "cooldown: 1h");
    let world = World::with(Need::Jwks, &text, idp, clock).await;
    world.allowed().await;
    assert_eq!(world.idp.server.count(), 1);
    let tokens: Vec<String> = (0..CROWD).map(|number| world.idp.jwt_of_key(&format!("random-{number}"))).collect();
    let answers = join_all(tokens.iter().map(|token| world.ask_server(token, None))).await;
    assert!(answers.iter().all(|answer| reason(answer) == "unknown_key"));
    assert_eq!(world.idp.server.count(), 2);
    world.both_new(Reason::Allowed, &"known keys serve").await;

    let world = World::new(Need::Jwks, Setting { call: "60s", ..Setting::default() }).await;
    world.allowed().await;
    let (began, mut number) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_millis(2200) {
        let tokens: Vec<String> = (0..50).map(|nth| world.idp.jwt_of_key(&format!("random-{number}-{nth}"))).collect();
        join_all(tokens.iter().map(|token| world.ask_server(token, None))).await;
        number += 1;
    }
    let most = 2 + usize::try_from(began.elapsed().as_secs()).unwrap();
    let fetches = world.idp.server.count();
    assert!((3..=most + 1).contains(&fetches), "{fetches} in {:?}", began.elapsed());
}
