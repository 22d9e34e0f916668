use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tollgate::net::{FetchError, FetchRequest, HttpClient, Lookup};
use tollgate::secret::Secret;

use crate::http::{Answer, Server, http, json};

fn request(url: &str) -> FetchRequest {
    FetchRequest::json(url.parse().unwrap(), Duration::from_secs(10), 1000)
}

async fn fails(client: &HttpClient, request: &FetchRequest) -> FetchError {
    match client.fetch(request).await {
        Err(error) => error,
        Ok(answer) => panic!("answered with {}", answer.status),
    }
}

/// Answers with each list in turn, then with the last one again and again.
#[derive(Debug)]
struct Script(Mutex<Vec<Vec<IpAddr>>>, AtomicUsize);

impl Lookup for Script {
    fn lookup(&self, _: &str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        let mut script = self.0.lock().unwrap();
        let next = if script.len() > 1 { script.remove(0) } else { script[0].clone() };
        Box::pin(async move { Ok(next) })
    }
}

fn scripted(answers: &[&[&str]]) -> (HttpClient, Arc<Script>) {
    let answers = answers.iter().map(|list| list.iter().map(|address| address.parse().unwrap()).collect()).collect();
    let script = Arc::new(Script(Mutex::new(answers), AtomicUsize::new(0)));
    (HttpClient::with_lookup(Arc::clone(&script) as Arc<_>), script)
}

#[tokio::test]
async fn row_192_the_address_that_was_vetted_is_the_one_connected_to() {
    let server = Server::start(json(&json!({}))).await;
    let mut request = request(&format!("http://issuer.test:{}/", server.address.port()));
    request.transport.allow_insecure_http = true;

    // A name that would mean something else when it is asked for a second time is asked for once a connection.
    let (client, script) = scripted(&[&["169.254.169.254", "127.0.0.1"], &["169.254.169.254"]]);
    assert_eq!(client.fetch(&request).await.unwrap().status, 200);
    assert_eq!(script.1.load(Ordering::SeqCst), 1);
    assert_eq!(fails(&client, &request).await, FetchError::RefusedAddress("169.254.169.254".parse().unwrap()));
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn row_191_names_that_lead_to_refused_addresses_are_refused() {
    for address in [
        "169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "0.0.0.0",
        "::",
        "::ffff:169.254.169.254",
        "224.0.0.1",
    ] {
        let (client, _) = scripted(&[&[address]]);
        let error = fails(&client, &request("https://issuer.test/")).await;
        assert_eq!(error, FetchError::RefusedAddress(address.parse().unwrap()));
    }
    // `localhost` is allowed clear text because it is this machine.
    let (client, _) = scripted(&[&["192.0.2.1"]]);
    assert!(matches!(fails(&client, &request("http://localhost/")).await, FetchError::RefusedAddress(_)));
    let (client, _) = scripted(&[&[]]);
    assert_eq!(fails(&client, &request("https://issuer.test/")).await, FetchError::Dns);
}

#[tokio::test]
async fn row_191_literal_addresses_are_refused_however_they_are_written() {
    let client = HttpClient::new();
    for url in [
        "https://169.254.169.254/",
        "https://2852039166/",
        "https://0xa9fea9fe/",
        "https://0251.0376.0251.0376/",
        "https://[::ffff:169.254.169.254]/",
        "https://[fe80::1]/",
        "https://[fd00:ec2::254]/",
        "https://100.100.100.200/",
        "http://0.0.0.0/",
        "https://0/",
        "https://[::]/",
    ] {
        assert!(matches!(fails(&client, &request(url)).await, FetchError::RefusedAddress(_)), "{url}");
    }
}

#[tokio::test]
async fn what_is_never_sent() {
    let client = HttpClient::new();
    let mut clear_text_token = request("http://issuer.test/");
    clear_text_token.transport.allow_insecure_http = true;
    clear_text_token.bearer = Some(Secret::new("t0ken"));
    let mut broken_token = request("https://issuer.test/");
    broken_token.bearer = Some(Secret::new("a\r\nb"));
    for refused in [
        clear_text_token,
        request("http://issuer.test/"),
        request("http://10.0.0.1/"),
        request("file:///etc/passwd"),
        request("ftp://127.0.0.1/"),
        request("https://user:pass@issuer.test/"),
        request("data:,x"),
    ] {
        let error = fails(&client, &refused).await;
        assert!(matches!(error, FetchError::Request(_)), "{}: {error}", refused.url);
        assert!(!error.to_string().contains("pass") || error.to_string().contains("password"), "{error}");
        assert!(!format!("{error:?}{refused:?}").contains("t0ken"));
    }
    let (client, _) = scripted(&[&["127.0.0.1"]]);
    assert!(matches!(fails(&client, &broken_token).await, FetchError::Request(_) | FetchError::Trust(_)));
}

#[tokio::test]
async fn failures_are_told_apart_and_none_holds_the_url() {
    let client = HttpClient::new();
    let server = Server::start(Answer::HangUp).await;
    let url = server.url("/?secret=s3cret");
    let mut short = request(&url);
    short.timeout = Duration::from_millis(100);
    for (answer, wanted) in [
        (Answer::HangUp, FetchError::Broken),
        (Answer::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), FetchError::Broken),
        (Answer::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{".to_vec()), FetchError::Broken),
        (Answer::Bytes(http(200, &[], vec![b'x'; 1001])), FetchError::TooLarge(1000)),
        (Answer::Bytes(http(200, &["Content-Encoding: br"], "x")), FetchError::Compressed),
        (Answer::Stall(b"HTTP/1.1 200 OK\r\n".to_vec()), FetchError::Timeout),
    ] {
        server.set(answer);
        let request = if wanted == FetchError::Timeout { &short } else { &request(&url) };
        let error = fails(&client, request).await;
        assert_eq!(error, wanted);
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }
    server.set(Answer::Bytes(http(404, &[], vec![b'x'; 1000])));
    let answer = client.fetch(&request(&url)).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.len()), (404, 1000));
    assert_eq!(answer.ok().unwrap_err(), FetchError::Status(404));

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = fails(&client, &request(&format!("http://{free}/"))).await;
    assert_eq!(error, FetchError::Connect(Some(io::ErrorKind::ConnectionRefused)));
}

#[tokio::test]
async fn row_187_a_server_is_trusted_by_the_named_authorities_only() {
    let authority = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate = parameters.self_signed(&key).unwrap();
        (certificate.pem(), rcgen::Issuer::new(parameters, key))
    };
    let (ours, issuer) = authority("ours");
    let (theirs, _) = authority("theirs");
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], private).unwrap();
    let server = Server::start_tls(json(&json!({})), TlsAcceptor::from(Arc::new(config))).await;

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    let client = HttpClient::new();
    let mut named = request(&format!("https://localhost:{}/", server.address.port()));
    named.transport.ca_file = Some(file.clone());
    assert!(matches!(fails(&client, &named).await, FetchError::Trust(_)));
    std::fs::write(&file, "no certificate").unwrap();
    assert!(matches!(fails(&client, &named).await, FetchError::Trust(_)));
    std::fs::write(&file, theirs).unwrap();
    let error = fails(&client, &named).await;
    assert!(matches!(error, FetchError::Tls(_)), "{error:?}");
    // The file is replaced: the next fetch goes by it.
    std::fs::write(&file, ours).unwrap();
    assert_eq!(client.fetch(&named).await.unwrap().status, 200);
    // The system does not know this authority, whether it knows any or none.
    let mut by_system = named.clone();
    by_system.transport.ca_file = None;
    let error = fails(&client, &by_system).await;
    assert!(matches!(error, FetchError::Tls(_) | FetchError::Trust(_)), "{error:?}");
    // The same server under a name that its certificate does not have.
    let mut other = named.clone();
    other.url = format!("https://127.0.0.1:{}/", server.address.port()).parse().unwrap();
    let error = fails(&client, &other).await;
    assert!(matches!(error, FetchError::Tls(_)), "{error:?}");
}
