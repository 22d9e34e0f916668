//! An HTTP server on loopback that answers as it is told, well or badly, and can be killed and revived. One answer a
//! connection, unless it is told to keep it.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Nothing here takes this long, unless it is broken.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What the server does with a request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// Sends these bytes.
    Bytes(Vec<u8>),
    /// Sends these bytes and waits for the next request on the same connection.
    Keep(Vec<u8>),
    /// Sends these bytes as soon as the value is true.
    When(watch::Receiver<bool>, Vec<u8>),
    /// Sends the first bytes, then the second again and again.
    Endless(Vec<u8>, Vec<u8>),
    /// Sends the first bytes, then nothing, and stays connected.
    Stall(Vec<u8>),
    /// Sends these bytes one by one, a few of them each second.
    Drip(Vec<u8>),
    /// Hangs up.
    HangUp,
    /// Asks this function, by the path of the request.
    Route(Arc<dyn Fn(&str) -> Answer + Send + Sync>),
    /// Asks this function, by the whole request.
    Ask(Arc<dyn Fn(&Request) -> Answer + Send + Sync>),
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes(_) => "Bytes",
            Self::Keep(_) => "Keep",
            Self::When(..) => "When",
            Self::Endless(..) => "Endless",
            Self::Stall(_) => "Stall",
            Self::Drip(_) => "Drip",
            Self::HangUp => "HangUp",
            Self::Route(_) => "Route",
            Self::Ask(_) => "Ask",
        })
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// As far as the end of its headers.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn method(&self) -> &str {
        self.head.split(' ').next().unwrap()
    }

    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// The value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The fields of a form, decoded.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }

    /// The value of a form's field; `None` where it is not there exactly once.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let mut values = self.form().into_iter().filter(|(found, _)| found == name).map(|(_, value)| value);
        values.next().filter(|_| values.next().is_none())
    }
}

/// The server. It ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    tls: Mutex<Option<TlsAcceptor>>,
    task: Mutex<JoinHandle<()>>,
    /// Has the port from beginning to end, also while nobody listens there: without this another test might get it.
    kept: Mutex<TcpSocket>,
}

struct Shared {
    answer: Mutex<Answer>,
    seen: watch::Sender<Vec<Request>>,
    connections: AtomicUsize,
}

impl Server {
    pub(crate) async fn start(answer: Answer) -> Self {
        Self::listen(answer, None).await
    }

    pub(crate) async fn start_tls(answer: Answer, tls: TlsAcceptor) -> Self {
        Self::listen(answer, Some(tls)).await
    }

    async fn listen(answer: Answer, tls: Option<TlsAcceptor>) -> Self {
        let kept = keep("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = kept.local_addr().unwrap();
        let listener = keep(address).unwrap().listen(1024).unwrap();
        let (answer, seen) = (Mutex::new(answer), watch::Sender::new(Vec::new()));
        let shared = Arc::new(Shared { answer, seen, connections: AtomicUsize::new(0) });
        let task = Mutex::new(tokio::spawn(accept(listener, Arc::clone(&shared), tls.clone())));
        Self { address, shared, tls: Mutex::new(tls), task, kept: Mutex::new(kept) }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn set(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    /// Closes the port and every connection.
    pub(crate) async fn kill(&self) {
        self.task.lock().unwrap().abort();
        // Until nobody is let in any more.
        while tokio::net::TcpStream::connect(self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    /// Listens again, at the same place.
    pub(crate) async fn revive(&self) {
        let kept = std::mem::replace(&mut *self.kept.lock().unwrap(), keep(self.address).unwrap());
        let listener = kept.listen(1024).unwrap();
        let tls = self.tls.lock().unwrap().clone();
        *self.task.lock().unwrap() = tokio::spawn(accept(listener, Arc::clone(&self.shared), tls));
    }

    /// Requests so far, as far as the end of their headers.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.shared.seen.borrow().iter().map(|request| request.head.clone()).collect()
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.seen.borrow().clone()
    }

    /// The last request.
    pub(crate) fn last(&self) -> Request {
        self.shared.seen.borrow().last().expect("a request came").clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.shared.seen.borrow().len()
    }

    /// Requests so far to this path.
    pub(crate) fn count_of(&self, path: &str) -> usize {
        self.shared.seen.borrow().iter().filter(|request| request.path() == path).count()
    }

    /// Connections so far; one that TLS refused counts, too.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits for so many requests.
    pub(crate) async fn saw(&self, count: usize) {
        let mut seen = self.shared.seen.subscribe();
        tokio::time::timeout(DEADLINE, seen.wait_for(|seen| seen.len() >= count))
            .await
            .expect("requests come")
            .unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.lock().unwrap().abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tls: Option<TlsAcceptor>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        connections.spawn(async move {
            match tls {
                None => serve(stream, &shared).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, &shared).await;
                    }
                }
            }
        });
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) {
    while let Some(request) = read(&mut stream).await {
        let mut answer = shared.answer.lock().unwrap().clone();
        shared.seen.send_modify(|seen| seen.push(request.clone()));
        loop {
            answer = match answer {
                Answer::Route(route) => route(request.path()),
                Answer::Ask(ask) => ask(&request),
                _ => break,
            };
        }
        match answer {
            Answer::Keep(bytes) => {
                if stream.write_all(&bytes).await.is_ok() {
                    continue;
                }
            }
            Answer::Bytes(bytes) => send(&mut stream, &bytes).await,
            Answer::When(mut gate, bytes) => {
                if gate.wait_for(|open| *open).await.is_ok() {
                    send(&mut stream, &bytes).await;
                }
            }
            Answer::Endless(head, chunk) => {
                let _ = stream.write_all(&head).await;
                while stream.write_all(&chunk).await.is_ok() {}
            }
            Answer::Stall(head) => {
                let _ = stream.write_all(&head).await;
                // Until the client hangs up.
                let _ = stream.read_u8().await;
            }
            Answer::Drip(bytes) => {
                let mut tick = tokio::time::interval(Duration::from_millis(50));
                for byte in bytes {
                    tick.tick().await;
                    if stream.write_all(&[byte]).await.is_err() {
                        return;
                    }
                }
            }
            Answer::HangUp => {}
            Answer::Route(_) | Answer::Ask(_) => unreachable!(),
        }
        return;
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let mut request = Request { head: String::from_utf8(head).unwrap(), body: String::new() };
    if let Some(length) = request.header("content-length") {
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await.ok()?;
        request.body = String::from_utf8(body).unwrap();
    }
    Some(request)
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
}

/// A whole answer with this status, headers and body.
pub(crate) fn http(status: u16, headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut with_close = vec!["Connection: close"];
    with_close.extend(headers);
    whole(status, &with_close, body)
}

fn whole(status: u16, headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        answer.push_str(header);
        answer.push_str("\r\n");
    }
    answer.push_str("\r\n");
    let mut answer = answer.into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// A whole answer with status 200 and this JSON.
pub(crate) fn json(body: &serde_json::Value) -> Answer {
    status_json(200, body)
}

/// A whole answer with this status and JSON.
pub(crate) fn status_json(status: u16, body: &serde_json::Value) -> Answer {
    Answer::Bytes(http(status, &["Content-Type: application/json"], body.to_string()))
}

/// A whole answer with status 200 and this JSON, on a connection that stays.
pub(crate) fn kept_json(body: &serde_json::Value) -> Answer {
    Answer::Keep(whole(200, &["Content-Type: application/json"], body.to_string()))
}

/// What a provider in trouble answers, by name, beside one that is killed: hanging, 500, HTML, half a body, 50 MB
/// declared, 50 MB sent, endless chunks, a wrong content type, a redirect, one byte at a time, no HTTP, gzip.
pub(crate) fn outages() -> Vec<(&'static str, Answer)> {
    let head =
        |headers: &str| format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{headers}\r\n").into_bytes();
    let mut chunk = b"10000\r\n".to_vec();
    chunk.extend([b' '; 0x1_0000]);
    chunk.extend(b"\r\n");
    let html = "<html><body>Bad gateway</body></html>";
    vec![
        ("hanging", Answer::Stall(Vec::new())),
        ("hanging after its headers", Answer::Stall(head("Content-Length: 20\r\n"))),
        ("500", Answer::Bytes(http(500, &["Content-Type: application/json"], r#"{"active":true}"#))),
        ("503", Answer::Bytes(http(503, &["Retry-After: 1"], ""))),
        ("429", Answer::Bytes(http(429, &["Retry-After: 1"], ""))),
        ("html", Answer::Bytes(http(200, &["Content-Type: text/html"], html))),
        ("half a body", Answer::Bytes([head("Content-Length: 400\r\n"), br#"{"active":tr"#.to_vec()].concat())),
        ("50 MB declared", Answer::Endless(head("Content-Length: 50000000\r\n"), vec![b' '; 0x1_0000])),
        ("endless chunks", Answer::Endless(head("Transfer-Encoding: chunked\r\n"), chunk)),
        ("endless without length", Answer::Endless(head("Connection: close\r\n"), vec![b' '; 0x1_0000])),
        ("wrong content type", Answer::Bytes(http(200, &["Content-Type: text/plain"], "active"))),
        ("redirect", Answer::Bytes(http(302, &["Location: http://127.0.0.1:1/elsewhere"], ""))),
        ("one byte at a time", Answer::Drip(http(200, &["Content-Type: application/json"], r#"{"active":true}"#))),
        ("not http", Answer::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())),
        ("gzip", Answer::Bytes(http(200, &["Content-Encoding: gzip"], [0x1f, 0x8b, 8, 0]))),
        ("hanging up", Answer::HangUp),
    ]
}

/// Takes an address, together with others who do it in this way, and does not listen there: as long as none of them does,
/// whoever connects is refused.
fn keep(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}
