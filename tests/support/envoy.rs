//! What the tests on the real Envoy share: a stage with every part in place, all of them real but the issuers' keys.

#![allow(dead_code, unused_imports, reason = "each test file uses its part of this")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "envoy_pki.rs"]
mod pki;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tollgate::demo::client::{Call, Protocol, Reply};
use tollgate::demo::envoy::{Envoy, Gate, Shipped, find};
use tollgate::demo::gate::LocalGate;
use tollgate::demo::issuer::{CLIENTS, Client, DevIssuer};
use tollgate::demo::passport::Passport;
use tollgate::demo::upstream::{SeenRequest, Upstream};

pub(crate) use pki::{Identity, Pki};

/// The real Envoy. These tests cannot be had without it.
pub(crate) fn binary() -> PathBuf {
    find().unwrap().expect("no envoy binary: `make envoy` fetches it, or name one in TOLLGATE_ENVOY")
}

/// The host that requests are for.
pub(crate) const HOST: &str = "api.example.com";

/// Everything in place: issuers, an echo service, the gate, Envoy in front.
pub(crate) struct Stage {
    pub(crate) issuer: DevIssuer,
    pub(crate) passport: Passport,
    pub(crate) upstream: Upstream,
    pub(crate) gate: LocalGate,
    pub(crate) envoy: Envoy,
    pub(crate) files: Files,
}

/// Where things are.
pub(crate) struct Files {
    pub(crate) directory: TempDir,
    pub(crate) policy: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) public_key: PathBuf,
}

impl Files {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        Self { policy: at("policy.yaml"), socket: at("gate.sock"), public_key: at("oauth-public.key"), directory }
    }

    /// Writes the policy, changed by `edit`, in one step.
    pub(crate) fn write_policy(&self, issuer: &str, edit: impl FnOnce(String) -> String) {
        let text = include_str!("policy.yaml")
            .replace("SOCKET", self.socket.to_str().unwrap())
            .replace("ISSUER", issuer)
            .replace("PEM", self.public_key.to_str().unwrap());
        let aside = self.policy.with_extension("new");
        std::fs::write(&aside, edit(text)).unwrap();
        std::fs::rename(&aside, &self.policy).unwrap();
    }
}

impl Stage {
    /// With the shipped inbound configuration, but for the time that Envoy gives the gate: tests run on busy machines.
    pub(crate) async fn new() -> Self {
        Self::with(Shipped::inbound(), |policy| policy, |config| config).await
    }

    /// With another shipped configuration, a policy changed by `policy`, and the configuration changed by `config`.
    pub(crate) async fn with(
        shipped: Shipped,
        policy: impl FnOnce(String) -> String,
        config: impl FnOnce(Shipped) -> Shipped,
    ) -> Self {
        let files = Files::new();
        let issuer = DevIssuer::start(0).await.unwrap();
        let passport = Passport::new().unwrap();
        let upstream = Upstream::start(0).await.unwrap();
        passport.write_public_key(&files.public_key).unwrap();
        files.write_policy(issuer.url(), policy);
        let gate = LocalGate::start(&files.policy).await.unwrap();
        let at_the_gate = [Gate::Unix(files.socket.clone())];
        let shipped = shipped.between(0, 0, upstream.address(), &at_the_gate).unwrap();
        let shipped = config(shipped.replace(" timeout: 0.25s\n", " timeout: 10s\n").unwrap());
        let envoy = Envoy::start(&binary(), shipped.text()).await.unwrap();
        Self { issuer, passport, upstream, gate, envoy, files }
    }

    /// A token for `demo-orders` with these scopes.
    pub(crate) fn token(&self, scopes: &[&str]) -> String {
        let mut claims = self.claims();
        claims["scopes"] = serde_json::json!(scopes);
        self.issuer.sign(&claims).unwrap()
    }

    /// The claims of a token for `demo-orders`.
    pub(crate) fn claims(&self) -> Value {
        self.issuer.claims(&CLIENTS[0])
    }

    /// Sends a request through Envoy; also what the service saw of it.
    pub(crate) async fn ask(&self, call: Call) -> (Reply, Option<SeenRequest>) {
        drop(self.upstream.take_seen());
        let reply = call.send(self.envoy.address()).await.unwrap();
        let mut seen = self.upstream.take_seen();
        assert!(seen.len() <= 1, "{seen:?}");
        (reply, seen.pop())
    }

    /// Sends a request that must reach the service.
    pub(crate) async fn allowed(&self, call: Call) -> SeenRequest {
        let (reply, seen) = self.ask(call.clone()).await;
        assert_eq!(reply.status, 200, "{call:?}: {}", reply.text());
        seen.expect("the service saw the request")
    }

    /// Sends a request that must be denied with this status and reason, and never reach the service.
    pub(crate) async fn denied(&self, call: Call, status: u16, reason: &str) -> Reply {
        let (reply, seen) = self.ask(call.clone()).await;
        assert_denied(&call, &reply, status, reason);
        assert_eq!(seen, None, "{call:?}");
        reply
    }
}

/// The answer is a denial by the gate, not by Envoy.
pub(crate) fn assert_denied(call: &Call, reply: &Reply, status: u16, reason: &str) {
    assert_eq!(reply.status, status, "{call:?}: {}", reply.text());
    let body = reply.json();
    assert_eq!(body["reason"], reason, "{call:?}: {}", reply.text());
    assert_eq!(body["decision_id"].as_str().unwrap().len(), 32);
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
}

/// Requests through Envoy, four at a time and without a pause, until they are told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    workers: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// Over HTTP/1.1, HTTP/2 and gRPC.
    pub(crate) fn start(address: SocketAddr, token: &str) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let calls = [
            get("/any/x").bearer(token),
            get("/any/y").bearer(token),
            get("/any/x").protocol(Protocol::Http2).bearer(token),
            Call::grpc(HOST, "/test.v1.Echo/Say").bearer(token),
        ];
        let worker = |call: Call| {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(async move {
                let mut failures = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    match call.clone().send(address).await {
                        Ok(reply) if reply.status == 200 && reply.header("grpc-status").is_none_or(|s| s == "0") => {}
                        Ok(reply) => failures.push(format!("{} {}", reply.status, reply.text())),
                        Err(error) => failures.push(error.to_string()),
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }
                failures
            })
        };
        let workers = calls.map(worker).into();
        Self { stop, done, workers }
    }

    /// How many requests have been answered.
    pub(crate) fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    /// Waits until `more` requests have been answered from now on.
    pub(crate) async fn goes_on(&self, more: usize) {
        let before = self.done();
        eventually("requests are answered", async || self.done() >= before + more).await;
    }

    /// Ends. What went wrong.
    pub(crate) async fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        let mut failures = Vec::new();
        for worker in self.workers {
            failures.extend(worker.await.unwrap());
        }
        failures
    }
}

/// A GET.
pub(crate) fn get(path: &str) -> Call {
    Call::get(HOST, path)
}

pub(crate) use crate::wait::eventually;
