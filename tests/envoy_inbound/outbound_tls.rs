//! A destination over TLS, with `envoy/outbound.yaml`: the token that the gate attaches reaches nobody but that destination.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tollgate::demo::client::Call;
use tollgate::demo::envoy::{Envoy, Gate, Shipped};
use tollgate::demo::gate::LocalGate;
use tollgate::demo::issuer::{CLIENTS, DevIssuer};
use tollgate::demo::keycloak::claims;
use tollgate::demo::upstream::{SeenRequest, Upstream};

use crate::support::{Pki, binary};

const POLICY: &str = r#"
server:
  check: [ { listen: "unix:DIRECTORY/outbound.sock", direction: outbound } ]
  deadline: 8s
issuers:
  shop:
    issuer: ISSUER
    keys: { discovery: true }
    claims: { client: client_id, scopes: scopes }
tokens:
  ledger:
    client_credentials:
      issuer: shop
      client: { id: demo-orders, secret_file: DIRECTORY/secret }
      scopes: [write:payments]
rules:
  - name: to-the-ledger
    match: { direction: outbound, hosts: [ledger.example.com] }
    upstream_token: ledger
  - name: to-payments
    match: { direction: outbound, hosts: [payments.internal] }
    allow: anonymous
"#;

/// A server that speaks TLS, in front of an echo service.
struct Secure {
    address: SocketAddr,
    upstream: Upstream,
    /// The names that clients asked for, those whose handshake failed included.
    names: Arc<Mutex<Vec<Option<String>>>>,
    task: JoinHandle<()>,
}

impl Secure {
    async fn start(acceptor: TlsAcceptor) -> Self {
        let upstream = Upstream::start(0).await.unwrap();
        let (names, behind) = (Arc::<Mutex<Vec<_>>>::default(), upstream.address());
        let seen = Arc::clone(&names);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    seen.lock().unwrap().push(stream.get_ref().1.server_name().map(str::to_owned));
                    let mut service = TcpStream::connect(behind).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut service).await;
                });
            }
        });
        Self { address, upstream, names, task }
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The claims of the token that a service saw.
fn token(seen: &SeenRequest) -> Option<Value> {
    let header = seen.header("authorization")?;
    Some(claims(header.strip_prefix("Bearer ").expect("a bearer token")))
}

/// Everything is there but who asks.
struct Stage {
    ledger: Secure,
    payments: Upstream,
    envoy: Envoy,
    _gate: LocalGate,
    _issuer: DevIssuer,
}

/// Envoy in front of a ledger with this certificate, trusting the authorities in `ca`.
async fn stage(directory: &Path, ca: &Path, acceptor: TlsAcceptor) -> Stage {
    let issuer = DevIssuer::start(0).await.unwrap();
    std::fs::write(directory.join("secret"), CLIENTS[0].secret).unwrap();
    let socket = directory.join("outbound.sock");
    let policy = directory.join("policy.yaml");
    std::fs::write(&policy, POLICY.replace("DIRECTORY", directory.to_str().unwrap()).replace("ISSUER", issuer.url()))
        .unwrap();
    let gate = LocalGate::start(&policy).await.unwrap();
    let (ledger, payments) = (Secure::start(acceptor).await, Upstream::start(0).await.unwrap());
    let config = Shipped::outbound().towards(payments.address(), (ledger.address, ca), &[Gate::Unix(socket)]).unwrap();
    let config = config.replace(" timeout: 0.25s\n", " timeout: 10s\n").unwrap();
    let envoy = Envoy::start(&binary(), config.text()).await.unwrap();
    Stage { ledger, payments, envoy, _gate: gate, _issuer: issuer }
}

#[tokio::test]
async fn the_destination_gets_what_is_attached_over_tls_and_nobody_else_does() {
    let directory = tempfile::tempdir().unwrap();
    let (pki, ca) = (Pki::new(), directory.path().join("ca.crt"));
    pki.write_ca(&ca);
    let stage = stage(directory.path(), &ca, pki.acceptor("ledger.example.com")).await;
    let (ledger, payments, envoy) = (&stage.ledger, &stage.payments, stage.envoy.address());

    let reply = Call::get("ledger.example.com", "/entries/1").bearer("of-somebody-else").send(envoy).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen = ledger.upstream.take_seen().pop().unwrap();
    assert_eq!(token(&seen).unwrap()["client_id"], CLIENTS[0].id);
    assert_eq!(seen.version, "HTTP/2.0", "what the handshake settled");
    assert_eq!(*ledger.names.lock().unwrap(), [Some("ledger.example.com".to_owned())]);

    // Another destination, and hosts that nobody named.
    assert_eq!(Call::get("payments.internal", "/").send(envoy).await.unwrap().status, 200);
    assert_eq!(token(&payments.take_seen().pop().unwrap()), None);
    for host in ["evil.example", "ledger.example.com.evil.example", "evil.example:443", "127.0.0.1", "", "*"] {
        let reply = Call::get(host, "/entries/1").send(envoy).await.unwrap();
        assert!([400, 403, 404].contains(&reply.status.as_u16()), "{host:?}: {}", reply.status);
    }
    // Headers that name another place change neither the way nor the token.
    for header in ["x-forwarded-host", "x-host", "x-envoy-original-dst-host", "x-original-host", "forwarded"] {
        let reply = Call::get("payments.internal", "/").header(header, "ledger.example.com").send(envoy).await.unwrap();
        assert_eq!(reply.status, 200, "{header}");
        assert_eq!(token(&payments.take_seen().pop().unwrap()), None, "{header}");
        let call = Call::get("ledger.example.com", "/").header(header, &payments.address().to_string());
        assert_eq!(call.send(envoy).await.unwrap().status, 200, "{header}");
        assert_eq!((ledger.upstream.take_seen().len(), payments.take_seen()), (1, vec![]), "{header}");
    }
}

#[tokio::test]
async fn a_destination_that_cannot_prove_its_name_gets_nothing() {
    let (ours, theirs) = (Pki::new(), Pki::new());
    let cases = [
        ("another name", ours.acceptor("payments.example.com")),
        ("another authority", theirs.acceptor("ledger.example.com")),
    ];
    for (case, acceptor) in cases {
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.crt");
        ours.write_ca(&ca);
        let stage = stage(directory.path(), &ca, acceptor).await;
        let reply = Call::get("ledger.example.com", "/entries/1").send(stage.envoy.address()).await.unwrap();
        assert_eq!(reply.status, 503, "{case}: {}", reply.text());
        assert_eq!(reply.json()["reason"], Value::Null, "{case}: Envoy says so, not the gate");
        assert_eq!((stage.ledger.upstream.take_seen(), stage.payments.take_seen()), (vec![], vec![]), "{case}");
    }
}
