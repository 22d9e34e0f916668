//! The listeners for Check, asked as Envoy asks and as nobody should.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod peers;
mod specs;
#[path = "support/wait.rs"]
mod wait;

use std::collections::BTreeMap;
use std::future::pending;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use peers::{Authority, CHECK, Raw, channel, connect, dns, framed, question, replace, shown, until, uri};
use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tollgate::config::server::{Address, CheckListener, Drain, ServerSpec, TlsSpec};
use tollgate::core::answer::{AllowedRequest, Answer, DecisionId, Verdict};
use tollgate::core::decide;
use tollgate::core::header_list::HeaderList;
use tollgate::core::reason::Reason;
use tollgate::core::request::{Direction, RawRequest};
use tollgate::grpc::{BindError, Decide, Health, Running, Server, TlsError};
use tollgate::telemetry::{Exposition, Recorder};
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Does what the path says.
#[derive(Debug)]
struct Scripted {
    begun: AtomicUsize,
    /// Lets calls for `/wait` go on, one a permit.
    release: Semaphore,
    flooded: AtomicBool,
}

impl Decide for Scripted {
    fn is_flooded(&self, _now: Instant) -> bool {
        self.flooded.load(Ordering::SeqCst)
    }

    async fn decide(&self, request: RawRequest<'_>, _: Instant) -> Answer {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let path = request.path.to_owned();
        match &*path {
            "/panic" => panic!("as told"),
            "/hang" => pending().await,
            "/wait" => self.release.acquire().await.unwrap().forget(),
            _ => {}
        }
        if !matches!(&*path, "/allow" | "/wait") {
            return decide::refuse(Reason::NoRule, false, DecisionId(1));
        }
        let direction = format!("{:?}", request.direction);
        let peer = format!("{}{}", request.principal, request.certificate);
        let lines = request.headers.iter().count().to_string();
        let set = HeaderList::from_iter([("x-direction", direction), ("x-peer", peer), ("x-lines", lines)]);
        Answer {
            decision_id: DecisionId(2),
            reason: Reason::AllowedAnonymous,
            rule: None,
            principal: None,
            caller: None,
            verdict: Verdict::Allow(AllowedRequest::new(set, Arc::default(), Arc::default())),
            trail: Default::default(),
        }
    }
}

struct Gate {
    decider: Arc<Scripted>,
    recorder: Arc<Recorder>,
    health: Health,
    addresses: Vec<Address>,
    running: Running,
}

async fn serve(spec: &ServerSpec) -> Gate {
    let server = Server::bind(spec).await.unwrap();
    let decider =
        Arc::new(Scripted { begun: AtomicUsize::new(0), release: Semaphore::new(0), flooded: AtomicBool::new(false) });
    let (recorder, health) = (Arc::new(Recorder::default()), Health::new());
    let addresses = server.addresses();
    let running = server.run(Arc::clone(&decider), Arc::clone(&recorder), health.clone());
    Gate { decider, recorder, health, addresses, running }
}

/// One TCP listener, and time enough for everything that is not about time.
fn spec() -> ServerSpec {
    let listener = specs::listener("127.0.0.1:0", Direction::Inbound);
    ServerSpec { deadline: peers::PATIENCE, ..specs::server(vec![listener]) }
}

async fn gate() -> Gate {
    serve(&spec()).await
}

impl Gate {
    fn client(&self) -> AuthorizationClient<tonic::transport::Channel> {
        AuthorizationClient::new(channel(&self.addresses[0], None))
    }

    async fn raw(&self) -> Raw {
        Raw::connect(&self.addresses[0]).await
    }

    /// Of a metric, over all labels that contain `label`.
    fn count(&self, metric: &str, label: &str) -> u64 {
        let text = self.recorder.exposition(Exposition::Prometheus);
        let samples = text.lines().filter(|line| line.starts_with(metric) && line.contains(label));
        samples.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() as u64).sum()
    }

    fn decisions(&self, label: &str) -> u64 {
        self.count("tollgate_decisions_total", label)
    }

    async fn begun(&self, number: usize) {
        until("calls have begun", async || self.decider.begun.load(Ordering::SeqCst) >= number).await;
    }
}

fn header<'a>(response: &'a CheckResponse, name: &str) -> &'a str {
    assert_eq!(response.status.as_ref().unwrap().code, 0);
    let Some(HttpResponse::OkResponse(ok)) = &response.http_response else { panic!("{response:?}") };
    let found = ok.headers.iter().map(|option| option.header.as_ref().unwrap()).find(|header| header.key == name);
    &found.unwrap().value
}

/// HTTP status and reason of a denial that Envoy would take for one.
fn denial(response: &CheckResponse) -> (i32, String) {
    assert_ne!(response.status.as_ref().unwrap().code, 0);
    let Some(HttpResponse::DeniedResponse(denied)) = &response.http_response else { panic!("{response:?}") };
    let problem: serde_json::Value = serde_json::from_str(&denied.body).unwrap();
    (denied.status.as_ref().unwrap().code, problem["reason"].as_str().unwrap().to_owned())
}

// ---- the ways in

#[tokio::test]
async fn calls_are_answered_over_tcp_and_unix_sockets_each_with_its_direction() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbound.sock");
    let mut spec = spec();
    let address = Address::Unix { path: path.clone(), mode: 0o600 };
    spec.check.push(CheckListener { address, direction: Direction::Outbound, tls: None });
    let gate = serve(&spec).await;
    for (address, direction) in gate.addresses.iter().zip(["Inbound", "Outbound"]) {
        let mut client = AuthorizationClient::new(channel(address, None));
        let allowed = client.check(question("/allow")).await.unwrap().into_inner();
        assert_eq!(header(&allowed, "x-direction"), direction);
        let denied = client.check(question("/other")).await.unwrap().into_inner();
        assert_eq!(denial(&denied), (403, "no_rule".to_owned()));
    }
    assert_eq!(gate.decisions("outcome=\"allow\""), 2);
    assert_eq!(gate.decisions("outcome=\"deny\""), 2);
    assert_eq!(gate.running.drain(&spec.drain).await.cut_off, 0);
    assert!(!path.exists());
}

#[tokio::test]
async fn row_233_what_is_said_about_callers_where_anybody_could_say_it_is_not_looked_at() {
    let mut spec = spec();
    spec.check.push(specs::listener("0.0.0.0:0", Direction::Inbound));
    let gate = serve(&spec).await;
    for (address, peer) in gate.addresses.iter().zip(["spiffe://td/aPEM", ""]) {
        let Address::Tcp(address) = address else { panic!("{address:?}") };
        let address = Address::Tcp((std::net::Ipv4Addr::LOCALHOST, address.port()).into());
        let mut asked = question("/allow");
        let source = asked.attributes.as_mut().unwrap().source.get_or_insert_default();
        source.principal = "spiffe://td/a".into();
        source.certificate = "PEM".into();
        let allowed = AuthorizationClient::new(channel(&address, None)).check(asked).await.unwrap().into_inner();
        assert_eq!(header(&allowed, "x-peer"), peer, "{address:?}");
    }
}

/// A listener with TLS on files in `folder`.
fn tls_spec(folder: &Path, authority: Option<&Authority>, peers: &[&str]) -> ServerSpec {
    let client_ca = authority.map(|authority| {
        let path = folder.join("ca.crt");
        replace(&path, &authority.pem());
        path
    });
    let mut spec = spec();
    spec.check[0].tls = Some(TlsSpec {
        certificate: folder.join("tls.crt"),
        key: folder.join("tls.key"),
        client_ca,
        allowed_peers: peers.iter().map(|&peer| peer.into()).collect(),
    });
    spec
}

#[tokio::test]
async fn mutual_tls_admits_the_peers_on_the_list_and_nobody_else() {
    const ENVOY: &str = "spiffe://cluster.local/ns/shop/sa/envoy";
    let folder = tempfile::tempdir().unwrap();
    let [ours, foreign] = [Authority::new("ours"), Authority::new("foreign")];
    ours.issue(vec![dns("gate.test")]).write(folder.path());
    let gate = serve(&tls_spec(folder.path(), Some(&ours), &[ENVOY, "envoy.shop.test"])).await;
    let ask = async |identity: Option<&peers::Identity>| {
        let channel = channel(&gate.addresses[0], Some(ours.client(identity)));
        AuthorizationClient::new(channel).check(question("/allow")).await
    };
    for name in [uri(ENVOY), dns("Envoy.shop.test")] {
        let identity = ours.issue(vec![dns("unrelated.test"), name]);
        assert_eq!(header(ask(Some(&identity)).await.unwrap().get_ref(), "x-direction"), "Inbound");
    }
    let others = [
        ours.issue(vec![uri("spiffe://cluster.local/ns/shop/sa/envoy2")]),
        ours.issue(vec![uri("spiffe://cluster.local/ns/shop/sa/Envoy")]),
        ours.issue(vec![dns("spiffe.test"), dns("*.shop.test")]),
        ours.issue(Vec::new()),
        foreign.issue(vec![uri(ENVOY)]),
    ];
    for identity in &others {
        assert!(ask(Some(identity)).await.is_err());
    }
    assert!(ask(None).await.is_err());
    assert!(AuthorizationClient::new(channel(&gate.addresses[0], None)).check(question("/allow")).await.is_err());
    assert_eq!(gate.decider.begun.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn certificates_follow_their_files_and_a_broken_one_changes_nothing() {
    let log = Log::start();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let [first, second, third] = [(); 3].map(|()| authority.issue(vec![dns("gate.test")]));
    first.write(folder.path());
    let gate = serve(&tls_spec(folder.path(), None, &[])).await;
    let client = authority.client(None);
    let address = &gate.addresses[0];
    assert_eq!(shown(address, &client).await, first.leaf());
    let open = channel(address, Some(Arc::clone(&client)));
    AuthorizationClient::new(open.clone()).check(question("/allow")).await.unwrap();

    second.write(folder.path());
    until("the second certificate", async || shown(address, &client).await == second.leaf()).await;
    AuthorizationClient::new(open).check(question("/allow")).await.unwrap();

    let refusals = async |number: usize| {
        let marker = format!("listener=\"{}\" error=", name(address));
        until("a refusal in the log", async || log.lines_with(&marker) >= number).await;
        assert_eq!(shown(address, &client).await, second.leaf());
    };
    // A certificate without its key, then no certificate at all.
    replace(&folder.path().join("tls.crt"), &third.certificate);
    refusals(1).await;
    replace(&folder.path().join("tls.crt"), "-----BEGIN CERTIFICATE-----\nnot base64\n");
    refusals(2).await;
    third.write(folder.path());
    until("the third certificate", async || shown(address, &client).await == third.leaf()).await;
}

fn name(address: &Address) -> String {
    let Address::Tcp(address) = address else { panic!("TLS is asked over TCP here") };
    address.to_string()
}

/// What all tests of this file log together.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start() -> Self {
        let log = Self::default();
        let writer = log.clone();
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
        log
    }

    fn lines_with(&self, text: &str) -> usize {
        let log = self.0.lock().unwrap();
        String::from_utf8_lossy(&log).lines().filter(|line| line.contains(text)).count()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_cannot_be_served_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let tls = |error: BindError| match error {
        BindError::Tls { error, .. } => error,
        other => panic!("{other}"),
    };
    let missing = Server::bind(&tls_spec(folder.path(), None, &[])).await.unwrap_err();
    assert!(missing.to_string().contains("tls.crt"), "{missing}");
    assert!(matches!(tls(missing), TlsError::File { .. }));

    authority.issue(vec![dns("gate.test")]).write(folder.path());
    let peers = Server::bind(&tls_spec(folder.path(), None, &["envoy"])).await.unwrap_err();
    assert!(matches!(tls(peers), TlsError::PeersWithoutAuthority));

    replace(&folder.path().join("tls.key"), &authority.issue(Vec::new()).key);
    let mismatch = Server::bind(&tls_spec(folder.path(), None, &[])).await.unwrap_err();
    assert!(matches!(tls(mismatch), TlsError::Identity { .. }));

    replace(&folder.path().join("tls.crt"), "nothing here");
    let empty = Server::bind(&tls_spec(folder.path(), None, &[])).await.unwrap_err();
    assert!(matches!(tls(empty), TlsError::Empty(_) | TlsError::File { .. }));

    let first = gate().await;
    let mut taken = spec();
    taken.check[0].address = first.addresses[0].clone();
    assert!(matches!(Server::bind(&taken).await, Err(BindError::Listen(tollgate::listen::BindError::Refused { .. }))));
}

// ---- rows of the hostile inputs

#[tokio::test]
async fn row_206_garbage_at_the_door_is_shown_out() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    authority.issue(vec![dns("gate.test")]).write(folder.path());
    let mut spec = tls_spec(folder.path(), None, &[]);
    spec.check.push(specs::listener("127.0.0.1:0", Direction::Inbound));
    let gate = serve(&spec).await;
    for address in &gate.addresses {
        for garbage in [&b""[..], b"\x16\x03\x01\xff\xff garbage", b"GET / HTTP/1.1\r\nhost: gate\r\n\r\n", &[0; 100]] {
            let mut connection = connect(address, None).await.unwrap();
            // The other side may have closed before everything was sent.
            let _ = connection.write_all(garbage).await;
            let _ = connection.shutdown().await;
            let mut rest = Vec::new();
            let _ = timeout(peers::PATIENCE, connection.read_to_end(&mut rest)).await.expect("it is closed");
            assert!(!rest.starts_with(b"HTTP"));
        }
    }
    let over_tls = channel(&gate.addresses[0], Some(authority.client(None)));
    for channel in [over_tls, channel(&gate.addresses[1], None)] {
        AuthorizationClient::new(channel).check(question("/allow")).await.unwrap();
    }
}

#[tokio::test]
async fn row_207_a_message_over_the_limit_is_refused_and_the_connection_lives() {
    let gate = gate().await;
    let mut raw = gate.raw().await;
    let limit = spec().limits.max_message_bytes;
    for size in [limit + 1, 4 * 1024 * 1024 + 1] {
        let reply = raw.check(&vec![0; size], &[]).await;
        let code = Code::from(reply.status());
        assert!(matches!(code, Code::OutOfRange | Code::ResourceExhausted), "{code:?}");
    }
    let reply = raw.check(&question("/allow").encode_to_vec(), &[]).await;
    assert_eq!(header(&reply.answer(), "x-direction"), "Inbound");
    assert_eq!(gate.decisions(""), 1);
}

#[tokio::test]
async fn row_208_a_message_without_a_request_is_denied() {
    let gate = gate().await;
    let mut client = gate.client();
    let mut no_request = question("/allow");
    no_request.attributes.as_mut().unwrap().request = None;
    let mut no_http = question("/allow");
    no_http.attributes.as_mut().unwrap().request.as_mut().unwrap().http = None;
    for message in [CheckRequest { attributes: None }, no_request, no_http] {
        let denied = client.check(message).await.unwrap().into_inner();
        assert_eq!(denied.status.as_ref().unwrap().code, Code::InvalidArgument as i32);
        assert_eq!(denial(&denied), (400, "malformed_request".to_owned()));
    }
    assert_eq!(gate.decisions("reason=\"malformed_request\""), 3);
    assert_eq!(gate.decider.begun.load(Ordering::SeqCst), 0);
    // No headers at all is a request like any other.
    assert_eq!(header(client.check(question("/allow")).await.unwrap().get_ref(), "x-lines"), "0");
}

#[tokio::test]
async fn row_209_what_is_no_message_is_an_error_and_no_decision() {
    let gate = gate().await;
    let mut raw = gate.raw().await;
    let good = question("/allow").encode_to_vec();
    let at = good.windows(6).position(|bytes| bytes == b"/allow").unwrap();
    let mut not_text = good.clone();
    not_text[at + 1] = 0xff;
    for message in [&b"\xff\xff\xff\xff"[..], &good[..good.len() - 1], &not_text] {
        let code = Code::from(raw.check(message, &[]).await.status());
        assert!(matches!(code, Code::InvalidArgument | Code::Internal), "{code:?}");
    }
    assert_eq!(gate.decisions(""), 0);
    assert_eq!(header(&raw.check(&good, &[]).await.answer(), "x-direction"), "Inbound");
}

#[tokio::test]
async fn row_209_header_values_that_are_not_text_are_decided_on() {
    let gate = gate().await;
    let mut message = question("/allow");
    let http = message.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut().unwrap();
    let line =
        HeaderValue { key: "authorization".to_owned(), raw_value: b"Bearer \xff\xfe".to_vec(), ..Default::default() };
    http.header_map = Some(HeaderMap { headers: vec![line] });
    http.headers.insert("x-marked".to_owned(), "MARK".to_owned());
    let mut bytes = message.encode_to_vec();
    let at = bytes.windows(4).position(|bytes| bytes == b"MARK").unwrap();
    bytes[at] = 0xff;
    let reply = gate.raw().await.check(&bytes, &[]).await;
    assert_eq!(header(&reply.answer(), "x-lines"), "2");
}

#[tokio::test]
async fn row_210_too_many_and_too_long_headers_are_denied() {
    let gate = gate().await;
    let mut client = gate.client();
    let with = |headers: Vec<(String, String)>| {
        let mut message = question("/allow");
        let http = message.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut().unwrap();
        http.headers.extend(headers);
        message
    };
    let many = with((0..10_000).map(|n| (format!("x-{n}"), "v".to_owned())).collect());
    let long = with(vec![("x-long".to_owned(), "v".repeat((1 << 20) - 200))]);
    for message in [many, long] {
        let denied = client.check(message).await.unwrap().into_inner();
        assert_eq!(denial(&denied), (400, "malformed_request".to_owned()));
    }
    assert_eq!(gate.decider.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn row_211_compressed_messages_are_unimplemented() {
    let gate = gate().await;
    let mut client = gate.client().send_compressed(CompressionEncoding::Gzip);
    assert_eq!(client.check(question("/allow")).await.unwrap_err().code(), Code::Unimplemented);
    let mut raw = gate.raw().await;
    for encoding in ["gzip", "deflate", "zstd", "snappy", "no such thing"] {
        let reply = raw.check(&question("/allow").encode_to_vec(), &[("grpc-encoding", encoding)]).await;
        assert_eq!(Code::from(reply.status()), Code::Unimplemented, "{encoding}");
    }
    // Compressed without saying how.
    let mut frame = framed(&question("/allow").encode_to_vec()).collect().await.unwrap().to_bytes().to_vec();
    frame[0] = 1;
    let body = Full::new(Bytes::from(frame)).map_err(|never| match never {}).boxed();
    let code = Code::from(raw.call(CHECK, &[], body).await.status());
    assert!(matches!(code, Code::Internal | Code::Unimplemented), "{code:?}");
    assert_eq!(gate.decisions(""), 0);
    // And answers are not compressed even for a client that would like it.
    let reply = raw.check(&question("/allow").encode_to_vec(), &[("grpc-accept-encoding", "gzip")]).await;
    assert_eq!(header(&reply.answer(), "x-direction"), "Inbound");
}

#[tokio::test]
async fn row_212_no_time_is_answered_at_once_and_garbage_is_absence() {
    let gate = gate().await;
    let mut raw = gate.raw().await;
    let message = question("/allow").encode_to_vec();
    for none in ["1n", "0", "0m", "0H", "1u"] {
        let answer = raw.check(&message, &[("grpc-timeout", none)]).await.answer();
        assert_eq!(answer.status.as_ref().unwrap().code, Code::Unavailable as i32);
        assert_eq!(denial(&answer), (503, "deadline_exceeded".to_owned()), "{none}");
    }
    assert_eq!(gate.decider.begun.load(Ordering::SeqCst), 0);
    for garbage in ["", "soon", "-1S", "1", "100000000S", "1s", "5 m"] {
        let answer = raw.check(&message, &[("grpc-timeout", garbage)]).await.answer();
        assert_eq!(header(&answer, "x-direction"), "Inbound", "{garbage}");
    }
    assert_eq!(gate.decisions("reason=\"deadline_exceeded\""), 5);
}

#[tokio::test]
async fn row_212_the_answer_comes_before_the_callers_deadline() {
    let gate = gate().await;
    let mut raw = gate.raw().await;
    let message = question("/hang").encode_to_vec();
    // A busy machine may be late once; a server that waits for the deadline is late each time.
    let mut in_time = false;
    for _ in 0..5 {
        let begun = Instant::now();
        let answer = raw.check(&message, &[("grpc-timeout", "400m")]).await.answer();
        let took = begun.elapsed();
        assert_eq!(denial(&answer), (503, "deadline_exceeded".to_owned()));
        assert!(took >= Duration::from_millis(300), "{took:?}");
        in_time |= took < Duration::from_millis(400);
        if in_time {
            break;
        }
    }
    assert!(in_time);
}

#[tokio::test]
async fn row_212_a_caller_that_keeps_its_own_time_is_answered_in_it() {
    let gate = gate().await;
    let mut client = gate.client();
    let mut answered = None;
    for _ in 0..5 {
        // As Envoy does: the header, and the same limit on its own side.
        let mut request = tonic::Request::new(question("/hang"));
        request.set_timeout(Duration::from_millis(400));
        answered = client.check(request).await.ok();
        if answered.is_some() {
            break;
        }
    }
    assert_eq!(denial(answered.unwrap().get_ref()), (503, "deadline_exceeded".to_owned()));
}

#[tokio::test]
async fn row_212_without_a_deadline_there_is_ours() {
    let gate = serve(&ServerSpec { deadline: Duration::from_millis(50), ..spec() }).await;
    let begun = Instant::now();
    let answer = gate.client().check(question("/hang")).await.unwrap().into_inner();
    assert_eq!(denial(&answer), (503, "deadline_exceeded".to_owned()));
    assert!(begun.elapsed() >= Duration::from_millis(50));
    // Ours holds against a longer one, too.
    let message = question("/hang").encode_to_vec();
    let answer = gate.raw().await.check(&message, &[("grpc-timeout", "1H")]).await.answer();
    assert_eq!(denial(&answer), (503, "deadline_exceeded".to_owned()));
}

#[tokio::test]
async fn a_message_that_does_not_end_is_answered_in_time() {
    let gate = serve(&ServerSpec { deadline: Duration::from_millis(50), ..spec() }).await;
    let start = Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(&[0, 0, 0, 0, 9, 10])));
    let body = BodyExt::boxed(StreamBody::new(stream::iter([start]).chain(stream::pending())));
    let answer = gate.raw().await.call(CHECK, &[], body).await.answer();
    assert_eq!(denial(&answer), (503, "deadline_exceeded".to_owned()));
    assert_eq!(gate.decisions("reason=\"deadline_exceeded\""), 1);
    assert_eq!(gate.decider.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn row_213_unknown_methods_and_services_are_unimplemented() {
    let gate = gate().await;
    let mut raw = gate.raw().await;
    for path in [
        "/envoy.service.auth.v3.Authorization/Other",
        "/envoy.service.auth.v3.Authorization/check",
        "/envoy.service.auth.v3.Authorization/Check/",
        "/envoy.service.auth.v2.Authorization/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/",
    ] {
        let reply = raw.call(path, &[], framed(&question("/allow").encode_to_vec())).await;
        assert_eq!(Code::from(reply.status()), Code::Unimplemented, "{path}");
    }
    assert_eq!(gate.decisions(""), 0);
}

#[tokio::test]
async fn row_231_a_panic_is_a_counted_denial_and_nothing_else_ends() {
    let gate = gate().await;
    let mut client = gate.client();
    let waiting = tokio::spawn({
        let mut client = client.clone();
        async move { client.check(question("/wait")).await }
    });
    gate.begun(1).await;
    for _ in 0..3 {
        let denied = client.check(question("/panic")).await.unwrap().into_inner();
        assert_eq!(denied.status.as_ref().unwrap().code, Code::Internal as i32);
        assert_eq!(denial(&denied), (500, "internal_error".to_owned()));
    }
    assert_eq!(gate.count("tollgate_panics_total", ""), 3);
    assert_eq!(gate.decisions("reason=\"internal_error\""), 3);
    gate.decider.release.add_permits(1);
    assert_eq!(header(waiting.await.unwrap().unwrap().get_ref(), "x-direction"), "Inbound");
    assert_eq!(gate.decisions(""), 4);
}

// ---- load

#[tokio::test]
async fn load_that_is_shed_is_a_denial_in_an_rpc_that_succeeds() {
    let mut spec = spec();
    spec.limits.max_in_flight = 2;
    let gate = serve(&spec).await;
    let mut client = gate.client();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let mut client = gate.client();
            tokio::spawn(async move { client.check(question("/wait")).await })
        })
        .collect();
    gate.begun(2).await;
    for _ in 0..10 {
        let shed = client.check(question("/allow")).await.unwrap().into_inner();
        assert_eq!(shed.status.as_ref().unwrap().code, Code::Unavailable as i32);
        assert_eq!(denial(&shed), (503, "overloaded".to_owned()));
    }
    // A message that would cost to read is not read, and costs nobody the connection.
    let mut large = question("/allow");
    large.attributes.as_mut().unwrap().context_extensions.insert("k".to_owned(), "v".repeat(500_000));
    let shed = client.check(large).await.unwrap().into_inner();
    assert_eq!(denial(&shed), (503, "overloaded".to_owned()));
    assert_eq!(gate.decider.begun.load(Ordering::SeqCst), 2);
    assert_eq!(gate.decisions("reason=\"overloaded\""), 11);

    gate.decider.release.add_permits(2);
    for call in waiting {
        call.await.unwrap().unwrap();
    }
    assert_eq!(header(client.check(question("/allow")).await.unwrap().get_ref(), "x-direction"), "Inbound");
    assert_eq!(gate.count("tollgate_checks_in_flight", ""), 0);
}

#[tokio::test]
async fn in_a_flood_calls_are_refused_before_anybody_decides() {
    let gate = gate().await;
    let mut client = gate.client();
    gate.decider.flooded.store(true, Ordering::SeqCst);
    for _ in 0..10 {
        let refused = client.check(question("/allow")).await.unwrap().into_inner();
        assert_eq!(refused.status.as_ref().unwrap().code, Code::Unavailable as i32);
        assert_eq!(denial(&refused), (503, "overloaded".to_owned()));
    }
    assert_eq!(gate.decider.begun.load(Ordering::SeqCst), 0);
    assert_eq!(gate.decisions("reason=\"overloaded\""), 10);
    gate.decider.flooded.store(false, Ordering::SeqCst);
    assert_eq!(header(client.check(question("/allow")).await.unwrap().get_ref(), "x-direction"), "Inbound");
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_nothing_behind() {
    let mut spec = spec();
    spec.limits.max_in_flight = 1;
    let gate = serve(&spec).await;
    let mut client = gate.client();
    let call = tokio::spawn({
        let mut client = client.clone();
        async move { client.check(question("/hang")).await }
    });
    gate.begun(1).await;
    call.abort();
    let _ = call.await;
    // Its place is free again, and it was not answered.
    until("the place is free", async || gate.count("tollgate_checks_in_flight", "") == 0).await;
    assert_eq!(header(client.check(question("/allow")).await.unwrap().get_ref(), "x-direction"), "Inbound");
    assert_eq!(gate.decisions(""), 1);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_their_places_come_back() {
    let mut spec = spec();
    spec.limits.max_connections = 1;
    let gate = serve(&spec).await;
    let mut first = gate.client();
    first.check(question("/allow")).await.unwrap();
    assert!(gate.client().check(question("/allow")).await.is_err());
    first.check(question("/allow")).await.unwrap();
    drop(first);
    until("a place is free", async || gate.client().check(question("/allow")).await.is_ok()).await;
}

// ---- the end

#[tokio::test]
async fn health_follows_what_it_is_told_and_a_drain_is_final() {
    let gate = gate().await;
    let ask = async |service: &str| {
        let mut client = HealthClient::new(channel(&gate.addresses[0], None));
        let told = client.check(HealthCheckRequest { service: service.to_owned() }).await?;
        Ok::<_, tonic::Status>(told.into_inner().status())
    };
    const CHECK_SERVICE: &str = "envoy.service.auth.v3.Authorization";
    for (serving, status) in [(false, ServingStatus::NotServing), (true, ServingStatus::Serving)] {
        gate.health.set_serving(serving);
        assert_eq!(ask("").await.unwrap(), status);
        assert_eq!(ask(CHECK_SERVICE).await.unwrap(), status);
    }
    assert_eq!(ask("other").await.unwrap_err().code(), Code::NotFound);

    let mut watcher = HealthClient::new(channel(&gate.addresses[0], None));
    let mut watched = watcher.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let drain = Drain { delay: Duration::from_millis(200), grace: peers::PATIENCE };
    let begun = Instant::now();
    let drained = tokio::spawn(async move { gate.running.drain(&drain).await });
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    gate.health.set_serving(true);
    assert!(!gate.health.is_serving());
    // Who watches does not hold up the end.
    assert!(watched.message().await.unwrap().is_none());
    assert_eq!(drained.await.unwrap().cut_off, 0);
    assert!(begun.elapsed() < peers::PATIENCE);
}

/// How a client fared that asked again and again.
struct Load {
    answered: usize,
    error: tonic::Status,
}

async fn load(mut client: AuthorizationClient<tonic::transport::Channel>, answered: Arc<AtomicUsize>) -> Load {
    let mut mine = 0;
    loop {
        match client.check(question("/allow")).await {
            Ok(response) => assert_eq!(header(response.get_ref(), "x-direction"), "Inbound"),
            Err(error) => return Load { answered: mine, error },
        }
        mine += 1;
        answered.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_229_a_drain_under_load_loses_no_call() {
    let gate = gate().await;
    gate.health.set_serving(true);
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8).map(|_| tokio::spawn(load(gate.client(), Arc::clone(&answered)))).collect();
    let held: Vec<_> = (0..4)
        .map(|_| {
            let mut client = gate.client();
            tokio::spawn(async move { client.check(question("/wait")).await })
        })
        .collect();
    until("load", async || answered.load(Ordering::SeqCst) > 50).await;

    let delay = Duration::from_millis(300);
    let (decider, recorder, address) = (gate.decider, gate.recorder, gate.addresses[0].clone());
    let begun = Instant::now();
    let over = Arc::new(AtomicBool::new(false));
    let drained = tokio::spawn({
        let over = Arc::clone(&over);
        async move {
            let drained = gate.running.drain(&Drain { delay, grace: peers::PATIENCE }).await;
            over.store(true, Ordering::SeqCst);
            drained
        }
    });
    until("NOT_SERVING", async || !gate.health.is_serving()).await;
    // Not serving, and yet serving: also those who come now.
    let at_drain = answered.load(Ordering::SeqCst);
    AuthorizationClient::new(channel(&address, None)).check(question("/allow")).await.unwrap();
    until("load goes on", async || answered.load(Ordering::SeqCst) > at_drain + 50).await;

    let mut all = 1;
    for client in clients {
        let load = client.await.unwrap();
        // It ended with the GOAWAY, not before, and only for calls that found no connection any more.
        assert!(begun.elapsed() >= delay);
        // (Cancelled is what this client says of a call for which it lost the connection before it was sent.)
        assert!(matches!(load.error.code(), Code::Unavailable | Code::Cancelled), "{:?}", load.error);
        all += load.answered;
    }
    assert!(connect(&address, None).await.is_err());
    // What is in flight holds up the end, and is answered.
    assert!(!over.load(Ordering::SeqCst));
    decider.release.add_permits(4);
    for call in held {
        assert_eq!(header(call.await.unwrap().unwrap().get_ref(), "x-direction"), "Inbound");
        all += 1;
    }
    assert_eq!(drained.await.unwrap().cut_off, 0);
    // Whatever was begun was answered, and every answer arrived.
    assert_eq!(decider.begun.load(Ordering::SeqCst), all);
    let text = recorder.exposition(Exposition::Prometheus);
    assert!(text.contains(&format!("reason=\"allowed_anonymous\"}} {all}\n")), "{all}: {text}");
}

#[tokio::test]
async fn a_drain_waits_no_longer_than_its_grace() {
    let gate = gate().await;
    let mut client = gate.client();
    let held = tokio::spawn(async move { client.check(question("/hang")).await });
    gate.begun(1).await;
    let drain = Drain { delay: Duration::ZERO, grace: Duration::from_millis(50) };
    let drained = timeout(peers::PATIENCE, gate.running.drain(&drain)).await.unwrap();
    assert_eq!(drained.cut_off, 1);
    assert!(held.await.unwrap().is_err());
}

// ---- reflection

macro_rules! reflect {
    ($version:ident, $gate:expr) => {{
        use tonic_reflection::pb::$version::ServerReflectionRequest;
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

        let mut client = ServerReflectionClient::new(channel(&$gate.addresses[0], None));
        let mut ask = async |request: MessageRequest| {
            let request = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
            let mut replies =
                client.server_reflection_info(futures_util::stream::iter([request])).await.unwrap().into_inner();
            replies.message().await.unwrap().unwrap().message_response.unwrap()
        };
        let MessageResponse::ListServicesResponse(list) = ask(MessageRequest::ListServices(String::new())).await else {
            panic!("no list")
        };
        let services: Vec<String> = list.service.into_iter().map(|service| service.name).collect();

        // As grpcurl does: the file of a symbol, then each file that it imports.
        let symbol = "envoy.service.auth.v3.CheckRequest".to_owned();
        let mut open = vec![MessageRequest::FileContainingSymbol(symbol)];
        let mut files = BTreeMap::new();
        while let Some(request) = open.pop() {
            let reply = ask(request).await;
            let MessageResponse::FileDescriptorResponse(found) = reply else { panic!("{reply:?}") };
            for file in found.file_descriptor_proto {
                let file = FileDescriptorProto::decode(&file[..]).unwrap();
                open.extend(
                    file.dependency
                        .iter()
                        .filter(|&name| !files.contains_key(name))
                        .cloned()
                        .map(MessageRequest::FileByFilename),
                );
                files.insert(file.name().to_owned(), file);
            }
        }
        (services, files)
    }};
}

#[tokio::test]
async fn reflection_lists_the_services_and_describes_check_completely() {
    let gate = serve(&ServerSpec { reflection: true, ..spec() }).await;
    let whole = FileDescriptorSet::decode(tollgate::grpc::reflection::CHECK_DESCRIPTOR).unwrap();
    let whole: BTreeMap<String, FileDescriptorProto> =
        whole.file.into_iter().map(|file| (file.name().to_owned(), file)).collect();
    let (services, files) = reflect!(v1, gate);
    for service in
        ["envoy.service.auth.v3.Authorization", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]
    {
        assert!(services.iter().any(|name| name == service), "{services:?}");
    }
    assert_eq!(files, whole);
    let (services, files) = reflect!(v1alpha, gate);
    assert!(services.iter().any(|name| name == "envoy.service.auth.v3.Authorization"), "{services:?}");
    assert_eq!(files, whole);
}
