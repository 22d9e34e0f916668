//! `tollgate demo`: its tour, what it shows afterwards, and that nothing else can start its issuer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/envoy.rs"]
mod support;
#[path = "support/wait.rs"]
mod wait;

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tollgate::demo::client::Call;
use tollgate::demo::issuer::{CLIENTS, DevIssuer};
use tollgate::demo::{DemoOptions, Paint, run_with};

use support::binary;

async fn tour(options: &DemoOptions) -> (bool, Vec<String>) {
    let mut lines = Vec::new();
    let all_well = run_with(options, Paint::plain(), CancellationToken::new(), &mut |line| lines.push(line.to_owned()))
        .await
        .unwrap();
    (all_well, lines)
}

/// The lines of the tour's stops.
fn stops(lines: &[String]) -> Vec<&String> {
    lines.iter().filter(|line| line.starts_with("  ok ") || line.starts_with("  no ")).collect()
}

#[tokio::test]
async fn the_tour_through_envoy_is_as_expected() {
    binary();
    let (all_well, lines) = tour(&DemoOptions { once: true, ..DemoOptions::default() }).await;
    let text = lines.join("\n");
    assert!(all_well, "{text}");
    let stops = stops(&lines);
    for (what, status, reason, saw) in [
        ("allowed", "200", "allowed", "x-service-name: order-service"),
        ("no token", "401", "missing_token", "-"),
        ("wrong audience", "401", "wrong_audience", "-"),
        ("missing scope", "403", "insufficient_scope", "-"),
        ("forged x-service-name: admin", "200", "allowed", "x-service-name: report-service"),
        ("expired", "401", "token_expired", "-"),
        ("anonymous health", "200", "allowed_anonymous", "none"),
        ("gRPC call denied", "200 grpc 7", "insufficient_scope", "-"),
        ("another tenant's path", "403", "claim_mismatch", "-"),
    ] {
        let line = stops.iter().find(|line| line[6..].starts_with(&format!("{what} "))).expect(what);
        for part in [format!(" {status} "), format!(" {reason} "), format!(" {saw}")] {
            assert!(line.contains(&part), "{part:?}: {line}");
        }
    }
    assert!(text.contains("/development-only"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours here");
}

#[tokio::test]
async fn without_an_envoy_the_gate_is_asked_over_grpc_with_the_same_answers() {
    let (_, with) = tour(&DemoOptions { once: true, ..DemoOptions::default() }).await;
    let (all_well, without) = tour(&DemoOptions { once: true, without_envoy: true, ..DemoOptions::default() }).await;
    assert!(all_well, "{}", without.join("\n"));
    assert!(without.iter().any(|line| line.contains("make envoy")), "{}", without.join("\n"));
    assert_eq!(stops(&with), stops(&without));
}

#[tokio::test]
async fn given_ports_are_used() {
    // Below the range from which the system takes ports for connections: nobody else gets them in the meantime.
    let mut next = 20_000 + rand::random::<u16>() % 8_000;
    let mut free = || {
        loop {
            next += 1;
            if std::net::TcpListener::bind(("127.0.0.1", next)).is_ok() {
                return next;
            }
        }
    };
    let options = DemoOptions {
        once: true,
        envoy_port: free(),
        envoy_admin_port: free(),
        issuer_port: free(),
        upstream_port: free(),
        ..DemoOptions::default()
    };
    let (all_well, lines) = tour(&options).await;
    let text = lines.join("\n");
    assert!(all_well, "{text}");
    for port in [options.envoy_port, options.issuer_port, options.upstream_port] {
        assert!(text.contains(&format!("127.0.0.1:{port}")), "{port}: {text}");
    }
    // A port that is taken is said, not worked around.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let options = DemoOptions { once: true, issuer_port: port, ..DemoOptions::default() };
    let refused =
        run_with(&options, Paint::plain(), CancellationToken::new(), &mut |_| {}).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("127.0.0.1:{port}")), "{refused}");
}

#[tokio::test]
async fn an_interruption_before_the_end_of_the_tour_is_no_verdict() {
    let end = CancellationToken::new();
    let ends = end.clone();
    let options = DemoOptions { once: true, ..DemoOptions::default() };
    // The first line of the introduction is the sign.
    let ended = run_with(&options, Paint::plain(), end, &mut |_| ends.cancel()).await;
    assert!(ended.unwrap_err().to_string().contains("interrupted"));
}

/// What a reader of the demo does: copies a `curl` line, edits the policy, breaks it, mends it.
#[tokio::test]
async fn it_stays_up_with_live_tokens_and_shows_reloads() {
    let (tell, mut lines) = mpsc::unbounded_channel();
    let end = CancellationToken::new();
    let told = end.clone();
    let demo = tokio::spawn(async move {
        let mut show = |line: &str| tell.send(line.to_owned()).unwrap();
        run_with(&DemoOptions::default(), Paint::plain(), told, &mut show).await
    });
    let mut until = async |part: &str| {
        let mut read = Vec::new();
        loop {
            let line = timeout(Duration::from_secs(60), lines.recv()).await.expect(part).expect(part);
            let found = line.contains(part);
            read.push(line);
            if found {
                return read;
            }
        }
    };
    let before = until("Ctrl-C ends").await;
    let edit = before.last().unwrap();
    let policy = Path::new(edit.split(' ').nth(1).unwrap()).to_owned();
    let curl = before.iter().find(|line| line.contains("/orders/17 -H ")).unwrap();
    let (url, header) = curl.trim().strip_prefix("curl -i http://").unwrap().split_once(" -H ").unwrap();
    let (address, path) = url.split_at(url.find('/').unwrap());
    let header = header.trim_matches('\'').strip_prefix("Authorization: ").unwrap();
    let call = Call::get("shop.example", path).header("authorization", header);
    let reply = call.clone().send(address.parse().unwrap()).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());

    let text = std::fs::read_to_string(&policy).unwrap();
    std::fs::write(&policy, text.replace("any: [\"read:orders\", \"write:orders\"]", "any: [\"nobody\"]")).unwrap();
    until("reloaded: generation 2").await;
    let reply = call.clone().send(address.parse().unwrap()).await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.json()["reason"].as_str()), (403, Some("insufficient_scope")));

    std::fs::write(&policy, text.replace("rules:", "rulez:")).unwrap();
    until("refused; generation 2").await;
    let said = until("rulez").await;
    assert!(said.last().unwrap().contains("policy.yaml:"), "{said:?}");

    std::fs::write(&policy, &text).unwrap();
    until("reloaded: generation ").await;
    assert_eq!(call.send(address.parse().unwrap()).await.unwrap().status, 200);
    end.cancel();
    assert!(demo.await.unwrap().unwrap(), "the tour's verdict outlives the interruption");
    assert!(!policy.exists(), "nothing is left behind");
}

#[tokio::test]
async fn the_development_issuer_can_be_told_apart_by_everyone() {
    let issuer = DevIssuer::start(0).await.unwrap();
    assert!(issuer.address().ip().is_loopback());
    assert!(issuer.url().ends_with("/development-only"));
    let http = reqwest::Client::new();
    let get = async |path: &str| http.get(format!("{}{path}", issuer.url())).send().await.unwrap();
    assert!(get("").await.text().await.unwrap().contains("development issuer"));
    let discovery = get("/.well-known/openid-configuration").await.bytes().await.unwrap();
    let discovery: Value = serde_json::from_slice(&discovery).unwrap();
    assert_eq!(discovery["issuer"], issuer.url());
    assert_eq!(discovery["token_endpoint"], issuer.token_endpoint());
    let jwks: Value = serde_json::from_slice(&get("/jwks").await.bytes().await.unwrap()).unwrap();
    assert_eq!(jwks, issuer.jwks());
    assert!(!jwks.to_string().contains("\"d\""), "public halves only");
    for client in &CLIENTS {
        assert_eq!(issuer.claims(client)["dev"], true);
        assert!(client.secret.starts_with("not-a-secret"));
    }
}

#[tokio::test]
async fn the_token_endpoint_speaks_client_credentials() {
    let issuer = DevIssuer::start(0).await.unwrap();
    let client = &CLIENTS[0];
    let ask = async |basic: Option<(&str, &str)>, form: &[(&str, &str)]| {
        let mut request = reqwest::Client::new().post(issuer.token_endpoint()).form(form);
        if let Some((id, secret)) = basic {
            request = request.basic_auth(id, Some(secret));
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).unwrap())
    };
    let grant = ("grant_type", "client_credentials");
    let good = Some((client.id, client.secret));
    for (basic, form) in
        [(good, vec![grant]), (None, vec![grant, ("client_id", client.id), ("client_secret", client.secret)])]
    {
        let (status, answer) = ask(basic, &form).await;
        assert_eq!(
            (status, answer["token_type"].as_str(), answer["expires_in"].as_u64()),
            (200, Some("Bearer"), Some(900))
        );
        assert_eq!(answer["scope"], client.scopes.join(" "));
    }
    let (status, answer) = ask(good, &[grant, ("scope", "read:orders")]).await;
    assert_eq!((status, answer["scope"].as_str()), (200, Some("read:orders")));
    for (basic, form, status, error) in [
        (Some((client.id, "guessed")), vec![grant], 401, "invalid_client"),
        (Some(("nobody", client.secret)), vec![grant], 401, "invalid_client"),
        (None, vec![grant], 401, "invalid_client"),
        (None, vec![grant, ("client_id", client.id)], 401, "invalid_client"),
        (good, vec![grant, ("client_secret", client.secret)], 401, "invalid_client"),
        (good, vec![("grant_type", "password")], 400, "unsupported_grant_type"),
        (good, vec![grant, ("scope", "read:orders admin")], 400, "invalid_scope"),
    ] {
        let (got, answer) = ask(basic, &form).await;
        assert_eq!((got, answer["error"].as_str()), (status, Some(error)), "{form:?}");
    }
}

/// The example is a configuration like any other before the demo puts its own places in: all that it lacks is the
/// key file, which the demo writes.
#[test]
fn the_example_policy_is_a_configuration_as_it_is_shipped() {
    let errors = tollgate::config::load(Path::new("examples/demo/policy.yaml")).unwrap_err();
    let [error] = errors.0.as_slice() else { panic!("{errors}") };
    assert_eq!(error.path, "issuers.passport.keys.pem[0]");
}

/// No part of the program but the command line knows the demo: no configuration can start its issuer.
#[test]
fn nothing_but_the_command_line_can_reach_the_demo() {
    let mut places = Vec::new();
    let mut directories = vec![Path::new("src").to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if std::fs::read_to_string(&path).unwrap().contains("demo::") {
                places.push(path);
            }
        }
    }
    let allowed = |path: &Path| path.starts_with("src/cli") || path == Path::new("src/cli.rs");
    let ours = |path: &Path| path.starts_with("src/demo") || path == Path::new("src/demo.rs");
    places.retain(|path| !allowed(path) && !ours(path));
    assert_eq!(places, Vec::<std::path::PathBuf>::new());
    let schema = tollgate::config::schema().to_string();
    assert!(!schema.contains("development") && !schema.contains("\"dev\""), "{schema}");
}
