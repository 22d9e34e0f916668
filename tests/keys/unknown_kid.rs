use std::time::Duration;

use tokio::sync::watch;
use tollgate::authn::spec::FetchSpec;

use crate::fixture::{Process, fetch, from_url, has, jwks, soon};
use crate::http::{Answer, DEADLINE, Server, http, json};

#[tokio::test]
async fn row_184_ten_thousand_unknown_kids_make_one_fetch_in_a_cooldown() {
    let server = Server::start(json(&jwks(&["one"]))).await;
    let process = Process::new();
    let store = std::sync::Arc::new(process.start(&from_url(&server.url("/"), fetch())));
    assert!(store.wait(DEADLINE).await);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..10_000 {
        let store = std::sync::Arc::clone(&store);
        tasks.spawn(async move { store.refetch_for(&format!("random-{number}")).await });
    }
    soon(tasks.join_all()).await;
    assert_eq!(server.count(), 2);
    assert_eq!(process.events.count("UnknownKid"), 10_000);
    assert!(process.events.count("refetched: false") + process.events.count("refetched: true") == 10_000);
    assert!(process.events.count("refetched: true") >= 1);

    // Those that come after the fetch find the cooldown on: known as missed or never seen, nobody waits or asks.
    for number in 9_500..10_500 {
        soon(store.refetch_for(&format!("random-{number}"))).await;
    }
    assert_eq!(server.count(), 2);
    assert!(process.events.count("refetched: false") >= 1_000);
}

#[tokio::test]
async fn row_186_a_new_key_is_there_after_one_refetch() {
    let server = Server::start(json(&jwks(&["one"]))).await;
    let process = Process::new();
    let store = process.start(&from_url(&server.url("/"), fetch()));
    assert!(store.wait(DEADLINE).await);
    server.set(json(&jwks(&["one", "two"])));
    soon(store.refetch_for("two")).await;
    assert!(has(&store, "two"));
    assert_eq!(server.count(), 2);
    assert_eq!(process.events.count("UnknownKid { issuer: \"shop\", refetched: true }"), 1);
}

#[tokio::test]
async fn callers_share_one_flight_and_one_that_gives_up_does_not_end_it() {
    let server = Server::start(json(&jwks(&["one"]))).await;
    let process = Process::new();
    let store = std::sync::Arc::new(process.start(&from_url(&server.url("/"), fetch())));
    assert!(store.wait(DEADLINE).await);
    let (open, gate) = watch::channel(false);
    server.set(Answer::When(gate, http(200, &[], jwks(&["two"]).to_string())));
    // The caller that the flight was called for leaves.
    assert!(tokio::time::timeout(Duration::from_millis(50), store.refetch_for("two")).await.is_err());
    server.saw(2).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let store = std::sync::Arc::clone(&store);
        let kid = if number % 2 == 0 { "two".to_owned() } else { format!("other-{number}") };
        tasks.spawn(async move { store.refetch_for(&kid).await });
    }
    // All of them are waiting when the answer comes.
    process.events.counted("refetched: true", 101).await;
    open.send_replace(true);
    soon(tasks.join_all()).await;
    assert!(has(&store, "two"));
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_kid_that_was_missed_lately_does_not_wait_for_another_flight() {
    let server = Server::start(json(&jwks(&["one"]))).await;
    let process = Process::new();
    let fetch = FetchSpec { refresh: Duration::from_millis(300), ..fetch() };
    let store = process.start(&from_url(&server.url("/"), fetch));
    assert!(store.wait(DEADLINE).await);
    soon(store.refetch_for("missed")).await;
    // A refresh is in the air and does not come back.
    server.set(Answer::Stall(Vec::new()));
    let before = server.count();
    server.saw(before + 1).await;
    tokio::time::timeout(Duration::from_secs(5), store.refetch_for("missed")).await.expect("at once");
    // One that was never asked for does wait.
    assert!(tokio::time::timeout(Duration::from_millis(50), store.refetch_for("new")).await.is_err());
}

#[tokio::test]
async fn after_the_cooldown_a_missed_kid_is_asked_for_again() {
    let server = Server::start(json(&jwks(&["one"]))).await;
    let process = Process::new();
    let cooldown = Duration::from_millis(200);
    let store = process.start(&from_url(&server.url("/"), FetchSpec { unknown_kid_cooldown: cooldown, ..fetch() }));
    assert!(store.wait(DEADLINE).await);
    soon(store.refetch_for("two")).await;
    server.set(json(&jwks(&["two"])));
    let ended = tokio::time::timeout(DEADLINE, async {
        while !has(&store, "two") {
            store.refetch_for("two").await;
            tokio::task::yield_now().await;
        }
    });
    ended.await.expect("the cooldown ends");
    assert_eq!(server.count(), 3);
}
