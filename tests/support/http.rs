//! An HTTP server on loopback that answers as it is told, well or badly. One answer a connection.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
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
}

/// The server. It ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    seen: Arc<watch::Sender<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(answer: Answer) -> Self {
        Self::listen(answer, None).await
    }

    pub(crate) async fn start_tls(answer: Answer, tls: TlsAcceptor) -> Self {
        Self::listen(answer, Some(tls)).await
    }

    async fn listen(answer: Answer, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(Mutex::new(answer));
        let seen = Arc::new(watch::Sender::new(Vec::new()));
        let (answers, heads) = (Arc::clone(&answer), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answers, heads, tls) = (Arc::clone(&answers), Arc::clone(&heads), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, &answers, &heads).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &answers, &heads).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, answer, seen, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// Requests so far, as far as the end of their headers.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.borrow().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.borrow().len()
    }

    /// Waits for so many requests.
    pub(crate) async fn saw(&self, count: usize) {
        let mut seen = self.seen.subscribe();
        tokio::time::timeout(DEADLINE, seen.wait_for(|seen| seen.len() >= count))
            .await
            .expect("requests come")
            .unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &Mutex<Answer>,
    seen: &watch::Sender<Vec<String>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let mut answer = answer.lock().unwrap().clone();
    seen.send_modify(|seen| seen.push(head));
    while let Answer::Route(route) = &answer {
        answer = route(&path);
    }
    match answer {
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
        Answer::Route(_) => unreachable!(),
    }
}

async fn send(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), bytes: &[u8]) {
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
}

/// A whole answer with this status, headers and body.
pub(crate) fn http(status: u16, headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
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
    Answer::Bytes(http(200, &["Content-Type: application/json"], body.to_string()))
}
