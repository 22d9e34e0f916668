//! A service of the chain. It knows nothing of tokens but that it sends the one along that it got; so that people and
//! tests can see what every hop received, it answers with the claims of that token, and never with the token.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::super::DemoError;
use super::super::client::Call;
use super::realm::claims;

/// What a service is and whom it calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The service, which is also its client id in the realm and the audience of tokens that are meant for it.
    pub name: &'static str,
    /// What it answers.
    pub path: &'static str,
    /// Whom it calls to do so: service and path, in this order.
    pub calls: &'static [(&'static str, &'static str)],
    /// Its gate's policy, as it is shipped.
    pub policy: &'static str,
}

/// The chain: USER calls A, A calls B and C, B calls C.
pub const HOPS: [Hop; 3] = [
    Hop {
        name: "service-a",
        path: "/orders",
        calls: &[("service-b", "/prices"), ("service-c", "/stock")],
        policy: include_str!("../../../examples/keycloak/service-a.yaml"),
    },
    Hop {
        name: "service-b",
        path: "/prices",
        calls: &[("service-c", "/stock")],
        policy: include_str!("../../../examples/keycloak/service-b.yaml"),
    },
    Hop {
        name: "service-c",
        path: "/stock",
        calls: &[],
        policy: include_str!("../../../examples/keycloak/service-c.yaml"),
    },
];

impl Hop {
    /// The host by which it is called.
    pub fn host(name: &str) -> String {
        format!("{name}.internal")
    }
}

/// A running service on loopback. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Service {
    address: SocketAddr,
    egress: Arc<OnceLock<SocketAddr>>,
    task: AbortHandle,
}

#[derive(Clone)]
struct Shared {
    hop: Hop,
    egress: Arc<OnceLock<SocketAddr>>,
}

impl Service {
    pub(super) async fn start(hop: Hop) -> Result<Self, DemoError> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let fail = |error| DemoError::Listen { what: hop.name, address: wanted, error };
        let listener = TcpListener::bind(wanted).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        let egress = Arc::new(OnceLock::new());
        let router = Router::new().fallback(answer).with_state(Shared { hop, egress: Arc::clone(&egress) });
        let task = tokio::spawn(async move {
            // Ends with the process or with the drop of the handle.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, egress, task: task.abort_handle() })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its calls go: the egress listener of its own Envoy.
    pub(super) fn call_through(&self, egress: SocketAddr) {
        // Told once.
        let _ = self.egress.set(egress);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(shared): State<Shared>, uri: Uri, headers: HeaderMap) -> (StatusCode, Json<Value>) {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let authorization = text("authorization");
    let mut calls = Vec::new();
    if uri.path() == shared.hop.path {
        for (service, path) in shared.hop.calls {
            calls.push(call(shared.egress.get().copied(), service, path, authorization).await);
        }
    }
    let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
    // A caller of a chain that is broken further on must see it.
    let broken = calls.iter().any(|call| call.get("status").is_none_or(|status| status != 200));
    let status = if broken { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
    let body = json!({
        "service": shared.hop.name,
        "path": uri.path(),
        "user": text("x-user"),
        "client": text("x-client"),
        "token": token.map(claims),
        "calls": calls,
    });
    (status, Json(body))
}

async fn call(egress: Option<SocketAddr>, service: &str, path: &str, authorization: Option<&str>) -> Value {
    let mut call = Call::get(&Hop::host(service), path);
    if let Some(value) = authorization {
        call = call.header("authorization", value);
    }
    let Some(egress) = egress else { return json!({ "to": service, "error": "no way out" }) };
    match call.send(egress).await {
        Ok(reply) => json!({ "to": service, "status": reply.status.as_u16(), "answer": reply.json() }),
        Err(error) => json!({ "to": service, "error": error.to_string() }),
    }
}
