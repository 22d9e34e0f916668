//! A proxy in front of a provider: it counts requests by path and by grant, and knows nothing else.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tollgate::demo::client::Call;
use url::form_urlencoded;

/// The proxy. It ends when it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    counts: Counts,
    task: AbortHandle,
}

type Counts = Arc<Mutex<BTreeMap<String, usize>>>;

impl Proxy {
    /// In front of what listens at `target`, which sees its own address as host. Where nobody listens there, the
    /// connection breaks off.
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Counts::default();
        let counting = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let counts = Arc::clone(&counting);
                let service = service_fn(move |request| forward(request, target, Arc::clone(&counts)));
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, counts, task: task.abort_handle() }
    }

    /// How many requests there were for this path.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.counts.lock().unwrap().get(path).copied().unwrap_or_default()
    }

    /// How many requests there were for this `grant_type`.
    pub(crate) fn grants(&self, grant: &str) -> usize {
        self.count(&format!("grant_type {grant}"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(request: Request<Incoming>, target: SocketAddr, counts: Counts) -> io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let grant = form_urlencoded::parse(&body).find(|(name, _)| name == "grant_type");
    let grant = grant.map(|(_, grant)| format!("grant_type {grant}"));
    for counted in grant.into_iter().chain([parts.uri.path().to_owned()]) {
        *counts.lock().unwrap().entry(counted).or_default() += 1;
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut call = Call::get(&target.to_string(), path).method(parts.method);
    for (name, value) in &parts.headers {
        // What belongs to one connection alone.
        if !["host", "connection", "content-length", "transfer-encoding"].contains(&name.as_str()) {
            call = call.header(name.as_str(), value.to_str().unwrap());
        }
    }
    call.body = body;
    let reply = call.send(target).await.map_err(io::Error::other)?;
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = reply.status;
    for (name, value) in &reply.headers {
        if !["connection", "content-length", "transfer-encoding"].contains(&name.as_str()) {
            response.headers_mut().append(name, value.clone());
        }
    }
    Ok(response)
}
