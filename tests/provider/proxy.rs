//! The way to a provider: through a proxy, to addresses that the operator named, in time.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tollgate::net::{FetchError, FetchRequest, HttpClient, Lookup};
use tollgate::provider::CallError;
use tollgate::secret::Secret;

use crate::fixture::{Fixture, bare, soon, spec, status};
use crate::http::{Answer, Server, json, kept_json};
use crate::tls::Authority;

/// A proxy that knows CONNECT, leads everything to one address, and writes down what it was asked.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Proxy {
    async fn start(target: SocketAddr, refuses: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heads = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let heads = Arc::clone(&heads);
                connections.spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = client.read_u8().await else { return };
                        head.push(byte);
                    }
                    let head = String::from_utf8(head).unwrap();
                    let connects = head.starts_with("CONNECT ");
                    heads.lock().unwrap().push(head);
                    if refuses || !connects {
                        let _ = client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
                        return;
                    }
                    let mut server = TcpStream::connect(target).await.unwrap();
                    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { address, asked, task }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Says the same of every name.
#[derive(Debug)]
struct Says(&'static str);

impl Lookup for Says {
    fn lookup(&self, _: &str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> {
        let address = self.0.parse().unwrap();
        Box::pin(async move { Ok(vec![address]) })
    }
}

#[tokio::test]
async fn a_proxy_sees_the_name_and_nothing_of_the_call() {
    let authority = Authority::new("ours");
    let tls = authority.acceptor("idp.test", None);
    let server = Server::start_tls(kept_json(&json!({ "active": true })), tls).await;
    let proxy = Proxy::start(server.address, false).await;
    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.pem");
    std::fs::write(&ca_file, &authority.pem).unwrap();
    let mut spec = bare();
    // The name means nothing here: the proxy looks it up.
    spec.introspection_endpoint = "https://idp.test:8443/introspect".parse().ok();
    spec.transport.ca_file = Some(ca_file);
    spec.transport.proxy = format!("http://{}", proxy.address).parse().ok();
    let fixture = Fixture::new(spec.clone());
    let client = fixture.basic();
    for _ in 0..3 {
        assert_eq!(status(&fixture.introspect(&client).await), 200);
    }
    let asked = proxy.asked();
    assert_eq!(asked.len(), 1, "the tunnel is used again");
    assert!(asked[0].starts_with("CONNECT idp.test:8443 HTTP/1.1\r\n"), "{asked:?}");
    assert!(!asked[0].to_lowercase().contains("authorization"), "{asked:?}");
    assert!(server.last().header("authorization").is_some());

    // The same provider without the proxy is another transport: no tunnel is borrowed.
    spec.transport.proxy = None;
    let direct = Fixture::with(spec.clone(), HttpClient::with_lookup(Arc::new(Says("127.0.0.1"))));
    spec.transport.proxy = format!("http://{}", proxy.address).parse().ok();
    assert!(direct.introspect(&client).await.is_err(), "nobody listens there");

    // A proxy that refuses, and one that is not there.
    let refusing = Proxy::start(server.address, true).await;
    spec.transport.proxy = format!("http://{}", refusing.address).parse().ok();
    let error = Fixture::new(spec.clone()).introspect(&client).await.unwrap_err();
    assert!(matches!(error, CallError::Fetch(FetchError::Connect(_))), "{error:?}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    spec.transport.proxy = format!("http://{free}").parse().ok();
    let error = Fixture::new(spec).introspect(&client).await.unwrap_err();
    assert_eq!(error, CallError::Fetch(FetchError::Connect(Some(io::ErrorKind::ConnectionRefused))));
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn behind_a_proxy_nothing_is_loopback_and_its_address_is_vetted() {
    let server = Server::start(json(&json!({}))).await;
    let proxy = Proxy::start(server.address, false).await;
    let with_proxy = |url: &str, proxy: &str| {
        let mut request = FetchRequest::json(url.parse().unwrap(), Duration::from_secs(10), 1000);
        request.transport.proxy = Some(proxy.parse().unwrap());
        request
    };
    let here = format!("http://{}", proxy.address);
    let client = HttpClient::with_lookup(Arc::new(Says("169.254.169.254")));
    let mut bearer = with_proxy(&server.url("/"), &here);
    bearer.bearer = Some(Secret::new("t0ken"));
    bearer.transport.allow_insecure_http = true;
    for (request, is_request) in [
        (with_proxy(&server.url("/"), &here), true),
        (with_proxy("http://localhost/", &here), true),
        (bearer, true),
        (with_proxy("https://idp.test/", "http://user:pass@127.0.0.1:1/"), true),
        (with_proxy("https://idp.test/", "https://127.0.0.1:1/"), true),
        (with_proxy("https://idp.test/", "socks5://127.0.0.1:1/"), true),
        (with_proxy("https://169.254.169.254/", &here), false),
        (with_proxy("https://idp.test/", "http://169.254.169.254:3128"), false),
        (with_proxy("https://idp.test/", "http://[fe80::1]:3128"), false),
        (with_proxy("https://idp.test/", "http://proxy.test:3128"), false),
    ] {
        let error = soon(client.fetch(&request)).await.unwrap_err();
        assert_eq!(matches!(error, FetchError::Request(_)), is_request, "{request:?}: {error:?}");
        assert!(is_request || matches!(error, FetchError::RefusedAddress(_) | FetchError::Trust(_)), "{error:?}");
        assert!(!error.to_string().contains("pass@"));
    }
    assert_eq!((proxy.asked().len(), server.connections()), (0, 0));
}

/// Rows 191 and 192: a name that leads to a refused address is refused unless the operator named that very address.
#[tokio::test]
async fn row_192_a_named_address_is_reached_and_its_neighbours_are_not() {
    let server = Server::start(json(&json!({ "active": true }))).await;
    // The rules do not refuse loopback; 0.0.0.0 they do, and it leads here.
    let at = |url: String, allowed: &[&str]| {
        let mut request = FetchRequest::json(url.parse().unwrap(), Duration::from_secs(10), 1000);
        request.transport.allow_insecure_http = true;
        request.transport.allowed_addresses = allowed.iter().map(|address| address.parse().unwrap()).collect();
        request
    };
    let client = HttpClient::with_lookup(Arc::new(Says("0.0.0.0")));
    let port = server.address.port();
    for url in [format!("http://idp.test:{port}/"), format!("http://0.0.0.0:{port}/")] {
        let refused = FetchError::RefusedAddress("0.0.0.0".parse().unwrap());
        assert_eq!(client.fetch(&at(url.clone(), &[])).await.unwrap_err(), refused);
        assert_eq!(client.fetch(&at(url.clone(), &["0.0.0.1", "169.254.169.254"])).await.unwrap_err(), refused);
        assert_eq!(client.fetch(&at(url.clone(), &["0.0.0.0"])).await.unwrap().status, 200);
        // What one transport may reach, another may not.
        assert_eq!(client.fetch(&at(url, &[])).await.unwrap_err(), refused);
    }
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_connection_has_a_time_of_its_own() {
    // Accepts, and never says a word of TLS.
    let silent = Server::start(Answer::Stall(Vec::new())).await;
    let mut spec = spec(&silent);
    spec.introspection_endpoint = format!("https://localhost:{}/", silent.address.port()).parse().ok();
    spec.timeout = Duration::from_secs(30);
    spec.transport.connect_timeout = Some(Duration::from_millis(100));
    let authority = Authority::new("ours");
    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.pem");
    std::fs::write(&ca_file, &authority.pem).unwrap();
    spec.transport.ca_file = Some(ca_file);
    let fixture = Fixture::new(spec);
    let began = Instant::now();
    let error = fixture.introspect(&fixture.basic()).await.unwrap_err();
    assert_eq!(error, CallError::Fetch(FetchError::Timeout));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// Row 191: variables of the environment name no proxy. The test runs itself with them set, since a process has one
/// environment.
#[test]
fn row_191_proxies_of_the_environment_are_not_used() {
    const MARK: &str = "TOLLGATE_TEST_BEHIND_PROXY_VARIABLES";
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    if std::env::var_os(MARK).is_some() {
        runtime.block_on(async {
            let server = Server::start(json(&json!({ "active": true }))).await;
            let fixture = Fixture::new(spec(&server));
            assert_eq!(status(&fixture.introspect(&fixture.basic()).await), 200);
        });
        return;
    }
    let proxy = runtime.block_on(Proxy::start("127.0.0.1:1".parse().unwrap(), true));
    let mut run = std::process::Command::new(std::env::current_exe().unwrap());
    run.args(["--exact", "proxy::row_191_proxies_of_the_environment_are_not_used"]).env(MARK, "1");
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        run.env(name, format!("http://{}", proxy.address));
    }
    let output = run.env_remove("no_proxy").env_remove("NO_PROXY").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    assert_eq!(proxy.asked(), Vec::<String>::new());
}
