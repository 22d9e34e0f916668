//! Points 14: no spelling of a path gets around the rule for the path that the service reads.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tollgate::demo::client::Protocol;
use tollgate::demo::envoy::Shipped;

use crate::support::{Stage, get};

/// Paths that some server or other reads as `/admin/users`.
const TRICKS: [&str; 24] = [
    "/public/../admin/users",
    "/public/./../admin/users",
    "/public/%2e%2e/admin/users",
    "/public/%2E%2E/admin/users",
    "/public/.%2e/admin/users",
    "/public/..%2fadmin/users",
    "/public/..%2Fadmin/users",
    "/public/..%5cadmin/users",
    "/public/..\\admin\\users",
    "/public/%252e%252e/admin/users",
    "/public%2f..%2fadmin/users",
    "//admin/users",
    "/public//../admin/users",
    "/public/..//admin/users",
    "/public/../../admin/users",
    "/public/..;/admin/users",
    "/public/;/../admin/users",
    "/admin;x=y/users",
    "/admin/./users",
    "/%61dmin/users",
    "/ADMIN/users",
    "/admin%00/users",
    "/public/x/../../admin/users?a=/public/",
    "/admin/users#/public/",
];

/// Whether a server of whatever habits could read this as the protected path. What arrives is plain, so that there
/// is but one reading.
fn is_protected(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let ambiguous = ["..", "//", "/./", ";", "\\", "%2e", "%2f", "%5c", "%25", "%61", "%00", "#"];
    path.starts_with("/admin") || ambiguous.iter().any(|odd| path.contains(odd))
}

#[tokio::test]
async fn point_14_no_spelling_reaches_a_protected_path_without_a_token() {
    let stage = Stage::new().await;
    // The same without Envoy's help: an operator who forgot the normalisation.
    let bare = Stage::with(
        Shipped::inbound(),
        |policy| policy,
        |config| {
            config
                .replace("normalize_path: true", "normalize_path: false")
                .unwrap()
                .replace("merge_slashes: true", "merge_slashes: false")
                .unwrap()
                .replace("slashes_action: REJECT_REQUEST", "slashes_action: KEEP_UNCHANGED")
                .unwrap()
        },
    )
    .await;
    for (name, stage) in [("shipped", &stage), ("bare", &bare)] {
        for path in TRICKS {
            let status = raw_get(stage, path).await;
            let seen = stage.upstream.take_seen();
            assert!(!seen.iter().any(|seen| is_protected(&seen.path)), "{name}: {path}: {seen:?}");
            let arrived = !seen.is_empty();
            assert_eq!(arrived, status == 200, "{name}: {path}: {status}");
            assert!(arrived || (400..500).contains(&status), "{name}: {path}: {status}");
        }
        // HTTP/2 says the path in another place.
        for path in ["/public/../admin/users", "/public/%2e%2e/admin/users", "//admin/users"] {
            let (reply, seen) = stage.ask(get(path).protocol(Protocol::Http2)).await;
            assert!(reply.status.is_client_error() && seen.is_none(), "{name}: {path}: {}", reply.status);
        }
        // The way in is still there.
        let token = stage.token(&["admin"]);
        assert_eq!(stage.allowed(get("/admin/users?x=/public").bearer(&token)).await.path, "/admin/users?x=/public");
        stage.allowed(get("/public/a%20b/c")).await;
    }
}

/// Sends a request line that no library would, and reads the status.
async fn raw_get(stage: &Stage, path: &str) -> u16 {
    let mut stream = TcpStream::connect(stage.envoy.address()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: api.example.com\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The query is part of what Envoy calls the path, and never of what a rule matches; hosts are not chosen by headers.
#[tokio::test]
async fn point_14_queries_and_rewriting_headers_choose_no_rule() {
    let stage = Stage::new().await;
    stage.allowed(get("/healthz?x=1")).await;
    stage.denied(get("/any/x?/healthz"), 401, "missing_token").await;
    for name in ["x-forwarded-uri", "x-original-url", "x-rewrite-url", "x-envoy-original-path"] {
        stage.denied(get("/any/x").header(name, "/healthz"), 401, "missing_token").await;
    }
    stage.denied(get("/any/x").header("x-http-method-override", "OPTIONS"), 401, "missing_token").await;
    let token = stage.token(&["read:orders"]);
    stage.denied(get(&format!("/any/x?access_token={token}")), 401, "missing_token").await;
}
