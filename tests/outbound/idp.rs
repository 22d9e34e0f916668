//! A token endpoint on loopback that writes down what it is asked and answers as it is told. One answer a connection.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Nothing here takes this long, unless it is broken.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A token request.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// Request line and headers.
    pub(crate) head: String,
    pub(crate) pairs: Vec<(String, String)>,
}

impl Form {
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} comes more than once");
        all.first().copied()
    }
}

/// What the endpoint does with a request.
#[derive(Clone)]
pub(crate) enum Reply {
    Json(u16, Value),
    /// Sends these bytes and hangs up.
    Bytes(Vec<u8>),
    /// Sends the first, then the second again and again.
    Endless(Vec<u8>, Vec<u8>),
    /// Says nothing and stays.
    Hang,
    /// Waits for the value to be true.
    When(watch::Receiver<bool>, Box<Reply>),
}

type Script = Arc<dyn Fn(&Form) -> Reply + Send + Sync>;

/// The endpoint. It ends when it is dropped.
pub(crate) struct Idp {
    pub(crate) address: SocketAddr,
    script: Arc<Mutex<Script>>,
    seen: Arc<watch::Sender<Vec<Form>>>,
    task: JoinHandle<()>,
}

impl Idp {
    pub(crate) async fn start(script: impl Fn(&Form) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Arc::new(script)));
        let seen = Arc::new(watch::Sender::new(Vec::new()));
        let task = tokio::spawn(listen(listener, Arc::clone(&script), Arc::clone(&seen)));
        Self { address, script, seen, task }
    }

    /// Changes what it answers.
    pub(crate) fn set(&self, script: impl Fn(&Form) -> Reply + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    pub(crate) fn seen(&self) -> Vec<Form> {
        self.seen.borrow().clone()
    }

    pub(crate) fn last(&self) -> Form {
        self.seen.borrow().last().expect("a request").clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.borrow().len()
    }

    /// Waits for so many requests.
    pub(crate) async fn saw(&self, count: usize) {
        let mut seen = self.seen.subscribe();
        let enough = seen.wait_for(|seen| seen.len() >= count);
        tokio::time::timeout(LIMIT, enough).await.expect("requests come").unwrap();
    }

    /// Kills it: its connections break and its port is closed.
    pub(crate) async fn kill(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// Brings it back at the same place.
    pub(crate) async fn come_back(&mut self) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        let listener = socket.listen(64).unwrap();
        self.task = tokio::spawn(listen(listener, Arc::clone(&self.script), Arc::clone(&self.seen)));
    }
}

impl Drop for Idp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(listener: TcpListener, script: Arc<Mutex<Script>>, seen: Arc<watch::Sender<Vec<Form>>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(serve(stream, Arc::clone(&script), Arc::clone(&seen)));
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Mutex<Script>>, seen: Arc<watch::Sender<Vec<Form>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    let pairs = url::form_urlencoded::parse(&body).into_owned().collect();
    let form = Form { head, pairs };
    let script = Arc::clone(&script.lock().unwrap());
    let mut reply = script(&form);
    seen.send_modify(|seen| seen.push(form));
    while let Reply::When(mut open, then) = reply {
        if open.wait_for(|open| *open).await.is_err() {
            return;
        }
        reply = *then;
    }
    match reply {
        Reply::Json(status, value) => {
            let answer = http(status, &["Content-Type: application/json"], value.to_string());
            let _ = stream.write_all(&answer).await;
        }
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
        }
        Reply::Endless(first, again) => {
            let _ = stream.write_all(&first).await;
            while stream.write_all(&again).await.is_ok() {}
        }
        Reply::Hang => {
            // Until the client hangs up.
            let _ = stream.read_u8().await;
        }
        Reply::When(..) => unreachable!(),
    }
    let _ = stream.shutdown().await;
}

/// A whole answer.
pub(crate) fn http(status: u16, headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let mut answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n");
    for header in headers {
        answer.push_str(header);
        answer.push_str("\r\n");
    }
    answer.push_str("\r\n");
    let mut answer = answer.into_bytes();
    answer.extend_from_slice(body);
    answer
}
