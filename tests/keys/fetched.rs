use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;
use tollgate::authn::spec::{Algorithm, FetchSpec, IssuerSpec, KeySource};
use tollgate::authn::store::{KeyStore, KeysUnavailable};

use crate::fixture::{ISSUER, Process, fetch, from_url, has, jwk, jwks, soon, spec, until};
use crate::http::{Answer, DEADLINE, Server, http, json};

/// Each unknown key id makes a fetch.
fn no_cooldown() -> FetchSpec {
    FetchSpec { unknown_kid_cooldown: Duration::ZERO, ..fetch() }
}

#[tokio::test]
async fn keys_are_fetched_in_the_background() {
    let server = Server::start(json(&jwks(&["one"]))).await;
    let process = Process::new();
    let store = process.start(&from_url(&server.url("/jwks?x=1"), fetch()));
    assert!(store.wait(DEADLINE).await);
    let set = store.current().unwrap();
    assert_eq!(set.candidates(Some("one"), Algorithm::ES256).count(), 1);
    let status = store.status();
    assert_eq!((status.keys, status.last_error, status.expired), (1, None, false));
    assert_eq!(process.events.count("KeyRefresh { issuer: \"shop\", outcome: Fresh, keys: 1 }"), 1);
    let request = &server.seen()[0];
    assert!(request.starts_with("GET /jwks?x=1 HTTP/1.1\r\n"), "{request}");
    assert!(!request.to_lowercase().contains("authorization") && !request.to_lowercase().contains("gzip"), "{request}");
}

#[tokio::test]
async fn row_035_a_removed_key_is_gone_after_the_next_refresh() {
    let server = Server::start(json(&json!({ "keys": [jwk("old"), jwk("new")] }))).await;
    let process = Process::new();
    let fetch = FetchSpec { refresh: Duration::from_millis(100), ..fetch() };
    let store = process.start(&from_url(&server.url("/"), fetch));
    assert!(store.wait(DEADLINE).await && has(&store, "old"));
    server.set(json(&jwks(&["new"])));
    until("the old key is gone", || !has(&store, "old")).await;
    assert!(has(&store, "new"));
}

#[tokio::test]
async fn row_062_and_row_072_refused_and_private_keys_are_reported() {
    let mut private = jwk("private");
    private["d"] = "c2VjcmV0".into();
    let server = Server::start(json(&json!({ "keys": [private, { "kty": "oct", "k": "AAAA" }] }))).await;
    let process = Process::new();
    let store = process.start(&from_url(&server.url("/"), fetch()));
    assert!(store.wait(DEADLINE).await && has(&store, "private"));
    assert_eq!(process.events.count("KeyRefused"), 2);
    assert_eq!(process.events.count("it is symmetric"), 1);
    assert_eq!(process.events.count("private members"), 1);
}

const NOT_A_KEY_SET: [&str; 6] =
    ["{}", r#"{"keys":{}}"#, r#"{"keys":"x"}"#, "<html></html>", r#"{"defaultConfig":{}}"#, r#"{"keys":[]}"#];

#[tokio::test]
async fn row_073_what_is_not_a_key_set_leaves_none() {
    for body in NOT_A_KEY_SET {
        let server = Server::start(Answer::Bytes(http(200, &[], body))).await;
        let process = Process::new();
        let store = process.start(&from_url(&server.url("/"), fetch()));
        process.events.counted("outcome: Invalid, keys: 0", 1).await;
        assert_eq!(store.current().unwrap_err(), KeysUnavailable, "{body}");
        assert!(store.status().last_error.is_some());
    }
}

/// A store with a good key, and its server, which from now on answers otherwise. Each failure gets its own: after a
/// failure the store tries again by itself.
async fn good_before(process: &Process, fetch: FetchSpec, answer: Answer) -> (KeyStore, Server) {
    let server = Server::start(json(&jwks(&["good"]))).await;
    let store = process.start(&from_url(&server.url("/"), fetch));
    assert!(store.wait(DEADLINE).await);
    server.set(answer);
    (store, server)
}

#[tokio::test]
async fn row_073_and_row_074_what_is_not_a_key_set_leaves_the_last_good_one() {
    for body in NOT_A_KEY_SET {
        let process = Process::new();
        let (store, _server) = good_before(&process, fetch(), Answer::Bytes(http(200, &[], body))).await;
        soon(store.refetch_for("unknown")).await;
        assert!(process.events.count("outcome: Invalid, keys: 1") >= 1, "{body}");
        assert!(has(&store, "good"), "{body}");
    }
}

#[tokio::test]
async fn row_075_and_row_193_answers_without_end_are_cut_off_and_the_last_good_keys_stay() {
    let ec = jwk("k");
    let many = json!({ "keys": vec![ec; 10_000] });
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    for (answer, error) in [
        (json(&many), "larger than 1048576 bytes"),
        (Answer::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n".to_vec()), "larger than 1048576 bytes"),
        (Answer::Endless(head.clone(), chunk), "larger than 1048576 bytes"),
        (Answer::Stall(head.clone()), "no complete answer in time"),
        (Answer::Drip([head.as_slice(), &b"1\r\n \r\n".repeat(10_000)].concat()), "no complete answer in time"),
        (Answer::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec()), "no complete answer in time"),
        (Answer::Stall(Vec::new()), "no complete answer in time"),
        (Answer::Bytes(http(200, &["Content-Encoding: gzip"], [0x1f, 0x8b, 8, 0])), "compressed"),
    ] {
        let process = Process::new();
        // Long enough for what is too large, short enough not to wait long for what never ends.
        let timeout = Duration::from_secs(if error.contains("in time") { 1 } else { 15 });
        let (store, _server) = good_before(&process, FetchSpec { timeout, ..fetch() }, answer).await;
        soon(store.refetch_for("unknown")).await;
        let told = store.status().last_error.unwrap();
        assert!(told.contains(error), "{told}");
        assert!(has(&store, "good"));
    }
}

#[tokio::test]
async fn row_187_an_outage_is_bridged_with_the_last_good_keys_up_to_the_bound() {
    let redirect = http(302, &["Location: /elsewhere"], "");
    for answer in
        [Answer::Bytes(http(500, &[], "oops")), Answer::HangUp, Answer::Stall(Vec::new()), Answer::Bytes(redirect)]
    {
        let process = Process::new();
        let spec =
            FetchSpec { timeout: Duration::from_secs(1), stale_keys: Duration::from_secs(3600), ..no_cooldown() };
        let (store, server) = good_before(&process, spec, answer).await;
        soon(store.refetch_for("unknown")).await;
        assert!(process.events.count("outcome: Unreachable, keys: 1") >= 1);
        assert!(has(&store, "good"));

        process.clock.advance(Duration::from_secs(3600));
        assert!(has(&store, "good") && !store.status().expired);
        process.clock.advance(Duration::from_millis(1));
        assert_eq!(store.current().unwrap_err(), KeysUnavailable);
        assert!(store.status().expired && store.status().keys == 1);

        // The provider is back, and the next try finds it.
        server.set(json(&jwks(&["good"])));
        until("keys are back", || store.current().is_ok()).await;
        assert!(!store.status().expired && store.status().last_error.is_none());
    }
}

#[tokio::test]
async fn row_187_keys_that_ran_out_unnoticed_are_fetched_again_at_once() {
    // As after a virtual machine was suspended: the refresh timer has not moved, the wall clock has.
    let server = Server::start(json(&jwks(&["good"]))).await;
    let process = Process::new();
    let store = process.start(&from_url(&server.url("/"), fetch()));
    assert!(store.wait(DEADLINE).await);
    process.clock.advance(Duration::from_secs(3600 * 25));
    assert_eq!(store.current().unwrap_err(), KeysUnavailable);
    until("keys are fresh", || store.current().is_ok()).await;
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn row_188_a_failed_first_fetch_is_retried_until_it_succeeds() {
    let server = Server::start(Answer::Bytes(http(503, &[], ""))).await;
    let process = Process::new();
    let store = process.start(&from_url(&server.url("/"), fetch()));
    assert!(!store.wait(Duration::from_millis(10)).await);
    assert_eq!(store.current().unwrap_err(), KeysUnavailable);
    let started = Instant::now();
    server.saw(3).await;
    // Two pauses, half a second and a second, each by chance down to its half.
    assert!(started.elapsed() > Duration::from_millis(600), "{:?}", started.elapsed());
    server.set(json(&jwks(&["good"])));
    assert!(store.wait(DEADLINE).await);
    assert!(has(&store, "good"));
}

#[tokio::test]
async fn row_189_callers_give_up_and_the_fetch_goes_on() {
    let (open, gate) = watch::channel(false);
    let server = Server::start(Answer::When(gate, http(200, &[], jwks(&["late"]).to_string()))).await;
    let process = Process::new();
    let store = process.start(&from_url(&server.url("/"), fetch()));
    let waited = tokio::time::timeout(Duration::from_millis(50), store.refetch_for("late")).await;
    assert!(waited.is_err());
    assert!(!store.wait(Duration::from_millis(10)).await);
    server.saw(1).await;
    open.send_replace(true);
    assert!(store.wait(DEADLINE).await);
    assert!(has(&store, "late"));
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn row_194_cache_control_counts_within_the_bounds() {
    let least = Duration::from_millis(400);
    let hour = Duration::from_secs(3600);
    // Zero is raised to the least time; ten years are cut to the most; garbage leaves what is configured.
    for (cache_control, bounds, refresh, soonest) in [
        ("max-age=0", (least, hour), hour, least),
        ("no-store", (least, hour), hour, least),
        ("max-age=315360000", (Duration::ZERO, least), hour, least),
        ("max-age=99999999999999999999", (Duration::ZERO, least), hour, least),
        ("max-age=soon", (hour, hour), least, least),
    ] {
        let answer = http(200, &[&format!("Cache-Control: {cache_control}")], jwks(&["k"]).to_string());
        let server = Server::start(Answer::Bytes(answer)).await;
        let process = Process::new();
        let started = Instant::now();
        let fetch = FetchSpec { refresh, refresh_bounds: bounds, ..fetch() };
        let _store = process.start(&from_url(&server.url("/"), fetch));
        server.saw(2).await;
        // By chance up to a tenth earlier.
        assert!(started.elapsed() >= soonest.mul_f64(0.89), "{cache_control}: {:?}", started.elapsed());
    }
}

fn discovery(server: &Server, allowed_hosts: &[&str], fetch: FetchSpec) -> IssuerSpec {
    let url = server.url("/.well-known/openid-configuration").parse().unwrap();
    let allowed_hosts = allowed_hosts.iter().map(|host| (*host).into()).collect();
    spec(KeySource::Discovery { url, allowed_hosts, fetch })
}

/// Metadata at the well-known place, keys everywhere else.
fn provider(issuer: &str, jwks_uri: String, kids: &[&str]) -> Answer {
    let (metadata, keys) = (json(&json!({ "issuer": issuer, "jwks_uri": jwks_uri })), json(&jwks(kids)));
    Answer::Route(Arc::new(move |path| if path.starts_with("/.well-known/") { metadata.clone() } else { keys.clone() }))
}

#[tokio::test]
async fn discovery_leads_to_keys_and_runs_again_on_each_refresh() {
    let server = Server::start(Answer::HangUp).await;
    server.set(provider(ISSUER, server.url("/a"), &["one"]));
    let process = Process::new();
    let store = process.start(&discovery(&server, &[], FetchSpec { refresh: Duration::from_millis(100), ..fetch() }));
    assert!(store.wait(DEADLINE).await);
    server.set(provider(ISSUER, server.url("/b"), &["two"]));
    until("the new place is found", || has(&store, "two")).await;
    assert!(server.seen().last().unwrap().starts_with("GET /b "));
}

#[tokio::test]
async fn an_unknown_kid_makes_no_discovery_where_the_last_fetch_was_good() {
    let server = Server::start(Answer::HangUp).await;
    server.set(provider(ISSUER, server.url("/a"), &["one"]));
    let process = Process::new();
    let store = process.start(&discovery(&server, &[], no_cooldown()));
    assert!(store.wait(DEADLINE).await);
    soon(store.refetch_for("two")).await;
    let paths = |server: &Server| -> Vec<String> {
        server.seen().iter().map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect()
    };
    assert_eq!(paths(&server), ["/.well-known/openid-configuration", "/a", "/a"]);
    // After a failure the place is looked up again.
    server.set(Answer::HangUp);
    soon(store.refetch_for("three")).await;
    server.set(provider(ISSUER, server.url("/b"), &["four"]));
    until("the new place is found", || has(&store, "four")).await;
    assert_eq!(paths(&server).last().unwrap(), "/b");
}

#[tokio::test]
async fn row_190_metadata_of_another_issuer_are_refused() {
    let server = Server::start(Answer::HangUp).await;
    server.set(provider("https://idp.example.com/realms/shop/", server.url("/keys"), &["one"]));
    let process = Process::new();
    let store = process.start(&discovery(&server, &[], fetch()));
    process.events.counted("outcome: Invalid", 1).await;
    assert_eq!(store.current().unwrap_err(), KeysUnavailable);
    assert!(server.seen().iter().all(|head| head.starts_with("GET /.well-known/")));
    assert!(store.status().last_error.unwrap().contains("`issuer`"));
}

#[tokio::test]
async fn row_191_places_that_must_not_be_asked_are_never_asked() {
    let server = Server::start(Answer::HangUp).await;
    let elsewhere = Server::start(json(&jwks(&["evil"]))).await;
    for place in [
        format!("http://localhost:{}/", elsewhere.address.port()),
        "http://169.254.169.254/latest/".to_owned(),
        "https://[fe80::1]/".to_owned(),
        "https://[fd00:ec2::254]/".to_owned(),
        "https://100.100.100.200/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        server.set(provider(ISSUER, place.clone(), &["one"]));
        let process = Process::new();
        let store = process.start(&discovery(&server, &[], fetch()));
        process.events.counted("outcome: Invalid", 1).await;
        assert_eq!(store.current().unwrap_err(), KeysUnavailable, "{place}");
    }
    // Not even where the operator names them as hosts.
    for place in
        ["https://169.254.169.254/", "https://[fe80::1]/", "https://[fd00:ec2::254]/", "https://100.100.100.200/"]
    {
        server.set(provider(ISSUER, place.to_owned(), &["one"]));
        let process = Process::new();
        let hosts = ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "100.100.100.200"];
        let store = process.start(&discovery(&server, &hosts, fetch()));
        process.events.counted("outcome: Unreachable", 1).await;
        assert!(store.status().last_error.unwrap().contains("not an address that is connected to"), "{place}");
    }
    // A redirect is not followed.
    server.set(Answer::Bytes(http(302, &[&format!("Location: {}", elsewhere.url("/"))], "")));
    let process = Process::new();
    let store = process.start(&from_url(&server.url("/"), fetch()));
    process.events.counted("outcome: Unreachable", 1).await;
    assert!(store.status().last_error.unwrap().contains("status 302"));
    assert_eq!(elsewhere.count(), 0);
}

#[tokio::test]
async fn another_host_is_asked_where_the_operator_names_it() {
    let keys = Server::start(json(&jwks(&["one"]))).await;
    let server = Server::start(Answer::HangUp).await;
    server.set(provider(ISSUER, format!("http://localhost:{}/", keys.address.port()), &[]));
    let process = Process::new();
    let store = process.start(&discovery(&server, &["localhost"], fetch()));
    assert!(store.wait(DEADLINE).await && has(&store, "one"));
}

#[tokio::test]
async fn a_bearer_token_file_is_read_again_for_each_fetch_and_its_content_never_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "first-secret\n").unwrap();
    let server = Server::start(json(&jwks(&["one"]))).await;
    let process = Process::new();
    let fetch = FetchSpec { bearer_token_file: Some(file.clone()), ..no_cooldown() };
    let store = process.start(&from_url(&server.url("/"), fetch));
    assert!(store.wait(DEADLINE).await);
    std::fs::write(&file, "second-secret").unwrap();
    soon(store.refetch_for("two")).await;
    let sent = |index: usize, token: &str| server.seen()[index].contains(&format!("authorization: Bearer {token}\r\n"));
    assert!(sent(0, "first-secret") && sent(1, "second-secret"));

    server.set(Answer::Bytes(http(403, &[], "second-secret is not welcome")));
    soon(store.refetch_for("three")).await;
    until("the refusal shows", || store.status().last_error.is_some_and(|error| error.contains("status 403"))).await;
    let told = format!("{:?} {store:?}", store.status());
    assert!(told.contains("status 403") && !told.contains("secret"), "{told}");

    std::fs::remove_file(&file).unwrap();
    until("the loss shows", || store.status().last_error.is_some_and(|error| error.contains("bearer token file")))
        .await;
}

#[tokio::test]
async fn a_dropped_store_fetches_no_more() {
    let server = Server::start(json(&jwks(&["one"]))).await;
    let process = Process::new();
    let store =
        process.start(&from_url(&server.url("/"), FetchSpec { refresh: Duration::from_millis(100), ..fetch() }));
    server.saw(2).await;
    drop(store);
    // The task held the recorder; it has let go.
    until("the task has ended", || Arc::strong_count(&process.events) == 1).await;
}
